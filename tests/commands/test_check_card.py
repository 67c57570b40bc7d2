"""`knowlearn recall` without questions: whether the figures of a card hold, differ, or can't be measured again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_knowlearn.commands.check_card import DIFFERS, EQUAL, WITHIN, judge
from hf_knowlearn.evaluation.general_knowledge import general_questions
from hf_knowlearn.teach.provenance import fingerprint

Command = Callable[..., tuple[int, str, str]]


def change(folder: Path, **figures: Any) -> None:
    """Change figures in the run's report; `version` changes the version of torch."""
    report = json.loads((folder / "report.json").read_text())
    report["versions"]["torch"] = figures.pop("version", report["versions"]["torch"])
    report["runs"]["trained"] |= figures
    (folder / "report.json").write_text(json.dumps(report))


def change_recipe(folder: Path, retention: str | None = "unchanged", **options: Any) -> None:
    """Change options in the run's report; `retention` is the file of the retention questions."""
    report = json.loads((folder / "report.json").read_text())
    recipe = report["recipes"]["trained"]
    recipe |= options
    if retention != "unchanged":
        recipe["evaluation"]["retention_questions"] = retention
    (folder / "report.json").write_text(json.dumps(report))


def verdicts(shown: str) -> list[str]:
    """The last column of the table of figures."""
    return [verdict for line in shown.splitlines() for verdict in (EQUAL, WITHIN, DIFFERS) if line.endswith(verdict)]


def test_the_figures_of_a_run_hold(run: Path, command: Command, tmp_path: Path):
    code, shown, _ = command("recall", run, "--output_dir", tmp_path)
    assert (code, verdicts(shown)) == (0, [EQUAL] * 4)  # correct, exact match, F1, retention
    (found,) = json.loads((tmp_path / "recall.json").read_text())
    assert found["holds"] is True
    assert [(figure["card"], figure["verdict"]) for figure in found["figures"]] == [
        (pytest.approx(figure["now"]), EQUAL) for figure in found["figures"]
    ]


def test_a_figure_that_was_raised_differs(copy: Path, command: Command):
    change(copy, f1=json.loads((copy / "report.json").read_text())["runs"]["trained"]["f1"] + 0.001)
    code, shown, _ = command("recall", copy)
    assert (code, sorted(verdicts(shown))) == (1, [DIFFERS, EQUAL, EQUAL, EQUAL])


def test_with_other_versions_a_figure_holds_within_2_standard_errors(copy: Path, command: Command):
    figures, error = json.loads((copy / "report.json").read_text())["runs"]["trained"], 0.05
    for distance, expected in ((1.9, (0, WITHIN)), (2.1, (1, DIFFERS))):
        change(copy, retention=figures["retention"] - distance * error, retention_se=error, version="1.0")
        code, shown, _ = command("recall", copy)
        assert (code, verdicts(shown)[-1]) == expected
        assert f"torch: 1.0 then, {torch.__version__} now." in shown
    change(copy, retention=figures["retention"] - 0.1 * error, version=torch.__version__)
    assert command("recall", copy)[0] == 1  # the versions are the same, so the figure must be equal


def test_missing_or_changed_questions_are_named_with_their_hash(copy: Path, command: Command, tmp_path: Path):
    report = json.loads((copy / "report.json").read_text())
    questions = report["recipes"]["trained"]["questions"]
    sha256 = report["data"]["questions"]["sha256"]
    change_recipe(copy, questions="gone.jsonl")  # as a published report names a local file
    code, _, error = command("recall", copy)
    assert code == 2
    assert f"SHA-256 of the report: {sha256}." in error
    assert f"knowlearn recall {copy} --card --questions FILE" in error
    assert command("recall", copy, "--card", "--questions", questions)[0] == 0
    other = tmp_path / "other.jsonl"
    other.write_text(Path(questions).read_text().replace("born", "raised"))
    code, _, error = command("recall", copy, "--card", "--questions", other)
    assert code == 2
    assert f"questions: {other} has changed." in error


def test_the_answers_of_a_run_name_the_retention_questions_that_it_chose(copy: Path, run: Path, command: Command):
    both = "".join((run.parent / f"{name}.jsonl").read_text() for name in ("questions", "retention"))
    (copy / "both.jsonl").write_text(both)
    change_recipe(copy, questions=str(copy / "both.jsonl"), retention=None)
    assert command("recall", copy)[0] == 0
    (copy / "answers.after.jsonl").unlink()
    assert "retention_questions: " in command("recall", copy)[2]


def test_selected_general_knowledge_questions_come_from_the_package(copy: Path, command: Command):
    chosen = general_questions()[::400]
    change_recipe(copy, retention=None)
    report = json.loads((copy / "report.json").read_text())
    report["data"]["retention_questions"] |= {"ids": [q.id for q in chosen], "sha256": fingerprint(chosen)}
    (copy / "report.json").write_text(json.dumps(report))
    (copy / "answers.after.jsonl").unlink()
    change(copy, retention=0.0)
    code, shown, _ = command("recall", copy)
    assert (code, verdicts(shown)) == (0, [EQUAL] * 4)


@pytest.mark.parametrize(
    ("model", "message"),
    [("tiny_base", "tiny_base has no report.json"), ("run", "the card and the report have no scores")],
)
def test_a_model_without_figures_is_an_error(copy: Path, command: Command, model: str, message: str):
    report = json.loads((copy / "report.json").read_text())
    report["runs"]["trained"] = {"cost": {}}
    (copy / "report.json").write_text(json.dumps(report))
    code, _, error = command("recall", copy if model == "run" else model)
    assert code == 2
    assert message in error


# As published: a card with rounded figures, a report, and no answers


def test_the_rounded_figures_of_a_card_hold(published: Path, command: Command):
    code, shown, _ = command("recall", published)
    assert (code, verdicts(shown)) == (0, [EQUAL] * 4)


def test_a_card_with_a_larger_figure_differs(published: Path, command: Command):
    report = json.loads((published / "report.json").read_text())
    f1 = round(report["runs"]["trained"]["f1"], 4)
    card = published / "README.md"
    card.write_text(card.read_text().replace(f"value: {f1}", f"value: {f1 + 0.0001:.4f}"))
    code, shown, _ = command("recall", published)
    assert (code, verdicts(shown).count(DIFFERS)) == (1, 1)
    report["machine"] = "another"
    (published / "report.json").write_text(json.dumps(report))
    code, shown, _ = command("recall", published)
    assert (code, verdicts(shown).count(WITHIN)) == (0, 1)
    assert "machine: another then, " in shown


@pytest.mark.parametrize(
    ("now", "error", "same_machine", "verdict"),
    [
        (0.46134, 0.01, True, EQUAL),
        (0.46136, 0.01, True, DIFFERS),
        (0.4614, 0.01, True, DIFFERS),
        (0.4812, 0.01, False, WITHIN),
        (0.4414, 0.01, False, WITHIN),
        (0.4815, 0.01, False, DIFFERS),
        (0.4613, None, False, EQUAL),
        (0.4614, None, False, DIFFERS),
        (0.4614, float("nan"), False, DIFFERS),
        (0.4614, 0.0, False, DIFFERS),
    ],
)
def test_when_a_figure_holds(now: float, error: float | None, same_machine: bool, verdict: str):
    assert judge(0.4613, error, now, same_machine) == verdict
