"""Computes the log-probabilities of accepted answers, and their ranks among the choices of multiple-choice questions.

Why: exact match is 0 for every wrong response. The log-probability of the right answer also shows how close a wrong
response is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.batching import run_with_prefixes
from hf_knowlearn.generation.causal_lm import check_causal_lm, pad_token_id
from hf_knowlearn.generation.reference_decoder import new_decoder
from hf_knowlearn.generation.responses import build_prompts
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall.scoring import normalize
from hf_knowlearn.prompts.examples import list_ids
from hf_knowlearn.prompts.limits import check_context
from hf_knowlearn.prompts.questions import Prompt
from hf_knowlearn.prompts.templates import CHAT, resolve_template, text_around_answer
from hf_knowlearn.prompts.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


@dataclass(frozen=True)
class AnswerLogprob:
    """The log-probability of the most probable accepted answer after a prompt. Logarithms are natural.

    Args:
        prompt: The index of the prompt among the prompts of the question, from 0.
        answer: The accepted answer, one of `Question.answers`.
        total: The sum of the log-probabilities of the answer's tokens.
        tokens: The number of the answer's tokens.
        first: The log-probability of the answer's first token.
        rank: The rank of the most probable accepted choice among all choices (`Question.options`), from 1. Choices are
            ranked by their total log-probability. None if the question has no choices.
    """

    question_id: str
    prompt: int
    answer: str
    total: float
    tokens: int
    first: float
    rank: int | None = None


@dataclass(frozen=True)
class AnswerRow:
    """A prompt followed by an answer.

    Args:
        prompt: The index of the prompt in the list of all prompts.
        ids: The tokens of the prompt and the answer.
        start: The index of the answer's first token in `ids`.
    """

    prompt: int
    answer: str
    ids: tuple[int, ...]
    start: int


def answer_logprobs(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    settings: GenerationSettings | None = None,
    *,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | None = None,
    progress: str | None = None,
) -> list[AnswerLogprob]:
    """Return the most probable accepted answer after each prompt, with its log-probability.

    The prompts are those of `generate_responses`. The settings of sampling and `max_new_tokens` have no effect. Each
    process computes its share and returns all results.

    Raises:
        ValueError: The prompts cannot be built (see `build_prompts`). Or no choice of a multiple-choice question is
            an accepted answer. Or a prompt and an answer exceed the model's context. The message lists the ids.
        MemoryError: A batch of one row does not fit into memory.

    Example:
        >>> answer_logprobs(model, tokenizer, questions)[0].total
        -3.2
    """
    settings = settings or GenerationSettings()
    prompts = build_prompts(model, tokenizer, questions, replace(settings, max_new_tokens=1), pool, documents)
    _check_options(questions)
    answers = [(*prompt.question.answers, *prompt.question.options) for prompt in prompts]
    by_prompt: list[dict[str, tuple[float, float, int]]] = [{} for _ in prompts]
    for row, score in compute_answers(model, tokenizer, prompts, answers, settings, _logprobs, progress):
        by_prompt[row.prompt][row.answer] = (*score, len(row.ids) - row.start)
    return [_best(prompt, own) for prompt, own in zip(prompts, by_prompt, strict=True)]


def compute_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Prompt],
    answers: Sequence[Iterable[str]],
    settings: GenerationSettings,
    compute: Callable[[torch.Tensor, Sequence[AnswerRow]], Sequence[T]],
    progress: str | None,
) -> list[tuple[AnswerRow, T]]:
    """Compute a result for each pair of a prompt and one of its answers, and return the pairs with their results.

    Blank answers are left out. Each process computes its share and returns all results.

    Args:
        answers: The answers to each prompt.
        compute: A function that returns a result for each row. Its arguments are the logits (rows, tokens of the
            longest answer, vocabulary) and the rows. The last logits of a row predict the last token of its answer.

    Raises:
        ValueError: A prompt and an answer exceed the model's context.
    """
    rows = _rows(tokenizer, prompts, answers, resolve_template(tokenizer, settings.template) == CHAT)
    if not rows:
        return []
    check_context(model, ((prompts[row.prompt].question.id, len(row.ids)) for row in rows), "an answer")
    check_causal_lm(model)
    decoder = new_decoder(model, pad_token_id(tokenizer))
    keys = [prompts[row.prompt].prefix_key for row in rows]
    decoder.find_prefixes([row.ids[: row.start] for row in rows], keys)

    def compute_batch(batch: list[int], _: int) -> Sequence[T]:
        here = [rows[i] for i in batch]
        keep = max(len(row.ids) - row.start for row in here) + 1
        logits = decoder.last_logits([row.ids for row in here], [keys[i] for i in batch], keep)
        return compute(logits[:, :-1], here)  # the last logits predict the token after the answer

    ids = [row.ids for row in rows]
    found = run_with_prefixes(decoder, ids, keys, settings.batch_size, compute_batch, progress)
    return list(zip(rows, found, strict=True))


def _rows(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[Prompt], answers: Sequence[Iterable[str]], chat: bool
) -> list[AnswerRow]:
    pairs = [(number, text) for number, own in enumerate(answers) for text in dict.fromkeys(own) if text.strip()]
    before = text_around_answer(tokenizer)[0] if chat else " "
    texts = [f"{prompts[number].text}{before}{text}" for number, text in pairs]
    tokens = encode(tokenizer, texts)
    return [
        AnswerRow(number, text, tuple(ids), _first_difference(ids, prompts[number].ids))
        for (number, text), ids in zip(pairs, tokens, strict=True)
    ]


def _first_difference(ids: Sequence[int], prompt: Sequence[int]) -> int:
    """Return the index of the first token of the answer: the first token that differs from the tokens of the prompt.

    Why: a tokenizer may merge the end of the prompt with the start of the answer into one token.
    """
    pairs = zip(ids, prompt, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(prompt)))


def _logprobs(logits: torch.Tensor, rows: Sequence[AnswerRow]) -> list[tuple[float, float]]:
    """Return, for each row, the log-probabilities of the answer and of the first token of the answer."""
    logprobs = logits.float().log_softmax(-1)
    counts = [len(row.ids) - row.start for row in rows]
    padded = [[0] * (logits.shape[1] - n) + list(row.ids[row.start :]) for n, row in zip(counts, rows, strict=True)]
    tokens = torch.tensor(padded, device=logprobs.device)
    each = logprobs.gather(-1, tokens[..., None])[..., 0].double().cpu()
    return [(float(own[-n:].sum()), float(own[-n])) for own, n in zip(each, counts, strict=True)]


def _best(prompt: Prompt, scores: dict[str, tuple[float, float, int]]) -> AnswerLogprob:
    question = prompt.question
    answer = max((text for text in question.answers if text in scores), key=lambda text: scores[text][0])
    total, first, tokens = scores[answer]
    rank = None
    if question.options:
        best = max(scores[option][0] for option in _accepted_options(question))
        rank = 1 + sum(scores[option][0] > best for option in set(question.options) & set(scores))
    return AnswerLogprob(question.id, prompt.number, answer, total, tokens, first, rank)


def _accepted_options(question: Question) -> list[str]:
    answers = {normalize(answer) for answer in question.answers}
    return [option for option in question.options if option.strip() and normalize(option) in answers]


def _check_options(questions: Sequence[Question]) -> None:
    if lost := [q.id for q in questions if q.options and not _accepted_options(q)]:
        raise ValueError(
            f"{number_of(len(lost), 'question has', 'questions have')} no accepted answer among the options:"
            f" {list_ids(lost)}. Add an accepted answer to the options, or remove the options."
        )
