"""What a second pass over the same micro-batches needs: the generators where they stood, and a count of passes."""

from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class MicroBatch(NamedTuple):
    """All that `training_step` is given."""

    inputs: Any
    num_items_in_batch: Any


class RandomState(NamedTuple):
    """Where the generators stand from which dropout and noise are drawn."""

    cpu: torch.Tensor
    cuda: list[torch.Tensor]

    @classmethod
    def now(cls) -> "RandomState":
        cuda = torch.cuda.is_initialized()
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else [])

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


class GradientEvaluations(TrainerCallback, ExportableState):
    """Counts the passes over accumulation windows, in fractions where part of a window is run; kept in checkpoints."""

    def __init__(self) -> None:
        self.count = 0.0

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"count": self.count}}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # Trainer itself restores callbacks only on request. A checkpoint of a plain trainer holds no count: its steps
        # were one pass each.
        callbacks: Any = state.stateful_callbacks
        saved = callbacks.get(type(self).__name__) if state.global_step else None
        self.count = saved["attributes"]["count"] if saved else state.global_step
        callbacks[type(self).__name__] = self.state()
