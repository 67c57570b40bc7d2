"""Warns if rounding removes most updates of 16-bit weights."""

import logging
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

logger = logging.getLogger(__name__)

SAMPLE = 1_000_000  # maximum number of weights to compare in a step
STEPS = 3  # number of steps to measure, once the learning rate has reached half of its maximum
LEAST = 0.5  # the callback warns if a smaller share of the weights changes


class WarnOfLostUpdates(TrainerCallback):
    """A callback that warns if an optimizer step leaves most of the trained 16-bit weights unchanged.

    A bfloat16 number has 8 significant bits, so a weight does not change if its update is smaller than about 1/512 of
    the weight. Weights with a gradient of 0 are not counted.

    Example:
        >>> trainer.add_callback(WarnOfLostUpdates())
    """

    def __init__(self) -> None:
        self._before: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor, int]] = []
        self.changed: list[float] = []  # the share of changed weights in each measured step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._before, self.changed = [], []

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: nn.Module | None = None, lr_scheduler: Any = None, **_: Any
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

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
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
                "An optimizer step changes only %.1f %% of the trained 16-bit weights. Rounding removes the updates of"
                " the other weights, because they are too small at learning_rate=%g. Use --dtype float32, or a"
                " higher learning rate.",
                100 * share, args.learning_rate,
            )  # fmt: skip


def _sample(values: torch.Tensor | None, stride: int) -> torch.Tensor:
    assert values is not None
    return values.detach().reshape(-1)[::stride]
