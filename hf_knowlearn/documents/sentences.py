"""Sentences of a text as places in it, by sentencex (244 languages); layout is put between them, never inside one.

The segmenter only says where sentences end. Their words are always cut from the text itself, because sentencex 1.0
drops a blank line about every 10,000 characters.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from hf_knowlearn.documents.verbatim_blocks import verbatim_spans

# What stands before a piece in the document. SOFT: a line break inside a sentence.
SOFT, SENTENCE, PARAGRAPH = range(3)
# White space that a format may replace. All other kinds (no-break, ideographic, tabs, ...) are content.
REPLACEABLE = " \n\r"

_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
_LINE_BREAK = re.compile(r"(?<![ \r\n])[ \r\n]*\n[ \r\n]*")
# Characters that sentencex is given at once: within a paragraph it can take quadratic time (Chinese, backticks).
_WINDOW = 5000
# Before a name, where the segmenter takes their full stop for a sentence's end, because it doesn't know them.
TITLES = frozenset(
    "Smt Shri Sri Sjt Kum Pt Ust Hon Rev Fr Br Sr Bro Capt Lt Col Gen Maj Sgt Cpl Cmdr Adm Gov Sen Rep".split()
)
_LONGEST = 12  # characters of a word of initials


class Sentences(NamedTuple):
    """Pieces of a text in order, as parallel lists; together they hold each of its non-white-space characters once.

    A piece is a sentence, a line of one that the document breaks over lines, or a block that is kept as written
    (`verbatim`). `breaks` says what stands before each piece: SOFT, SENTENCE or PARAGRAPH.
    """

    texts: list[str]
    starts: list[int]
    lengths: list[int]
    breaks: list[int]
    verbatim: list[bool]


@lru_cache(maxsize=1)  # families that take turns on a document ask for its sentences in a row
def sentences(text: str, language: str = "en") -> Sentences:
    """The pieces of `text` between which a format may put its layout; to be read, not changed."""
    places = list(_places(text, language))
    texts = [text[start:end] for start, end, _, _ in places]
    starts, _, breaks, verbatim = map(list, zip(*places, strict=True))
    return Sentences(texts, starts, list(map(len, texts)), breaks, verbatim)


def _places(text: str, language: str) -> Iterator[tuple[int, int, int, bool]]:
    """(start, end, break before it, kept) of each piece."""
    ends = list(_ends(text, language))
    position = 0
    for start, stop in [*verbatim_spans(text), (len(text), len(text))]:
        yield from _prose(text, position, start, ends[bisect_right(ends, position) : bisect_left(ends, start)])
        if start < stop:
            yield start, stop, PARAGRAPH, True
        position = stop


def _prose(text: str, position: int, stop: int, ends: list[int]) -> Iterator[tuple[int, int, int, bool]]:
    """The pieces of `text[position:stop]`, whose sentences end at `ends` and at `stop`."""
    first = last = -1  # the sentence found last, which the next may turn out to belong to
    between = PARAGRAPH
    for end in [*ends, stop]:
        words = text[position:end]
        start = position + len(words) - len(words.lstrip(REPLACEABLE))
        end = position + len(words.rstrip(REPLACEABLE))
        position = max(end, position)
        if not words.strip():
            continue
        if first >= 0 and not _may_part(text, last, start):
            last = end
            continue
        if first >= 0:
            yield from _lines(text, first, last, between)
            between = PARAGRAPH if text.count("\n", last, start) > 1 else SENTENCE
        first, last = start, end
    if first >= 0:
        yield from _lines(text, first, last, between)


def _may_part(text: str, end: int, start: int) -> bool:
    """Whether layout may stand between the characters before `end` and from `start` on."""
    gap, before, after = text[end:start], text[end - 1], text[start]
    if gap.strip(REPLACEABLE) or _joins(after):
        return False  # a no-break space, a tab: content
    if gap:
        return gap.count("\n") > 1 or not ((before.isdigit() and after.isdigit()) or _is_within_name(text, end, start))
    if after.isspace():
        return after == "\u3000"  # which parts sentences of Japanese, and stays
    # No white space between sentences: so Chinese and Hindi are written, but not 'a.b'.
    return _is_wide(before) or _is_wide(after) or not (before.isascii() or before.isalnum())


def _is_within_name(text: str, end: int, start: int) -> bool:
    """Whether the full stop before `end` may be that of an initial or a title, or an initial comes next ("D. Silva").

    The segmenter parts "M.S. Sripathy", "Ko. Ananda" and "Smt. Uma". A sentence that ends in "the U.S." is not parted
    from the next one either: that costs a little variety, and half a name moved away would cost a fact.
    """
    if text[end - 1] == ".":
        word = text[max(0, end - _LONGEST) : end - 1].rsplit(maxsplit=1)[-1:]
        parts = word[0].lstrip("([\"'\u2018\u201c\u00ab").split(".") if word else []
        if parts and (
            word[0] in TITLES or all(len(part) < 3 and part.isalpha() and part[0].isupper() for part in parts)
        ):
            return True
    return text[start].isupper() and text[start + 1 : start + 2] == "." and "\n" not in text[end:start]


def _joins(character: str) -> bool:
    """Whether it changes the character before it: an accent, a joiner, a choice of glyph (from U+0300 on)."""
    return character >= "\u0300" and (character == "\u200d" or unicodedata.category(character)[0] == "M")


def _lines(text: str, start: int, end: int, between: int) -> Iterator[tuple[int, int, int, bool]]:
    """A sentence, parted where the document breaks it over lines and a space would do as well."""
    if text.find("\n", start, end) >= 0:
        for match in _LINE_BREAK.finditer(text, start, end):
            before, after = text[match.start() - 1], text[match.end()]
            blank_line = match.group().count("\n") > 1
            if before.isspace() or after.isspace() or _joins(after):
                continue  # content, as in `_may_part`
            if not (blank_line or _is_spaced(before, after)):
                continue
            yield start, match.start(), between, False
            start, between = match.end(), PARAGRAPH if blank_line else SOFT
    yield start, end, between, False


def _is_spaced(before: str, after: str) -> bool:
    """Whether a space can stand between the two for a line break."""
    return not (_is_wide(before) or _is_wide(after) or (before.isdigit() and after.isdigit()))


def _is_wide(character: str) -> bool:
    """Of a script without spaces between words, where a line break stands for nothing (from U+2E80 on)."""
    return character >= "\u2e80"


def _ends(text: str, language: str) -> Iterator[int]:
    """Where sentences end, ascending, before the white space that follows them."""
    # sentencex 1.0 counts on a white space of one byte: before a next line (U+0085) it can panic.
    plain = text if text.isascii() else _WIDE_SPACE.sub(" ", text)
    position = 0
    while len(plain) - position > _WINDOW:
        stop = plain.rfind("\n\n", position + 1, position + _WINDOW) + 2
        ends = list(_ends_within(plain, position, stop if stop > 1 else position + _WINDOW, language))
        if stop > 1:
            yield from ends
            position = stop
        else:  # a longer paragraph: its last sentence may go on behind the window
            yield from ends[:-1]
            position = ends[-2] if len(ends) > 1 else position + _WINDOW
    yield from _ends_within(plain, position, len(plain), language)


def _ends_within(plain: str, position: int, stop: int, language: str) -> Iterator[int]:
    from sentencex import segment

    for piece in segment(language, plain[position:stop]):
        if not plain.startswith(piece, position):
            if not (piece := piece.strip()) or (found := plain.find(piece, position, stop)) < 0:
                continue
            position = found
        if words := piece.rstrip():
            yield position + len(words)
        position += len(piece)
