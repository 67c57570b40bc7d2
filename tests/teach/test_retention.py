"""The selection of retention questions, and retention on relations that replay does not touch."""

from types import SimpleNamespace
from typing import Any

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.evaluate import EvaluationResult
from hf_knowlearn.evaluation.general_knowledge import general_questions, is_untouched
from hf_knowlearn.generation.responses import Responses
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.retention import RETENTION, choose_retention, untouched_scores

OUTSIDE = [Question("o1", "Who wrote The Castle?", ("Kafka",), "castle"), Question("o2", "Who?", ("Ida",), "castle")]
GENERAL = [next(q for q in general_questions() if is_untouched(q) is untouched) for untouched in (True, False)]
SETTINGS: Any = SimpleNamespace(questions={RETENTION: None})


def evaluated(questions: list[Question], right: list[bool]) -> EvaluationResult:
    texts = [question.answers[0] if is_right else "" for question, is_right in zip(questions, right, strict=True)]
    responses = [Responses(q.id, (text,), ((),), ("line",)) for q, text in zip(questions, texts, strict=True)]
    return EvaluationResult({RETENTION: questions}, {RETENTION: responses}, 1.0)


def chosen(candidates: list[Question], right: list[bool]) -> tuple[RunData, EvaluationResult]:
    data = RunData([], [], [], {"questions": [], RETENTION: candidates}, retention_candidates=candidates)
    return choose_retention(SETTINGS, data, evaluated(candidates, right))


def test_the_questions_that_the_base_model_answers_correctly_are_chosen():
    data, before = chosen([*OUTSIDE, *GENERAL], [True, False, True, False])
    assert [q.id for q in data.questions[RETENTION]] == ["o1", GENERAL[0].id]
    assert before.correct(RETENTION) == [True, True]
    assert data.retention_source.startswith(
        "Of 2 questions about documents outside the run and 2 general-knowledge questions of the package, the base"
        " model answers 2 correctly."
    )
    assert data.example_pools() == {RETENTION: [*OUTSIDE, *GENERAL]}  # the same examples before and after training


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([], "no question is about a document outside the run."),
        (OUTSIDE, "answers no candidate correctly (2 questions about documents outside the run)."),
        (GENERAL[:1], "answers no candidate correctly (1 general-knowledge question of the package)."),
    ],
)
def test_the_reason_for_no_retention_questions_is_stated(candidates: list[Question], reason: str):
    data, _ = chosen(candidates, [False] * len(candidates))
    assert not data.questions[RETENTION]
    assert data.retention_source.startswith("Retention was not measured")
    assert data.retention_source.endswith(reason)


def test_questions_of_the_recipe_are_not_selected():
    data = RunData([], [], [], {"questions": [], RETENTION: OUTSIDE})
    settings: Any = SimpleNamespace(questions={RETENTION: "mine.jsonl"})
    found, _ = choose_retention(settings, data, evaluated(OUTSIDE, [False, True]))
    assert found.questions[RETENTION] == OUTSIDE
    assert "mine.jsonl" in found.retention_source
    assert found.example_pools() == {}


def test_untouched_relations_are_scored_apart():
    untouched = [question for question in general_questions() if is_untouched(question)][:4]
    touched = GENERAL[1]
    result = evaluated([*OUTSIDE, touched, *untouched], [True, True, True, True, False, False, False])
    assert untouched_scores(result) == {
        "retention_untouched": 0.25,
        "retention_untouched_se": pytest.approx((0.25 * 0.75 / 4) ** 0.5),
        "retention_untouched_n": 4,
    }
    assert untouched_scores(evaluated([*OUTSIDE, touched], [True] * 3)) == {}
