"""MSAM and nBAR: against their formulas by hand, and what they leave behind."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback
from trl import SFTTrainer

from hf_knowlearn.training import MSAM, LoRABalancedness, SAMSFTTrainer

IN_FOUR = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}


def assert_same(ours, theirs, atol=0.0):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def losses(trainer):
    return [entry for entry in trainer.state.log_history if "loss" in entry]


class Watched(SAMSFTTrainer):
    """Keeps the weights and the inputs of each forward."""

    def compute_loss(self, model, inputs, *others, **named):
        weights = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
        momentum = {n: self.optimizer.state.get(p, {}).get("exp_avg") for n, p in self.model.named_parameters()}
        momentum = {name: m.clone() for name, m in momentum.items() if m is not None}
        self.__dict__.setdefault("seen", []).append(SimpleNamespace(weights=weights, momentum=momentum))
        return super().compute_loss(model, inputs, *others, **named)


class AtRest(TrainerCallback):
    def __init__(self, weights_of):
        self.weights_of, self.weights = weights_of, []

    def on_step_end(self, args, state, control, model, **_):
        self.weights.append(self.weights_of(model))


class AtEpochEnd(AtRest):
    """Where Trainer may evaluate and save."""

    on_step_end = TrainerCallback.on_step_end

    def on_epoch_end(self, args, state, control, model, **_):
        self.weights.append(self.weights_of(model))


def test_msam_takes_the_gradient_against_the_momentum_and_costs_one_pass(new_trainer, weights_of):
    trainer = new_trainer(Watched, callbacks=[MSAM(0.5), rest := AtRest(weights_of)], max_steps=3, **IN_FOUR)
    before = weights_of(trainer.model)
    trainer.train()
    assert len(trainer.seen) == 4 + 4 + 2
    assert trainer.gradient_evaluations == 3
    assert_same(trainer.seen[0].weights, before)  # no momentum yet
    for forward, home in ((trainer.seen[4], rest.weights[0]), (trainer.seen[7], rest.weights[0])):
        norm = torch.cat([m.flatten() for m in forward.momentum.values()]).norm()
        assert len(forward.momentum) == len(home) == 21
        assert_same(forward.weights, {n: w - 0.5 * forward.momentum[n] / norm for n, w in home.items()}, atol=1e-6)


def test_msam_steps_as_adamw_with_that_gradient(new_trainer, weights_of):
    """A step of length 0 is AdamW's own; the weights that it leaves are at rest."""
    plain, msam = (new_trainer(callbacks=c, **IN_FOUR) for c in ([], [MSAM(1e-30)]))
    plain.train()
    msam.train()
    assert_same(weights_of(msam.model), weights_of(plain.model))
    assert losses(msam) == losses(plain)


def test_how_a_window_is_cut_does_not_matter_to_msam(new_trainer, weights_of):
    runs = []
    for accumulation in (1, 4):
        trainer = new_trainer(
            callbacks=[MSAM(0.3)],
            learning_rate=1e-3,
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
        )
        trainer.train()
        runs.append(weights_of(trainer.model))
    assert_same(runs[1], runs[0], atol=1e-4)  # Adam magnifies what is near 0


@pytest.mark.parametrize("trainer_class", [SFTTrainer, SAMSFTTrainer])
def test_after_an_error_or_a_stop_msam_leaves_weights_clean(trainer_class, new_trainer, weights_of):
    rest, forwards = AtRest(weights_of), SimpleNamespace(count=0)
    trainer = new_trainer(trainer_class, callbacks=[msam := MSAM(2.0), rest], **IN_FOUR)

    def fail(*_):
        forwards.count += 1
        if forwards.count == 6:
            assert (weights_of(trainer.model)["lm_head.weight"] - rest.weights[0]["lm_head.weight"]).abs().max() > 1e-3
            raise KeyboardInterrupt

    trainer.model.register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    if trainer_class is SFTTrainer:
        msam.restore()
    assert_same(weights_of(trainer.model), rest.weights[0])


def test_msam_is_at_home_where_a_stream_ends_inside_a_window(new_trainer, rows, weights_of):
    at_end = AtEpochEnd(weights_of)
    trainer = new_trainer(
        callbacks=[MSAM(2.0), rest := AtRest(weights_of), at_end],
        train_dataset=rows.to_iterable_dataset(),  # 20 rows are two windows and a half
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=4,
    )
    trainer.train()
    assert len(at_end.weights) == 2
    for weights, steps in zip(at_end.weights, (2, 4), strict=True):
        assert_same(weights, rest.weights[steps - 1])


def test_msam_needs_a_momentum_in_floating_point(new_trainer):
    trainer = new_trainer(callbacks=[MSAM(0.1)], optim="adafactor")
    with pytest.raises(
        ValueError, match=r"MSAM: Adafactor keeps no momentum in floating point \(it has .*adamw_torch"
    ):
        trainer.train()


@pytest.mark.parametrize("callback", [MSAM(0.1), LoRABalancedness(0.1)])
def test_beside_sam_they_are_refused(callback, new_trainer):
    with pytest.raises(ValueError, match=rf"{type(callback).__name__} with sam_rho=0.1: each takes the place"):
        new_trainer(callbacks=[callback], sam_rho=0.1).train()


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_what_is_no_length_is_refused(value):
    with pytest.raises(ValueError, match=f"rho: {value!r} is not a finite number above 0"):
        MSAM(value)
    with pytest.raises(ValueError, match=f"alpha: {value!r} is not a finite number above 0"):
        LoRABalancedness(value)


def lora_model(new_model):
    torch.manual_seed(1)
    return get_peft_model(new_model(), LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))


def factors(model, which):
    return {n.replace(which, "X"): p for n, p in model.named_parameters() if which in n}


def test_nbar_is_its_formula(new_model):
    model = lora_model(new_model)
    down, up = factors(model, "lora_A"), factors(model, "lora_B")
    for place, name in enumerate(down):
        down[name].grad, up[name].grad = torch.ones_like(down[name]), torch.ones_like(up[name]) * (place % 2 * 2)
    before = {name: (down[name].detach().clone(), up[name].detach().clone()) for name in down}
    groups = [{"params": list(down.values()) + list(up.values())}]
    nbar = LoRABalancedness(2.0)
    nbar.on_train_begin(None, None, None, model=model)
    nbar.on_pre_optimizer_step(None, None, None, optimizer=torch.optim.SGD(groups, lr=0.01))
    assert len(down) == 4
    for place, (name, (a, b)) in enumerate(before.items()):
        share = 0.02 if place % 2 == 0 else -0.02  # the factor with the larger gradient grows
        assert_same(down[name].detach(), a * (1 + share), atol=1e-7)
        assert_same(up[name].detach(), b * (1 - share), atol=1e-7)
        assert_same(up[name].detach() @ down[name].detach(), b @ a * (1 - 0.02**2), atol=1e-5)


def test_nbar_brings_the_factors_of_a_run_nearer_to_each_other(new_trainer, new_model):
    apart = []
    for callbacks in ([], [LoRABalancedness(10.0)]):
        model = lora_model(new_model)
        with torch.no_grad():
            for a in factors(model, "lora_A").values():
                a *= 10  # and so B has the larger gradient
        trainer = new_trainer(model=model, callbacks=callbacks, learning_rate=1e-3, max_steps=6)
        trainer.train()
        down, up = factors(trainer.model, "lora_A"), factors(trainer.model, "lora_B")
        apart.append(sum(float(down[n].detach().norm() ** 2 - up[n].detach().norm() ** 2) for n in down))
        assert trainer.gradient_evaluations == 6
    assert abs(apart[1]) < 0.9 * abs(apart[0])


def test_nbar_without_lora_is_refused(new_trainer):
    with pytest.raises(ValueError, match="nBAR: the model has no LoRA to balance"):
        new_trainer(callbacks=[LoRABalancedness(1.0)]).train()


# By the options of a recipe


@pytest.mark.parametrize(("option", "kind"), [("msam_rho", MSAM), ("nbar_alpha", LoRABalancedness)])
def test_an_option_is_the_callback(option, kind, new_trainer, new_model, weights_of):
    by_hand, by_option, plain = (
        new_trainer(model=lora_model(new_model), **settings)
        for settings in ({"callbacks": [kind(0.5)]}, {option: "5e-1"}, {})
    )
    runs = [(trainer.train(), weights_of(trainer.model))[1] for trainer in (by_hand, by_option, plain)]
    assert_same(runs[1], runs[0])
    assert any(not torch.equal(runs[2][name], weight) for name, weight in runs[1].items())
    assert by_option.gradient_evaluations == 3


def test_what_cannot_be_is_refused_when_the_trainer_is_made(new_trainer, new_model):
    with pytest.raises(ValueError, match="nBAR: the model has no LoRA to balance"):
        new_trainer(nbar_alpha=1.0)
    with pytest.raises(ValueError, match=r"(?s)MSAM \(msam_rho=0.1\) can't run like this; msam_rho: 0 .*in bfloat16"):
        new_trainer(model=new_model(dtype=torch.bfloat16), msam_rho=0.1)
