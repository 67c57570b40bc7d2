"""Tools for a second pass over the same micro-batches: states of the random number generators, and a pass counter."""

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState


class MicroBatch(NamedTuple):
    """The arguments of `Trainer.training_step` for one micro-batch."""

    inputs: Any
    num_items_in_batch: Any


def fork_rng() -> AbstractContextManager[None]:
    """Return a context manager that restores the random number generators of the CPU and the GPUs when it ends."""
    return torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else [])


class RandomState(NamedTuple):
    """The states of the random number generators of the CPU and of the GPUs in use."""

    cpu: torch.Tensor
    cuda: list[torch.Tensor]

    @classmethod
    def get(cls) -> "RandomState":
        """Return the current states."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])

    def set(self) -> None:
        """Set the random number generators to these states."""
        torch.set_rng_state(self.cpu)
        torch.cuda.set_rng_state_all(self.cuda)


class GradientEvaluations(TrainerCallback, ExportableState):
    """A callback that counts passes over accumulation windows, and saves the count in every checkpoint.

    A pass over a part of a window counts as a fraction.
    """

    def __init__(self) -> None:
        self.count = 0.0

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"count": self.count}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Why: Trainer restores callbacks only on request. The checkpoint of a plain trainer has no count, but each of
        # its steps was one pass.
        saved = state.stateful_callbacks.get(type(self).__name__) if state.global_step else None
        self.count = saved["attributes"]["count"] if saved else state.global_step
        state.stateful_callbacks[type(self).__name__] = self.state()
