"""Progress of a run with stages: where it is, and how long its training will still take."""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from hf_knowlearn.reports.formatting import duration

if TYPE_CHECKING:
    from transformers import TrainerState

logger = logging.getLogger(__name__)


class Progress(TrainerCallback):
    """Logs where a run is. As a callback of the trainers of its stages, it measures how long their steps take.

    Args:
        names: names of the stages.
        steps: optimizer steps of each stage; the largest possible number where it is not known yet.
    """

    def __init__(self, names: Sequence[str], steps: Sequence[int]) -> None:
        self.names, self.steps = names, list(steps)
        self._measured_steps, self._measured_seconds = 0, 0.0
        self._start, self._first_step = 0.0, 0

    def starts(self, number: int) -> None:
        """Stage `number` (from 0) starts."""
        logger.info("\n%s, %d steps%s.", self._stage(number), self.steps[number], self._time_left(number))

    def ends(self, number: int) -> None:
        """Stage `number` is trained."""
        logger.info("%s is trained%s.", self._stage(number), self._time_left(number + 1))

    def already_finished(self, number: int, steps: int, seconds: float) -> None:
        """An earlier process has finished stage `number`; its time counts for the estimate."""
        self._measured_steps, self._measured_seconds = self._measured_steps + steps, self._measured_seconds + seconds
        logger.info("\n%s is finished.", self._stage(number))

    def on_train_begin(self, args: Any, state: "TrainerState", control: Any, **_: Any) -> None:
        self._start, self._first_step = time.monotonic(), state.global_step  # not 0 if the training is resumed

    def on_train_end(self, args: Any, state: "TrainerState", control: Any, **_: Any) -> None:
        self._measured_steps += state.global_step - self._first_step
        self._measured_seconds += time.monotonic() - self._start

    def _stage(self, number: int) -> str:
        return f"Stage {number + 1} of {len(self.names)}: {self.names[number]}"

    def _time_left(self, number: int) -> str:
        """The time that the stages from `number` on will take, if it can be estimated."""
        steps = sum(self.steps[number:])
        if not steps or not self._measured_steps:
            return ""
        seconds = steps * self._measured_seconds / self._measured_steps
        return f"; about {duration(seconds)} of training left in the run"
