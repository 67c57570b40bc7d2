"""Knowledge tokens: the probability that a model gives to tokens that carry facts, in views that training did not use.

arXiv 2503.03705 reports that a model which predicts the knowledge tokens of a document in new contexts can also answer
questions about the document. Only the first occurrence of a fact in a view counts, because the model could copy later
occurrences. A name or number at the start of a view does not count, because no text before it identifies the document.
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
from hf_knowlearn.evaluation.standard_errors import clustered_mean
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
    """The knowledge tokens in the held-out views of one part of a document.

    Args:
        part: number of the part, from 0.
        probability: mean probability of the tokens, in [0, 1]; nan if there are no tokens.
        logprob: mean natural logarithm of the probability.
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
        probability: mean over documents of the mean probability of the document's tokens, in [0, 1]; nan if there are
            no tokens.
        probability_se: standard error of `probability` over documents; nan for fewer than two documents.
        logprob, logprob_se: mean natural logarithm of the probability, and its standard error. A single token of very
            low probability changes these values strongly.
        documents: number of documents with knowledge tokens.
        tokens: number of knowledge tokens in all views.
        without_facts: number of documents with views but without knowledge tokens.
        without_views: number of documents without views, because training used all of them.
        by_part: the result of each part, in the order of the documents.
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
        """Return the fields as plain values, without `by_part`."""
        return {name: value for name, value in vars(self).items() if name != "by_part"}


@dataclass(frozen=True)
class _Row:
    """A held-out view: the index of its part, its tokens, and the positions of its knowledge tokens."""

    part: int
    ids: tuple[int, ...]
    places: tuple[int, ...]


Sums = tuple[float, float]  # sum of the probabilities of a row's knowledge tokens, and sum of their logarithms


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
    """Measure the mean probability of knowledge tokens in views of the documents that training did not use.

    The probability of a token depends on all tokens before it in the view. Two conditions make a token a knowledge
    token. It belongs to the first occurrence of a fact in the view (`facts.fact_spans`; case is ignored). And earlier
    in the view, the title or another name, number or answer identifies the document. With several processes, each
    process computes a share of the views, and every process returns the whole result.

    Args:
        questions: questions about the documents. The answers to questions with the `document_id` of a document are its
            facts. If a document has no questions, its numbers and names are its facts.
        trained: a function that returns the training views of a document or part. These views are not used here. None:
            the model was not trained on the documents.
        hold_out: group of formats that training leaves out. All views here have formats of this group. None: formats
            of any group.
        views: number of held-out views of a document or part. Half of these views, rounded down, also have
            another sentence order if the document allows it.
        seed: seed of the held-out views. Use the same seed before and after training.
        part_tokens: maximum number of tokens of a part. Longer documents are split. Use the value of the training run
            to get the same parts.
        max_length: maximum number of tokens of a view. Parts with longer views are split again. None: the model's
            context.
        batch_size: number of views that each process computes at once.
        progress: label of the progress bar. None: no bar.

    Raises:
        ValueError: a view of a document does not fit in `max_length`, the tokenizer is not a fast tokenizer,
            or the model has an encoder.
        MemoryError: a batch of one view does not fit in memory.

    Example:
        >>> found = knowledge_tokens(model, tokenizer, documents, trained=None)
        >>> found.probability, found.tokens
        (0.31, 412)
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} is not a fast tokenizer. Knowledge tokens need one, because it returns the"
            " position of each token in the text. Load the tokenizer with AutoTokenizer."
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
            known = trained_views(part)
            held_out = [view for view in made if view not in known]
            rows += _rows(tokenizer, len(parts), part, held_out, about)
            parts.append(part)
            counts.append(len(held_out))
    ids = [row.ids for row in rows]

    def compute(batch: list[int], _: int) -> list[Sums]:
        logits = row_logits(model, [ids[i] for i in batch], pad_token_id(tokenizer))
        return [_row_sums(own, rows[i]) for i, own in zip(batch, logits, strict=True)]

    work = [len(own) for own in ids]
    sums = run_batches(longest_first(ids), batch_size, compute, model=model, progress=progress, work=work)
    return _summary(parts, counts, rows, sums)


# Knowledge tokens


def _rows(
    tokenizer: "PreTrainedTokenizerBase", number: int, part: Document, views: Sequence[View], about: Sequence[Question]
) -> Iterator[_Row]:
    """Yield a row for each view that has knowledge tokens."""
    facts, clues = fact_spans(part, about), identifying_spans(part, about)
    if not facts or not views:
        return
    found = tokenizer([view.text for view in views], return_offsets_mapping=True, verbose=False)
    for view, ids, offsets in zip(views, found["input_ids"], found["offset_mapping"], strict=True):
        counts = bytearray(len(view.text))  # 1 for each character of a counted span
        for start, end in counted_spans(view, part, facts, clues):
            counts[start:end] = b"\1" * (end - start)
        # Why without the first token (i = 0): the model predicts a token from the tokens before it.
        places = tuple(i for i, (start, end) in enumerate(offsets) if i and any(counts[start:end]))
        if places:
            yield _Row(number, tuple(ids), places)


def counted_spans(view: View, part: Document, facts: Sequence[CharSpan], clues: Sequence[CharSpan]) -> list[CharSpan]:
    """Return the spans of `view` that contain the first occurrence of a fact and come after a clue.

    A clue is a span that identifies the document. The title is also a clue, if it is at the start of the view.

    Args:
        part: the document or part that the view is made from.
        facts, clues: spans in the text of `part`. The clues include the facts.
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
    """Return the spans of the view that contain a span of the document. Layout can split it into several spans."""
    pieces = []
    for at, source, length in view.spans:
        start, end = max(span[0], source), min(span[1], source + length)
        if start < end:
            pieces.append((at + start - source, at + end - source))
    return pieces


def _occurs(fact: str, text: str) -> bool:
    """Return whether the text contains the fact as whole words. Case and the characters between words are ignored."""
    pattern = r"\W+".join(map(re.escape, fact.split()))
    return any(is_whole_word(text, *match.span()) for match in re.finditer(pattern, text, re.IGNORECASE))


# Probabilities


def _row_sums(logits: torch.Tensor, row: _Row) -> Sums:
    places = torch.tensor(row.places, device=logits.device)
    tokens = torch.tensor([row.ids[place] for place in row.places], device=logits.device)
    logprobs = logits[places - 1].float().log_softmax(-1).gather(-1, tokens[:, None]).double()
    return float(logprobs.exp().sum()), float(logprobs.sum())


# Means over documents


def _summary(
    parts: Sequence[Document], counts: Sequence[int], rows: Sequence[_Row], sums: Sequence[Sums]
) -> KnowledgeTokens:
    # For each part: the sum of probabilities, the sum of logarithms, the number of tokens and the number of views.
    totals = [[0.0, 0.0, 0, views] for views in counts]
    for row, own in zip(rows, sums, strict=True):
        totals[row.part] = _added(totals[row.part], (*own, len(row.places), 0))
    of_documents: dict[str, list[float]] = {}
    for part, total in zip(parts, totals, strict=True):
        of_documents[part.id] = _added(of_documents.get(part.id, [0, 0, 0, 0]), total)
    means = {id: _mean(total) for id, total in of_documents.items() if total[2]}
    columns = zip(*means.values() or [(math.nan, math.nan)], strict=True)
    (probability, probability_se), (logprob, logprob_se) = (
        clustered_mean([column], [*means] or [""]) for column in columns
    )
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
