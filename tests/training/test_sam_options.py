"""The options of SAM in `SFTTrainer`: the rows of the ascent gradient, logs, and random numbers."""

import logging
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback
from trl import SFTTrainer

from hf_knowlearn.training import SAMSFTTrainer, checks

IN_FOUR = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
# A step so short that it changes no fp32 weight. Both passes must then give the same result.
TINY_RHO = 1e-30


def losses(trainer):
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def without_sam(entry):
    return {name: value for name, value in entry.items() if not name.startswith("sam/")}


def assert_same(ours, theirs, atol=0.0):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


class Watched(SAMSFTTrainer):
    """Records the input ids and the weights of each forward."""

    def compute_loss(self, model, inputs, *others, **named):
        weights = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
        self.__dict__.setdefault("seen", []).append(SimpleNamespace(ids=inputs["input_ids"].clone(), weights=weights))
        return super().compute_loss(model, inputs, *others, **named)


def distance(ours, theirs):
    return sum(float((ours[name] - theirs[name]).pow(2).sum()) for name in ours) ** 0.5


# Ascent gradient of part of a window


@pytest.mark.parametrize(
    "options", [{"sam_ascent_batches": 1}, {"sam_ascent_batches": 3}, {"sam_direction": "random"}]
)
def test_dropout_and_neftune_of_a_partial_second_pass_equal_those_of_a_plain_step(
    options, new_trainer, new_model, weights_of
):
    runs = []
    for rho in (0.0, TINY_RHO):
        trainer = new_trainer(
            model=new_model(dropout=0.3), sam_rho=rho, neftune_noise_alpha=5, max_steps=4, **IN_FOUR, **options
        )
        trainer.train()
        runs.append((trainer, torch.get_rng_state()))
    (plain, plain_rng), (ours, our_rng) = runs
    assert_same(weights_of(ours.model), weights_of(plain.model))
    assert torch.equal(our_rng, plain_rng)
    assert [without_sam(entry) for entry in losses(ours)] == losses(plain)


def test_each_micro_batch_is_counted_once_and_its_first_run_is_logged(new_trainer):
    plain = new_trainer(SFTTrainer, **IN_FOUR)
    plain.train()
    sam = new_trainer(sam_rho=2.0, sam_ascent_batches=1, **IN_FOUR)
    sam.train()
    assert [entry["num_tokens"] for entry in losses(sam)] == [entry["num_tokens"] for entry in losses(plain)]
    assert losses(sam)[0]["loss"] > losses(plain)[0]["loss"] + 0.01  # three of four first run at the perturbed weights
    assert sam.gradient_evaluations == 1.25 + 1.25 + 1.5  # the last window has two micro-batches


def test_only_the_second_pass_runs_at_the_perturbed_weights(new_trainer, weights_of):
    trainer = new_trainer(Watched, sam_rho=2.0, sam_ascent_batches=1, max_steps=1, **IN_FOUR)
    before = weights_of(trainer.model)
    trainer.train()
    distances = [distance(forward.weights, before) for forward in trainer.seen]
    assert distances == pytest.approx([0.0, 2.0, 2.0, 2.0, 2.0], rel=1e-4)


@pytest.mark.parametrize("forward", [2, 4])
def test_weights_are_restored_after_an_error_in_a_partial_ascent(forward, new_trainer, weights_of):
    trainer = new_trainer(sam_rho=2.0, sam_ascent_batches=1, **IN_FOUR)
    before, count = weights_of(trainer.model), 0

    def fail(*_):
        nonlocal count
        count += 1
        if count == forward:
            raise KeyboardInterrupt

    trainer.model.register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert_same(weights_of(trainer.model), before)
    assert trainer.gradient_evaluations == 0.25


def test_with_one_micro_batch_the_ascent_gradient_is_of_its_first_rows(new_trainer, new_model, weights_of):
    trainer = new_trainer(Watched, sam_rho=0.5, sam_ascent_batches=2, max_steps=1)
    trainer.train()
    part, whole = trainer.seen
    assert len(part.ids) == 2
    assert len(whole.ids) == 8
    assert torch.equal(part.ids, whole.ids[:2])
    assert trainer.gradient_evaluations == 1.25
    assert len(trainer.state.log_history) == 2
    # The ascent step equals that of exact SAM on a batch of these rows only.
    alone = new_trainer(
        Watched,
        sam_rho=0.5,
        max_steps=1,
        per_device_train_batch_size=2,
        train_dataset=trainer.train_dataset.select(order_of(trainer, part.ids)),
    )
    alone.train()
    assert_same(whole.weights, alone.seen[1].weights, atol=1e-6)


def order_of(trainer, ids):
    """The indices of these rows in the dataset."""
    rows = [row["input_ids"] for row in trainer.train_dataset]
    return [next(i for i, row in enumerate(rows) if row == taken[: len(row)]) for taken in ids.tolist()]


def test_the_ascent_gradient_uses_a_smaller_last_batch_completely(new_trainer):
    trainer = new_trainer(Watched, sam_rho=0.5, sam_ascent_batches=4, max_steps=3)  # 20 rows: 8, 8 and 4
    trainer.train()
    assert [len(forward.ids) for forward in trainer.seen] == [4, 8, 4, 8, 4, 4]
    assert trainer.gradient_evaluations == 1.5 + 1.5 + 2


def test_ascent_rows_of_a_packed_micro_batch_are_an_error(new_trainer):
    with pytest.raises(
        ValueError, match=r"sam_ascent_batches: 1 with gradient_acc.* because padding_free and packing join the rows"
    ):
        new_trainer(sam_rho=0.1, sam_ascent_batches=1, packing=True, max_length=32)
    new_trainer(sam_rho=0.1, sam_ascent_batches=1, packing=True, max_length=32, gradient_accumulation_steps=2)


def test_inputs_with_another_number_of_rows_are_an_error(new_trainer):
    trainer = new_trainer(sam_rho=0.1, sam_ascent_batches=1)
    inputs = {"input_ids": torch.zeros(4, 3), "pixel_values": torch.zeros(7, 3), "name": "x"}
    with pytest.raises(ValueError, match="the 4 rows of a micro-batch cannot be split, because pixel_values does not"):
        trainer.first_rows(inputs, 1)


# Start


def test_sam_start_and_ascent_batches_continue_after_a_resume(new_trainer, new_model, weights_of, tmp_path):
    def trainer(folder, **options):
        settings = {"sam_rho": 0.5, "sam_start": 0.6, "sam_ascent_batches": 1, "save_steps": 2}
        settings |= {"save_strategy": "steps", "max_steps": 6, "output_dir": str(tmp_path / folder)}
        return new_trainer(model=new_model(dropout=0.3), **IN_FOUR | settings | options)

    unbroken = trainer("unbroken")
    unbroken.train()
    broken = trainer("broken")
    broken.add_callback(stop := Stop())
    broken.train()
    assert stop.stopped
    resumed = trainer("broken")
    resumed.train(resume_from_checkpoint=True)
    assert_same(weights_of(resumed.model), weights_of(unbroken.model))
    assert resumed.gradient_evaluations == unbroken.gradient_evaluations
    assert unbroken.gradient_evaluations == 6 + 0.25 + 0.5  # steps 4 and 5; the last window has two micro-batches


class Stop(TrainerCallback):
    stopped = False

    def on_step_end(self, args, state, control, **_):
        self.stopped = control.should_training_stop = state.global_step == 4


# Logs


def test_the_ascent_is_measured_once_per_log(new_trainer):
    trainer = new_trainer(sam_rho=0.5, logging_steps=3, max_steps=6)
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "sam/cosine" in entry] == [3, 6]


def test_the_logged_gradient_norm_excludes_the_loss_scale(new_trainer):
    norms = []
    for scale in (None, 2.0**10):
        trainer = new_trainer(sam_rho=0.5, max_steps=1, max_grad_norm=0.0)
        if scale:
            trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        trainer.train()
        norms.append(losses(trainer)[0]["sam/grad_norm"])
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize(("rho", "warnings"), [(1e-8, 1), (0.05, 0)])
def test_a_step_that_rounding_removes_is_warned_of_once(rho, warnings, new_trainer, caplog):
    with caplog.at_level(logging.WARNING, logger="hf_knowlearn.training"):
        trainer = new_trainer(sam_rho=rho)
        trainer.train()
    messages = [record.getMessage() for record in caplog.records if record.name == "hf_knowlearn.training"]
    assert len(messages) == warnings
    assert all("% of a step of sam_rho 1e-08" in message for message in messages)
    shares = [entry["sam/realised_rho"] * entry["sam/cosine"] for entry in losses(trainer)]
    assert len(shares) == 3
    assert all((share < 0.5) == bool(warnings) for share in shares)


# Other versions of the libraries


def test_an_unknown_trl_version_is_an_error(new_trainer, monkeypatch):
    trainer = new_trainer(sam_rho=0.1)
    del trainer._total_train_tokens
    monkeypatch.setattr(checks, "version", lambda package: "9.9")
    with pytest.raises(ValueError, match=r"trl 9.9: SAMSFTTrainer has no _total_train_tokens, .* Install trl 1.16"):
        checks.check_sam(trainer)


def test_an_unknown_transformers_version_is_an_error(new_trainer, monkeypatch):
    trainer = new_trainer(sam_rho=0.1)
    monkeypatch.setattr(checks, "version", lambda package: "9.9")
    monkeypatch.setattr(checks.Trainer, "training_step", lambda self, model, batch: None)
    with pytest.raises(ValueError, match=r"transformers 9.9: Trainer.training_step does not take model, inputs, num_"):
        checks.check_sam(trainer)


def test_a_trainer_that_samples_its_batches_inside_the_step_is_an_error(new_trainer):
    trainer = new_trainer(sam_rho=0.1)
    trainer._generate_and_score_completions = None  # as GRPO and RLOO have
    with pytest.raises(ValueError, match="SAMSFTTrainer: this trainer samples its batches inside training_step"):
        checks.check_sam(trainer)
