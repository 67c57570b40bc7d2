"""A training whose loss or weights are not finite stops, and leaves the last good checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from hf_knowlearn.training.finite import NonFiniteError, StopOnNonFinite


class SpoilWeight(TrainerCallback):
    """Sets one value of a weight at the start of a step (`at` steps are done)."""

    def __init__(self, at: int, value: float) -> None:
        self.at, self.value = at, value

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == self.at:
            with torch.no_grad():
                model.model.layers[0].mlp.up_proj.weight[0, 0] = self.value


@pytest.mark.parametrize("sam_rho", [0.0, 0.05])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_step_with_a_loss_that_is_not_finite_ends_the_training(
    new_trainer: Callable[..., Any], tmp_path: Path, sam_rho: float, value: float
):
    trainer = new_trainer(
        sam_rho=sam_rho, max_steps=5, save_strategy="steps", save_steps=1, save_only_model=True,
        callbacks=[StopOnNonFinite(), SpoilWeight(2, value)],
    )  # fmt: skip
    with pytest.raises(NonFiniteError, match="stopped at step 3: the loss is not finite") as raised:
        trainer.train()
    assert (raised.value.step, raised.value.checkpoint) == (3, tmp_path / "checkpoint-2")
    assert "learning_rate (now 0.02)" in str(raised.value)
    assert not (tmp_path / "checkpoint-3").exists()


def test_a_gradient_that_is_not_finite_is_noticed_before_weights_are_saved(
    new_trainer: Callable[..., Any], tmp_path: Path
):
    class SpoilGradient(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            model.lm_head.weight.grad[0, 0] = float("nan")

    trainer = new_trainer(max_steps=1, max_grad_norm=0.0, callbacks=[StopOnNonFinite(), SpoilGradient()])
    with pytest.raises(NonFiniteError, match=r"the weight lm_head\.weight is not finite\. There is no earlier"):
        trainer.train()


def test_a_finite_training_is_unchanged(new_trainer: Callable[..., Any], weights_of: Callable[..., Any]):
    trained = []
    for callbacks in ([], [StopOnNonFinite()]):
        trainer = new_trainer(callbacks=callbacks, sam_rho=0.05)
        trainer.train()
        trained.append(weights_of(trainer.model))
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
