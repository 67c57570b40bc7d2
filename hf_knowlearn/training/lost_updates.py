"""Warns if most updates of 16-bit weights are lost to rounding."""

import logging
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

SAMPLE = 1_000_000  # weights that are compared in a step
STEPS = 3  # number of measured steps. They begin when the learning rate has reached half of its maximum
LEAST = 0.5  # smallest share of the weights that must change in a step


class WarnOfLostUpdates(TrainerCallback):
    """Measures the share of the trained 16-bit weights that an update changes, and warns if it is small.

    A bfloat16 number has 8 significant bits, so an update below about 1/512 of a weight leaves it unchanged. Weights
    whose gradient is 0 do not count.

    Example:
        >>> trainer.add_callback(WarnOfLostUpdates())
    """

    def __init__(self) -> None:
        self._before: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor, int]] = []
        self.changed: list[float] = []  # the share of changed weights in each measured step

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._before, self.changed = [], []

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        lr_scheduler: Any = None,
        **_: Any,
    ) -> None:
        if len(self.changed) == STEPS or model is None or lr_scheduler is None:
            return
        if max(lr_scheduler.get_last_lr()) < args.learning_rate / 2:
            return
        half = [w for w in model.parameters() if w.grad is not None and w.dtype in (torch.bfloat16, torch.float16)]
        stride = -(-sum(weight.numel() for weight in half) // SAMPLE) or 1
        for weight in half:
            has_gradient = _sample(weight.grad, stride) != 0
            self._before.append((weight, _sample(weight, stride).clone(), has_gradient, stride))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self._before:
            return
        changed = counted = 0
        for weight, before, has_gradient, stride in self._before:
            changed += int(((_sample(weight, stride) != before) & has_gradient).sum())
            counted += int(has_gradient.sum())
        self._before = []
        if counted:
            self.changed.append(changed / counted)
        if len(self.changed) == STEPS and (share := sum(self.changed) / STEPS) < LEAST:
            logger.warning(
                "An update changes only %.1f %% of the trained weights. Rounding removes the update of the other"
                " weights, because 16-bit weights are too coarse for learning_rate=%g. Use --dtype float32, or a"
                " higher learning rate.",
                100 * share, args.learning_rate,
            )  # fmt: skip


def _sample(values: torch.Tensor | None, stride: int) -> torch.Tensor:
    assert values is not None
    return values.detach().reshape(-1)[::stride]
