"""Handles SIGTERM, which a scheduler sends before it stops a machine.

The trainer finishes the step, saves a checkpoint, and exits with code 0. The option `enable_jit_checkpoint` of
transformers is not used. With that option, a checkpoint can be saved inside a step, and the resumed run then differs
from an uninterrupted run.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback

logger = logging.getLogger("hf_knowlearn.training")


class SaveOnSigterm(TrainerCallback):
    """A callback that saves a checkpoint and raises `SystemExit(0)` after the step in which SIGTERM arrives.

    If one of several processes receives the signal, all of them stop after the same step.

    Example:

        callback = SaveOnSigterm()
        trainer.add_callback(callback)
        with callback.listening():
            trainer.train()
    """

    def __init__(self) -> None:
        self.received = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGTERM within the block. In a thread other than the main thread, this has no effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGTERM, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _handle(self, *_: Any) -> None:
        self.received = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.world_size > 1:
            received = torch.tensor(int(self.received), device=args.device)
            distributed.all_reduce(received, op=distributed.ReduceOp.MAX)
            self.received = bool(received)
        if self.received:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Why: with `should_training_stop`, the code for the end of training would still run.
        if self.received:
            logger.info("Stopped by SIGTERM. Step %d is saved. Run the same command to resume.", state.global_step)
            raise SystemExit(0)
