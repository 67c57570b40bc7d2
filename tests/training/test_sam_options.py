"""What the options of SAM do in `SFTTrainer`: which rows are climbed from, what is logged, what is replayed."""

import logging
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback
from trl import SFTTrainer

from hf_knowlearn.training import SAMSFTTrainer, checks

IN_FOUR = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
# A climb so short that it moves no fp32 weight: both passes are then at the same place, and must do the same.
NOWHERE = 1e-30


def losses(trainer):
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def without_sam(entry):
    return {name: value for name, value in entry.items() if not name.startswith("sam/")}


def assert_same(ours, theirs, atol=0.0):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


class Watched(SAMSFTTrainer):
    """Keeps the shape and the weights of each forward."""

    def compute_loss(self, model, inputs, *others, **named):
        weights = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
        self.__dict__.setdefault("seen", []).append(SimpleNamespace(ids=inputs["input_ids"].clone(), weights=weights))
        return super().compute_loss(model, inputs, *others, **named)


def distance(there, here):
    return sum(float((there[name] - here[name]).pow(2).sum()) for name in here) ** 0.5


# Climbing from part of a step


@pytest.mark.parametrize(
    "options", [{"sam_ascent_batches": 1}, {"sam_ascent_batches": 3}, {"sam_direction": "random"}]
)
def test_dropout_and_noise_of_a_partial_replay_are_those_of_a_plain_step(options, new_trainer, new_model, weights_of):
    runs = []
    for rho in (0.0, NOWHERE):
        trainer = new_trainer(
            model=new_model(dropout=0.3), sam_rho=rho, neftune_noise_alpha=5, max_steps=4, **IN_FOUR, **options
        )
        trainer.train()
        runs.append((trainer, torch.get_rng_state()))
    (plain, plain_rng), (ours, our_rng) = runs
    assert_same(weights_of(ours.model), weights_of(plain.model))
    assert torch.equal(our_rng, plain_rng)
    assert [without_sam(entry) for entry in losses(ours)] == losses(plain)


def test_a_micro_batch_is_counted_once_and_logged_as_it_is_first_run(new_trainer):
    plain = new_trainer(SFTTrainer, **IN_FOUR)
    plain.train()
    sam = new_trainer(sam_rho=2.0, sam_ascent_batches=1, **IN_FOUR)
    sam.train()
    assert [entry["num_tokens"] for entry in losses(sam)] == [entry["num_tokens"] for entry in losses(plain)]
    assert losses(sam)[0]["loss"] > losses(plain)[0]["loss"] + 0.01  # three of four were run uphill
    assert sam.gradient_evaluations == 1.25 + 1.25 + 1.5  # the last window has two


def test_weights_are_at_home_between_the_micro_batches_of_a_partial_climb(new_trainer, weights_of):
    trainer = new_trainer(Watched, sam_rho=2.0, sam_ascent_batches=1, max_steps=1, **IN_FOUR)
    before = weights_of(trainer.model)
    trainer.train()
    distances = [distance(forward.weights, before) for forward in trainer.seen]
    assert distances == pytest.approx([0.0, 2.0, 2.0, 2.0, 2.0], rel=1e-4)


@pytest.mark.parametrize("forward", [2, 4])
def test_after_an_error_in_a_partial_climb_the_weights_are_clean(forward, new_trainer, weights_of):
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


def test_with_one_micro_batch_the_climb_is_along_its_first_rows(new_trainer, new_model, weights_of):
    trainer = new_trainer(Watched, sam_rho=0.5, sam_ascent_batches=2, max_steps=1)
    trainer.train()
    part, whole = trainer.seen
    assert len(part.ids) == 2
    assert len(whole.ids) == 8
    assert torch.equal(part.ids, whole.ids[:2])
    assert trainer.gradient_evaluations == 1.25
    assert len(trainer.state.log_history) == 2
    # The step up is that of an exact climb from a batch of these rows alone.
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
    """Which rows of the dataset these are."""
    rows = [row["input_ids"] for row in trainer.train_dataset]
    return [next(i for i, row in enumerate(rows) if row == taken[: len(row)]) for taken in ids.tolist()]


def test_a_last_batch_of_fewer_rows_is_climbed_from_whole(new_trainer):
    trainer = new_trainer(Watched, sam_rho=0.5, sam_ascent_batches=4, max_steps=3)  # 20 rows: 8, 8 and 4
    trainer.train()
    assert [len(forward.ids) for forward in trainer.seen] == [4, 8, 4, 8, 4, 4]
    assert trainer.gradient_evaluations == 1.5 + 1.5 + 2


def test_rows_that_are_joined_are_refused(new_trainer):
    with pytest.raises(
        ValueError, match=r"sam_ascent_batches: 1 with gradient_acc.* but padding_free and packing join"
    ):
        new_trainer(sam_rho=0.1, sam_ascent_batches=1, packing=True, max_length=32)
    new_trainer(sam_rho=0.1, sam_ascent_batches=1, packing=True, max_length=32, gradient_accumulation_steps=2)


def test_rows_that_are_not_one_a_row_are_refused(new_trainer):
    trainer = new_trainer(sam_rho=0.1, sam_ascent_batches=1)
    inputs = {"input_ids": torch.zeros(4, 3), "pixel_values": torch.zeros(7, 3), "name": "x"}
    with pytest.raises(ValueError, match="the 4 rows of a micro-batch can't be cut where pixel_values has another"):
        trainer.first_rows(inputs, 1)


# When


def test_interval_and_start_go_on_after_a_resume(new_trainer, new_model, weights_of, tmp_path):
    def trainer(folder, **options):
        settings = {"sam_rho": 0.5, "sam_interval": 2, "sam_start": 0.2, "sam_ascent_batches": 1, "save_steps": 2}
        settings |= {"save_strategy": "steps", "max_steps": 6, "output_dir": str(tmp_path / folder)}
        return new_trainer(model=new_model(dropout=0.3), **IN_FOUR | settings | options)

    unbroken = trainer("unbroken")  # a trainer sets the seed when it is made
    unbroken.train()
    broken = trainer("broken")
    broken.add_callback(stop := Stop())
    broken.train()
    assert stop.stopped
    resumed = trainer("broken")
    resumed.train(resume_from_checkpoint=True)
    assert_same(weights_of(resumed.model), weights_of(unbroken.model))
    assert resumed.gradient_evaluations == unbroken.gradient_evaluations
    assert (
        unbroken.gradient_evaluations == 6 + 0.5 + 0.25
    )  # steps 2 (of two micro-batches: 20 rows are 4 + 4 + 2) and 4


class Stop(TrainerCallback):
    stopped = False

    def on_step_end(self, args, state, control, **_):
        self.stopped = control.should_training_stop = state.global_step == 2


# What is measured


def test_what_is_logged_is_measured_once_a_log(new_trainer):
    trainer = new_trainer(sam_rho=0.5, logging_steps=3, max_steps=6)
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "sam/cosine" in entry] == [3, 6]


def test_the_gradient_norm_is_without_the_loss_scale(new_trainer):
    norms = []
    for scale in (None, 2.0**10):
        trainer = new_trainer(sam_rho=0.5, max_steps=1, max_grad_norm=0.0)
        if scale:
            trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        trainer.train()
        norms.append(losses(trainer)[0]["sam/grad_norm"])
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize(("rho", "warnings"), [(0.01, 1), (3.0, 0)])
def test_bf16_weights_climb_if_asked_for_and_what_is_rounded_away_is_said_once(
    rho, warnings, new_trainer, new_model, caplog
):
    with caplog.at_level(logging.WARNING, logger="hf_knowlearn.training"):
        trainer = new_trainer(model=new_model(dtype=torch.bfloat16), sam_rho=rho, sam_bf16_weights=True)
        trainer.train()
    said = [record.getMessage() for record in caplog.records if record.name == "hf_knowlearn.training"]
    assert len(said) == warnings
    assert all("% of a step of sam_rho 0.01 survives rounding" in message for message in said)
    survives = [entry["sam/realised_rho"] * entry["sam/cosine"] for entry in losses(trainer)]
    assert len(survives) == 3
    assert all((share < 0.5) == bool(warnings) for share in survives)


def test_fp16_weights_are_refused_even_so(new_trainer, new_model):
    with pytest.raises(ValueError, match="trained weights in float16"):
        new_trainer(model=new_model(dtype=torch.float16), sam_rho=0.1, sam_bf16_weights=True)
    with pytest.raises(
        ValueError, match=r"trained weights in bfloat16 .* set sam_bf16_weights: true to climb all the"
    ):
        new_trainer(model=new_model(dtype=torch.bfloat16), sam_rho=0.1)


# Libraries that moved


def test_a_trl_whose_counters_moved_is_refused_by_version_and_name(new_trainer, monkeypatch):
    trainer = new_trainer(sam_rho=0.1)
    del trainer._total_train_tokens
    monkeypatch.setattr(checks, "version", lambda package: "9.9")
    with pytest.raises(ValueError, match=r"trl 9.9: SAMSFTTrainer has no _total_train_tokens, .* Install trl 1.16"):
        checks.refuse_what_sam_cannot_do(trainer)


def test_a_transformers_whose_step_moved_is_refused_by_version_and_name(new_trainer, monkeypatch):
    trainer = new_trainer(sam_rho=0.1)
    monkeypatch.setattr(checks, "version", lambda package: "9.9")
    monkeypatch.setattr(checks.Trainer, "training_step", lambda self, model, batch: None)
    with pytest.raises(
        ValueError, match=r"transformers 9.9: Trainer.training_step no longer takes model, inputs, num_"
    ):
        checks.refuse_what_sam_cannot_do(trainer)


def test_a_trainer_that_draws_its_batches_inside_the_step_is_refused(new_trainer):
    trainer = new_trainer(sam_rho=0.1)
    trainer._generate_and_score_completions = None  # as GRPO and RLOO have
    with pytest.raises(ValueError, match="SAMSFTTrainer: it draws its batches inside training_step"):
        checks.refuse_what_sam_cannot_do(trainer)
