"""Divides the facts of questions into exam and training."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.answer_search import normalize
from hf_knowlearn.study.study_question import StudyQuestion, stable_hash


@dataclass(frozen=True)
class FactSplit:
    """Questions for the exam and for training. No fact is in both.

    Args:
        exam, training: the questions.
        exam_facts, training_facts: number of facts.
        standard_error: the largest possible standard error of a share of the exam's facts, `sqrt(0.25 / exam_facts)`.
    """

    exam: tuple[StudyQuestion, ...]
    training: tuple[StudyQuestion, ...]
    exam_facts: int
    training_facts: int
    standard_error: float


def split_facts(questions: Sequence[StudyQuestion], exam: int = 200, seed: int = 0) -> FactSplit:
    """Divide the facts of questions into exam and training.

    Two questions of a document are about one fact if the spans of their answers overlap, or if their answers are equal
    after normalization. Each document contributes to the exam in proportion to the number of its facts. The order of
    the questions has no effect.

    Args:
        exam: number of facts in the exam.
        seed: chooses the facts.

    Raises:
        ValueError: `exam` is not at least 1 and less than the number of facts.
    """
    by_document: dict[str | None, list[StudyQuestion]] = defaultdict(list)
    for question in questions:
        by_document[question.document_id].append(question)
    places = sorted(place for name, group in by_document.items() for place in _places(str(name), _facts(group), seed))
    if not 1 <= exam < len(places):
        raise ValueError(
            f"exam={exam} must be at least 1 and less than the number of facts. The questions are about"
            f" {number_of(len(places), 'fact')}. Choose another size of the exam, or give more questions."
        )
    chosen = {name for _, _, names in places[:exam] for name in names}
    exam_part = tuple(question for question in questions if question.id in chosen)
    training_part = tuple(question for question in questions if question.id not in chosen)
    return FactSplit(exam_part, training_part, exam, len(places) - exam, sqrt(0.25 / exam))


def _places(document: str, facts: Iterable[list[StudyQuestion]], seed: int) -> list[tuple[float, int, list[str]]]:
    """Return the place of each fact between 0 and 1, a hash, and the ids of the fact's questions.

    The places of a document are evenly spaced, so each part of the interval has the same share of every document.
    """
    named = [sorted(question.id for question in fact) for fact in facts]
    order = sorted((stable_hash(seed, *names), names) for names in named)
    shift = stable_hash(seed, "shift", document) / 2**63
    return [((rank + shift) / len(order), hash_, names) for rank, (hash_, names) in enumerate(order)]


def _facts(questions: Iterable[StudyQuestion]) -> list[list[StudyQuestion]]:
    """Return the questions of one document, grouped by fact."""
    spans: list[tuple[int, list[StudyQuestion]]] = []  # end of the span, questions
    for question in sorted(questions, key=lambda each: (each.start, each.id)):
        end = question.start + question.length
        if spans and question.start < spans[-1][0]:
            spans[-1] = (max(end, spans[-1][0]), [*spans[-1][1], question])
        else:
            spans.append((end, [question]))
    group_of: dict[str, list[StudyQuestion]] = {}  # normalized answer -> the questions about its fact
    for _, span in spans:
        keys = {normalize(question.answers[0]) for question in span}
        for group in {id(group_of[key]): group_of[key] for key in keys if key in group_of}.values():
            span = [*group, *span]
        group_of |= {normalize(question.answers[0]): span for question in span}
    return list({id(group): group for group in group_of.values()}.values())
