"""Splits long documents into parts that fit a model. The joined parts equal the document.

A part ends before a heading if possible. Otherwise it ends before another block, or else between two sentences, list
items, table rows or turns of a dialogue. Views of a part begin with the `heading` of the part. The `heading` contains
the title, the section path and, if the part continues a table, the header row of the table.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

from hf_knowlearn.documents.block_rules import BlockKind
from hf_knowlearn.documents.document import Document, show
from hf_knowlearn.documents.sentences import SOFT, sentences
from hf_knowlearn.documents.structure import Block, parse_blocks

TokenLengths = Callable[[list[str]], list[int]]  # texts -> number of tokens of each

PATH_SEPARATOR = " > "  # between the title and the headings of a section path
# The least share of the possible length at which a part ends before a heading, or before another block.
_LEAST_SECTION, _LEAST_BLOCK = 0.25, 0.5
_WORD = re.compile(r"\S+\s*")
_LINE = re.compile(r"^(?=[^\n]*\S)", re.MULTILINE)
_LINK_OR_STRING = re.compile(r"\[[^\]\n]*\]\([^)\n]*\)|\"[^\"\n]*\"|`[^`\n]*`")
_ITEM = re.compile(r"^(?:[-*+\u2022\u2023\u25e6\u25aa\u00b7]|\(?\w{1,4}[.)])[ \t]", re.MULTILINE)
_CUT_AT_LINES = frozenset({BlockKind.LOG_LINE, BlockKind.DIALOGUE_TURN, BlockKind.CLAUSE})


def split_document(document: Document, length: Callable[[str], int], limit: int) -> list[Document]:
    """Split a document into parts whose length is at most `limit`.

    The end of a part is the first of these positions that is possible:

    1. before the last heading that fits, if the part then has at least a quarter of the possible length;
    2. before the last block that fits, if the part then has at least half of the possible length;
    3. at the end of a sentence, a list item, a table row or a turn of a dialogue;
    4. at the end of a line, at white space outside of links and strings, or anywhere.

    White space belongs to the part before it. `length` is called a few times per part.

    Args:
        document: the document. If it fits, it is returned unchanged.
        length: a function that returns the length of a text, usually its number of tokens.
        limit: the largest length of a part, at least 1.

    Returns:
        The parts in order, with `part`, `start` and `heading` set. A part without a word is possible only if the
        document has a run of white space that is longer than `limit`.

    Raises:
        ValueError: `limit` is not a positive integer, or it is too small for a single character.

    Example:
        >>> document = Document("mill", "The mill grinds rye. It is old.")
        >>> parts = split_document(document, lambda text: len(text.split()), limit=4)
        >>> [(part.text, part.part, part.start) for part in parts]
        [('The mill grinds rye. ', 0, 0), ('It is old.', 1, 21)]
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be an integer of at least 1, got {show(limit)}.")
    text = document.text
    if _fits(text, 0, len(text), length, limit):
        return [document]
    cuts = _cuts(document)
    parts: list[Document] = []
    start, reach = 0, 4 * limit  # Why: an English token has about 4 characters.
    while start < len(text):
        end = _part_end(text, start, cuts, reach, length, limit)
        if end is None:
            place = f"character {start} ({text[start]!r}) of document {show(document.id)}"
            raise ValueError(f"limit={limit} is too small: {place} has length {length(text[start])}. Increase limit.")
        parts.append(_part(document, len(parts), start, end))
        start, reach = end, end - start
    return parts


def _part(document: Document, number: int, start: int, end: int) -> Document:
    part = copy(document)  # Why: `replace` would raise an error for a part that contains only white space.
    vars(part).update(
        text=document.text[start:end],
        part=document.part + number,
        start=document.start + start,
        heading=_heading(document, start),
    )
    return part


@dataclass(frozen=True)
class _Cuts:
    """Positions at which a part can end, in ascending lists. Each list contains the list before it.

    Args:
        sections: the positions before headings, and the end of the text.
        blocks: also the positions before other blocks, except directly after a heading.
        sentences: also the positions between sentences, list items, table rows and turns.
    """

    sections: list[int]
    blocks: list[int]
    sentences: list[int]


def _cuts(document: Document) -> _Cuts:
    text, blocks = document.text, parse_blocks(document.text)
    sections = {len(text)}
    starts = {len(text)}
    within = {len(text)}
    follows_heading, follows_colon = True, False
    stuck = set()  # starts of blocks that belong to the heading or the line before
    for block in blocks:
        if follows_heading or (follows_colon and not block.level):
            stuck.add(block.start)
        else:
            starts.add(block.start)
            if block.level:
                sections.add(block.start)
        follows_heading = block.level > 0
        follows_colon = text.startswith((":", "\uff1a"), block.end - 1)
        within.update(_within(text, block))
    within.update(_sentence_starts(document))
    return _Cuts(sorted(sections), sorted(starts), sorted((starts | within) - stuck))


def _within(text: str, block: Block) -> Iterator[int]:
    """Yield the positions within a list, a table or a dialogue at which a part can end."""
    if block.kind is BlockKind.TABLE:
        yield from [match.start() for match in _LINE.finditer(text, block.start, block.end)][3:]
    elif block.kind in (BlockKind.ORDERED_LIST, BlockKind.UNORDERED_LIST):
        yield from [match.start() for match in _ITEM.finditer(text, block.start, block.end)][1:]
    elif block.kind in _CUT_AT_LINES:
        yield from [match.start() for match in _LINE.finditer(text, block.start, block.end)][1:]


def _sentence_starts(document: Document) -> Iterator[int]:
    pieces = sentences(document.text, document.language)
    for start, kind, verbatim in zip(pieces.starts[1:], pieces.breaks[1:], pieces.verbatim, strict=False):
        if kind != SOFT and not verbatim:
            yield start


def _heading(document: Document, start: int) -> str:
    """Return the heading of the part that begins at `start`."""
    block = _block_from(parse_blocks(document.text), start)
    title = " ".join(document.heading.split("\n")[0].split()) or " ".join(document.title.split())
    path = block.section[:-1] if block.level and block.start >= start else block.section
    names = list(dict.fromkeys(filter(None, (title, *path))))
    if block.level and block.start >= start and names == [title] and block.section[-1] == title:
        names = []  # the part begins with the title itself
    heading = PATH_SEPARATOR.join(names)
    if block.kind is BlockKind.TABLE and block.start < start < block.end:
        header = document.text[block.start : start].split("\n", 2)[:-1]
        return "\n".join([*([heading, ""] if heading else []), *header, ""])
    return f"{heading}\n\n" if heading else ""


def _block_from(blocks: Sequence[Block], start: int) -> Block:
    """Return the block that contains position `start`, or the first block after it."""
    number = bisect_right(blocks, start, key=lambda block: block.start) - 1
    if number >= 0 and (start < blocks[number].end or number + 1 == len(blocks)):
        return blocks[number]
    return blocks[number + 1]


def _part_end(text: str, start: int, cuts: _Cuts, reach: int, length: Callable[[str], int], limit: int) -> int | None:
    """Return the farthest end of a part that begins at `start`, or None if not even one character fits."""

    def farthest(places: Sequence[int], first: int = 0) -> int | None:
        return _last_fitting(lambda end: _fits(text, start, end, length, limit), places, first, start + reach)

    # Why: only the next characters are searched for words, or a line of 50 MB would be searched once for each part.
    near = text[start : start + 8 * limit]
    word = start + len(near) - len(near.lstrip())
    first = bisect_right(cuts.sentences, word)  # the first cut with a word before it
    if (end := farthest(cuts.sentences, first)) is not None:
        return _better_end(cuts, start, end, len(text))
    stop = min(cuts.sentences[first] if first < len(cuts.sentences) else len(text), start + 8 * limit)
    lines = [match.start() for match in _LINE.finditer(text, word + 1, stop)]
    if (end := farthest(lines)) is not None:
        return end
    words = [match.end() for match in _WORD.finditer(text, word, stop)]
    if stop not in (len(text), *cuts.sentences[first : first + 1]):
        words = words[:-1]  # Why: the last word may continue beyond `stop`.
    end = farthest(list(_outside_links(text, start, stop, words)))
    end = farthest(words) if end is None else end
    return farthest(range(start + 1, stop + 1)) if end is None else end


def _outside_links(text: str, start: int, stop: int, places: Sequence[int]) -> Iterator[int]:
    """Return the places that are not within a link or a quoted string."""
    spans = [match.span() for match in _LINK_OR_STRING.finditer(text, start, stop)]
    for place in places:
        number = bisect_left(spans, (place, 0)) - 1  # the last one that begins before the place
        if number < 0 or place >= spans[number][1]:
            yield place


def _better_end(cuts: _Cuts, start: int, end: int, last: int) -> int:
    """Return the last position before `end` that is before a heading or another block. Return `end` if the part would
    become too short."""
    if end == last:
        return end
    for places, least in ((cuts.sections, _LEAST_SECTION), (cuts.blocks, _LEAST_BLOCK)):
        place = places[bisect_right(places, end) - 1] if places[0] <= end else start
        if place >= start + least * (end - start):
            return place
    return end


def _fits(text: str, start: int, end: int, length: Callable[[str], int], limit: int) -> bool:
    """Return whether the slice has at most length `limit`. Measure only the beginning of a very long slice."""
    probe = start + 8 * limit
    while probe < end:
        if length(text[start:probe]) > 1.5 * limit + 1:  # Why: a longer text may have a few tokens less, but not 1/3.
            return False
        probe = start + 4 * (probe - start)
    return length(text[start:end]) <= limit


def _last_fitting(fits: Callable[[int], bool], places: Sequence[int], first: int, guess: int) -> int | None:
    """Return the last of the ascending `places[first:]` that fits. The search begins at `guess`."""
    low, high, step = first - 1, len(places), 1
    index = max(bisect_right(places, guess) - 1, first)
    while high - low > 1:
        if fits(places[index]):
            low = index
        else:
            high = index
        middle = (low + high) // 2
        index = min(middle, low + step) if low >= first else max(middle, high - step)
        step *= 2
    return places[low] if low >= first else None
