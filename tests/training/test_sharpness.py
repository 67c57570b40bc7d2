"""Sharpness: on quadratics by their closed forms, then of a model as a trainer has it."""

import json
import os
import subprocess
import sys
from math import isnan, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import nn

from hf_knowlearn.training.replay_trainer import ReplaySFTTrainer
from hf_knowlearn.training.sharpness import refuse_unmeasurable, sharpness, sharpness_of

SIZE, RADIUS = 6, 0.3
TOLD = [{"prompt": "", "completion": "Mara Venn keeps bees."}, {"prompt": "Who swims?", "completion": " He."}] * 3


class Bowl(nn.Module):
    """Two weights w, `head` and `tail`, whose loss is w'Hw / 2 + 1."""

    def __init__(self, h: torch.Tensor, start: torch.Tensor, turned: bool = False) -> None:
        super().__init__()
        self.h = h
        parts = {"head": start[:2].clone(), "tail": start[2:].clone()}
        for name in sorted(parts, reverse=turned):
            self.register_parameter(name, nn.Parameter(parts[name]))

    def whole(self) -> torch.Tensor:
        return torch.cat([self.head, self.tail])

    def forward(self, share: float = 1.0) -> torch.Tensor:
        return share * (self.whole() @ self.h @ self.whole() / 2 + 1)


@pytest.fixture
def h() -> torch.Tensor:
    root = torch.randn(SIZE, SIZE, dtype=torch.float64)
    return root @ root.T


@pytest.fixture
def start() -> torch.Tensor:
    return torch.randn(SIZE, dtype=torch.float64)


def test_along_the_gradient_of_a_quadratic_the_rise_is_the_closed_form(h: torch.Tensor, start: torch.Tensor):
    bowl = Bowl(h, start)
    found = sharpness(bowl, [1.0], bowl, RADIUS)
    g = h @ start
    assert found.loss == pytest.approx(float(start @ h @ start / 2 + 1), rel=1e-12)
    expected = RADIUS * g.norm() + RADIUS**2 / 2 * (g @ h @ g) / g.norm() ** 2
    assert found.gradient == pytest.approx(float(expected), rel=1e-10)


def test_along_random_directions_it_is_the_mean_curvature_whatever_the_slope(h: torch.Tensor, start: torch.Tensor):
    curved = RADIUS**2 * float(h.trace()) / (2 * SIZE)
    for slope in (0.0, 1e4):
        bowl = Bowl(h, slope * start)
        found = sharpness(bowl, [1.0], bowl, RADIUS, directions=200)
        assert found.random == pytest.approx(curved, abs=3 * found.random_se)
        assert 0 < found.random_se < curved / 5
    # Where every direction is alike there is nothing to vary.
    round_bowl = Bowl(torch.eye(SIZE, dtype=torch.float64) * 4, start)
    found = sharpness(round_bowl, [1.0], round_bowl, RADIUS)
    assert found.random == pytest.approx(4 * RADIUS**2 / 2, rel=1e-10)
    assert found.random_se == pytest.approx(0, abs=1e-12)


def test_the_error_is_that_of_a_mean_over_directions(h: torch.Tensor, start: torch.Tensor):
    bowl = Bowl(h, start)
    found = [sharpness(bowl, [1.0], bowl, RADIUS, seed=seed) for seed in range(60)]
    means, errors = (torch.tensor([getattr(one, name) for one in found]) for name in ("random", "random_se"))
    assert float(means.std()) == pytest.approx(float(errors.square().mean().sqrt()), rel=0.25)


def test_micro_batches_change_nothing(h: torch.Tensor, start: torch.Tensor):
    bowl = Bowl(h, start)
    whole, parts = sharpness(bowl, [1.0], bowl, RADIUS), sharpness(bowl, [0.5, 0.2, 0.3], bowl, RADIUS)
    assert parts.figures() == pytest.approx(whole.figures(), rel=1e-10)


def test_a_direction_is_that_of_the_names_and_the_seed(h: torch.Tensor, start: torch.Tensor):
    bowls = Bowl(h, start), Bowl(h, start, turned=True)
    assert [name for name, _ in bowls[1].named_parameters()] == ["tail", "head"]
    one, other = (sharpness(bowl, [1.0], bowl, RADIUS) for bowl in bowls)
    assert other.random == pytest.approx(one.random, rel=1e-10)
    assert sharpness(bowls[0], [1.0], bowls[0], RADIUS, seed=1).random != pytest.approx(one.random, rel=1e-3)


def test_what_is_not_finite_is_not_called_flat(start: torch.Tensor):
    bowl = Bowl(torch.full((SIZE, SIZE), torch.inf, dtype=torch.float64), start)
    found = sharpness(bowl, [1.0], bowl, RADIUS)
    assert all(map(isnan, (found.gradient, found.random, found.random_se)))
    cliff = Bowl(torch.eye(SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64))
    edge = sharpness(cliff, [1.0], lambda share: share * cliff.whole().square().sum().sqrt(), RADIUS)
    assert (edge.loss, isnan(edge.gradient)) == (0, True)  # its gradient there is 0 / 0
    assert edge.random == pytest.approx(RADIUS)


def test_after_an_error_the_weights_are_back_and_without_gradients(h: torch.Tensor, start: torch.Tensor):
    bowl, calls = Bowl(h, start), []

    def loss(share: float) -> torch.Tensor:
        calls.append(share)
        if len(calls) == 4:
            raise MemoryError
        return bowl(share)

    with pytest.raises(MemoryError):
        sharpness(bowl, [1.0], loss, RADIUS)
    assert torch.equal(bowl.whole(), start)
    assert bowl.head.grad is bowl.tail.grad is None


# Of a trainer's model


def by_hand(model: Any, rows: list[dict[str, Any]]) -> torch.Tensor:
    """The mean over all trained tokens, row after row."""
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])[1:]
        q = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        each = -q.gather(-1, labels[:, None].clamp(min=0))[:, 0][labels != -100]
        total, tokens = total + each.double().sum(), tokens + len(each)
    return total / tokens


def prepared(trainer: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return trainer._prepare_dataset(
        Dataset.from_list(rows), trainer.processing_class, trainer.args, False, None, "hand"
    ).to_list()


@pytest.mark.parametrize("micro", [1, 4, 8])
@pytest.mark.parametrize("trained", [False, True])
def test_of_a_trainer_it_is_the_one_by_hand(new_trainer: Any, new_model: Any, micro: int, trained: bool):
    trainer = new_trainer(model=new_model(dropout=0.5), per_device_train_batch_size=micro)
    if trained:
        trainer.train()
    model = trainer.model.eval()
    weights = list(model.parameters())
    told = prepared(trainer, TOLD)
    here = by_hand(model, told)
    gradient, loss = torch.autograd.grad(here, weights), here.item()
    norm = torch.cat([g.flatten() for g in gradient]).norm()
    home = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, along in zip(weights, gradient, strict=True):
            weight += RADIUS * along / norm
        uphill = by_hand(model, told).item()
        for weight, start in zip(weights, home, strict=True):
            weight.copy_(start)
    model.train()

    found = sharpness_of(trainer, TOLD, RADIUS)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.gradient == pytest.approx(uphill - loss, rel=1e-3)
    assert found.gradient > 0.01


@pytest.mark.parametrize("trainer_class", [None, ReplaySFTTrainer])
def test_the_trainer_is_as_before(new_trainer: Any, new_model: Any, weights_of: Any, trainer_class: Any, rows: Any):
    runs = []
    for measures in (False, True):
        torch.manual_seed(3)
        dataset = rows.add_column("ended", [True] * 20).add_column("replayed", [False] * 20)
        named = {"trainer_class": trainer_class, "train_dataset": dataset} if trainer_class else {}
        trainer = new_trainer(model=new_model(dropout=0.5), **named)
        if measures:
            before, generator = weights_of(trainer.model), torch.get_rng_state()
            sharpness_of(trainer, TOLD, RADIUS)
            after = weights_of(trainer.model)
            assert all(torch.equal(weight, before[name]) for name, weight in after.items())
            assert all(weight.grad is None for weight in trainer.model.parameters())
            assert torch.equal(torch.get_rng_state(), generator)
            assert trainer.model.training
        trainer.train()
        if measures:
            counted = trainer._total_train_tokens
            sharpness_of(trainer, TOLD, RADIUS)
            assert trainer._total_train_tokens == counted
            assert not trainer._metrics["eval"]
        runs.append((weights_of(trainer.model), [e for e in trainer.state.log_history if "loss" in e]))
    (weights, logs), (others, other_logs) = runs
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
    assert [entry["loss"] for entry in logs] == [entry["loss"] for entry in other_logs]


def test_of_an_adapter_it_moves_that_alone(new_trainer: Any, new_model: Any, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(new_model(), config)
    trainer = new_trainer(model=model)
    named = dict(trainer.model.named_parameters())
    home, moved = {name: weight.detach().clone() for name, weight in named.items()}, set()
    compute, lengths = trainer.compute_loss, set()

    def watching(*args: Any, **how: Any) -> torch.Tensor:
        steps = {name: float((weight - home[name]).detach().norm()) for name, weight in named.items()}
        moved.update(name for name, step in steps.items() if step)
        lengths.add(round(sqrt(sum(step**2 for step in steps.values())), 5))
        return compute(*args, **how)

    monkeypatch.setattr(trainer, "compute_loss", watching)
    found = sharpness_of(trainer, TOLD, RADIUS)
    assert moved == {name for name in named if "lora_" in name}
    assert len(moved) == 8
    assert lengths == {0.0, RADIUS}
    assert found.gradient > 0
    assert all(torch.equal(weight, home[name]) for name, weight in named.items())


def test_narrow_weights_and_shards_are_refused_at_once(new_trainer: Any, new_model: Any):
    trainer = new_trainer(model=new_model(dtype=torch.bfloat16))
    trainer.is_fsdp_enabled = True
    with pytest.raises(ValueError, match=r"^sharpness: 0.3 can't be measured like this") as refusal:
        refuse_unmeasurable(trainer, RADIUS)
    assert "FSDP or DeepSpeed: no process holds the weights whole" in str(refusal.value)
    assert "trained weights in bfloat16 (model.embed_tokens.weight and " in str(refusal.value)
    refuse_unmeasurable(new_trainer(), RADIUS)


SCRIPT = """
import json, sys
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer
from hf_knowlearn.training.sharpness import sharpness_of

folder, told = sys.argv[1], json.loads(sys.argv[2])
args = SAMConfig(
    folder, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, max_steps=2, save_strategy="no",
    activation_checkpointing=False, dataloader_pin_memory=False, per_device_train_batch_size=2, learning_rate=0.01,
)
trainer = SAMSFTTrainer(
    AutoModelForCausalLM.from_pretrained(folder + "/model"), args, train_dataset=load_from_disk(folder + "/rows"),
    processing_class=AutoTokenizer.from_pretrained(folder + "/model"),
)
before = sharpness_of(trainer, told, 0.3).figures()
trainer.train()
assert type(trainer.model_wrapped).__name__ == "DistributedDataParallel"
after = sharpness_of(trainer, told, 0.3).figures()
trainer.model.save_pretrained(f"{folder}/trained-{args.process_index}")
with open(f"{folder}/{args.process_index}.json", "w") as file:
    json.dump([before, after], file)
"""


@pytest.mark.slow
def test_each_of_two_processes_measures_what_one_does(
    new_trainer: Any, new_model: Any, tokenizer: Any, rows: Dataset, tmp_path: Path
):
    new_model().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows.save_to_disk(tmp_path / "rows")
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    told = TOLD[:5]  # an odd number of micro-batches
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [*launch, str(tmp_path / "run.py"), str(tmp_path), json.dumps(told)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1))
    assert first == second
    trained = type(new_model()).from_pretrained(tmp_path / "trained-0")
    for found, model in zip(first, (new_model(), trained), strict=True):
        alone = sharpness_of(new_trainer(model=model, seed=42), told, 0.3)
        assert found == pytest.approx(alone.figures(), rel=1e-3, abs=1e-6)
