"""Differences: what one asking has over another of the same questions, figure by figure."""

from collections.abc import Sequence

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.evaluate import Evaluation
from hf_knowlearn.evaluation.standard_errors import paired
from hf_knowlearn.hub.metadata import ROLES
from hf_knowlearn.knowledge_recall import exact_match, first_line
from hf_knowlearn.knowledge_recall.scoring import f1

MEASURES = {"exact_match": exact_match, "f1": f1}
# The figures of each role, by the names that a report has for them, and how an answer counts.
FIGURES = {role: figures for role, (_, figures) in ROLES.items()}


def difference(first: Evaluation, other: Evaluation) -> dict[str, float]:
    """What `other` has over `first` in each figure, with the standard error of that paired difference."""
    found: dict[str, float] = {}
    for role, questions in first.asked.items():
        for measure, name in FIGURES[role].items():
            counted = [counts(measure, questions, of.greedy(role), first.language) for of in (first, other)]
            found[name], found[f"{name}_se"] = paired(questions, *counted)
    return found


def counts(measure: str, questions: Sequence[Question], said: Sequence[str], language: str) -> list[float]:
    """What the answer to each question counts, in [0, 1]: of its first line, as the headline does."""
    judge = MEASURES[measure]
    return [float(judge(first_line(text), q.answers, language)) for q, text in zip(questions, said, strict=True)]
