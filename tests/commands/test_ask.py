"""`knowlearn ask`: the answers are those of the evaluation, for every way to name the model."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.models.sources import resolve_model
from hf_knowlearn.paths import TINY_BASE

Command = Callable[..., tuple[int, str, str]]


def responses(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "answers.after.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_question_gets_the_answer_of_the_evaluation(run: Path, command: Command):
    row = responses(run)[0]
    for model in (run, run / "model"):
        assert command("ask", model, row["question"])[:2] == (0, row["response"].strip() + "\n")
    before = json.loads((run / "answers.before.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert command("ask", "tiny_base", row["question"])[1] == before["response"].strip() + "\n"
    assert before["response"] != row["response"]


def test_questions_are_read_from_standard_input(run: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    rows = responses(run)[:3]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(row["question"] + "\n\n" for row in rows)))
    expected = "".join(f"{row['question']}\n    {row['response'].strip()}\n" for row in rows)
    assert command("ask", run, "-")[:2] == (0, expected)


def test_samples_are_counted_and_depend_on_the_seed(command: Command):
    words = ("ask", "tiny_base", "What?", "--samples", 20, "--max_new_tokens", 2)
    code, shown, _ = command(*words, "--seed", 1)
    counts = [int(count) for count in re.findall(r"(\d+) of 20 samples: \S", shown)]
    assert code == 0
    assert sum(counts) == 20
    assert counts == sorted(counts, reverse=True)
    assert command(*words, "--seed", 1)[1] == shown != command(*words, "--seed", 2)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("./nowhere", "a?"), "./nowhere: there is no such folder."),
        (
            ("nobody/nothing", "a?"),
            "nobody/nothing: there is no such folder here, and loading from the Hub failed",
        ),
        (("tiny_base", "a?", "--revision", "main"), "tiny_base is a folder, and a folder has no revisions"),
        (("tiny_base", " "), "There are no questions"),
        (("tiny_base", "a?", "--samples", "-1"), "--samples -1: give an integer of at least 0"),
    ],
)
def test_invalid_options_are_an_error(command: Command, words: tuple[str, ...], message: str):
    code, shown, error = command("ask", *words)
    assert (code, shown) == (2, "")
    assert message in error


def test_a_folder_without_a_model_is_an_error(run: Path, command: Command, tmp_path: Path):
    assert "there is neither a model (config.json) nor an adapter" in command("ask", tmp_path, "a?")[2]
    shutil.copy(run / "run.json", tmp_path)
    assert "this run is not finished" in command("ask", tmp_path, "a?")[2]


def test_the_report_names_a_base_that_has_moved(run: Path, command: Command, tmp_path: Path):
    copy = shutil.copytree(run, tmp_path / "run")
    assert resolve_model(str(copy)).base == str(TINY_BASE)
    config = json.loads((copy / "model" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/no/such/base"
    (copy / "model" / "adapter_config.json").write_text(json.dumps(config))
    assert resolve_model(str(copy)).base == str(TINY_BASE)
    (copy / "report.json").unlink()
    code, _, error = command("ask", copy, "a?")
    assert code == 2
    assert "the base model '/no/such/base' of this adapter is not on this machine" in error


def test_the_base_has_the_commit_of_the_run(run: Path, tmp_path: Path):
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "model" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "owner/base"}))
    report = json.loads((copy / "report.json").read_text())
    for named, commit in (("owner/base", "abc"), ("owner/other", None)):
        (copy / "report.json").write_text(json.dumps({**report, "model": {"name": named, "revision": "abc"}}))
        source = resolve_model(str(copy))
        assert (source.base, source.base_revision) == ("owner/base", commit)
