"""SIGTERM, which a scheduler sends before it takes the machine away: save at the end of the step, and exit with 0.

transformers' own answer (`enable_jit_checkpoint`) waits three seconds and may save within a step, after its dropout
was drawn: the run then goes on as another one. Here the step is finished first. The surprising decision: the exit is
raised where the checkpoint has just been written, so that nothing which belongs to the end of a training is done.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger("hf_knowlearn.training")


class SaveOnSigterm(TrainerCallback):
    """Within `listening`, SIGTERM lets a trainer finish its step, save a checkpoint and raise `SystemExit(0)`.

    With several processes, all stop at the same step when any of them is told to.
    """

    def __init__(self) -> None:
        self.came = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block SIGTERM is noted. Outside of the main thread, which alone may listen, nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _note(self, *_: Any) -> None:
        self.came = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.world_size > 1:
            came = torch.tensor(int(self.came), device=args.device)
            distributed.all_reduce(came, op=distributed.ReduceOp.MAX)
            self.came = bool(came)
        if self.came:
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.came:
            logger.info(
                "Stopped by SIGTERM after step %d, which is saved. The same command goes on.", state.global_step
            )
            raise SystemExit(0)
