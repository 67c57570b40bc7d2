"""Logs the progress of a run with stages: the current stage, and an estimate of the remaining training time."""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from hf_knowlearn.counts import number_of
from hf_knowlearn.reports.formatting import duration

if TYPE_CHECKING:
    from transformers import TrainerState

logger = logging.getLogger(__name__)


class Progress(TrainerCallback):
    """A callback that logs the current stage of a run and the remaining training time.

    The estimate of the remaining time is based on the duration of the finished steps.

    Args:
        names: names of the stages.
        steps: number of optimizer steps of each stage. If this number is unknown, the largest possible number.
    """

    def __init__(self, names: Sequence[str], steps: Sequence[int]) -> None:
        self.names, self.steps = names, list(steps)
        self._measured_steps, self._measured_seconds = 0, 0.0
        self._start, self._first_step = 0.0, 0

    def starts(self, number: int) -> None:
        """Log that stage `number`, counted from 0, starts."""
        steps = number_of(self.steps[number], "step")
        logger.info("\n%s, %s%s.", self._stage(number), steps, self._time_left(number))

    def ends(self, number: int) -> None:
        """Log that the training of stage `number` has finished."""
        logger.info("%s is trained%s.", self._stage(number), self._time_left(number + 1))

    def already_finished(self, number: int, steps: int, seconds: float) -> None:
        """Log that an earlier process finished stage `number`. Use the stage's duration for the estimate."""
        self._measured_steps, self._measured_seconds = self._measured_steps + steps, self._measured_seconds + seconds
        logger.info("\n%s is finished.", self._stage(number))

    def on_train_begin(self, args: Any, state: "TrainerState", control: Any, **_: Any) -> None:
        self._start, self._first_step = time.monotonic(), state.global_step  # not 0 if training was resumed

    def on_train_end(self, args: Any, state: "TrainerState", control: Any, **_: Any) -> None:
        self._measured_steps += state.global_step - self._first_step
        self._measured_seconds += time.monotonic() - self._start

    def _stage(self, number: int) -> str:
        return f"Stage {number + 1} of {len(self.names)}: {self.names[number]}"

    def _time_left(self, number: int) -> str:
        """Return the estimated training time of stage `number` and all later stages, in words.

        Return "" if no step has finished, because there is then no estimate.
        """
        steps = sum(self.steps[number:])
        if not steps or not self._measured_steps:
            return ""
        seconds = steps * self._measured_seconds / self._measured_steps
        return f"; about {duration(seconds)} of training left in the run"
