"""Measures how long the parts of a run take. A resumed run adds to the times of its earlier sessions."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_knowlearn import atomic_files
from hf_knowlearn.run_files import TIMES

if TYPE_CHECKING:
    from hf_knowlearn.teach.progress import Progress

# Parts of a run outside its stages.
EVALUATION_BEFORE, SELF_REPLAY, DRIFT = "evaluation of the base model", "self-replay", "drift"


def training_part(stage: str) -> str:
    """Return the name of the part that trains a stage. The name of the stage can be empty."""
    return f"training {stage}".rstrip()


def evaluation_part(stage: str) -> str:
    """Return the name of the part that evaluates the model after a stage. The name of the stage can be empty."""
    return f"evaluation {stage}".rstrip()


class Clock(TrainerCallback):
    """Measures the time of the parts of a run, and records the seconds in the run folder.

    A clock is also a callback of a trainer, and then records the seconds at every checkpoint. If the process is killed
    during training, only the time since the last checkpoint is lost.

    Args:
        folder: the run folder.
        progress: the progress of the run, which receives the parts. None: no progress is shown.
    """

    def __init__(self, folder: Path, progress: "Progress | None" = None) -> None:
        self.path = folder / TIMES
        recorded = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        self.seconds: dict[str, float] = recorded
        self.progress = progress
        if progress is not None:
            progress.estimate.earlier = sum(self.seconds.values())
        self._last: dict[str, float] = {}  # the time up to which each running part is counted

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time of the block to the time of `part`, even if the block raises an error."""
        self.seconds.setdefault(part, 0.0)
        self._last[part] = time.monotonic()
        try:
            with nullcontext() if self.progress is None else self.progress.part(part, self.seconds):
                yield
        finally:
            self._record()
            del self._last[part]

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._record()

    def _record(self) -> None:
        now = time.monotonic()
        for part, last in self._last.items():
            self.seconds[part] += now - last
            self._last[part] = now
        if PartialState().is_main_process and self.path.parent.is_dir():
            atomic_files.write_text(self.path, json.dumps(self.seconds, indent=2) + "\n")
