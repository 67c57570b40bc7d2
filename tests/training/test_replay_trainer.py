"""Replayed rows are trained on with KL: comparison with a loss and gradients computed row by row."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model

from hf_knowlearn.training import SAMSFTTrainer
from hf_knowlearn.training.replay_trainer import ReplaySFTTrainer

# One step on all twenty rows, which SGD at a rate of 1 turns into the gradient.
STEP = {"optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "max_steps": 1, "per_device_train_batch_size": 20}
MARKS = [i % 3 == 0 for i in range(20)]


@pytest.fixture
def marked(rows: Dataset) -> Callable[..., Dataset]:
    def marked(marks: list[bool] = MARKS) -> Dataset:
        return rows.add_column("replayed", marks).add_column("ended", [True] * len(marks))

    return marked


@pytest.fixture
def other(new_model: Callable[..., Any]) -> Any:
    """A base model that differs from the trained model."""
    model = new_model()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.8)
    return model.requires_grad_(False)


def expected_loss(model: Any, base: Any, rows: Any, weight: float) -> torch.Tensor:
    """The loss of a step on `rows`: a sum over tokens, divided by their number."""
    total, items = torch.zeros(()), 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        q = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        if row["replayed"]:
            with torch.no_grad():
                p = base(input_ids=ids).logits[0, :-1].softmax(-1)
            each = weight * (p * (p.log() - q)).sum(-1)
        else:
            each = -q.gather(-1, labels[1:, None].clamp(min=0))[:, 0]
        total = total + each[labels[1:] != -100].sum()
        items += int((labels[1:] != -100).sum())
    return total / items


def gradients_of(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_a_step_on_mixed_rows_has_the_expected_gradient(
    new_trainer: Any, new_model: Any, other: Any, marked: Any, weights_of: Any, accumulation: int, weight: float
):
    model = new_model()
    loss = expected_loss(model, other, marked(), weight)
    expected = gradients_of(model, loss)
    start = weights_of(model)
    trainer = new_trainer(
        partial(ReplaySFTTrainer, kl_weight=weight, base=other),
        train_dataset=marked(),
        **STEP | {"per_device_train_batch_size": 20 // accumulation, "gradient_accumulation_steps": accumulation},
    )
    trainer.train()
    after = weights_of(trainer.model)
    for name, gradient in expected.items():
        torch.testing.assert_close(start[name] - after[name], gradient, rtol=0, atol=2e-6)
    (logged,) = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert logged["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert logged["num_tokens"] == sum(len(row["input_ids"]) for row in marked())
    assert logged["replay_kl"] > 0.01


@pytest.mark.parametrize("marks", [[True] * 20, [False] * 20])
def test_a_model_equal_to_its_base_does_not_move_and_other_rows_train_as_in_the_plain_trainer(
    new_trainer: Any, new_model: Any, marked: Any, weights_of: Any, marks: list[bool]
):
    kl = partial(ReplaySFTTrainer, kl_weight=1.0, base=new_model())
    trainer = new_trainer(kl, train_dataset=marked(marks), **STEP)
    start = weights_of(trainer.model)
    trainer.train()
    after = weights_of(trainer.model)
    if all(marks):
        assert all(float((start[name] - after[name]).abs().max()) < 1e-6 for name in start)
        assert abs(trainer.state.log_history[0]["replay_kl"]) < 1e-6
    else:
        plain = new_trainer(train_dataset=marked(marks), **STEP)
        plain.train()
        assert all(torch.equal(weight, after[name]) for name, weight in weights_of(plain.model).items())


def test_with_weight_0_it_equals_the_plain_trainer(new_trainer: Any, marked: Any, weights_of: Any):
    found = []
    for trainer_class in (SAMSFTTrainer, ReplaySFTTrainer):
        trainer = new_trainer(trainer_class, train_dataset=marked(), sam_rho=0.05)
        trainer.train()
        found.append(weights_of(trainer.model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_sam_uses_the_gradient_of_both_kinds_of_rows_in_both_passes(
    new_trainer: Any, new_model: Any, other: Any, marked: Any, weights_of: Any, accumulation: int
):
    model = new_model()
    start = weights_of(model)
    gradient = gradients_of(model, expected_loss(model, other, marked(), 1.0))
    norm = torch.cat([g.flatten() for g in gradient.values()]).norm()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(0.3 * gradient[name] / norm)
    sam_gradient = gradients_of(model, expected_loss(model, other, marked(), 1.0))
    trainer = new_trainer(
        partial(ReplaySFTTrainer, kl_weight=1.0, base=other),
        train_dataset=marked(),
        sam_rho=0.3,
        **STEP | {"per_device_train_batch_size": 20 // accumulation, "gradient_accumulation_steps": accumulation},
    )
    trainer.train()
    assert trainer.gradient_evaluations == 2
    after = weights_of(trainer.model)
    for name in start:
        torch.testing.assert_close(start[name] - after[name], sam_gradient[name], rtol=0, atol=5e-6)
    assert max(float((sam_gradient[name] - gradient[name]).abs().max()) for name in start) > 0.01
    assert trainer.state.log_history[0]["num_tokens"] == sum(len(row["input_ids"]) for row in marked())


def test_the_base_of_an_adapter_is_the_model_without_it(new_trainer: Any, new_model: Any, marked: Any):
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.0)

    def adapted() -> PeftModel:
        model = get_peft_model(new_model(dropout=0.0), config)
        torch.manual_seed(3)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_" in name:
                    weight.normal_(0, 0.2)
        return model

    model = adapted()
    expected = gradients_of(model, expected_loss(model, new_model(), marked(), 1.0))
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer = new_trainer(partial(ReplaySFTTrainer, kl_weight=1.0), model=adapted(), train_dataset=marked(), **STEP)
    flags = {name: weight.requires_grad for name, weight in trainer.model.named_parameters()}
    trainer.train()
    for name, weight in trainer.model.named_parameters():
        moved = start[name] - weight.detach()
        torch.testing.assert_close(moved, expected.get(name, torch.zeros_like(moved)), rtol=0, atol=2e-6)
        assert weight.requires_grad == flags[name]


def test_the_base_model_has_no_dropout(new_trainer: Any, new_model: Any, marked: Any):
    seen = []

    class Recording(ReplaySFTTrainer):
        def _divergence(self, rows: Any) -> Any:
            with self._base_model() as base:
                seen.append([module.training for module in base.modules()])
            return super()._divergence(rows)

    base = new_model(dropout=0.5)  # in training mode
    trainer = new_trainer(
        partial(Recording, kl_weight=1.0, base=base), model=new_model(dropout=0.5), train_dataset=marked()
    )
    trainer.train()
    assert seen
    assert not any(flag for flags in seen for flag in flags)
    assert trainer.state.log_history[0]["replay_kl"] > 0.001  # dropout of the trained model


def test_kl_with_packed_rows_is_an_error(new_trainer: Any, other: Any, marked: Any):
    kl = partial(ReplaySFTTrainer, kl_weight=1.0, base=other)
    with pytest.raises(ValueError, match=r"^replay_kl: 1.0 cannot be used here. padding_free and packing join rows"):
        new_trainer(kl, train_dataset=marked(), padding_free=True, max_length=None)


def test_full_fine_tuning_needs_a_base_model(new_trainer: Any, marked: Any):
    trainer = new_trainer(partial(ReplaySFTTrainer, kl_weight=1.0), train_dataset=marked())
    with pytest.raises(ValueError, match=r"replay_kl: the model has no adapter to disable. Pass the base model"):
        trainer.train()


SCRIPT = """
import os, sys
import torch
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.training import ReplaySFTTrainer, SAMConfig

folder, world = sys.argv[1], int(os.environ.get("WORLD_SIZE", "1"))
base = AutoModelForCausalLM.from_pretrained(folder + "/model")
with torch.no_grad():
    for weight in base.parameters():
        weight.mul_(0.8)
args = SAMConfig(
    folder, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, logging_steps=1, save_strategy="no",
    activation_checkpointing=False, dataloader_pin_memory=False, optim="sgd", lr_scheduler_type="constant",
    train_sampling_strategy="sequential", max_grad_norm=0.0, max_length=None, learning_rate=0.2, max_steps=2,
    per_device_train_batch_size=4 // world, gradient_accumulation_steps=2, sam_rho=0.5,
)
trainer = ReplaySFTTrainer(
    AutoModelForCausalLM.from_pretrained(folder + "/model"), args, train_dataset=load_from_disk(folder + "/rows"),
    processing_class=AutoTokenizer.from_pretrained(folder + "/model"), kl_weight=1.5, base=base,
)
trainer.train()
assert trainer.accelerator.num_processes == world
if int(os.environ.get("RANK", "0")) == 0:
    weights = dict(trainer.accelerator.unwrap_model(trainer.model_wrapped).named_parameters())
    logs = [{n: e[n] for n in ("loss", "num_tokens")} for e in trainer.state.log_history if "loss" in e]
    torch.save([{n: w.detach() for n, w in weights.items()}, logs], f"{folder}/{world}.pt")
"""


@pytest.mark.slow
def test_two_processes_equal_one_process(new_model: Any, tokenizer: Any, marked: Any, tmp_path: Path):
    new_model().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    # Of the first four rows, the two of the first process are replayed and those of the second are not.
    marks = [True, True, False, False, False, False, False, False, *MARKS[8:]]
    marked(marks).save_to_disk(tmp_path / "rows")
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    for launch in ([], torchrun):
        command = [sys.executable, *launch, str(tmp_path / "run.py"), str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    (weights, logs), (theirs, their_logs) = (torch.load(tmp_path / f"{world}.pt") for world in (1, 2))
    torch.testing.assert_close(theirs, weights, rtol=0, atol=1e-6)
    for entry, other in zip(logs, their_logs, strict=True):
        assert other["loss"] == pytest.approx(entry["loss"], rel=1e-5)
        assert other["num_tokens"] == entry["num_tokens"]
