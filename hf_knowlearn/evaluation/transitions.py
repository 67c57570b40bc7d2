"""Transitions: how many questions a model learned to answer, still answers, or no longer answers after training."""

from collections.abc import Sequence
from typing import Any

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.correct_responses import response_checker

# (correct before, correct after) -> kind of transition
KINDS = {(False, True): "learned", (True, True): "retained", (True, False): "forgotten", (False, False): "never"}
WITH_EXAMPLES = ("learned", "forgotten")


def transitions(
    questions: Sequence[Question],
    before: Sequence[str],
    after: Sequence[str],
    *,
    language: str = "en",
    examples: int = 5,
) -> dict[str, Any]:
    """Count the questions by whether the responses before and after training are right.

    Returns a dictionary with the numbers of `learned`, `retained`, `forgotten` and `never` (right neither before nor
    after training), and with `examples` of learned and forgotten questions.

    A response is right if it is correct (see `knowledge_recall.correct`).

    Args:
        before, after: the model's response to each question, before and after training.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        examples: maximum number of examples of learned questions and of forgotten questions.

    Raises:
        ValueError: the numbers of questions and responses differ.

    Example:
        >>> transitions(questions, before=["Tarn"], after=["Ormel"])["learned"]
        1
    """
    if not len(questions) == len(before) == len(after):
        numbers = f"questions: {len(questions)}, before: {len(before)}, after: {len(after)}"
        raise ValueError(f"{numbers}. Give one response in `before` and one in `after` for each question.")
    by_kind: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS.values()}
    is_right = response_checker(questions, language)
    for question, old, new in zip(questions, before, after, strict=True):
        was, now = (is_right(question, text) for text in (old, new))
        texts = {"answers": list(question.answers), "before": old, "after": new}
        by_kind[KINDS[was, now]].append({"id": question.id, "question": question.text, **texts})
    counts = {kind: len(rows) for kind, rows in by_kind.items()}
    return {**counts, "examples": {kind: _spread(by_kind[kind], examples) for kind in WITH_EXAMPLES}}


def _spread(rows: Sequence[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Return at most `number` evenly spaced rows. Why: adjacent rows are often about the same document."""
    number = min(number, len(rows))
    return [rows[i * len(rows) // number] for i in range(number)]
