"""Rules that decide which sentences of a document can move without a change of what the document says.

A run of prose is a sequence of paragraphs without another block between them. Sentences move only within a run, so
they never leave their section. A run whose order matters, such as a procedure, keeps its order. In other runs, a
sentence that refers to the text before or after it stays with that text.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hf_knowlearn.documents.block_rules import BlockKind, has_end_of_sentence
from hf_knowlearn.documents.document import Document
from hf_knowlearn.documents.order_signs import DocumentKind, Sign, document_sign, run_sign
from hf_knowlearn.documents.sentence_rules import SentenceRules, rules_for
from hf_knowlearn.documents.sentences import PARAGRAPH, SOFT, Sentences, sentences
from hf_knowlearn.documents.structure import Block, parse_blocks

Paragraph = list[list[int]]  # chunks: lists of the indices of pieces that stay together, in order
Group = list[Paragraph]  # paragraphs that stay together, in order


@dataclass(frozen=True)
class Run:
    """A run of prose.

    Args:
        groups: the paragraphs of the run. Paragraphs that stay together are one group, and sentences that stay
            together are one chunk. Groups can be permuted. In a group of one paragraph, the chunks can be permuted
            too.
        kind: the kind of the run, such as a procedure, if the order of the run matters. None: sentences of the run can
            move.
        reason: why the order matters, in words.
    """

    groups: tuple[Group, ...]
    kind: DocumentKind | None = None
    reason: str = ""

    @property
    def can_move(self) -> bool:
        """Whether the run has two groups or two chunks that can change places."""
        return self.kind is None and (
            len(self.groups) > 1 or (len(self.groups[0]) == 1 and len(self.groups[0][0]) > 1)
        )


@dataclass(frozen=True)
class OrderRules:
    """Which sentences of a document can move.

    Args:
        kind: the kind of the document.
        reasons: why sentences keep their order, in words. Empty if every run can be permuted.
        runs: the runs of prose and all other blocks, in the order of the document. Each other block is a run of one
            chunk.
    """

    kind: DocumentKind
    reasons: tuple[str, ...]
    runs: tuple[Run, ...] = field(repr=False)

    @property
    def keeps_order(self) -> bool:
        """Whether no sentence can move."""
        return not any(run.can_move for run in self.runs)


def order_rules(document: Document, force: bool = False) -> OrderRules:
    """Decide which sentences of a document can be permuted.

    Args:
        document: a document, or a part of a document.
        force: permute also the sentences of texts whose order matters. A sentence still stays in its section and
            with the text that it refers to.

    Example:
        >>> from hf_knowlearn import Document
        >>> rules = order_rules(Document("pump", "Open the valve. Remove the four bolts. Take the filter out."))
        >>> str(rules.kind), rules.reasons
        ('procedure', ('3 of 3 sentences are instructions',))
    """
    return _order_rules(document.text, document.language, force)


@lru_cache(maxsize=2)  # Why: a mixture of families and the report need the rules of one document several times.
def _order_rules(text: str, language: str, force: bool) -> OrderRules:
    pieces, blocks = sentences(text, language), parse_blocks(text)
    rules = rules_for(language)
    whole_sign = None if force else document_sign(text, blocks, rules, language)
    runs: list[Run] = []
    for prose in _prose_runs(pieces):
        if pieces.verbatim[prose[0]]:
            runs.append(Run(([[prose]],)))
        elif whole_sign or rules is None:
            runs.append(Run(([[prose]],), *(whole_sign or ())))
        else:
            heading = _heading_before(text, blocks, pieces.starts[prose[0]])
            for part, sign in _signed_parts(pieces, prose, "" if force else heading, rules, force):
                runs += [Run(([[part]],), *sign)] if sign else _movable(pieces, part, rules)
    if not whole_sign and not force and _is_story(runs, pieces):
        whole_sign = DocumentKind.NARRATIVE, "most sentences narrate"
        runs = [Run(([[list(_pieces_of(run))]],), *whole_sign) if run.can_move else run for run in runs]
    return OrderRules(_kind(runs, blocks, whole_sign), tuple(_reasons(runs)), tuple(runs))


_LEAST_STORY = 60  # sentences; why: a short document can have a section that narrates and one of facts


def _is_story(runs: Sequence[Run], pieces: Sentences) -> bool:
    """Return whether a document is a long story, in which most sentences narrate. The other sentences of a long story
    keep their order too."""
    narrated = sum(len(list(_pieces_of(run))) for run in runs if run.kind is DocumentKind.NARRATIVE)
    return narrated >= _LEAST_STORY and 2 * narrated >= pieces.verbatim.count(False)


def _pieces_of(run: Run) -> Iterator[int]:
    """Return the indices of the pieces of a run, in order."""
    return (i for group in run.groups for paragraph in group for chunk in paragraph for i in chunk)


def can_move(part: Document, document: Document) -> bool:
    """Return whether sentences of a part of a document may move. They may move if each run that the rules permute in
    the part is within a run that the rules permute in the whole document.

    Why the whole document: a part of a dialogue or contract may not look like a dialogue or contract.
    """
    spans = _movable_spans(document.text, document.language)
    offset = part.start - document.start
    for start, end in _movable_spans(part.text, part.language):
        number = bisect_right(spans, offset + start, key=lambda span: span[0]) - 1
        if number < 0 or offset + end > spans[number][1]:
            return False
    return bool(spans)


@lru_cache(maxsize=2)  # Why: the whole document, and one of its parts.
def _movable_spans(text: str, language: str) -> tuple[tuple[int, int], ...]:
    """Return the (start, end) of each run whose sentences can move, in characters."""
    pieces = sentences(text, language)
    spans = []
    for run in _order_rules(text, language, force=False).runs:
        if run.can_move:
            numbers = list(_pieces_of(run))
            spans.append((pieces.starts[numbers[0]], pieces.starts[numbers[-1]] + pieces.lengths[numbers[-1]]))
    return tuple(spans)


def _prose_runs(pieces: Sentences) -> Iterator[list[int]]:
    """Yield the indices of the pieces of each run of prose. A verbatim piece is a run of its own."""
    run: list[int] = []
    for i, is_verbatim in enumerate(pieces.verbatim):
        if run and (is_verbatim or pieces.verbatim[i - 1]):
            yield run
            run = []
        run.append(i)
    if run:
        yield run


def _heading_before(text: str, blocks: Sequence[Block], start: int) -> str:
    """Return the nearest heading above a position."""
    number = bisect_right(blocks, start, key=lambda block: block.start) - 1
    return blocks[number].section[-1] if number >= 0 and blocks[number].section else ""


def _signed_parts(
    pieces: Sentences, prose: list[int], heading: str, rules: SentenceRules, force: bool
) -> Iterator[tuple[list[int], Sign | None]]:
    """Split a run of prose into parts. Yield each part with the kind and the reason if its order must stay, and with
    None if its sentences can move. Why: only some paragraphs of a run may be a procedure."""
    paragraphs = [[_text(pieces, sentence) for sentence in paragraph] for paragraph in _paragraphs(pieces, prose)]
    sign = None if force else run_sign([text for texts in paragraphs for text in texts], heading, rules)
    is_whole = len(paragraphs) < 2 if sign is None else sign[0] is not DocumentKind.PROCEDURE
    if force or is_whole:
        yield prose, sign
        return
    part: list[int] = []
    part_sign: Sign | None = None
    for paragraph, texts in zip(_paragraphs(pieces, prose), paragraphs, strict=True):
        paragraph_sign = _paragraph_sign(texts, sign, rules)
        if part and paragraph_sign != part_sign:
            yield part, part_sign
            part = []
        part_sign = paragraph_sign
        part += [i for sentence in paragraph for i in sentence]
    yield part, part_sign


def _paragraph_sign(texts: Sequence[str], sign: Sign | None, rules: SentenceRules) -> Sign | None:
    """Return why a paragraph keeps its order, or None. `sign` is the reason why the run of the paragraph is a
    procedure, or None."""
    if sign is None:
        found = run_sign(texts, "", rules) if len(texts) > 2 else None
        return found if found and found[0] is DocumentKind.PROCEDURE else None
    is_step = len(texts) < 2 or any(map(rules.is_instruction, texts)) or any(map(rules.orders_steps, texts))
    return sign if is_step else run_sign(texts, "", rules)


# Runs whose sentences can move


def _movable(pieces: Sentences, prose: Sequence[int], rules: SentenceRules) -> Iterator[Run]:
    """Split a run whose order does not matter. Sentences at its beginning that refer back, and a sentence at its end
    that refers forward, become runs of their own and keep their place."""
    paragraphs = list(_paragraphs(pieces, prose))
    end: list[Run] = []
    continues = len(paragraphs) > 1 and rules.refers_back(_text(pieces, paragraphs[-1][0]))
    if not continues and _announces(_text(pieces, paragraphs[-1][-1]), rules):
        *rest, last = paragraphs.pop()
        if rest:
            chunks = _chunks(pieces, rest, rules)
            is_free = not rules.refers_back(_text(pieces, last)) and not rules.refers_back(_text(pieces, rest[0]))
            end.append(Run(([chunks if is_free else [_merged(chunks)]],)))
        end.append(Run(([[last]],)))
    while paragraphs and rules.refers_back(_text(pieces, paragraphs[0][0])):
        first, *others = _chunks(pieces, paragraphs.pop(0), rules)
        yield Run(([[first]],))
        if others:
            yield Run(([others],))
    labels = [_has_label(pieces, paragraph) for paragraph in paragraphs]
    first_label = labels.index(True) if any(labels) else len(labels)
    for part in (paragraphs[:first_label], paragraphs[first_label:]):
        if groups := tuple(_groups(pieces, part, rules)):
            yield Run(groups)
    yield from end


# "**Colour:** The case is white." or "**Note** - The case is white."
_LABEL = re.compile(r"^\W{0,3}\*\*[^*\n]+(?:[.:?!\u061f]\*\*|\*\*\s?[:.\u2013\u2014-])(?=\s*\S)")


def _has_label(pieces: Sentences, paragraph: Sequence[list[int]]) -> bool:
    """Return whether a paragraph begins with a label in bold. The label also applies to the next paragraphs without a
    label."""
    return _LABEL.match(" ".join(_text(pieces, sentence) for sentence in paragraph[:2])) is not None


def _announces(text: str, rules: SentenceRules) -> bool:
    """Return whether the next block belongs to the sentence, such as a formula that completes the sentence."""
    return rules.refers_forward(text) or not has_end_of_sentence(text)


def _groups(pieces: Sentences, paragraphs: Sequence[list[list[int]]], rules: SentenceRules) -> list[Group]:
    """Group the paragraphs that stay together. If the first paragraph has a label, each paragraph stays with its
    label."""
    groups: list[Group] = []
    stays = False
    with_labels = bool(paragraphs) and _has_label(pieces, paragraphs[0])
    for paragraph in paragraphs:
        chunks = _chunks(pieces, paragraph, rules)
        has_label = with_labels and _has_label(pieces, paragraph)
        if has_label:
            chunks = [_merged(chunks)]
        if groups and rules.refers_back(_text(pieces, paragraph[0])):
            groups = [_merged(groups)]
            groups[0].append(chunks)
        elif groups and (stays or (with_labels and not has_label)):
            groups[-1].append(chunks)
        else:
            groups.append([chunks])
        stays = rules.refers_forward(_text(pieces, paragraph[-1]))
    return groups


def _merged(lists: list[list[Any]]) -> list[Any]:
    """Add the items of the other lists to the first list, and return the first list. Why in place: copies would take
    quadratic time."""
    first, *others = lists
    for other in others:
        first += other
    return first


def _text(pieces: Sentences, sentence: Sequence[int]) -> str:
    return " ".join(pieces.texts[i] for i in sentence)


def _paragraphs(pieces: Sentences, prose: Sequence[int]) -> Iterator[list[list[int]]]:
    """Yield the sentences of each paragraph. A sentence is a list of indices of pieces."""
    paragraph: list[list[int]] = []
    for i in prose:
        if pieces.breaks[i] == PARAGRAPH and paragraph:
            yield paragraph
            paragraph = []
        if pieces.breaks[i] == SOFT and paragraph:
            paragraph[-1].append(i)
        else:
            paragraph.append([i])
    yield paragraph


def _chunks(pieces: Sentences, paragraph: Sequence[list[int]], rules: SentenceRules) -> Paragraph:
    """Return the chunks of a paragraph. All sentences up to the last one that refers back are one chunk.

    Why: the sentence to which "she" refers may be any sentence before.
    """
    chunks: Paragraph = []
    announced = False
    for sentence in paragraph:
        text = _text(pieces, sentence)
        if chunks and rules.refers_back(text):
            chunks = [_merged(chunks)]
            chunks[0] += sentence
        elif chunks and announced:
            chunks[-1] += sentence
        else:
            chunks.append(list(sentence))
        announced = rules.refers_forward(text)
    return chunks


# The kind of the document


def _kind(runs: Sequence[Run], blocks: Sequence[Block], whole_sign: Sign | None) -> DocumentKind:
    if whole_sign:
        return whole_sign[0]
    ordered = Counter({run.kind: 0 for run in runs if run.kind})
    for run in runs:
        if run.kind:
            ordered[run.kind] += len(list(_pieces_of(run)))
    steps = any(block.kind is BlockKind.ORDERED_LIST for block in blocks)
    if any(run.can_move for run in runs):
        if ordered or steps:
            return DocumentKind.MIXED
        has_sections = sum(block.level > 0 for block in blocks) > 1
        return DocumentKind.SECTIONED_REFERENCE if has_sections else DocumentKind.INDEPENDENT_FACTS
    if ordered:
        return ordered.most_common(1)[0][0] or DocumentKind.CONNECTED
    if steps:
        return DocumentKind.PROCEDURE
    counts = Counter(block.kind for block in blocks)
    for block_kind, kind in ((BlockKind.DIALOGUE_TURN, DocumentKind.DIALOGUE), (BlockKind.LOG_LINE, DocumentKind.LOG)):
        if counts[block_kind]:
            return kind
    return DocumentKind.CONNECTED if counts[BlockKind.PARAGRAPH] else DocumentKind.BLOCKS


def _reasons(runs: Sequence[Run]) -> Iterator[str]:
    yield from dict.fromkeys(run.reason for run in runs if run.reason)
    if not any(run.can_move or run.kind for run in runs):
        yield "no two sentences stand alone in one paragraph or section"
