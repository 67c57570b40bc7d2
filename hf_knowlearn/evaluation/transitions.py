"""Changes: question by question, what training added to a model's answers and what it took away.

Right is what the headline counts: an exact match of the answer's first line. The surprising decision: examples are
taken at even distances from all that changed, not from its start, since questions about one document lie together.
"""

from collections.abc import Sequence
from typing import Any

from hf_knowlearn.documents import Question
from hf_knowlearn.knowledge_recall import exact_match, first_line

# Right before or not, right after or not.
KINDS = {(False, True): "learned", (True, True): "retained", (True, False): "forgotten", (False, False): "never"}
SHOWN = ("learned", "forgotten")


def transitions(
    questions: Sequence[Question],
    before: Sequence[str],
    after: Sequence[str],
    *,
    language: str = "en",
    examples: int = 5,
) -> dict[str, Any]:
    """How many questions were learned, kept, forgotten, and never known; and `examples` of the learned and forgotten.

    Args:
        before, after: the model's answer to each question, in the questions' order.
        language: how texts are normalised, see `scoring.normalize`.
        examples: the most of each.

    Raises:
        ValueError: not one answer before and one after for each question.
    """
    if not len(questions) == len(before) == len(after):
        there = f"{len(questions)} questions, {len(before)} answers before, {len(after)} after"
        raise ValueError(f"{there}: give each question one answer before and one after.")
    sorted_: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS.values()}
    for question, old, new in zip(questions, before, after, strict=True):
        was, now = (exact_match(first_line(said), question.answers, language) for said in (old, new))
        answers = {"answers": list(question.answers), "before": old, "after": new}
        sorted_[KINDS[was, now]].append({"id": question.id, "question": question.text, **answers})
    counts = {kind: len(rows) for kind, rows in sorted_.items()}
    return {**counts, "examples": {kind: _spread(sorted_[kind], examples) for kind in SHOWN}}


def _spread(rows: Sequence[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """At most `number` of the rows, at even distances, the first among them."""
    number = min(number, len(rows))
    return [rows[i * len(rows) // number] for i in range(number)]
