"""Evaluates a model on sets of questions: generates the responses, checks which of them are correct, and computes
scores."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.responses import Responses, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall import correct, exact_match, first_line, score
from hf_knowlearn.prompts.templates import turn_end_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class EvaluationResult:
    """A model's responses to sets of questions.

    Args:
        questions: by role, such as "questions" or "retention_questions". Empty sets are left out.
        responses: by role, the responses to each question.
        seconds: duration of the generation, in seconds.
        language: see `knowledge_recall.scoring.normalize`.
        has_turns: whether the prompts had a chat template with a token at the end of a turn.
    """

    questions: Mapping[str, Sequence[Question]]
    responses: Mapping[str, Sequence[Responses]]
    seconds: float
    language: str = "en"
    has_turns: bool = False

    def scores(self) -> dict[str, dict[str, Any]]:
        """The scores of each role. For their names, see `response_scores`."""
        return {
            role: response_scores(questions, self.responses[role], self.language, self.has_turns)
            for role, questions in self.questions.items()
        }

    def greedy(self, role: str) -> list[str]:
        """The greedy response to each question of a role."""
        return [responses.greedy[0] for responses in self.responses[role]]

    def correct(self, role: str) -> list[bool]:
        """Whether the first line of each greedy response of a role is correct."""
        return self._judged(role, correct)

    def exact_matches(self, role: str) -> list[bool]:
        """Whether the first line of the greedy response is an exact match, for each question of a role."""
        return self._judged(role, exact_match)

    def _judged(self, role: str, judge: Callable[[str, Collection[str], str], bool]) -> list[bool]:
        return [
            judge(first_line(text), question.answers, self.language)
            for question, text in zip(self.questions[role], self.greedy(role), strict=True)
        ]

    def only_correct(self, role: str) -> "EvaluationResult":
        """This result, but with only those questions of `role` that were answered correctly."""
        places = [i for i, match in enumerate(self.correct(role)) if match]
        questions = [self.questions[role][i] for i in places]
        responses = [self.responses[role][i] for i in places]
        return replace(
            self,
            questions=_with_role(self.questions, role, questions),
            responses=_with_role(self.responses, role, responses),
        )

    def rows(self) -> list[dict[str, Any]]:
        """Each question with its responses, as a row of a JSONL file."""
        return [
            {
                "role": role,
                "id": question.id,
                "question": question.text,
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
    pool: Sequence[Question] | None = None,
    documents: Sequence[Document] | None = None,
    language: str = "en",
    answer_cache: Path | None = None,
    progress: str | None = None,
) -> EvaluationResult:
    """Generate responses to each set of questions with `generate_responses`, one prompt for each question.

    Args:
        questions: questions by role. Empty sets are left out.
        pool: questions that few-shot examples are chosen from. None: the questions of the role.
        answer_cache: the responses of each role are stored in `{answer_cache}.{role}.jsonl`.
        progress: label of the progress bar, which precedes the role. None: no bar.

    Raises:
        ValueError: see `generate_responses`.

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
            pool=pool,
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
    """The scores of `KnowledgeRecall` for one set of questions. Documents, relations and facts are used if all
    questions name them.

    Two further scores describe how responses end. `stopped` is the share of greedy responses that were not truncated
    by `max_new_tokens`. With `has_turns`, `end_of_turn` is the share that ended with the token for the end of a turn.
    Scores that are nan are left out.
    """
    references = [list(question.answers) for question in questions]
    samples = any(one.sampled[0] for one in responses)
    predictions = [[one.greedy[0], *one.sampled[0]] if samples else one.greedy[0] for one in responses]
    columns = _id_columns(questions)
    scores = score(predictions, references, language=language, **columns)
    return _without_nan(scores | _ending_scores(responses, has_turns, columns.get("documents")))


def _id_columns(questions: Sequence[Question]) -> dict[str, Any]:
    """Documents, relations and facts as columns of the metric. A column is left out if some question lacks it or all
    values are equal."""
    columns: dict[str, list[Any]] = {
        "documents": [question.document_id for question in questions],
        "relations": [question.relation for question in questions],
        "fact_ids": [question.fact_id for question in questions],
    }
    found = {}
    for name, column in columns.items():
        number = len({*column})
        differ = number < len(column) if name == "fact_ids" else number > 1  # facts with several wordings
        if differ and None not in column:
            found[name] = column
    return found


def _ending_scores(
    responses: Sequence[Responses], has_turns: bool, documents: Sequence[str] | None
) -> dict[str, float]:
    shares = {"stopped": {"line", "turn", "text"}, **({"end_of_turn": {"turn"}} if has_turns else {})}
    scores: dict[str, float] = {}
    for name, endings in shares.items():
        # Why: the metric computes the standard error of any share of questions. Each way to end is therefore scored as
        # yes or no.
        ended = [str(one.ended[0] in endings) for one in responses]
        found = score(ended, [["True"]] * len(ended), documents=documents)
        scores |= {name: found["exact_match"], f"{name}_se": found["exact_match_se"]}
    return scores


def _with_role(sets: Mapping[str, Any], role: str, value: Sequence[Any]) -> dict[str, Any]:
    return {name: values for name, values in {**sets, role: value}.items() if values}


def _without_nan(scores: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _without_nan(value) if isinstance(value, Mapping) else value for name, value in scores.items()}
    return {name: value for name, value in found.items() if not (isinstance(value, float) and math.isnan(value))}
