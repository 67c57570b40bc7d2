"""Checkpoints: a run resumes only from complete checkpoints of its own, also after the disk was full."""

import errno
import json
import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import TrainerCallback

from hf_knowlearn.atomic_files import DRAFTS
from hf_knowlearn.teach import run_folder, trainers
from hf_knowlearn.teach.checkpoints import SealCheckpoints, last_checkpoint, seal


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder of three sealed checkpoints."""
    for step in (9, 10, 100):
        _write(tmp_path / f"checkpoint-{step}")
        seal(tmp_path / f"checkpoint-{step}", "ours")
    return tmp_path


def _write(checkpoint: Path) -> None:
    (checkpoint / "global_step").mkdir(parents=True)
    for name in ("optimizer.pt", "trainer_state.json", "global_step/shard.bin"):
        (checkpoint / name).write_text(name, encoding="utf-8")


def last_of(folder: Path, caplog: pytest.LogCaptureFixture) -> tuple[str | None, str]:
    with caplog.at_level(logging.WARNING, "hf_knowlearn"):
        found = last_checkpoint(folder, "ours")
    return found and Path(found).name, caplog.text


def test_the_last_checkpoint_has_the_most_steps(checkpoints: Path, caplog: pytest.LogCaptureFixture):
    assert last_of(checkpoints, caplog) == ("checkpoint-100", "")


def test_a_folder_without_checkpoints_has_no_last_one(tmp_path: Path):
    assert last_checkpoint(tmp_path, "ours") is None
    assert last_checkpoint(tmp_path / "nowhere", "ours") is None


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda it: (it / "manifest.json").unlink(), "it is incomplete (it has no manifest.json)"),
        (lambda it: (it / "manifest.json").write_text('{"run"', encoding="utf-8"), "its manifest.json is not valid"),
        (lambda it: (it / "manifest.json").write_text("[]", encoding="utf-8"), "its manifest.json is not valid"),
        (lambda it: seal(it, "theirs"), "another run wrote it"),
        (lambda it: _change(it / "optimizer.pt"), "files have changed: optimizer.pt"),
        (lambda it: _change(it / "global_step" / "shard.bin"), "files have changed: global_step/shard.bin"),
        (lambda it: (it / "trainer_state.json").unlink(), "files have changed: trainer_state.json"),
        (lambda it: (it / "rng_state.pth").touch(), "files have changed: rng_state.pth"),
    ],
)
def test_a_checkpoint_that_this_run_did_not_complete_is_skipped_with_a_warning(
    checkpoints: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], Any], problem: str
):
    damage(checkpoints / "checkpoint-100")
    found, log = last_of(checkpoints, caplog)
    assert found == "checkpoint-10"
    assert f"Skipping {checkpoints / 'checkpoint-100'}: {problem}." in log


def test_without_a_complete_checkpoint_there_is_no_last_one(checkpoints: Path, caplog: pytest.LogCaptureFixture):
    for path in checkpoints.glob("*/manifest.json"):
        path.unlink()
    found, log = last_of(checkpoints, caplog)
    assert found is None
    assert log.count("Skipping ") == 3


@pytest.mark.parametrize(
    ("limit", "left"), [(None, {9, 10, 50, 100}), (0, {9, 10, 50, 100}), (2, {10, 50, 100}), (1, {50, 100})]
)
def test_the_oldest_checkpoints_are_deleted_when_a_new_one_is_sealed(
    checkpoints: Path, limit: int | None, left: set[int]
):
    # The run is at step 50, so it has skipped checkpoint 100, which it will write again: it does not count.
    _write(checkpoints / "checkpoint-50")
    where, at = SimpleNamespace(output_dir=str(checkpoints), should_save=True), SimpleNamespace(global_step=50)
    SealCheckpoints("ours", limit).on_save(where, at, None)  # type: ignore[arg-type]
    assert {int(path.name.removeprefix("checkpoint-")) for path in checkpoints.iterdir()} == left
    shutil.rmtree(checkpoints / "checkpoint-100")
    assert last_checkpoint(checkpoints, "ours") == str(checkpoints / "checkpoint-50")


def test_only_one_of_several_processes_seals(checkpoints: Path):
    _write(checkpoints / "checkpoint-200")
    where, at = SimpleNamespace(output_dir=str(checkpoints), should_save=False), SimpleNamespace(global_step=200)
    SealCheckpoints("ours", 1).on_save(where, at, None)  # type: ignore[arg-type]
    assert not (checkpoints / "checkpoint-200" / "manifest.json").exists()
    assert len(list(checkpoints.iterdir())) == 4


class Stopped(Exception):
    """Ends a process in the middle of a run."""


def test_the_previous_checkpoint_exists_until_the_new_one_is_sealed(
    knowlearn: Callable[..., int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    # Trainer's own rotation deletes it earlier.
    def stopping(checkpoint: Path, run: str) -> None:
        if checkpoint.name == "checkpoint-2":
            raise Stopped
        seal(checkpoint, run)

    monkeypatch.setattr("hf_knowlearn.teach.checkpoints.seal", stopping)
    with pytest.raises(Stopped):
        knowlearn("teach", **{**options, "save_steps": 1, "save_total_limit": 1})
    folder = options["output_dir"] / "checkpoints"
    assert last_checkpoint(folder, run_folder.run_id(options["output_dir"])) == str(folder / "checkpoint-1")


# A full disk


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Within the block, no file may have more than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 1 MB of free space."""
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))


WEIGHTS = {"a": torch.zeros(10_000)}


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize(
    "save",
    [
        lambda path: save_file(WEIGHTS, path),
        lambda path: torch.save(WEIGHTS, path),
        lambda path: path.write_bytes(bytes(40_000)),
    ],
    ids=["safetensors", "torch", "python"],
)
def test_a_full_disk_has_the_same_message_for_every_library(tmp_path: Path, save: Callable[[Path], Any]):
    message = r"run' could not be written \(.*\. Only 1 MB are free\. Free some space and run the same command again"
    with (
        pytest.raises(ValueError, match=message),
        run_folder.disk_full_errors(tmp_path / "run"),
        file_size_limit(5_000),
    ):
        save(tmp_path / "file")


def test_an_error_number_reports_a_full_quota_although_the_disk_has_space(tmp_path: Path):
    with pytest.raises(ValueError, match="could not be written"), run_folder.disk_full_errors(tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


@pytest.mark.parametrize(
    "error",
    [OSError(2, "No such file"), RuntimeError("no space"), SafetensorError("(os error 2)"), KeyError("28")],
)
def test_other_errors_are_raised_unchanged(tmp_path: Path, error: Exception):
    with pytest.raises(type(error)) as raised, run_folder.disk_full_errors(tmp_path):
        raise error
    assert raised.value is error


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("error", [OSError(2, "No such file"), ValueError("num_views=0")])
def test_on_a_full_disk_too_errors_with_a_known_cause_are_raised_unchanged(tmp_path: Path, error: Exception):
    with pytest.raises(type(error)) as raised, run_folder.disk_full_errors(tmp_path):
        raise error
    assert raised.value is error


def test_the_free_space_is_measured_before_the_draft_of_a_model_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def disk_usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=0 if list(tmp_path.glob(DRAFTS)) else 10**12)

    def save_model(folder: str) -> None:
        Path(folder).mkdir()
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(run_folder.shutil, "disk_usage", disk_usage)
    trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(is_main_process=True), save_model=save_model)
    with pytest.raises(ValueError, match=r"could not be written \(No space left on device\)\. Only 0 MB are free"):
        trainers.save(trainer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


class LimitFileSize(TrainerCallback):
    """From the fourth step on, no file may have more than `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("cut", ["optimizer.pt", pytest.param("model.safetensors", marks=pytest.mark.slow)])
def test_a_run_resumes_from_the_last_complete_checkpoint_after_the_disk_was_full(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cut: str,
):
    weights = (options["model"] / "model.safetensors").stat().st_size
    new_trainer = trainers.new_trainer

    def limited(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(LimitFileSize(2 * weights if cut == "optimizer.pt" else weights // 2))
        return trainer

    options |= {"use_peft": False, "max_steps": 6, "save_steps": 2, "save_total_limit": 1}
    folder = options["output_dir"] / "checkpoints"
    with file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[0]), monkeypatch.context() as patch:
        patch.setattr(trainers, "new_trainer", limited)
        assert knowlearn("teach", **options) == 2
    assert "could not be written" in capsys.readouterr().err
    assert (folder / "checkpoint-4").is_dir()
    assert not (folder / "checkpoint-4" / "manifest.json").exists()
    assert last_checkpoint(folder, run_folder.run_id(options["output_dir"])) == str(folder / "checkpoint-2")

    assert knowlearn("teach", **options) == 0
    assert f"Skipping {folder / 'checkpoint-4'}" in capsys.readouterr().out
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-6"]
    state = json.loads((folder / "checkpoint-6" / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["global_step"] == 6
