"""The base of an adapter: recorded when a run saves the adapter, and verified when the adapter is loaded."""

import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hub_server import HubServer
from huggingface_hub import HfApi
from peft import LoraConfig, get_peft_model
from tiny_models import new_tiny_model
from transformers import LlamaForCausalLM

from hf_knowlearn.models.base_model import record_base
from hf_knowlearn.models.fingerprints import files_fingerprint
from hf_knowlearn.models.loading import ModelSettings, load_adapter, load_model
from hf_knowlearn.models.sources import resolve_model
from hf_knowlearn.models.variants import load_variant
from hf_knowlearn.teach.checkpoints import SealCheckpoints, last_checkpoint


def save_base(folder: Path, seed: int = 0, **options: Any) -> Path:
    torch.manual_seed(seed)
    new_tiny_model("llama", vocab_size=1300).save_pretrained(folder, **options)
    return folder


def save_adapter(folder: Path, base: str) -> Path:
    """An adapter as a run saves it, with the base as the user typed it."""
    model = load_model(ModelSettings(base, device="cpu"))
    adapted = get_peft_model(model, LoraConfig(target_modules="all-linear"))
    adapted.save_pretrained(folder)
    record_base(folder, adapted)
    return folder


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter that was trained in the folder `here` on `base`, a relative path."""
    save_base(tmp_path / "here" / "base")
    monkeypatch.chdir(tmp_path / "here")
    return save_adapter(tmp_path / "adapter", "base")


def test_a_relative_base_is_recorded_by_its_absolute_path(adapter: Path, tmp_path: Path):
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "here" / "base")


def test_the_record_has_the_fingerprint_and_no_path(adapter: Path, tmp_path: Path):
    record = json.loads((adapter / "base_model.json").read_text())
    assert record == {"name": "base", "revision": None, "weights": files_fingerprint(str(tmp_path / "here" / "base"))}
    assert str(tmp_path) not in (adapter / "base_model.json").read_text()


def test_another_folder_of_the_same_relative_name_is_not_used(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_base(tmp_path / "there" / "base", seed=1)
    monkeypatch.chdir(tmp_path / "there")
    assert resolve_model(str(adapter)).base == str(tmp_path / "here" / "base")


def test_other_weights_at_the_path_of_the_base_are_an_error_that_names_both(adapter: Path, tmp_path: Path):
    was = files_fingerprint("base")
    save_base(tmp_path / "here" / "base", seed=1)
    now = files_fingerprint("base")
    path = tmp_path / "here" / "base"
    message = (
        f"^{adapter}: the adapter was trained on 'base', whose weights have the fingerprint {was}. The base model that"
        f" was found is '{path}', which has other weights .fingerprint {now}."
    )
    assert was != now
    with pytest.raises(ValueError, match=message):
        load_adapter(load_model(ModelSettings(str(path), device="cpu")), str(adapter))
    with pytest.raises(ValueError, match="which has other weights"):
        load_model(ModelSettings(str(adapter), device="cpu"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_base_is_recognised_in_any_dtype(adapter: Path, dtype: str):
    load_adapter(load_model(ModelSettings("base", dtype=dtype, device="cpu")), str(adapter))


def test_every_checkpoint_records_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save_base(tmp_path / "here" / "base")
    monkeypatch.chdir(tmp_path / "here")
    adapted = get_peft_model(load_model(ModelSettings("base", device="cpu")), LoraConfig(target_modules="all-linear"))
    checkpoint = tmp_path / "checkpoint-3"
    adapted.save_pretrained(checkpoint)
    where, at = SimpleNamespace(output_dir=str(tmp_path), should_save=True), SimpleNamespace(global_step=3)
    SealCheckpoints("run", None).on_save(where, at, None, model=adapted)  # type: ignore[arg-type]
    assert last_checkpoint(tmp_path, "run") == str(checkpoint)
    save_base(tmp_path / "there" / "base", seed=1)
    monkeypatch.chdir(tmp_path / "there")
    assert resolve_model(str(checkpoint)).base == str(path)
    save_base(path, seed=1)
    with pytest.raises(ValueError, match=r"the adapter was trained on 'base', .* which has other weights"):
        load_model(ModelSettings(str(checkpoint), device="cpu"))


def test_the_fingerprint_does_not_depend_on_the_division_into_files(tmp_path: Path):
    whole, parts = save_base(tmp_path / "whole"), save_base(tmp_path / "parts", max_shard_size="1KB")
    assert len([*parts.glob("*.safetensors")]) > 1
    assert files_fingerprint(str(whole)) == files_fingerprint(str(parts))


def test_one_changed_weight_changes_the_fingerprint(tmp_path: Path):
    model = LlamaForCausalLM.from_pretrained(save_base(tmp_path / "base"))
    model.model.norm.weight.data[3] += 0.01
    model.save_pretrained(tmp_path / "changed")
    assert files_fingerprint(str(tmp_path / "base")) != files_fingerprint(str(tmp_path / "changed"))


def test_an_adapter_without_a_record_is_loaded_with_a_warning_if_its_base_is_a_relative_path(
    adapter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (adapter / "base_model.json").unlink()
    with caplog.at_level(logging.WARNING):
        load_adapter(load_model(ModelSettings("base", device="cpu")), str(adapter))
        assert (
            "the base model 'base' was not verified, because the adapter has no record of its weights" in caplog.text
        )
        caplog.clear()
        load_adapter(load_model(ModelSettings(str(tmp_path / "here" / "base"), device="cpu")), str(adapter))
    assert "not verified" not in caplog.text


def test_a_base_in_pickled_weights_has_no_fingerprint(adapter: Path):
    os.remove("base/model.safetensors")
    assert files_fingerprint("base") is None


def test_a_whole_model_gets_no_record(tmp_path: Path):
    folder = save_base(tmp_path / "base")
    record_base(folder, LlamaForCausalLM.from_pretrained(folder))
    assert not (folder / "base_model.json").exists()


def test_every_variant_verifies_the_base(adapter: Path, base: Path, tmp_path: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (adapter / name).write_text((base / name).read_text())
    load_variant(resolve_model(str(adapter)))
    save_base(tmp_path / "here" / "base", seed=1)
    for options in ({}, {"merged": True}):
        with pytest.raises(ValueError, match="which has other weights"):
            load_variant(resolve_model(str(adapter)), **options)


def test_a_base_on_the_hub_is_recorded_by_its_commit_and_verified_there(hub: HubServer, tmp_path: Path):
    first, second = save_base(tmp_path / "first"), save_base(tmp_path / "second", seed=1)
    hub.add_repo("ada/base", {path.name: path.read_bytes() for path in first.iterdir()})
    commit = HfApi().model_info("ada/base").sha
    adapter = save_adapter(tmp_path / "adapter", "ada/base")
    HfApi().upload_folder(folder_path=str(second), repo_id="ada/base")
    record = json.loads((adapter / "base_model.json").read_text())
    assert record == {"name": "ada/base", "revision": commit, "weights": files_fingerprint(str(first))}
    source = resolve_model(str(adapter))
    assert (source.base, source.base_revision) == ("ada/base", commit)
    model = load_model(ModelSettings("ada/base", commit, device="cpu"))
    assert model.config._commit_hash == commit
    load_adapter(model, str(adapter))
    newest = HfApi().model_info("ada/base").sha
    message = (
        f"trained on 'ada/base' at {commit}, .* The base model that was found is 'ada/base' at {newest},"
        " which has other weights"
    )
    with pytest.raises(ValueError, match=message):
        load_adapter(load_model(ModelSettings("ada/base", device="cpu")), str(adapter))
