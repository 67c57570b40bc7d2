"""Progress: at which stage a run is, and how long its training will still take, by the steps that it has made so far.

The surprising decision: there is no bar of it. A stage has the trainer's; of the whole run a line at each end will do,
which a log keeps. What stages took that an earlier process finished counts too.
"""

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
    """Says where a run of several stages is; as a callback of their trainers it measures how long their steps take.

    Args:
        names: of the stages.
        steps: of each; where a stage's are not known yet, the most there can be.
    """

    def __init__(self, names: Sequence[str], steps: Sequence[int]) -> None:
        self.names, self.steps = names, list(steps)
        self._made, self._seconds = 0, 0.0  # steps that were measured, and what they took
        self._start, self._first = 0.0, 0

    def begins(self, number: int) -> None:
        """Stage `number` (from 0) is about to be trained."""
        logger.info("\n%s, %d steps%s.", self._stage(number), self.steps[number], self._left(number))

    def ends(self, number: int) -> None:
        """It was trained."""
        logger.info("%s is trained%s.", self._stage(number), self._left(number + 1))

    def was_finished(self, number: int, steps: int, seconds: float) -> None:
        """An earlier process has finished it."""
        self._made, self._seconds = self._made + steps, self._seconds + seconds
        logger.info("\n%s is finished.", self._stage(number))

    def on_train_begin(self, args: Any, state: "TrainerState", control: Any, **_: Any) -> None:
        self._start, self._first = time.monotonic(), state.global_step  # a resumed training begins with its last

    def on_train_end(self, args: Any, state: "TrainerState", control: Any, **_: Any) -> None:
        self._made += state.global_step - self._first
        self._seconds += time.monotonic() - self._start

    def _stage(self, number: int) -> str:
        return f"Stage {number + 1} of {len(self.names)}: {self.names[number]}"

    def _left(self, number: int) -> str:
        """How long the stages from `number` on will take, if that can be told."""
        steps = sum(self.steps[number:])
        if not steps or not self._made:
            return ""
        return f"; about {duration(steps * self._seconds / self._made)} of training left of the whole run"
