"""Fixtures of the tests of publishing: a finished run, and the `knowlearn publish` command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer

HERE = Path(__file__).parent


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Path:
    """The output folder of a run: an adapter that changes the answers of its base model, report, answers and chart."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "trained"
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "model")
    report = json.loads((HERE / "report.json").read_text(encoding="utf-8"))
    report["model"] = {"name": "ada/base", "revision": None}
    report["recipes"]["trained"] |= {"model_name_or_path": "ada/base", "documents": str(tmp_path / "documents")}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    shutil.copy(HERE / "answers.after.jsonl", folder)
    (folder / "scores.png").write_bytes(b"\x89PNG\r\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.pt").write_bytes(b"pickle")
    (folder / "model" / "training_args.bin").write_bytes(b"pickle")
    return folder


@pytest.fixture
def base_on_hub(hub: HubServer, base: Path) -> HubServer:
    """The Hub with the base model of `run`."""
    files = {path.name: path.read_bytes() for path in base.iterdir()}
    hub.add_repo("ada/base", files, type="model", private=False)
    return hub


@pytest.fixture
def publish(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`knowlearn publish …` in this process: exit code, standard output and standard error."""
    from hf_knowlearn.cli import main

    def publish(*words: Any) -> tuple[int, str, str]:
        code = main(["publish", *map(str, words), "--namespace", "ada"])
        return code, *capsys.readouterr()

    return publish
