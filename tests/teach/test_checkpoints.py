"""Checkpoints: none is gone on from but those that this run wrote, whole; and a full disk leaves the last good one."""

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

from hf_knowlearn.teach import pipeline, run_folder
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


def test_the_last_checkpoint_is_that_of_the_most_steps(checkpoints: Path, caplog: pytest.LogCaptureFixture):
    assert last_of(checkpoints, caplog) == ("checkpoint-100", "")


def test_without_checkpoints_there_is_no_last(tmp_path: Path):
    assert last_checkpoint(tmp_path, "ours") is None
    assert last_checkpoint(tmp_path / "nowhere", "ours") is None


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda it: (it / "manifest.json").unlink(), "it was not written to its end (it has no manifest.json)"),
        (lambda it: (it / "manifest.json").write_text('{"run"', encoding="utf-8"), "its manifest.json can't be read"),
        (lambda it: (it / "manifest.json").write_text("[]", encoding="utf-8"), "its manifest.json can't be read"),
        (lambda it: seal(it, "theirs"), "another run wrote it"),
        (lambda it: _change(it / "optimizer.pt"), "not as it was written: optimizer.pt"),
        (lambda it: _change(it / "global_step" / "shard.bin"), "not as it was written: global_step/shard.bin"),
        (lambda it: (it / "trainer_state.json").unlink(), "not as it was written: trainer_state.json"),
        (lambda it: (it / "rng_state.pth").touch(), "not as it was written: rng_state.pth"),
    ],
)
def test_a_checkpoint_that_is_not_what_this_run_wrote_is_passed_over_by_name(
    checkpoints: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], Any], says: str
):
    damage(checkpoints / "checkpoint-100")
    found, told = last_of(checkpoints, caplog)
    assert found == "checkpoint-10"
    assert f"{checkpoints / 'checkpoint-100'} is passed over: {says}." in told


def test_where_none_is_whole_there_is_no_last(checkpoints: Path, caplog: pytest.LogCaptureFixture):
    for path in checkpoints.glob("*/manifest.json"):
        path.unlink()
    found, told = last_of(checkpoints, caplog)
    assert found is None
    assert told.count("is passed over") == 3


@pytest.mark.parametrize(
    ("keep", "left"), [(None, {9, 10, 50, 100}), (0, {9, 10, 50, 100}), (2, {10, 50, 100}), (1, {50, 100})]
)
def test_the_oldest_go_when_the_new_one_is_sealed(checkpoints: Path, keep: int | None, left: set[int]):
    # 100 was passed over, or the run would not be at 50: it is not counted, and written anew when its turn comes.
    _write(checkpoints / "checkpoint-50")
    where, at = SimpleNamespace(output_dir=str(checkpoints), should_save=True), SimpleNamespace(global_step=50)
    SealCheckpoints("ours", keep).on_save(where, at, None)  # type: ignore[arg-type]
    assert {int(path.name.removeprefix("checkpoint-")) for path in checkpoints.iterdir()} == left
    shutil.rmtree(checkpoints / "checkpoint-100")
    assert last_checkpoint(checkpoints, "ours") == str(checkpoints / "checkpoint-50")


def test_one_process_of_several_seals(checkpoints: Path):
    _write(checkpoints / "checkpoint-200")
    where, at = SimpleNamespace(output_dir=str(checkpoints), should_save=False), SimpleNamespace(global_step=200)
    SealCheckpoints("ours", 1).on_save(where, at, None)  # type: ignore[arg-type]
    assert not (checkpoints / "checkpoint-200" / "manifest.json").exists()
    assert len(list(checkpoints.iterdir())) == 4


class Stopped(Exception):
    """What ends a process in the middle of a run."""


def test_the_one_before_is_there_until_the_new_one_is_sealed(
    knowlearn: Callable[..., int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    # Trainer's own rotation would have deleted it by then.
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
def little_room(size: int) -> Iterator[None]:
    """Within the block no file may have more bytes than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WEIGHTS = {"a": torch.zeros(10_000)}


@pytest.mark.parametrize(
    "save",
    [
        lambda path: save_file(WEIGHTS, path),
        lambda path: torch.save(WEIGHTS, path),
        lambda path: path.write_bytes(bytes(40_000)),
    ],
    ids=["safetensors", "torch", "python"],
)
def test_what_a_full_disk_does_to_any_library_is_told_in_the_same_words(tmp_path: Path, save: Callable[[Path], Any]):
    says = r"run': a file could not be written \(.*There are [\d,]+ MB left: make room"
    with pytest.raises(ValueError, match=says), run_folder.room_for(tmp_path / "run"), little_room(5_000):
        save(tmp_path / "file")


@pytest.mark.parametrize(
    "error", [OSError(2, "No such file"), RuntimeError("no room"), SafetensorError("(os error 2)"), KeyError("28")]
)
def test_what_is_not_for_want_of_room_is_told_as_it_is(tmp_path: Path, error: Exception):
    with pytest.raises(type(error)) as told, run_folder.room_for(tmp_path):
        raise error
    assert told.value is error


class NoRoom(TrainerCallback):
    """From the fourth step on, no file may have more bytes than this."""

    def __init__(self, size: int) -> None:
        self.size = size

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("cut", ["optimizer.pt", pytest.param("model.safetensors", marks=pytest.mark.slow)])
def test_a_disk_that_is_full_in_the_middle_of_a_save_leaves_the_last_good_checkpoint(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cut: str,
):
    weights = (options["model"] / "model.safetensors").stat().st_size
    new_trainer = pipeline.new_trainer

    def cramped(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(NoRoom(2 * weights if cut == "optimizer.pt" else weights // 2))
        return trainer

    options |= {"use_peft": False, "max_steps": 6, "save_steps": 2, "save_total_limit": 1}
    folder = options["output_dir"] / "checkpoints"
    with little_room(resource.getrlimit(resource.RLIMIT_FSIZE)[0]), monkeypatch.context() as patch:
        patch.setattr(pipeline, "new_trainer", cramped)
        assert knowlearn("teach", **options) == 2
    assert "a file could not be written" in capsys.readouterr().err
    assert (folder / "checkpoint-4").is_dir()
    assert not (folder / "checkpoint-4" / "manifest.json").exists()
    assert last_checkpoint(folder, run_folder.run_id(options["output_dir"])) == str(folder / "checkpoint-2")

    assert knowlearn("teach", **options) == 0
    assert f"{folder / 'checkpoint-4'} is passed over" in capsys.readouterr().out
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-6"]
    state = json.loads((folder / "checkpoint-6" / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["global_step"] == 6
