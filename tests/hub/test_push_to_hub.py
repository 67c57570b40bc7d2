"""Tests of `push_to_hub: true`: it publishes the finished run, and finds errors before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from huggingface_hub import ModelCard

PUSH = {"push_to_hub": True, "hub_model_id": "ada/ferries", "hub_license": "cc-by-4.0"}


def test_a_finished_run_is_published_once_with_its_figures(
    base_on_hub: HubServer, options: dict[str, Any], questions: Path, knowlearn: Callable[..., int], tmp_path: Path
):
    hub = base_on_hub
    run = {**options, "model": "ada/base", "questions": questions, "lora_r": 2}
    assert knowlearn("teach", **run) == 0
    assert ("model", "ada/ferries") not in hub.repos
    for _ in range(2):  # after the run is finished; the second time changes nothing
        assert knowlearn("teach", **run, **PUSH) == 0
        assert len(hub.commits("ada/ferries")) == 2
    assert hub.repos["model", "ada/ferries"].private
    assert set(hub.repos) == {("model", "ada/base"), ("model", "ada/ferries")}
    files = hub.files("ada/ferries")
    assert {"README.md", "adapter_model.safetensors", "report.json", "recipe.yaml", "scores.png"} <= set(files)
    assert "training_args.bin" not in files
    assert str(tmp_path).encode() not in b"".join(files[name] for name in ("README.md", "report.json", "recipe.yaml"))
    card = ModelCard(files["README.md"].decode())
    assert {result.dataset_split for result in card.data.eval_results} == {"qa_eval"}
    assert card.data.to_dict()["base_model"] == "ada/base"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"hub_model_id": "ferries"}, "hub_model_id='ferries': push_to_hub needs hub_model_id: OWNER/NAME"),
        ({"hub_license": "null"}, "--license: the licence of documents is unknown"),
        ({"hub_license": "My own"}, "--license 'My own': give an identifier"),
        ({}, "The adapter's base model is 'base0', a folder on this machine"),
    ],
)
def test_errors_of_publishing_are_found_before_training(
    change: dict[str, Any], error: str, hub: HubServer, options: dict[str, Any], knowlearn: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    assert knowlearn("teach", **{**options, **PUSH, **change}) == 2
    assert error in capsys.readouterr().err
    assert not Path(options["output_dir"]).exists()
