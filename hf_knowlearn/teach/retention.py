"""Retention: selects the questions that show what a model forgets, and computes the scores on them.

A model can forget only answers that it knows. If the recipe names no retention questions, they are the candidates that
the base model answers correctly (see `RunData.retention_candidates`).
"""

import logging
from dataclasses import replace
from typing import Any

from hf_knowlearn.config.settings import RunSettings
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.evaluate import EvaluationResult, response_scores
from hf_knowlearn.evaluation.general_knowledge import PREFIX, is_untouched
from hf_knowlearn.teach.data import RunData

logger = logging.getLogger(__name__)

RETENTION = "retention_questions"


def choose_retention(
    settings: RunSettings, data: RunData, before: EvaluationResult
) -> tuple[RunData, EvaluationResult]:
    """Keep only those candidates for retention questions that the base model answers correctly.

    Args:
        before: the responses of the base model.
    """
    named, candidates = settings.questions[RETENTION], data.retention_candidates
    if candidates is None:
        return replace(data, retention_source=f"Retention questions: {named}, from the recipe."), before
    if not candidates:
        source = "Retention was not measured, because no question is about a document outside the run."
        return replace(data, retention_source=source), before
    before = before.only_correct(RETENTION)
    chosen = list(before.questions.get(RETENTION, []))
    source = _source(candidates, len(chosen))
    logger.info(source)
    return replace(data, questions={**data.questions, RETENTION: chosen}, retention_source=source), before


def _source(candidates: list[Question], chosen: int) -> str:
    general = sum(map(_is_general, candidates))
    outside = len(candidates) - general
    kinds = [
        *([f"{number_of(outside, 'question')} about documents outside the run"] if outside else []),
        *([f"{number_of(general, 'general-knowledge question')} of the package"] if general else []),
    ]
    if not chosen:
        return f"Retention was not measured: the base model answers no candidate correctly ({' and '.join(kinds)})."
    return (
        f"Of {' and '.join(kinds)}, the base model answers {chosen:,} correctly. These are the retention questions, so"
        " the retention of the base model is 1. A lucky guess of the base model can later count as forgotten."
    )


def _is_general(question: Question) -> bool:
    return question.id.startswith(PREFIX)


def untouched_scores(evaluation: EvaluationResult) -> dict[str, Any]:
    """Return `retention_untouched`: retention on general knowledge of relations that no replay prompt is about.

    Why: replay protects the relations of its prompts more than other knowledge. Without such questions, return {}.
    """
    pairs = zip(evaluation.questions.get(RETENTION, ()), evaluation.responses.get(RETENTION, ()), strict=True)
    own = [(question, responses) for question, responses in pairs if _is_general(question) and is_untouched(question)]
    if not own:
        return {}
    scores = response_scores([each for each, _ in own], [each for _, each in own], evaluation.language)
    names = {"": "correct", "_se": "correct_se", "_n": "n"}
    return {f"retention_untouched{end}": scores[name] for end, name in names.items()}
