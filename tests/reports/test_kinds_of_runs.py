"""Reports of each kind of run: a report states only what was measured, in the unit in which it was measured."""

import re
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.reports.charts import charts, has_scores
from hf_knowlearn.reports.figures import Figure, Unit, change
from hf_knowlearn.reports.findings import findings
from hf_knowlearn.reports.html import to_html
from hf_knowlearn.reports.markdown import summary, to_markdown
from hf_knowlearn.reports.schema import new_report
from hf_knowlearn.teach.run_folder import write_report

COST = {"train_seconds": 61.4, "steps": 250, "gradient_evaluations": 500}
NO_QUESTIONS = {"documents": 3, "questions": 0, "replayed_questions": 0, "retention_questions": 0}
QUESTIONS = {**NO_QUESTIONS, "questions": 20, "retention_questions": 10}


def tokens(probability: float | None, n: int = 90) -> dict[str, Any]:
    return {"knowledge_tokens": {"probability": probability, "probability_se": 0.002, "documents": 3, "tokens": n}}


def scores(exact_match: float, retention: float) -> dict[str, Any]:
    return {"exact_match": exact_match, "exact_match_se": 0.05, "retention": retention, "retention_se": 0.01}


def report_of(before: dict[str, Any], after: dict[str, Any], counts: dict[str, int], **recipe: Any) -> dict[str, Any]:
    curve = [{"step": 10, "loss": 3.0}, {"step": 250, "loss": 1.0}]
    made = new_report(before, {"trained": {"train_loss": 1.0, "cost": COST, "curve": curve, **after}}, recipe, counts)
    return {**made, "contamination": {"n": 0, "rows": 50, "examples": []}}


def stage(name: str, **figures: Any) -> dict[str, Any]:
    return {"run": "trained", "name": name, "train_loss": 2.0, "cost": COST, **figures}


WITHOUT_QUESTIONS = report_of(tokens(0.012), tokens(0.032), NO_QUESTIONS)
WITHOUT_FACTS = report_of(tokens(None, 0), tokens(None, 0), NO_QUESTIONS)
WITH_QUESTIONS = report_of(scores(0.1, 1.0), scores(0.5, 0.9), QUESTIONS)
ONE_STAGE = {**WITH_QUESTIONS, "stages": [stage("only", **scores(0.5, 0.9))]}
TWO_STAGES = {**WITH_QUESTIONS, "stages": [stage("first", **scores(0.3, 0.95)), stage("last", **scores(0.5, 0.9))]}
RUNS = {
    "without questions": WITHOUT_QUESTIONS,
    "without facts": WITHOUT_FACTS,
    "with questions": WITH_QUESTIONS,
    "one stage": ONE_STAGE,
    "two stages": TWO_STAGES,
}


def text_of(report: dict[str, Any]) -> str:
    """Return all text that a user sees, without the recipe and the style sheet."""
    page = to_html(report).partition("<body>")[2].partition("<details>")[0]
    page = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    markdown = to_markdown(report).partition("## Recipe of")[0]
    return "\n".join([re.sub(r"<[^>]+>", " ", page), markdown, summary(report, Path("run"))]).replace("\u00a0", " ")


def test_a_mean_probability_is_never_printed_as_a_share():
    text = text_of(WITHOUT_QUESTIONS)
    assert "became more probable: 0.012 ± 0.002 before, 0.032 ± 0.002 after." in text
    assert "mean probability of the words that carry the facts" in text
    assert "%" not in text
    assert "exact match is" not in text


def test_without_facts_the_report_states_that_there_is_nothing_to_measure():
    assert findings(WITHOUT_FACTS)[0] == (
        "The model was trained on 3 documents. No questions were evaluated, and the documents contain no words"
        " that carry facts, so what it learned is unknown."
    )
    assert "knowledge tokens" not in text_of(WITHOUT_FACTS)
    assert "%" not in text_of(WITHOUT_FACTS)


@pytest.mark.parametrize("kind", RUNS)
def test_replay_is_not_mentioned_if_nothing_was_replayed(kind: str):
    assert "replay" not in text_of(RUNS[kind]).lower()


@pytest.mark.parametrize("kind", RUNS)
def test_drift_and_edits_are_not_mentioned_if_they_were_not_measured(kind: str):
    text = text_of(RUNS[kind])
    assert not re.search("drift|general text|Kullback|editing|nan|None", text, re.IGNORECASE)


def test_questions_about_other_documents_are_called_replayed_only_if_they_are():
    example = {"id": "1", "question": "Who?", "answers": ["Ida"], "before": "Ida", "after": "Ola"}
    moved = {"learned": 0, "retained": 4, "forgotten": 1, "never": 0, "examples": {"forgotten": [example]}}
    after = {**scores(0.5, 0.9), "replayed": 0.8, "transitions": {"replayed_questions": moved}}
    counts = {**QUESTIONS, "replayed_questions": 5}
    without = text_of(report_of(scores(0.1, 1.0), after, counts, replay_self=100))
    assert "Forgotten, of replayed_questions" in without
    assert "replayed_questions: 5 questions about other documents. No run replayed documents or questions." in without
    assert not re.search("about replayed documents|were replayed|was replayed", without)
    replayed = text_of(report_of(scores(0.1, 1.0), after, counts, replay_documents="old.jsonl"))
    assert "Forgotten, about replayed documents" in replayed
    assert "replayed: 5 questions about documents that were replayed in every batch." in replayed


@pytest.mark.parametrize("kind", RUNS)
def test_there_is_a_chart_only_if_there_is_something_to_draw(kind: str, tmp_path: Path):
    report = RUNS[kind]
    is_scored = report["counts"]["questions"] > 0
    write_report(tmp_path, report)
    assert (tmp_path / "scores.png").exists() == has_scores(report) == is_scored
    assert ("scores.png" in (tmp_path / "report.md").read_text()) == is_scored
    assert ("scores.png" in summary(report, tmp_path)) == is_scored
    assert list(charts(report)) == (["Scores by run"] if is_scored else []) + ["During training"]
    assert not charts({**report, "before": {}, "runs": {"trained": {"train_loss": None, "cost": COST}}, "stages": []})


def test_each_stage_except_the_last_has_its_own_row():
    assert "after first" in text_of(TWO_STAGES)
    assert "The first table has the scores after each stage." in text_of(TWO_STAGES)
    assert "after only" not in text_of(ONE_STAGE)
    assert "after each stage" not in text_of(ONE_STAGE)


@pytest.mark.parametrize("kind", ["without questions", "without facts", "with questions"])
def test_contamination_is_reported_only_if_there_are_questions(kind: str):
    assert ("contain an evaluation question" in text_of(RUNS[kind])) == (kind == "with questions")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"documents": 1}, "1 document"),
        ({"documents": 0, "train_documents": 2}, "2 documents"),
        (
            {"documents": 3, "train_documents": 2, "train_questions": 1},
            "3 documents, 2 further documents and 1 question",
        ),
        ({"documents": 0, "train_conversations": 1000}, "1,000 conversations"),
        ({"documents": 0}, "nothing"),
    ],
)
def test_the_first_finding_names_everything_that_was_trained_on(counts: dict[str, int], words: str):
    report = report_of({}, {}, {**NO_QUESTIONS, **counts})
    assert findings(report)[0].startswith(f"The model was trained on {words}. No questions were evaluated")


# Figures


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(0.012, Unit.SHARE, error=0.01), "1.2 %"),
        (Figure(0.012, Unit.PROBABILITY, error=0.01), "0.012 ± 0.010"),
        (Figure(0.012, Unit.PROBABILITY), "0.012"),
        (Figure(119, Unit.SECONDS), "119 s"),
        (Figure(5e6, Unit.BYTES), "5 MB"),
        (Figure(1234.0, Unit.COUNT), "1,234"),
    ],
)
def test_the_unit_determines_the_text_of_a_figure(figure: Figure, text: str):
    assert figure.text.replace("\u00a0", " ") == text


def test_figures_of_different_units_are_not_compared():
    with pytest.raises(AssertionError):
        change(Figure(0.1, Unit.SHARE, error=0.01), Figure(0.3, Unit.PROBABILITY, error=0.01))
