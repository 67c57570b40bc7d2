"""Sentences of a text as places in it, by sentencex (244 languages); white space around them belongs to none.

The segmenter only says where sentences end. Their words are always cut from the text itself, because sentencex 1.0
drops a blank line about every 10,000 characters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")


@dataclass(frozen=True)
class Sentence:
    """`text[start:end]`, without white space at its ends; `opens_paragraph` when a blank line stands before it."""

    start: int
    end: int
    opens_paragraph: bool


def sentences(text: str, language: str = "en") -> list[Sentence]:
    """The sentences of `text` in order. Together they hold each of its non-white-space characters once."""
    found: list[Sentence] = []
    position = 0
    for end in _ends(text, language):
        stretch = text[position:end]
        if words := stretch.strip():
            start = position + len(stretch) - len(stretch.lstrip())
            gap = text[found[-1].end : start] if found else ""
            found.append(Sentence(start, start + len(words), BLANK_LINE.search(gap) is not None))
        position = end
    return found


def _ends(text: str, language: str) -> Iterator[int]:
    """Where sentences end, ascending; the last is the end of `text`."""
    from sentencex import segment

    # sentencex 1.0 counts on a white space of one byte: before a next line (U+0085) it can panic.
    text = WIDE_SPACE.sub(" ", text)
    position = 0
    for piece in segment(language, text):
        words = piece.strip()
        if words and (start := text.find(words, position)) >= 0:
            position = start + len(words)
            yield position
    yield len(text)
