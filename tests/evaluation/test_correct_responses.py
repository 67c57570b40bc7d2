"""Which responses are correct, with the question and the answers of its relation: the same as `score`."""

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.correct_responses import context_columns, response_checker
from hf_knowlearn.evaluation.evaluate import EvaluationResult, response_scores
from hf_knowlearn.evaluation.transitions import transitions
from hf_knowlearn.generation.responses import Responses
from hf_knowlearn.knowledge_recall import score

FACTS = [("Ann", "Lyon", "born in"), ("Bo", "Nice", "born in"), ("Cy", "1970", "born on"), ("Di", "1980", "born on")]
TEXTS = ["Ann was born in Lyon.", "Bo was born in Nice near Lyon.", "Cy was born in 1970.", "Di, 1980 or 1970."]
RIGHT = [True, False, True, False]


def questions(with_relations: bool = True) -> list[Question]:
    return [
        Question(name, f"When or where was {name} born?", (answer,), relation=relation if with_relations else None)
        for name, answer, relation in FACTS
    ]


def greedy(texts: list[str]) -> list[Responses]:
    return [Responses("q", (text,), ((),), ("turn",)) for text in texts]


@pytest.mark.parametrize(("with_relations", "expected"), [(True, RIGHT), (False, [True, True, True, False])])
def test_the_accepted_answers_of_other_questions_of_a_relation_compete(with_relations, expected):
    made = questions(with_relations)
    is_right = response_checker(made)
    assert [is_right(*one) for one in zip(made, TEXTS, strict=True)] == expected


def test_all_scores_of_an_evaluation_use_the_same_rule():
    made = questions()
    result = EvaluationResult({"questions": made}, {"questions": greedy(TEXTS)}, 0.0)
    assert result.correct("questions") == [row["correct"] for row in result.rows()] == RIGHT
    assert result.scores()["questions"]["correct"] == 0.5
    found = transitions(made, [""] * 4, TEXTS)
    assert (found["learned"], found["never"]) == (2, 2)
    references = [list(question.answers) for question in made]
    assert score(TEXTS, references, **context_columns(made))["correct"] == 0.5


def test_competition_within_a_single_relation_adds_no_scores_by_relation():
    made = questions()[:2]
    found = response_scores(made, greedy(TEXTS[:2]))
    assert found["correct"] == 0.5
    assert "by_relation" not in found


def test_relations_compete_only_if_all_questions_have_one():
    made = [*questions()[:2], Question("e", "Where?", ("Rome",))]
    assert "relations" not in context_columns(made)
    assert response_checker(made)(made[1], TEXTS[1])
