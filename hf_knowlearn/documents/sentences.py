"""Splits a text into sentences with their positions. The library sentencex finds the sentences (244 languages).

Views change the layout between sentences, never inside a sentence. Why sentences are slices of the text, and not the
segments of sentencex 1.0: the segments lack a blank line about every 10,000 characters.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from hf_knowlearn.documents.language import primary_language
from hf_knowlearn.documents.sentence_ends import EndRules, end_rules
from hf_knowlearn.documents.structure import verbatim_spans

# What separates a piece from the one before it. SOFT is a line break inside a sentence.
SOFT, SENTENCE, PARAGRAPH = range(3)
# White space that a view may replace. Other white space (no-break, ideographic, tabs, ...) is content.
REPLACEABLE = " \n\r"

_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
_LINE_BREAK = re.compile(r"(?<![ \r\n])[ \r\n]*\n[ \r\n]*")
# Characters per call of sentencex. Why: within a paragraph it can take quadratic time (Chinese, backticks).
_WINDOW = 5000
_CLOSING = "\u300d\u300f"  # closing quotation marks of Japanese


class Sentences(NamedTuple):
    """The pieces of a text in order, as parallel lists.

    A piece is a sentence, one line of a sentence that has several lines, or a verbatim block. Together, the pieces
    contain each character of the text that is not white space exactly once.

    Args:
        texts: the text of each piece.
        starts: the position of each piece in the document, in characters.
        lengths: the length of each piece, in characters.
        breaks: what separates each piece from the one before it: SOFT, SENTENCE or PARAGRAPH.
        verbatim: whether each piece is a verbatim block.
    """

    texts: list[str]
    starts: list[int]
    lengths: list[int]
    breaks: list[int]
    verbatim: list[bool]


@lru_cache(maxsize=1)  # Why: the view families segment the same document one after the other.
def sentences(text: str, language: str = "en") -> Sentences:
    """Return the pieces of `text`. The result is cached, so callers must not modify it.

    Args:
        text: the text of a document.
        language: language code, which selects the rules of sentencex and of `sentence_ends`.

    Example:
        >>> sentences("Mr. Smith left. He sang.").texts
        ['Mr. Smith left.', 'He sang.']
    """
    places = list(_places(text, language))
    texts = [text[start:end] for start, end, _, _ in places]
    starts, _, breaks, verbatim = map(list, zip(*places, strict=True))
    return Sentences(texts, starts, list(map(len, texts)), breaks, verbatim)


def _places(text: str, language: str) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (start, end, kind of break before it, whether it is verbatim) of each piece."""
    code = primary_language(language)
    rules = end_rules(code)
    ends = list(_ends(text, code))
    if rules.missed is not None and (missed := [match.end() for match in rules.missed.finditer(text)]):
        ends = sorted({*ends, *missed})
    position = 0
    for start, stop in [*verbatim_spans(text), (len(text), len(text))]:
        yield from _prose(text, position, start, ends[bisect_right(ends, position) : bisect_left(ends, start)], rules)
        if start < stop:
            yield start, stop, PARAGRAPH, True
        position = stop


def _prose(
    text: str, position: int, stop: int, ends: list[int], rules: EndRules
) -> Iterator[tuple[int, int, int, bool]]:
    """Yield the pieces of `text[position:stop]`. The sentences in it end at `ends` and at `stop`."""
    first = last = -1  # the last sentence found, to which the next one may belong
    between = PARAGRAPH
    for end in [*ends, stop]:
        words = text[position:end]
        start = position + len(words) - len(words.lstrip(REPLACEABLE))
        end = position + len(words.rstrip(REPLACEABLE))
        position = max(end, position)
        if not words.strip():
            continue
        if first >= 0 and not _is_boundary(text, last, start, rules):
            last = end
            continue
        if first >= 0:
            yield from _lines(text, first, last, between)
            between = PARAGRAPH if text.count("\n", last, start) > 1 else SENTENCE
        first, last = start, end
    if first >= 0:
        yield from _lines(text, first, last, between)


def _is_boundary(text: str, end: int, start: int, rules: EndRules) -> bool:
    """Return whether a view may put layout between a sentence that ends at `end` and one that begins at `start`."""
    gap, before, after = text[end:start], text[end - 1], text[start]
    if gap.strip(REPLACEABLE) or _joins(after):
        return False  # Why: a no-break space or a tab is content.
    if gap:
        is_number = before.isdigit() and after.isdigit()
        return gap.count("\n") > 1 or not (is_number or rules.is_within_sentence(text, end, start))
    if after.isspace():
        return after == "\u3000"  # Why: it separates Japanese sentences. It belongs to the second one.
    # Why: Chinese and Hindi have no white space between sentences, and "a.b" is one word.
    is_wide = _is_wide(before) or _is_wide(after) or not (before.isascii() or before.isalnum())
    return is_wide and not (after in rules.continues and before in _CLOSING)


def _joins(character: str) -> bool:
    """Return whether a character modifies the one before it, as accents, joiners and variation selectors do."""
    return character >= "\u0300" and (character == "\u200d" or unicodedata.category(character)[0] == "M")


def _lines(text: str, start: int, end: int, between: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yield the lines of a sentence. A sentence is split at line breaks that a space could replace."""
    if text.find("\n", start, end) >= 0:
        for match in _LINE_BREAK.finditer(text, start, end):
            before, after = text[match.start() - 1], text[match.end()]
            blank_line = match.group().count("\n") > 1
            if before.isspace() or after.isspace() or _joins(after):
                continue  # Why: it is content, as in `_is_boundary`.
            if not (blank_line or _is_spaced(before, after)):
                continue
            yield start, match.start(), between, False
            start, between = match.end(), PARAGRAPH if blank_line else SOFT
    yield start, end, between, False


def _is_spaced(before: str, after: str) -> bool:
    """Return whether a space can replace a line break between the characters `before` and `after`."""
    return not (_is_wide(before) or _is_wide(after) or (before.isdigit() and after.isdigit()))


def _is_wide(character: str) -> bool:
    """Return whether a character belongs to a script without spaces between words (from U+2E80 on)."""
    return character >= "\u2e80"


def _ends(text: str, language: str) -> Iterator[int]:
    """Yield the ends of the sentences in ascending order. White space after a sentence does not belong to it."""
    # Why: sentencex 1.0 expects white space of one byte, and can panic at the character U+0085.
    plain = text if text.isascii() else _WIDE_SPACE.sub(" ", text)
    position = 0
    while len(plain) - position > _WINDOW:
        stop = plain.rfind("\n\n", position + 1, position + _WINDOW) + 2
        ends = list(_ends_within(plain, position, stop if stop > 1 else position + _WINDOW, language))
        if stop > 1:
            yield from ends
            position = stop
        else:  # Why: the paragraph is longer than the window, and its last sentence may continue after it.
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
