"""Log-probabilities: how probable is the accepted answer after the question, and how does it rank among the options?

An answer that greedy decoding misses by a little and one that it misses by far are the same zero in exact match;
this tells them apart. The surprising decision: prompt and answer are tokenized as one text, and what is scored begins
at the first token that the prompt alone does not have, because a tokenizer may join the prompt's end and the answer.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.ask import GenerationSettings, build_prompts, in_order
from hf_knowlearn.generation.batching import in_batches
from hf_knowlearn.generation.decoding import Decoder
from hf_knowlearn.generation.models import check_model, in_eval_mode, pad_id
from hf_knowlearn.knowledge_recall.scoring import normalize
from hf_knowlearn.prompts.questions import Prompt
from hf_knowlearn.prompts.templates import CHAT, resolve_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class AnswerLogprob:
    """Of the accepted answer that is most probable after a prompt; natural logarithms.

    Args:
        answer: which one of `Question.answers` that is.
        total: the sum over its tokens.
        tokens: how many they are; total / tokens is the mean.
        first: of its first token alone.
        rank: of the options, how many are more probable than the best accepted one, and one; by `total`. None where
            the question has no options.
    """

    question_id: str
    prompt: int
    answer: str
    total: float
    tokens: int
    first: float
    rank: int | None = None


@dataclass(frozen=True)
class Row:
    """A prompt with an answer behind it: the prompt's place, its tokens, and the place of the answer's first token."""

    prompt: int
    answer: str
    ids: tuple[int, ...]
    start: int


def answer_logprobs(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    asking: GenerationSettings | None = None,
    *,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | None = None,
    progress: str | None = None,
) -> list[AnswerLogprob]:
    """The accepted answers' log-probabilities after each prompt of each question, in their order.

    Asked as `ask_many` asks; `samples`, their settings and `max_new_tokens` play no part. Each rank of several scores
    its share.

    Raises:
        ValueError: whatever is wrong with the questions, each named by its id: what `ask_many` refuses, or options
            among which there is no accepted answer, or an answer that leaves the model's context.
        MemoryError: the memory does not hold a single prompt.
    """
    asking = asking or GenerationSettings()
    prompts = build_prompts(model, tokenizer, questions, replace(asking, max_new_tokens=1), pool, documents)
    _refuse_options(questions)
    answers = [(*prompt.question.answers, *prompt.question.options) for prompt in prompts]
    rows = answer_rows(model, tokenizer, prompts, answers, asking)
    scores = read_answers(model, tokenizer, prompts, rows, asking, _scores, progress)
    of_prompt: list[dict[str, tuple[float, float, int]]] = [{} for _ in prompts]
    for row, score in zip(rows, scores, strict=True):
        of_prompt[row.prompt][row.answer] = (*score, len(row.ids) - row.start)
    return [_best(prompt, of_it) for prompt, of_it in zip(prompts, of_prompt, strict=True)]


def answer_rows(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Prompt],
    answers: Sequence[Iterable[str]],
    asking: GenerationSettings,
) -> list[Row]:
    """Each prompt with each of its answers behind it, blank ones left out; refused if the context doesn't hold one."""
    chat = resolve_template(tokenizer, asking.template) == CHAT
    wanted = [(place, text) for place, of_it in enumerate(answers) for text in dict.fromkeys(of_it) if text.strip()]
    # In a chat the turn's header is before it, in the plain form a colon.
    texts = [f"{prompts[place].text}{'' if chat else ' '}{text}" for place, text in wanted]
    found = tokenizer(texts, add_special_tokens=not chat, verbose=False)["input_ids"] if texts else []
    rows = []
    for (place, text), all_ids in zip(wanted, found, strict=True):
        ids, known = tuple(all_ids), prompts[place].ids
        start = next(
            (i for i, (a, b) in enumerate(zip(ids, known, strict=False)) if a != b), min(len(ids), len(known))
        )
        rows.append(Row(place, text, ids, start))
    _refuse_long(model, prompts, rows)
    return rows


def read_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Prompt],
    rows: Sequence[Row],
    asking: GenerationSettings,
    read: Callable[[torch.Tensor, Sequence[Row]], Sequence[T]],
    progress: str | None,
) -> list[T]:
    """What `read` makes of each row; of several ranks each reads its share.

    Args:
        read: takes the logits (rows, tokens of the longest answer, vocabulary) before each token of the rows'
            answers, which lie on the right, and these rows; gives something for each.
    """
    if not rows:
        return []
    check_model(model)
    decoder = Decoder(model, pad_id(tokenizer))
    families = [prompts[row.prompt].family for row in rows]
    decoder.share([row.ids[: row.start] for row in rows], families)
    order = in_order([row.ids for row in rows], families, decoder)

    def work(batch: list[int], batch_size: int) -> Sequence[T]:
        decoder.read_beginnings({families[i]: rows[i].ids for i in batch}, batch_size)
        here = [rows[i] for i in batch]
        keep = max(len(row.ids) - row.start for row in here) + 1
        logits, _, _ = decoder.prefill([row.ids for row in here], [families[i] for i in batch], keep)
        # The last token's logits say what follows the answer, which nobody asks.
        return read(logits[:, :-1], here)

    return in_shares(model, order, [family in decoder.shared for family in families], work, asking, progress)


def in_shares(
    model: "PreTrainedModel",
    order: Sequence[int],
    kinds: Sequence[object],
    work: Callable[[list[int], int], Sequence[T]],
    asking: GenerationSettings,
    progress: str | None,
) -> list[T]:
    """What `work` makes of each item, by the items' places; of several ranks each works on its share of `order`.

    Args:
        order: the places of all items as they are worked on, in batches that are each of one of the `kinds`.
        work: takes the places in a batch, and how many rows it may compute at a time.
    """
    state, size = PartialState(), asking.batch_size
    shares = [order[i : i + size] for i in range(0, len(order), size)][state.process_index :: state.num_processes]
    mine = [i for share in shares for i in share]
    bar = tqdm(total=len(mine), desc=progress, unit="answer", disable=progress is None or not state.is_main_process)
    found: dict[int, T] = {}

    def keep(batch: list[int], batch_size: int) -> None:
        found.update(zip(batch, work(batch, batch_size), strict=True))
        bar.update(len(batch))

    with bar, torch.no_grad(), in_eval_mode(model):
        in_batches(mine, size, kinds, keep, logger)
    by_place = dict(gather_object(list(found.items())))
    return [by_place[i] for i in range(len(order))]


def _scores(logits: torch.Tensor, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The log-probability of each row's answer, and of its first token."""
    logprobs = logits.float().log_softmax(-1)
    counts = [len(row.ids) - row.start for row in rows]
    said = [[0] * (logits.shape[1] - n) + list(row.ids[row.start :]) for n, row in zip(counts, rows, strict=True)]
    tokens = torch.tensor(said, device=logprobs.device)
    each = logprobs.gather(-1, tokens[..., None])[..., 0].double().cpu()
    return [(float(of_it[-n:].sum()), float(of_it[-n])) for of_it, n in zip(each, counts, strict=True)]


def _best(prompt: Prompt, scores: dict[str, tuple[float, float, int]]) -> AnswerLogprob:
    question = prompt.question
    answer = max((text for text in question.answers if text in scores), key=lambda text: scores[text][0])
    total, first, tokens = scores[answer]
    rank = None
    if question.options:
        accepted = _accepted(question)
        best = max(scores[option][0] for option in accepted)
        rank = 1 + sum(scores[option][0] > best for option in set(question.options) & set(scores))
    return AnswerLogprob(question.id, prompt.number, answer, total, tokens, first, rank)


def _accepted(question: Question) -> list[str]:
    """The options that are accepted answers, as scoring compares them."""
    answers = {normalize(answer) for answer in question.answers}
    return [option for option in question.options if option.strip() and normalize(option) in answers]


def _refuse_options(questions: Sequence[Question]) -> None:
    if lost := [q.id for q in questions if q.options and not _accepted(q)]:
        raise ValueError(
            f"The options of {len(lost)} questions hold none of their accepted answers, such as {lost[0]!r}: put one"
            " among them, or leave the options out."
        )


def _refuse_long(model: "PreTrainedModel", prompts: Sequence[Prompt], rows: Sequence[Row]) -> None:
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if room is None:
        return
    if long := {prompts[row.prompt].question.id: len(row.ids) for row in rows if len(row.ids) > room}:
        listed = ", ".join(f"{id!r} ({n} tokens)" for id, n in list(long.items())[:5])
        raise ValueError(
            f"{len(long)} questions leave this model's context of {room} with an answer: {listed}. Shorten them."
        )
