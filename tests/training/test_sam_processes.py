"""SAM in two processes (gloo, on a CPU) gives the result of one process, with DDP and FSDP2."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

pytestmark = pytest.mark.slow

# Two steps of two micro-batches. Each of two processes takes two rows of a micro-batch; one process takes all four.
STEPS, WINDOW, MICRO = 2, 2, 4

SCRIPT = '''
import json, os, sys
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import load_from_disk
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer


def pretend_that_the_processes_have_gpus():
    """Without this, accelerate silently replaces FSDP2 by DDP on CPUs."""
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
def ragged_rows():
    """Rows of 6 to 13 tokens with different numbers of labels."""
    generator = torch.Generator().manual_seed(4)
    rows = []
    for n in range(STEPS * WINDOW * MICRO):
        ids = torch.randint(2, 256, (6 + n % 8,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * (1 + n % 3) + ids[1 + n % 3 :]})
    return Dataset.from_list(rows)


@pytest.fixture
def in_processes(new_model, tokenizer, ragged_rows, tmp_path):
    new_model().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    ragged_rows.save_to_disk(tmp_path / "rows")
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")

    def in_processes(launches, runs, result, **environment):
        """The results of `runs`. Each of `launches` is the arguments of a launcher; all launchers run at once."""
        settings = {"learning_rate": 0.2, "max_steps": STEPS, "sam_rho": 0.5}
        runs = {name: settings | options for name, options in runs.items()}
        started = [
            subprocess.Popen(
                [sys.executable, *launch, str(tmp_path / "run.py"), str(tmp_path), json.dumps(runs)],
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
            for launch in launches
        ]
        try:
            errors = [process.communicate(timeout=300)[1] for process in started]
        finally:
            for process in started:
                process.kill()
        assert [process.returncode for process in started] == [0] * len(started), errors[0][-4000:]
        return torch.load(tmp_path / f"{result}.pt")

    return in_processes


ROOT = Path(__file__).parents[2]
ONE_PROCESS = [[]]
# Why: `accelerate launch --cpu --num_processes 2` starts one process.
TWO_PROCESSES = [["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]]


def launch_with(recipe, *options):
    """Arguments of `accelerate launch` with a config of recipes/accelerate, for two processes."""
    config = ROOT / "recipes" / "accelerate" / f"{recipe}.yaml"
    return ["-m", "accelerate.commands.launch", "--config_file", str(config), "--num_processes", "2", *options]


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


def test_two_processes_equal_one_process(in_processes):
    assert_same(in_processes(TWO_PROCESSES, RUNS, "two"), in_processes(ONE_PROCESS, RUNS, "one"))


def test_fsdp2_equals_ddp(in_processes):
    fsdp2 = {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_TRANSFORMER_CLS_TO_WRAP": "LlamaDecoderLayer",
    }
    assert_same(in_processes(TWO_PROCESSES, RUNS, "fsdp2", **fsdp2), in_processes(TWO_PROCESSES, RUNS, "ddp"))


def test_the_launch_configs_equal_one_process(in_processes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    nodes = [launch_with("two_nodes", "--machine_rank", rank, "--main_process_port", port) for rank in ("0", "1")]
    runs, on_cpu = {"exact": {}}, {"ACCELERATE_USE_CPU": "true"}
    one = in_processes(ONE_PROCESS, runs, "one")
    assert_same(in_processes([launch_with("ddp")], runs, "ddp", **on_cpu), one)
    assert_same(in_processes(nodes, runs, "nodes", **on_cpu), one)
