"""Evaluates a model on sets of questions: generates responses, checks which ones are correct, and computes scores."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.evaluation.correct_responses import context_columns, response_checker
from hf_knowlearn.generation.responses import Responses, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall import exact_match, first_line, score
from hf_knowlearn.prompts.templates import turn_end_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


IDS = ("document_id", "relation", "fact_id")  # fields of a question that are in the rows of an evaluation


@dataclass(frozen=True)
class EvaluationResult:
    """A model's responses to sets of questions.

    Args:
        questions: the sets of questions, by role. The role is the purpose of a set, such as "questions" or
            "retention_questions". Empty sets are left out.
        responses: the responses to the questions of each set, by role.
        seconds: duration of the generation, in seconds.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        has_turns: whether the prompts use a chat template that ends a turn with a special token.
    """

    questions: Mapping[str, Sequence[Question]]
    responses: Mapping[str, Sequence[Responses]]
    seconds: float
    language: str = "en"
    has_turns: bool = False

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return the scores of each set of questions, by role (see `response_scores`)."""
        return {
            role: response_scores(questions, self.responses[role], self.language, self.has_turns)
            for role, questions in self.questions.items()
        }

    def greedy(self, role: str) -> list[str]:
        """Return the greedy response to each question of this role."""
        return [responses.greedy[0] for responses in self.responses[role]]

    def correct(self, role: str) -> list[bool]:
        """Return, for each question of this role, whether the greedy response is correct."""
        is_right = response_checker(self.questions[role], self.language)
        return [is_right(*one) for one in zip(self.questions[role], self.greedy(role), strict=True)]

    def exact_matches(self, role: str) -> list[bool]:
        """Return, for each question of this role, whether the first line of the greedy response is an exact match."""
        return [
            exact_match(first_line(text), question.answers, self.language)
            for question, text in zip(self.questions[role], self.greedy(role), strict=True)
        ]

    def only_correct(self, role: str) -> "EvaluationResult":
        """Return a copy of this result without the questions of `role` that the model answered incorrectly."""
        places = [i for i, match in enumerate(self.correct(role)) if match]
        questions = [self.questions[role][i] for i in places]
        responses = [self.responses[role][i] for i in places]
        return replace(
            self,
            questions=_with_role(self.questions, role, questions),
            responses=_with_role(self.responses, role, responses),
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each question, with the question and the responses: the lines of a JSONL file."""
        return [
            {
                "role": role,
                "id": question.id,
                "question": question.text,
                **{name: value for name in IDS if (value := getattr(question, name)) is not None},
                "answers": question.answers,
                "response": responses.greedy[0],
                "correct": is_correct,
                "exact_match": match,
                **({"sampled": responses.sampled[0]} if responses.sampled[0] else {}),
                "ended": responses.ended[0],
            }
            for role, questions in self.questions.items()
            for question, responses, is_correct, match in zip(
                questions, self.responses[role], self.correct(role), self.exact_matches(role), strict=True
            )
        ]


def evaluate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Mapping[str, Sequence[Question]],
    settings: GenerationSettings,
    *,
    pools: Mapping[str, Sequence[Question]] | None = None,
    documents: Sequence[Document] | Mapping[str, str] | None = None,
    language: str = "en",
    answer_cache: Path | None = None,
    progress: str | None = None,
) -> EvaluationResult:
    """Generate responses to each set of questions, with one prompt for each question.

    Args:
        questions: the sets of questions, by role (see `EvaluationResult`). Empty sets are left out.
        settings: settings of the generation.
        pools: questions that few-shot examples are chosen from, by role. For other roles, examples are chosen from the
            questions of the same set.
        documents: documents or texts for open-book prompts (see `generate_responses`).
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        answer_cache: a path. The responses to each set are cached in `{answer_cache}.{role}.jsonl`. None: no cache.
        progress: label of the progress bars, which is followed by the role. None: no bars.

    Raises:
        ValueError: the prompts cannot be built (see `generate_responses`).

    Example:
        >>> result = evaluate(model, tokenizer, {"questions": questions}, GenerationSettings(template="auto"))
        >>> result.scores()["questions"]["correct"]
        0.75
    """
    start = time.monotonic()
    sets = {role: own for role, own in questions.items() if own}
    responses = {
        role: generate_responses(
            model,
            tokenizer,
            own,
            settings,
            pool=(pools or {}).get(role),
            documents=documents,
            answer_cache=answer_cache and answer_cache.with_name(f"{answer_cache.name}.{role}.jsonl"),
            progress=progress and f"{progress} ({role})",
        )
        for role, own in sets.items()
    }
    has_turns = turn_end_token(tokenizer, settings.template) is not None
    return EvaluationResult(sets, responses, time.monotonic() - start, language, has_turns)


def response_scores(
    questions: Sequence[Question], responses: Sequence[Responses], language: str = "en", has_turns: bool = False
) -> dict[str, Any]:
    """Return the scores of one set of questions.

    Most scores are those of `knowledge_recall.score`. This function receives the questions, and the ids of documents,
    relations and facts if all questions have them. Two more scores describe how responses end. `stopped` is the share
    of greedy responses that were not truncated at `max_new_tokens`. `end_of_turn` is the share of greedy responses
    that ended with the end-of-turn token. It is computed only if `has_turns` is true. Scores that are nan are left
    out.
    """
    references = [list(question.answers) for question in questions]
    samples = any(one.sampled[0] for one in responses)
    predictions = [[one.greedy[0], *one.sampled[0]] if samples else one.greedy[0] for one in responses]
    columns = _id_columns(questions)
    context = context_columns(questions)
    scores = score(predictions, references, language=language, **{**columns, **context})
    if "relations" not in columns:
        scores.pop("by_relation", None)
    return _without_nan(scores | _ending_scores(responses, has_turns, columns.get("documents")))


def _id_columns(questions: Sequence[Question]) -> dict[str, Any]:
    """Return the arguments `documents`, `relations` and `fact_ids` of `knowledge_recall.score`.

    An argument is left out if a question has no value for it. An argument is also left out if it would not change the
    scores, because all questions have one document, all have one relation, or all have different facts.
    """
    columns: dict[str, list[Any]] = {
        "documents": [question.document_id for question in questions],
        "relations": [question.relation for question in questions],
        "fact_ids": [question.fact_id for question in questions],
    }
    found = {}
    for name, column in columns.items():
        number = len({*column})
        differ = number < len(column) if name == "fact_ids" else number > 1
        if differ and None not in column:
            found[name] = column
    return found


def _ending_scores(
    responses: Sequence[Responses], has_turns: bool, documents: Sequence[str] | None
) -> dict[str, float]:
    shares = {"stopped": {"line", "turn", "text"}, **({"end_of_turn": {"turn"}} if has_turns else {})}
    scores: dict[str, float] = {}
    for name, endings in shares.items():
        # Why with the metric: it computes the share of questions with its clustered standard error.
        ended = [str(one.ended[0] in endings) for one in responses]
        found = score(ended, [["True"]] * len(ended), documents=documents)
        scores |= {name: found["exact_match"], f"{name}_se": found["exact_match_se"]}
    return scores


def _with_role(sets: Mapping[str, Any], role: str, value: Sequence[Any]) -> dict[str, Any]:
    return {name: values for name, values in {**sets, role: value}.items() if values}


def _without_nan(scores: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _without_nan(value) if isinstance(value, Mapping) else value for name, value in scores.items()}
    return {name: value for name, value in found.items() if not (isinstance(value, float) and math.isnan(value))}
