"""Knowledge tokens: how probable are the tokens that carry facts when a document is told as it never was in training?

The measure is that of arXiv 2503.03705, whose claim is that a model which goes on predicting the same knowledge tokens
in diverse contexts can also be asked for them. The surprising decision: a fact counts once a view, where it is told
first, and not if it opens the view. What the view has said already can be copied, for which nothing need be known; and
before the first name or number nothing says which document this is, so that nobody could know.
"""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import CharSpan, is_whole_word
from hf_knowlearn.documents.facts import fact_spans, identifying_spans
from hf_knowlearn.generation.batching import in_shares, read_rows
from hf_knowlearn.generation.models import check_model, pad_id
from hf_knowlearn.prompts.limits import context_length, smallest_limit, token_lengths
from hf_knowlearn.views import View
from hf_knowlearn.views.held_out import held_out_views
from hf_knowlearn.views.parts import MakeViews, views_of_parts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartTokens:
    """The knowledge tokens of a part of a document, over its held-out views.

    Args:
        probability: the mean over the tokens, in [0, 1]; nan where there are none.
        logprob: the mean of the natural logarithms.
        tokens: how many, each view's counted.
        views: how many views they were read in.
    """

    document_id: str
    part: int
    probability: float
    logprob: float
    tokens: int
    views: int


@dataclass(frozen=True)
class KnowledgeTokens:
    """How probable knowledge tokens are, over documents.

    Args:
        probability: the mean over documents of the mean over the document's tokens, in [0, 1]; nan without a token.
        probability_se: its standard error over documents; nan if there are fewer than two.
        logprob, logprob_se: the same of natural logarithms. A single token that is held for impossible moves it.
        documents: how many have knowledge tokens, and count.
        tokens: of all views together.
        without_facts: ids of documents in which no fact was found, or none that counts.
        without_views: ids of documents that can't be told otherwise than they were trained on.
        by_part: in the documents' order.
    """

    probability: float
    probability_se: float
    logprob: float
    logprob_se: float
    documents: int
    tokens: int
    without_facts: tuple[str, ...]
    without_views: tuple[str, ...]
    by_part: tuple[PartTokens, ...]

    def figures(self) -> dict[str, Any]:
        """The figures without the documents' own, in plain values."""
        names = ("probability", "probability_se", "logprob", "logprob_se", "documents", "tokens")
        left_out = {name: len(getattr(self, name)) for name in ("without_facts", "without_views")}
        return {**{name: getattr(self, name) for name in names}, **left_out}


@dataclass(frozen=True)
class _Row:
    """A view to read: the part that it tells, its tokens, and the places of those that count."""

    part: int
    ids: tuple[int, ...]
    places: tuple[int, ...]


def knowledge_tokens(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    documents: Iterable[Document],
    questions: Iterable[Question] = (),
    *,
    trained: MakeViews | None,
    hold_out: str | None = None,
    views: int = 2,
    seed: int = 0,
    part_tokens: int = 512,
    max_length: int | None = None,
    batch_size: int = 16,
    progress: str | None = None,
) -> KnowledgeTokens:
    """The mean probability of the tokens that carry the documents' facts, in formats and orders never trained on.

    A token's probability is what the model gives it after all that stands before it in the view, in one forward pass a
    view. A token counts if one of its characters belongs to a fact (`facts.fact_spans`) which the view tells there for
    the first time, letters' case aside, and if the title, or another name, number or answer, stands before. Each rank
    of several reads its share.

    Args:
        questions: facts are the answers to the questions about a document (by `document_id`); numbers and names in a
            document without.
        trained: the views that training reads of a document, or of a part of a long one. Whatever they say is not
            measured on. None: of a model that was trained on none of the documents.
        hold_out: the group of formats that training was told to keep out; measured in this group alone.
        views: held-out views of a document, or of each part of it: every other one in another order of its sentences.
        seed: of the held-out views; before and after the same.
        part_tokens: a document longer than this is cut into parts, where training cuts it if it is given the same.
        max_length: tokens that a view may have; parts whose views are longer are cut again. None: the model's context.
        batch_size: views computed at once, by each process.
        progress: what to write beside the progress bar; None shows no bar.

    Raises:
        ValueError: documents that can't be told within `max_length`; a tokenizer that can't say where its tokens
            stand; a model with an encoder; `views` or `batch_size` below 1.
        MemoryError: the memory does not hold a single view.
    """
    _refuse(tokenizer, views, batch_size)
    check_model(model)
    lengths, limit = token_lengths(tokenizer), smallest_limit(max_length, context_length(model))
    read: MakeViews = trained or (lambda part: ())

    def tell(part: Document) -> Sequence[View]:
        # The trained ones too, so that parts are cut again for them as they were for training.
        known = read(part)
        return [*known, *held_out_views(part, views, seed, hold_out=hold_out, trained=known)]

    by_document: dict[str, list[Question]] = {}
    for question in questions:
        by_document.setdefault(question.document_id or "", []).append(question)
    parts: list[Document] = []
    counts: list[int] = []
    rows: list[_Row] = []
    for document in documents:
        about = by_document.get(document.id, [])
        for part, told in views_of_parts(document, tell, lengths, part_tokens, limit):
            held_out = told[len(read(part)) :]
            rows += _rows(tokenizer, len(parts), part, held_out, about)
            parts.append(part)
            counts.append(len(held_out))
    sums = _sums(model, tokenizer, rows, batch_size, progress)
    return _summary(parts, counts, rows, sums)


def _refuse(tokenizer: "PreTrainedTokenizerBase", views: int, batch_size: int) -> None:
    problems = [
        f"{name}={value!r}: give a whole number from 1 up."
        for name, value in (("views", views), ("batch_size", batch_size))
        if type(value) is not int or value < 1  # a bool is an int to isinstance
    ]
    if not tokenizer.is_fast:
        problems.append(
            f"{type(tokenizer).__name__} does not say where in a text its tokens stand (it is no fast tokenizer), so"
            " facts can't be found among them: load the model's tokenizer with AutoTokenizer, or install tokenizers."
        )
    if problems:
        raise ValueError("\n".join(problems))


# Which tokens count


def _rows(
    tokenizer: "PreTrainedTokenizerBase", number: int, part: Document, views: Sequence[View], about: Sequence[Question]
) -> Iterator[_Row]:
    """Each view in which a token counts."""
    facts, clues = fact_spans(part, about), identifying_spans(part, about)
    if not facts or not views:
        return
    found = tokenizer([view.text for view in views], return_offsets_mapping=True, verbose=False)
    for view, ids, offsets in zip(views, found["input_ids"], found["offset_mapping"], strict=True):
        count = bytearray(len(view.text))  # 1 on each character that counts
        for start, end in counted(view, part, facts, clues):
            count[start:end] = b"\1" * (end - start)
        # The first token of a row has nothing before it, so nothing predicts it.
        places = tuple(i for i, (start, end) in enumerate(offsets) if i and any(count[start:end]))
        if places:
            yield _Row(number, tuple(ids), places)


def counted(view: View, part: Document, facts: Sequence[CharSpan], clues: Sequence[CharSpan]) -> list[CharSpan]:
    """The characters of `view` that count: facts where they are told first, after a clue to which document this is.

    Args:
        part: the document, or the part of it, that the view tells.
        facts, clues: characters of its text; the clues include the facts.
    """
    titled = bool(part.title.strip()) and part.title in view.text[: view.spans[0][0]]
    known = 0 if titled else min(_in_view(view, clue) for clue in clues)[-1][1]
    found = []
    for fact in facts:
        pieces = _in_view(view, fact)
        first = min(pieces)[0]
        if first >= known and not _stands(part.text[slice(*fact)], view.text[:first]):
            found += pieces
    return found


def _in_view(view: View, place: CharSpan) -> list[CharSpan]:
    """Where the view has these characters of the document; its layout may part them."""
    pieces = []
    for at, source, length in view.spans:
        start, end = max(place[0], source), min(place[1], source + length)
        if start < end:
            pieces.append((at + start - source, at + end - source))
    return pieces


def _stands(fact: str, before: str) -> bool:
    """Whether the fact stands in the text as whole words, in any case, with any layout between them."""
    pattern = r"\W+".join(map(re.escape, fact.split()))
    return any(is_whole_word(before, *match.span()) for match in re.finditer(pattern, before, re.IGNORECASE))


# How probable they are

Sums = tuple[float, float]  # over a row's tokens that count: of probabilities, of their logarithms


def _sums(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[_Row],
    batch_size: int,
    progress: str | None,
) -> list[Sums]:
    sums: dict[int, Sums] = {}

    def work(batch: list[int]) -> None:
        logits = read_rows(model, [rows[i].ids for i in batch], pad_id(tokenizer))
        for i, of_row in zip(batch, logits, strict=True):
            places = torch.tensor(rows[i].places, device=of_row.device)
            tokens = torch.tensor([rows[i].ids[place] for place in rows[i].places], device=of_row.device)
            logprobs = of_row[places - 1].float().log_softmax(-1).gather(-1, tokens[:, None]).double()
            sums[i] = (float(logprobs.exp().sum()), float(logprobs.sum()))

    in_shares(model, [len(row.ids) for row in rows], batch_size, work, progress)
    by_row = dict(gather_object(list(sums.items())))
    return [by_row[i] for i in range(len(rows))]


# Over documents


def _summary(
    parts: Sequence[Document], counts: Sequence[int], rows: Sequence[_Row], sums: Sequence[Sums]
) -> KnowledgeTokens:
    of_parts = [[0.0, 0.0, 0] for _ in parts]
    for row, (probability, logprob) in zip(rows, sums, strict=True):
        total = of_parts[row.part]
        total[:] = total[0] + probability, total[1] + logprob, total[2] + len(row.places)
    by_part = [
        PartTokens(part.id, part.part, *_mean(total), int(total[2]), views)
        for part, total, views in zip(parts, of_parts, counts, strict=True)
    ]
    of_document: dict[str, list[int]] = {}
    for i, part in enumerate(parts):
        of_document.setdefault(part.id, []).append(i)
    means, without_facts, without_views = [], [], []
    for document_id, places in of_document.items():
        pooled = [sum(column) for column in zip(*(of_parts[i] for i in places), strict=True)]
        if pooled[2]:
            means.append(_mean(pooled))
        elif any(counts[i] for i in places):
            without_facts.append(document_id)
        else:
            without_views.append(document_id)
    (probability, probability_se), (logprob, logprob_se) = (_with_error([mean[k] for mean in means]) for k in (0, 1))
    return KnowledgeTokens(
        probability,
        probability_se,
        logprob,
        logprob_se,
        documents=len(means),
        tokens=sum(part.tokens for part in by_part),
        without_facts=tuple(without_facts),
        without_views=tuple(without_views),
        by_part=tuple(by_part),
    )


def _mean(total: Sequence[float]) -> Sums:
    probability, logprob, tokens = total
    return (probability / tokens, logprob / tokens) if tokens else (math.nan, math.nan)


def _with_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    n = len(values)
    if not n:
        return math.nan, math.nan
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
