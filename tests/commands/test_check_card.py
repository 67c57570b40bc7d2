"""`knowlearn recall` without questions: whether the figures of a card hold, do not, or can not be asked again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_knowlearn.commands.check_card import EQUAL, NOT, WITHIN, Claim, judge

Command = Callable[..., tuple[int, str, str]]


def change(folder: Path, **figures: Any) -> None:
    """Other figures of the arm, or `version=`: another version of torch."""
    report = json.loads((folder / "report.json").read_text())
    report["versions"]["torch"] = figures.pop("version", report["versions"]["torch"])
    report["runs"]["taught"] |= figures
    (folder / "report.json").write_text(json.dumps(report))


def test_the_figures_of_a_run_hold(run: Path, command: Command, tmp_path: Path):
    code, shown, _ = command("recall", run, "--output_dir", tmp_path)
    assert code == 0
    assert shown.count("holds: equal") == 3  # recall, F1, retention
    assert "Versions, machine and device are those of the card" in shown
    (found,) = json.loads((tmp_path / "recall.json").read_text())
    assert found["holds"] is True
    assert [figure["differ"] for figure in found["figures"]] == [0, 0, 0]


def test_a_figure_that_was_raised_does_not_hold(copy: Path, command: Command):
    change(copy, f1=json.loads((copy / "report.json").read_text())["runs"]["taught"]["f1"] + 0.001)
    code, shown, _ = command("recall", copy)
    assert code == 1
    assert (shown.count("holds: equal"), shown.count("does not hold")) == (2, 1)


def test_with_other_versions_the_paired_difference_decides(copy: Path, command: Command):
    answers = copy / "answers.after.jsonl"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    right = [row for row in rows if row["role"] == "retention_questions" and row["exact_match"]]
    right[0]["response"] = "another"  # as if one answer had been otherwise
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    retention = (len(right) - 1) / 20
    for then, expected in ((retention, (0, WITHIN)), (retention - 0.3, (1, NOT))):
        change(copy, retention=then, version="1.0")
        code, shown, _ = command("recall", copy)
        assert code == expected[0]
        assert f"torch 1.0 then, {torch.__version__} now" in shown
        (line,) = (line for line in shown.splitlines() if line.startswith("retention  "))
        assert line.endswith(f"1  {expected[1]}")
    change(copy, retention=retention, version=torch.__version__)
    assert command("recall", copy)[0] == 1  # nothing is otherwise, so it should be equal


def test_questions_that_are_gone_are_named_with_their_hash(copy: Path, command: Command, tmp_path: Path):
    report = json.loads((copy / "report.json").read_text())
    there = report["recipes"]["taught"]["questions"]
    report["recipes"]["taught"]["questions"] = "gone.jsonl"  # as a published report names a local file
    (copy / "report.json").write_text(json.dumps(report))
    code, _, complained = command("recall", copy)
    assert code == 2
    sha = report["data"]["questions"]["sha256"]
    assert f"The card's: 20 questions, SHA-256 {sha}." in complained
    assert f"knowlearn recall {copy} --card --questions FILE" in complained
    assert command("recall", copy, "--card", "--questions", there)[0] == 0
    other = tmp_path / "other.jsonl"
    other.write_text(Path(there).read_text().replace("born", "raised"))
    code, _, complained = command("recall", copy, "--card", "--questions", other)
    assert code == 2
    assert f"questions: {other} is not what was asked. 20 questions, SHA-256" in complained


def test_what_a_run_chose_to_ask_is_known_by_its_answers(copy: Path, run: Path, command: Command):
    both = "".join((run.parent / f"{name}.jsonl").read_text() for name in ("questions", "retention"))
    (copy / "both.jsonl").write_text(both)
    report = json.loads((copy / "report.json").read_text())
    report["recipes"]["taught"] |= {"questions": str(copy / "both.jsonl"), "retention_questions": None}
    (copy / "report.json").write_text(json.dumps(report))
    assert command("recall", copy)[0] == 0
    (copy / "answers.after.jsonl").unlink()
    assert "retention_questions: " in command("recall", copy)[2]


@pytest.mark.parametrize(
    ("model", "says"),
    [("tiny_base", "tiny_base: holds no report.json"), ("run", "makes no claim of recall")],
)
def test_a_model_without_a_claim_is_refused(copy: Path, command: Command, model: str, says: str):
    report = json.loads((copy / "report.json").read_text())
    report["runs"]["taught"] = {"cost": {}}
    (copy / "report.json").write_text(json.dumps(report))
    code, _, complained = command("recall", copy if model == "run" else model)
    assert code == 2
    assert says in complained


# As published: a card, whose figures are rounded, beside the report, and no answers


def test_a_card_holds_as_it_is_rounded(published: Path, command: Command):
    code, shown, _ = command("recall", published)
    assert (code, shown.count("holds: equal")) == (0, 3)


def test_a_card_that_says_a_little_more_does_not_hold(published: Path, command: Command):
    report = json.loads((published / "report.json").read_text())
    f1 = round(report["runs"]["taught"]["f1"], 4)
    card = published / "README.md"
    card.write_text(card.read_text().replace(f"value: {f1}", f"value: {f1 + 0.0001:.4f}"))
    code, shown, _ = command("recall", published)
    assert (code, shown.count("does not hold")) == (1, 1)
    report["machine"] = "another"
    (published / "report.json").write_text(json.dumps(report))
    code, shown, _ = command("recall", published)
    assert (code, shown.count("holds within 2 standard errors")) == (0, 1)
    assert "which is more than that of a paired difference: the answers of then are not there" in shown


@pytest.mark.parametrize(
    ("now", "places", "error", "same", "holds"),
    [
        (0.46134, 4, 0.01, True, EQUAL),
        (0.46136, 4, 0.01, True, NOT),
        (0.4613 + 1e-12, None, 0.01, True, EQUAL),
        (0.4614, None, 0.01, True, NOT),
        (0.4812, 4, 0.01, False, WITHIN),
        (0.4414, 4, 0.01, False, WITHIN),
        (0.4815, 4, 0.01, False, NOT),
        (0.4613, 4, None, False, EQUAL),
        (0.4614, 4, None, False, NOT),
        (0.4614, 4, float("nan"), False, NOT),
        (0.4614, 4, 0.0, False, NOT),
    ],
)
def test_when_a_figure_holds(now: float, places: int | None, error: float | None, same: bool, holds: str):
    assert judge(Claim("questions", "exact_match", 0.4613, 0.01, places), now, error, same) == holds
