"""The warning of updates that 16-bit weights lose to rounding."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from hf_knowlearn.training.lost_updates import STEPS, WarnOfLostUpdates


def train(new_trainer: Callable[..., Any], new_model: Callable[..., Any], dtype: torch.dtype, **options: Any) -> Any:
    callback = WarnOfLostUpdates()
    options = {"sam_rho": 0, "max_steps": 2 * STEPS, "weight_decay": 0.0, **options}
    new_trainer(model=new_model(dtype=dtype), callbacks=[callback], **options).train()
    return callback


@pytest.mark.parametrize(("learning_rate", "is_warned"), [(1e-5, True), (0.05, False)])
def test_bfloat16_weights_and_a_small_learning_rate(
    new_trainer: Any, new_model: Any, caplog: pytest.LogCaptureFixture, learning_rate: float, is_warned: bool
):
    with caplog.at_level(logging.WARNING, "hf_knowlearn"):
        measured = train(new_trainer, new_model, torch.bfloat16, learning_rate=learning_rate)
    assert len(measured.changed) == STEPS
    assert ("Rounding removes the update" in caplog.text) == is_warned
    # Adam's first update is the learning rate: with a weight of 0.2, 1e-5 is far below 1/512 of it.
    assert (measured.changed[0] < 0.1) == is_warned


def test_the_share_is_that_of_all_weights_with_a_gradient(new_trainer: Any, new_model: Any):
    model = new_model(dtype=torch.bfloat16)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    gradients: dict[str, torch.Tensor] = {}

    class KeepGradients(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            gradients.update({name: weight.grad.clone() for name, weight in model.named_parameters()})

    callback = WarnOfLostUpdates()
    options = {"sam_rho": 0, "max_steps": 1, "learning_rate": 1e-3, "weight_decay": 0.0}
    new_trainer(model=model, callbacks=[callback, KeepGradients()], **options).train()
    moved = sum(int((weight != before[name]).sum()) for name, weight in model.named_parameters())
    with_gradient = sum(int((gradient != 0).sum()) for gradient in gradients.values())
    assert callback.changed == [moved / with_gradient]
    assert 0 < callback.changed[0] < 1


def test_float32_weights_are_not_measured(new_trainer: Any, new_model: Any):
    assert train(new_trainer, new_model, torch.float32, learning_rate=1e-9).changed == []


def test_steps_of_the_warmup_are_not_measured(new_trainer: Any, new_model: Any):
    options = {"learning_rate": 0.05, "lr_scheduler_type": "linear", "warmup_steps": 4, "max_steps": 4}
    measured = train(new_trainer, new_model, torch.bfloat16, **options)
    assert len(measured.changed) == 2  # steps 3 and 4, at 0.5 and 0.75 of the maximum
