"""SAM in two processes (gloo, on a CPU) against one: DDP, FSDP2, a climb of all and a climb of each."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy

pytestmark = pytest.mark.slow

# Two steps of two micro-batches of two rows in each of two processes; one process takes them four rows at a time.
STEPS, WINDOW, MICRO = 2, 2, 4
RHO, LEARNING_RATE = 0.5, 0.2

SCRIPT = '''
import json, os, sys
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import load_from_disk
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer, sam


def pretend_that_the_processes_have_gpus():
    """On CPUs accelerate would fall back from FSDP2 to DDP, without a word."""
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


folder, runs = sys.argv[1], json.loads(sys.argv[2])
world, found = int(os.environ.get("WORLD_SIZE", "1")), {}
for name, options in runs.items():
    sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    args = SAMConfig(
        folder, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, logging_steps=1, save_strategy="no",
        activation_checkpointing=False, dataloader_pin_memory=False, optim="sgd", lr_scheduler_type="constant",
        train_sampling_strategy="sequential", max_grad_norm=0.0, max_length=None,
        per_device_train_batch_size=4 // world, gradient_accumulation_steps=2, **options,
    )
    if sharded:
        pretend_that_the_processes_have_gpus()
    trainer = SAMSFTTrainer(
        AutoModelForCausalLM.from_pretrained(folder + "/model"), args, train_dataset=load_from_disk(folder + "/rows"),
        processing_class=AutoTokenizer.from_pretrained(folder + "/model"),
    )
    trainer.train()
    assert trainer.accelerator.num_processes == world
    kind = "FSDPLlamaForCausalLM" if sharded else "DistributedDataParallel" if world > 1 else "LlamaForCausalLM"
    assert type(trainer.model_wrapped).__name__ == kind
    weights = dict(trainer.accelerator.unwrap_model(trainer.model_wrapped).named_parameters())
    if sharded:
        assert trainer.is_fsdp_enabled and all(isinstance(w, DTensor) for w in weights.values())
    whole = {n: (w.full_tensor() if isinstance(w, DTensor) else w).detach().clone() for n, w in weights.items()}
    if world > 1:
        for weight in whole.values():
            others = [torch.empty_like(weight) for _ in range(world)]
            torch.distributed.all_gather(others, weight)
            assert all(torch.equal(other, weight) for other in others), name
    logs = [e for e in trainer.state.log_history if "loss" in e]
    found[name] = {"weights": whole, "logs": logs, "evaluations": trainer.gradient_evaluations}
if int(os.environ.get("RANK", "0")) == 0:
    torch.save(found, f"{folder}/{os.environ['RESULT']}.pt")
'''


@pytest.fixture(scope="module")
def rows_of_eight():
    """Eight rows of 6 to 13 tokens: two of each go to a process's micro-batch; labels are ragged."""
    generator = torch.Generator().manual_seed(4)
    rows = []
    for n in range(STEPS * WINDOW * MICRO):
        ids = torch.randint(2, 256, (6 + n % 8,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * (1 + n % 3) + ids[1 + n % 3 :]})
    return Dataset.from_list(rows)


@pytest.fixture
def in_processes(new_model, tokenizer, rows_of_eight, tmp_path):
    new_model().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows_of_eight.save_to_disk(tmp_path / "rows")
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")

    def in_processes(launches, runs, result, **environment):
        """What `runs` leave; each of `launches` is one launcher's words, and they run side by side."""
        settings = {"learning_rate": LEARNING_RATE, "max_steps": STEPS, "sam_rho": RHO}
        runs = {name: settings | options for name, options in runs.items()}
        started = [
            subprocess.Popen(
                [sys.executable, *words, str(tmp_path / "run.py"), str(tmp_path), json.dumps(runs)],
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": str(ROOT),
                    "RESULT": result,
                    **environment,
                },
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for words in launches
        ]
        try:
            said = [process.communicate(timeout=300)[1] for process in started]
        finally:
            for process in started:
                process.kill()
        assert [process.returncode for process in started] == [0] * len(started), said[0][-4000:]
        return torch.load(tmp_path / f"{result}.pt")

    return in_processes


ROOT = Path(__file__).parents[2]
ALONE = [[]]
# `accelerate launch --cpu --num_processes 2` would start one process.
TOGETHER = [["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]]


def launched(recipe, *words):
    """`accelerate launch` with one of our configs, in as many processes as a test can have."""
    config = ROOT / "recipes" / "accelerate" / f"{recipe}.yaml"
    return ["-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2", *words]


RUNS = {
    "exact": {},
    "adaptive": {"sam_adaptive": True, "sam_rho": 2.0},
    "part": {"sam_ascent_batches": 1},
    "random": {"sam_direction": "random"},
}
FIGURES = {"loss", "grad_norm", "num_tokens", "sam/realised_rho", "sam/cosine", "sam/grad_norm"}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, run in ours.items():
        torch.testing.assert_close(run["weights"], theirs[name]["weights"], rtol=0, atol=1e-6)
        assert run["evaluations"] == theirs[name]["evaluations"]
        for entry, other in zip(run["logs"], theirs[name]["logs"], strict=True):
            assert entry.keys() == other.keys()
            for figure in FIGURES & entry.keys():
                assert entry[figure] == pytest.approx(other[figure], rel=1e-4), (name, figure)


def test_two_processes_climb_as_one(in_processes, new_model, rows_of_eight):
    one = in_processes(ALONE, RUNS, "one")
    two = in_processes(TOGETHER, {**RUNS, "local": {"sam_scope": "local"}}, "two")
    local = two.pop("local")
    assert_same(two, one)
    torch.testing.assert_close(local["weights"], each_for_itself(new_model(), rows_of_eight), rtol=0, atol=1e-6)
    apart = [(local["weights"][name] - weight).abs().max() for name, weight in two["exact"]["weights"].items()]
    assert max(apart) > 1e-3


def each_for_itself(model, rows):
    """By hand: two processes that each climb along the gradient of their own rows, and step with the sum."""
    weights = dict(model.named_parameters())

    def gradients(mine, items):
        total = 0.0
        for row in mine:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
            total = total + cross_entropy(model(input_ids=ids).logits[0, :-1], labels[1:], reduction="sum") / items
        return torch.autograd.grad(total, list(weights.values()))

    for step in range(STEPS):
        window = [rows[i] for i in range(step * WINDOW * MICRO, (step + 1) * WINDOW * MICRO)]
        items = sum(label != -100 for row in window for label in row["labels"][1:])
        home, slopes = [w.detach().clone() for w in weights.values()], []
        for process in range(2):
            mine = [row for place, row in enumerate(window) if place // 2 % 2 == process]
            up = gradients(mine, items)
            norm = torch.cat([g.flatten() for g in up]).norm()
            with torch.no_grad():
                for w, g in zip(weights.values(), up, strict=True):
                    w += RHO * g / norm
            slopes.append(gradients(mine, items))
            with torch.no_grad():
                for w, at in zip(weights.values(), home, strict=True):
                    w.copy_(at)
        with torch.no_grad():
            for w, first, second in zip(weights.values(), *slopes, strict=True):
                w -= LEARNING_RATE * (first + second)
    return {name: weight.detach() for name, weight in weights.items()}


def test_fsdp2_climbs_as_ddp(in_processes):
    fsdp2 = {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_TRANSFORMER_CLS_TO_WRAP": "LlamaDecoderLayer",
    }
    assert_same(in_processes(TOGETHER, RUNS, "fsdp2", **fsdp2), in_processes(TOGETHER, RUNS, "ddp"))


def test_what_the_launch_configs_start_climbs_as_one(in_processes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    nodes = [launched("two_nodes", "--machine_rank", rank, "--main_process_port", port) for rank in ("0", "1")]
    runs, on_a_cpu = {"exact": {}}, {"ACCELERATE_USE_CPU": "true"}
    one = in_processes(ALONE, runs, "one")
    assert_same(in_processes([launched("ddp")], runs, "ddp", **on_a_cpu), one)
    assert_same(in_processes(nodes, runs, "nodes", **on_a_cpu), one)
