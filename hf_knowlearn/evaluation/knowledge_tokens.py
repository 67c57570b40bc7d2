"""Knowledge tokens: the probability of the tokens that carry facts, in views that training never used.

The measure is that of arXiv 2503.03705: a model that predicts the knowledge tokens of a document in diverse contexts
can also answer questions about them. A fact counts once in a view, at its first occurrence, because later occurrences
can be copied. A name or number at the start of a view does not count, because no text before it identifies the
document.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import CharSpan, is_whole_word
from hf_knowlearn.documents.facts import fact_spans, identifying_spans
from hf_knowlearn.generation.batching import longest_first, row_logits, run_batches
from hf_knowlearn.generation.causal_lm import check_causal_lm, pad_token_id
from hf_knowlearn.prompts.limits import context_length, smallest_limit, token_lengths
from hf_knowlearn.views import View
from hf_knowlearn.views.held_out import held_out_views
from hf_knowlearn.views.parts import MakeViews, views_of_parts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class PartTokens:
    """The knowledge tokens of a part of a document, over its held-out views.

    Args:
        probability: mean over the tokens, in [0, 1]; nan without tokens.
        logprob: mean of the natural logarithms.
        tokens: number of knowledge tokens in all views.
        views: number of held-out views.
    """

    document_id: str
    part: int
    probability: float
    logprob: float
    tokens: int
    views: int


@dataclass(frozen=True)
class KnowledgeTokens:
    """The probability of knowledge tokens over documents.

    Args:
        probability: mean over documents of the mean over the document's tokens, in [0, 1]; nan without tokens.
        probability_se: standard error of `probability` over documents; nan for fewer than two documents.
        logprob, logprob_se: the same for natural logarithms of probabilities. A single very improbable token changes
            them much.
        documents: number of documents with knowledge tokens.
        tokens: number of knowledge tokens in all views.
        without_facts: number of documents without a fact that counts.
        without_views: number of documents without a view that training did not use.
        by_part: the results of each part, in the order of the documents.
    """

    probability: float
    probability_se: float
    logprob: float
    logprob_se: float
    documents: int
    tokens: int
    without_facts: int
    without_views: int
    by_part: tuple[PartTokens, ...]

    def figures(self) -> dict[str, Any]:
        """The fields as plain values, without `by_part`."""
        return {name: value for name, value in vars(self).items() if name != "by_part"}


@dataclass(frozen=True)
class _Row:
    """A held-out view: the number of its part, its tokens, and the indices of its knowledge tokens."""

    part: int
    ids: tuple[int, ...]
    places: tuple[int, ...]


Sums = tuple[float, float]  # sums over the knowledge tokens of a row: of probabilities, and of their logarithms


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
    """The mean probability of the tokens that carry the documents' facts, in formats and orders that training did not
    use.

    A token's probability is conditional on all tokens before it in the view. A token counts if it belongs to
    the first occurrence of a fact in the view (`facts.fact_spans`; case is ignored), and if the title, or another
    name, number or answer, occurs earlier in the view. With several processes, each computes a part of the views, and
    all of them return the combined result.

    Args:
        questions: their answers are the facts of a document (by `document_id`). If a document has no questions, its
            numbers and names are the facts.
        trained: a function that returns the training views of a document or of a part. These views are not measured.
            None: the model was not trained on the documents.
        hold_out: group of formats that training leaves out. Only this group is measured on.
        views: number of held-out views of a document, or of each part. Half of them have another sentence order.
        seed: seed of the held-out views. Use the same seed before and after training.
        part_tokens: longer documents are split into parts. Use the value of training to get the same parts.
        max_length: maximum number of tokens of a view. Parts with longer views are split further. None: the model's
            context.
        batch_size: number of views that each process computes at once.
        progress: label of the progress bar. None: no bar.

    Raises:
        ValueError: a document has no views within `max_length`, the tokenizer is not a fast one, or the model has an
            encoder.
        MemoryError: one view does not fit.

    Example:
        >>> found = knowledge_tokens(model, tokenizer, documents, trained=None)
        >>> found.probability, found.tokens
        (0.31, 412)
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, so it does not report the place of a token in a"
            " text: load the model's tokenizer with AutoTokenizer, or install tokenizers."
        )
    check_causal_lm(model)
    lengths, limit = token_lengths(tokenizer), smallest_limit(max_length, context_length(model))
    trained_views: MakeViews = trained or (lambda part: ())

    def make_views(part: Document) -> Sequence[View]:
        # Why: the training views are included, so that parts are split as in training.
        known = trained_views(part)
        return [*known, *held_out_views(part, views, seed, hold_out=hold_out, trained=known)]

    by_document: dict[str, list[Question]] = {}
    for question in questions:
        by_document.setdefault(question.document_id or "", []).append(question)
    parts: list[Document] = []
    counts: list[int] = []
    rows: list[_Row] = []
    for document in documents:
        about = by_document.get(document.id, [])
        for part, made in views_of_parts(document, make_views, lengths, part_tokens, limit):
            held_out = made[len(trained_views(part)) :]
            rows += _rows(tokenizer, len(parts), part, held_out, about)
            parts.append(part)
            counts.append(len(held_out))
    ids = [row.ids for row in rows]

    def compute(batch: list[int], _: int) -> list[Sums]:
        logits = row_logits(model, [ids[i] for i in batch], pad_token_id(tokenizer))
        return [_row_sums(own, rows[i]) for i, own in zip(batch, logits, strict=True)]

    sums = run_batches(longest_first(ids), batch_size, compute, model=model, progress=progress)
    return _summary(parts, counts, rows, sums)


# Which tokens count


def _rows(
    tokenizer: "PreTrainedTokenizerBase", number: int, part: Document, views: Sequence[View], about: Sequence[Question]
) -> Iterator[_Row]:
    """Each view that has a token that counts."""
    facts, clues = fact_spans(part, about), identifying_spans(part, about)
    if not facts or not views:
        return
    found = tokenizer([view.text for view in views], return_offsets_mapping=True, verbose=False)
    for view, ids, offsets in zip(views, found["input_ids"], found["offset_mapping"], strict=True):
        counts = bytearray(len(view.text))  # 1 for each character that counts
        for start, end in counted_spans(view, part, facts, clues):
            counts[start:end] = b"\1" * (end - start)
        # No token comes before the first one, so the model does not predict it.
        places = tuple(i for i, (start, end) in enumerate(offsets) if i and any(counts[start:end]))
        if places:
            yield _Row(number, tuple(ids), places)


def counted_spans(view: View, part: Document, facts: Sequence[CharSpan], clues: Sequence[CharSpan]) -> list[CharSpan]:
    """The spans of `view` that count: the first occurrence of each fact after a clue that identifies the document.

    Args:
        part: the document, or the part of it, that the view renders.
        facts, clues: spans of its text. The clues include the facts.
    """
    titled = bool(part.title.strip()) and part.title in view.text[: view.spans[0][0]]
    known = 0 if titled else min(_in_view(view, clue) for clue in clues)[-1][1]
    found = []
    for fact in facts:
        pieces = _in_view(view, fact)
        first = min(pieces)[0]
        if first >= known and not _occurs(part.text[slice(*fact)], view.text[:first]):
            found += pieces
    return found


def _in_view(view: View, span: CharSpan) -> list[CharSpan]:
    """The spans of the view that contain these characters of the document. Layout may separate the spans."""
    pieces = []
    for at, source, length in view.spans:
        start, end = max(span[0], source), min(span[1], source + length)
        if start < end:
            pieces.append((at + start - source, at + end - source))
    return pieces


def _occurs(fact: str, text: str) -> bool:
    """Whether the words of the fact occur in the text as whole words, in any case and layout."""
    pattern = r"\W+".join(map(re.escape, fact.split()))
    return any(is_whole_word(text, *match.span()) for match in re.finditer(pattern, text, re.IGNORECASE))


# The probabilities of these tokens


def _row_sums(logits: torch.Tensor, row: _Row) -> Sums:
    places = torch.tensor(row.places, device=logits.device)
    tokens = torch.tensor([row.ids[place] for place in row.places], device=logits.device)
    logprobs = logits[places - 1].float().log_softmax(-1).gather(-1, tokens[:, None]).double()
    return float(logprobs.exp().sum()), float(logprobs.sum())


# Means over documents


def _summary(
    parts: Sequence[Document], counts: Sequence[int], rows: Sequence[_Row], sums: Sequence[Sums]
) -> KnowledgeTokens:
    # Of each part: the sums of probabilities and of logarithms, and the numbers of tokens and of views.
    totals = [[0.0, 0.0, 0, views] for views in counts]
    for row, own in zip(rows, sums, strict=True):
        totals[row.part] = _added(totals[row.part], (*own, len(row.places), 0))
    of_documents: dict[str, list[float]] = {}
    for part, total in zip(parts, totals, strict=True):
        of_documents[part.id] = _added(of_documents.get(part.id, [0, 0, 0, 0]), total)
    means = [_mean(total) for total in of_documents.values() if total[2]]
    (probability, probability_se), (logprob, logprob_se) = (_mean_and_error([m[k] for m in means]) for k in (0, 1))
    return KnowledgeTokens(
        probability,
        probability_se,
        logprob,
        logprob_se,
        documents=len(means),
        tokens=sum(len(row.places) for row in rows),
        without_facts=sum(tokens == 0 and views > 0 for *_, tokens, views in of_documents.values()),
        without_views=sum(views == 0 for *_, views in of_documents.values()),
        by_part=tuple(
            PartTokens(part.id, part.part, *_mean(total), int(total[2]), int(total[3]))
            for part, total in zip(parts, totals, strict=True)
        ),
    )


def _added(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _mean(total: Sequence[float]) -> Sums:
    probability, logprob, tokens, _ = total
    return (probability / tokens, logprob / tokens) if tokens else (math.nan, math.nan)


def _mean_and_error(values: Sequence[float]) -> Sums:
    """The mean over documents, and the standard error of the mean."""
    n = len(values)
    if not n:
        return math.nan, math.nan
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
