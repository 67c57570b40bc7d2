"""The run folder: which run it belongs to, when it is an error, and that its files are complete."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn import atomic_files
from hf_knowlearn.reports.schema import new_report
from hf_knowlearn.teach import run_folder

RECIPE = {
    "documents": "docs",
    "seed": 1,
    "learning_rate": 2e-4,
    "lora_target_modules": ["all-linear"],
    "revision": None,
}
DATA = {"documents": {"n": 2, "sha256": "a"}, "questions": {"n": 9, "sha256": "b"}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder claimed for RECIPE, with a checkpoint."""
    folder = tmp_path / "deep" / "run"
    run_folder.claim(folder, RECIPE, DATA, [8], overwrite=False)
    checkpoint = folder / "checkpoints" / "checkpoint-10"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    return folder


def finish(folder: Path) -> None:
    (folder / "report.json").write_text("{}")


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# Writing


class Stop(Exception):
    """Ends a process while it writes."""


def write_and_stop(path: Path, kind: str, stop: bool) -> None:
    with atomic_files.atomic_write(path) as draft:
        if kind == "folder":
            draft.mkdir()
            (draft / "part").write_text("new")
        else:
            draft.write_text("new")
        if stop:
            raise Stop


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("before", [None, "file", "folder"])
def test_a_path_is_written_completely_or_does_not_change(tmp_path: Path, kind: str, before: str | None):
    path = tmp_path / "output"
    if before:
        write_and_stop(path, before, stop=False)
        ((path / "part") if before == "folder" else path).write_text("old")
    was = everything(tmp_path)
    with pytest.raises(Stop):
        write_and_stop(path, kind, stop=True)
    assert everything(tmp_path) == was
    write_and_stop(path, kind, stop=False)
    assert (
        everything(tmp_path) == {"file": {"output": b"new"}, "folder": {"output": None, "output/part": b"new"}}[kind]
    )


def test_text_is_written_as_utf_8_into_a_new_folder(tmp_path: Path):
    atomic_files.write_text(tmp_path / "new" / "file.txt", "Ormel – Tärn")
    assert (tmp_path / "new" / "file.txt").read_bytes() == "Ormel – Tärn".encode()


@pytest.mark.parametrize("existing", ["", "run", "run/older"])
def test_a_block_that_fails_leaves_no_new_empty_folders_and_deletes_no_older_ones(tmp_path: Path, existing: str):
    (tmp_path / existing).mkdir(parents=True, exist_ok=True)

    def make_and_stop(*names: str) -> None:
        with run_folder.no_empty_folders(tmp_path / "run"):
            (tmp_path / "run" / "checkpoints" / "deeper").mkdir(parents=True)
            for name in names:
                (tmp_path / "run" / "checkpoints" / name).touch()
            raise Stop

    was = everything(tmp_path)
    with pytest.raises(Stop):
        make_and_stop()
    assert everything(tmp_path) == was
    with pytest.raises(Stop):
        make_and_stop("file")
    assert (tmp_path / "run" / "checkpoints" / "file").is_file()


# Which run the folder belongs to


def test_a_new_or_empty_folder_has_no_finished_run_and_the_check_creates_nothing(tmp_path: Path):
    assert not run_folder.is_finished(tmp_path, RECIPE, overwrite=False)
    assert not run_folder.is_finished(tmp_path / "a" / "b", RECIPE, overwrite=False)
    assert everything(tmp_path) == {}


def test_the_same_options_continue_a_run_until_it_is_finished(run: Path):
    assert not run_folder.is_finished(run, RECIPE, overwrite=False)
    finish(run)
    assert run_folder.is_finished(run, RECIPE, overwrite=False)
    assert not run_folder.is_finished(run, RECIPE, overwrite=True)


@pytest.mark.parametrize("finished", [False, True])
def test_other_options_are_an_error_that_lists_those_that_differ(run: Path, finished: bool):
    if finished:
        finish(run)
    was = everything(run)
    other = {**RECIPE, "seed": 2, "views": "formats"}
    del other["documents"]
    with pytest.raises(ValueError, match="contains a run with other options") as raised:
        run_folder.is_finished(run, other, overwrite=False)
    assert str(raised.value).splitlines()[1:] == [
        "  documents: 'docs' in the folder, '(not set)' now",
        "  seed: 1 in the folder, 2 now",
        "  views: '(not set)' in the folder, 'formats' now",
        "Choose another folder, or pass --overwrite to delete that run.",
    ]
    assert everything(run) == was


def test_null_is_another_value_than_no_value(run: Path):
    with pytest.raises(ValueError, match="max_length: '\\(not set\\)' in the folder, None now"):
        run_folder.is_finished(run, {**RECIPE, "max_length": None}, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("file", ["notes.txt", "report.json", "recipe.yaml"])
def test_a_folder_with_other_files_is_an_error_also_with_overwrite(tmp_path: Path, file: str, overwrite: bool):
    (tmp_path / file).write_text("documents: docs")  # a recipe of the user is not that of a run
    with pytest.raises(ValueError, match="is not empty and contains no run of knowlearn"):
        run_folder.is_finished(tmp_path, RECIPE, overwrite)
    assert list(everything(tmp_path)) == [file]


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match=r"(run|file)' cannot be created: '\S+/file' is not a folder"):
            run_folder.is_finished(folder, RECIPE, overwrite=False)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match=f"cannot be created: '{tmp_path}' is not writable"):
        run_folder.is_finished(tmp_path / "run", RECIPE, overwrite=False)


def test_overwrite_deletes_the_run_and_nothing_else(run: Path):
    finish(run)
    (run / "my_notes.txt").touch()
    (run / "model").mkdir()
    (run / "model" / "weights").touch()
    run_folder.claim(run, {"seed": 2}, DATA, [8], overwrite=True)
    assert set(everything(run)) == {"recipe.yaml", "run.json", "my_notes.txt"}
    assert not run_folder.is_finished(run, {"seed": 2}, overwrite=False)


def test_a_claim_without_overwrite_changes_nothing(run: Path):
    was = everything(run)
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=False)
    assert everything(run) == was


def test_a_folder_that_a_killed_process_did_not_claim_can_be_claimed(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / ".recipe.yaml.123.draft").touch()
    assert not run_folder.is_finished(tmp_path, RECIPE, overwrite=False)
    run_folder.claim(tmp_path, RECIPE, DATA, [8], overwrite=False)
    assert set(everything(tmp_path)) == {"checkpoints", "recipe.yaml", "run.json"}


def test_a_claim_deletes_the_drafts_of_a_killed_process(run: Path):
    draft = run / "stages" / "1-a" / ".model.123.draft"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").touch()
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=False)
    assert not draft.exists()


def test_the_id_of_a_run_changes_when_it_is_overwritten(run: Path):
    was = run_folder.run_id(run)
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=False)
    assert run_folder.run_id(run) == was
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=True)
    assert run_folder.run_id(run) != was


def test_changed_data_of_a_run_are_an_error_that_lists_their_options(run: Path):
    run_folder.check_data_unchanged(run, DATA)
    now = {"questions": {"n": 9, "sha256": "c"}, "train_questions": {"n": 1, "sha256": "d"}}
    with pytest.raises(ValueError, match="whose data have changed since it started") as raised:
        run_folder.check_data_unchanged(run, now)
    assert str(raised.value).splitlines()[1:] == [
        "  --documents: 2 items then, 0 now",
        "  --questions: 9 items then, 9 now, but with other content",
        "  --train_questions: 0 items then, 1 now",
        "Restore the data. Otherwise choose another folder, or pass --overwrite to delete that run.",
    ]


def test_another_number_of_rows_per_step_is_an_error(run: Path):
    run_folder.check_rows_per_step(run, [8])
    with pytest.raises(ValueError, match=r"with 8 rows per optimizer step\. This command would use 16 and 4"):
        run_folder.check_rows_per_step(run, [16, 4])


def test_another_base_model_is_an_error_and_an_unknown_one_is_not(run: Path):
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=True, weights="abc")
    for weights in ("abc", None):
        run_folder.check_model_unchanged(run, "base", weights)
    with pytest.raises(ValueError, match=r"base model 'base' has changed since it started.*was abc then, and is abd"):
        run_folder.check_model_unchanged(run, "base", "abd")
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=True, weights=None)
    run_folder.check_model_unchanged(run, "base", "abd")


def test_a_run_that_was_killed_before_it_recorded_its_data_accepts_any_data(run: Path):
    (run / "run.json").unlink()
    run_folder.check_data_unchanged(run, {})
    run_folder.claim(run, RECIPE, DATA, [8], overwrite=False)
    run_folder.check_data_unchanged(run, DATA)


# Reports


def report() -> dict[str, Any]:
    figures = {
        "correct": 0.5,
        "correct_se": 0.1,
        "train_loss": 1.0,
        "steps": 1,
        "gradient_evaluations": 1,
        "seconds": 1.0,
    }
    counts = dict.fromkeys(("documents", "questions", "replayed_questions", "retention_questions"), 2)
    return new_report({}, {"trained": figures}, RECIPE, counts)


def test_overwrite_deletes_every_file_of_a_report(run: Path):
    run_folder.write_report(run, report())
    written = {path.name for path in run.iterdir()} - {"checkpoints", "recipe.yaml", "run.json"}
    assert written == {"report.md", "report.html", "scores.png", "report.json"}
    assert written <= set(run_folder.OURS)
    assert run_folder.read_report(run) == json.loads((run / "report.json").read_text())


def test_nan_and_infinity_are_null_in_the_report(run: Path):
    broken = report()
    broken["runs"]["trained"] |= {"train_loss": math.nan, "curve": [{"step": 1, "loss": math.inf}], "steps": 3}
    run_folder.write_report(run, broken)

    def fail(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    figures = json.loads((run / "report.json").read_text(), parse_constant=fail)["runs"]["trained"]
    assert (figures["train_loss"], figures["curve"], figures["steps"]) == (None, [{"step": 1, "loss": None}], 3)


def test_only_the_last_file_of_a_report_marks_the_run_as_finished(run: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise Stop

    for name in ("to_markdown", "to_html", "draw"):
        with monkeypatch.context() as patch:
            patch.setattr(run_folder, name, stop)
            with pytest.raises(Stop):
                run_folder.write_report(run, report())
        assert not run_folder.is_finished(run, RECIPE, overwrite=False)
