"""Shows the progress of a run: one bar with the current part, the share of the time and the estimated time left.

Without a terminal, the progress is logged instead: a line for every tenth of the run and every minute.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from tqdm.auto import tqdm
from transformers import TrainerCallback
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from hf_knowlearn.config.settings import RunSettings
from hf_knowlearn.format_aug.rows import Row
from hf_knowlearn.generation.progress import watched_by
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.estimate import TRAINING, Estimate
from hf_knowlearn.teach.work import planned_parts, seconds_per_token

if TYPE_CHECKING:
    from transformers import TrainerState, TrainingArguments

    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)

REFRESH = 0.5  # seconds between two updates of the bar
FIRST, MINUTE = 5.0, 60.0  # seconds before a tenth of the run is logged, and before any other line


class Progress(TrainerCallback):
    """The progress of a run. It watches the generation, and it is a callback of the trainers.

    Args:
        shown: whether a bar is shown, or lines are logged. The estimate is computed in any case.
        tokens_per_character: the mean number of tokens of a character of the training rows.
    """

    def __init__(self, estimate: Estimate, shown: bool = True, tokens_per_character: float = 0.25) -> None:
        state = PartialState()
        self.estimate, self.tokens_per_character = estimate, tokens_per_character
        self._is_shown = shown and state.is_main_process
        self._has_terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._part, self._share = "", 0.0
        self._refreshed = self._logged = time.monotonic()
        self._logged_tenth = 0
        self._work_of_step = self._work_in_step = 0.0

    def plan(self, settings: RunSettings, data: RunData, rows: Sequence[Sequence[Row]]) -> None:
        """Plan the work of the parts that have not begun."""
        processes = PartialState().num_processes
        self.estimate.plan(planned_parts(settings, data, rows, self.tokens_per_character, processes))

    @contextmanager
    def part(self, name: str, seconds: Mapping[str, float]) -> Iterator[None]:
        """Show the progress of the part `name` within the block.

        Args:
            seconds: the duration of each part in earlier sessions of the run.
        """
        part, self._part = self.estimate.begin(name), name
        self._refresh(now=True)
        try:
            with watched_by(self):
                yield
        except BaseException:
            self._close()
            raise
        self.estimate.end(part, seconds[name])
        if all(each.has_ended for each in self.estimate.parts):
            self._close()

    def finished(self, name: str, seconds: float) -> None:
        """Count a part that an earlier session finished, in this number of seconds."""
        self.estimate.end(self.estimate.begin(name), seconds)

    @property
    def time_left(self) -> str:
        """The estimated remaining time of the run in words, such as `about 14 min left`."""
        seconds = self.estimate.seconds_left()
        if seconds >= 2 * 3600:
            return f"about {seconds / 3600:.1f} h left"
        return f"about {seconds / 60:.0f} min left" if seconds >= 2 * 60 else f"about {seconds:.0f} s left"

    # Generation

    def starts(self, kind: str, work: float) -> None:
        """Receive the work of a computation that starts (see `Watcher`)."""
        self.estimate.start(kind, work)

    def advances(self, kind: str, work: float) -> None:
        """Receive work that is done (see `Watcher`)."""
        self.estimate.advance(kind, work)
        self._refresh()

    # Training

    def attach(self, trainer: "SAMSFTTrainer") -> None:
        """Show the progress of a trainer in the bar of the run instead of a bar of its own."""
        if self._is_shown:
            trainer.remove_callback(DEFAULT_PROGRESS_CALLBACK)
        trainer.add_callback(self)

    def on_train_begin(self, args: "TrainingArguments", state: "TrainerState", control: Any, **_: Any) -> None:
        work = self.estimate.begin(self._part).work
        self._work_of_step, self._work_in_step = work.get(TRAINING, 0.0) / max(1, state.max_steps), 0.0
        self.estimate.skip(TRAINING, state.global_step * self._work_of_step)

    def on_substep_end(self, args: "TrainingArguments", state: "TrainerState", control: Any, **_: Any) -> None:
        if not getattr(args, "sam_rho", 0):  # Why: a SAM step computes all micro-batches at the end of the step
            self._advance_training(self._work_of_step / args.gradient_accumulation_steps)

    # Why not at the end of a step: the evaluation during training comes before, and its time is not that of the step.
    def on_optimizer_step(self, args: "TrainingArguments", state: "TrainerState", control: Any, **_: Any) -> None:
        self._advance_training(self._work_of_step - self._work_in_step)
        self._work_in_step = 0.0

    def on_log(
        self, args: "TrainingArguments", state: "TrainerState", control: Any, logs: Any = None, **_: Any
    ) -> None:
        if self._is_shown:
            shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in logs.items()}
            shown.pop("total_flos", None)
            tqdm.write(str(shown))

    def _advance_training(self, work: float) -> None:
        self._work_in_step += work
        self.advances(TRAINING, work)

    # Display

    def _refresh(self, now: bool = False) -> None:
        """Update the bar, or log a line, unless this was done a moment ago."""
        time_now = time.monotonic()
        if not self._is_shown or (time_now - self._refreshed < REFRESH and not now):
            return
        self._refreshed = time_now
        self._share = max(self._share, min(self.estimate.share(), 0.99))
        percent = f"{100 * self._share:.0f} %"
        if self._has_terminal:
            form = f"Teaching: {self._part} |{{bar:20}}| {percent} | {self.time_left}"
            # Why delay=0: commands set another default, with which the bar would not be removed.
            self._bar = self._bar or tqdm(total=1.0, bar_format=form, leave=False, delay=0, dynamic_ncols=True)
            self._bar.bar_format, self._bar.n = form, self._share
            self._bar.refresh()
            return
        passed, tenth = time_now - self._logged, int(10 * self._share)
        if passed >= MINUTE or (passed >= FIRST and tenth > self._logged_tenth):
            self._logged, self._logged_tenth = time_now, tenth
            logger.info("Teaching: %s | %s | %s", self._part, percent, self.time_left)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def run_progress(
    settings: RunSettings, data: RunData, trainer: "SAMSFTTrainer", rows: Sequence[Sequence[Row]]
) -> Progress:
    """Measure the speed of the model, plan the parts of a run, and return its progress.

    Args:
        trainer: the trainer of the first stage.
        rows: the training rows of every stage.
    """
    characters = sum(len(row["prompt"]) + len(row["completion"]) for row in rows[0])
    tokens = sum(map(len, trainer.train_dataset["input_ids"]))
    progress = Progress(Estimate(seconds_per_token(trainer)), settings.show_progress, tokens / max(1, characters))
    progress.plan(settings, data, rows)
    return progress
