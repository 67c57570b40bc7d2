"""Joins the lines of PDF pages into paragraphs, undoes hyphenation, and marks headings, lists and code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TypeAlias

_BULLET = re.compile(r"^[•◦▪‣●○■□➢✓–—-]\s*(?=\S)|^[·*o]\s+(?=\S)")
_NUMBER = re.compile(r"^(?:\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)]|\d+(?:\.\d+)+\.?)\s+(?=\S)")
_MONOSPACED = re.compile(r"mono|courier|cmtt|consol|menlo|monl-|typewriter|fixed", re.IGNORECASE)
_BOLD = re.compile(r"bold|black|heavy|cmbx|medi\b|-b\b", re.IGNORECASE)
_HYPHENATED = re.compile(r"\w+(?:-\w+)+")
_SENTENCE_END = tuple(".!?:;\u3002\uff01\uff1f")
_HYPHENS = ("-", "\u00ad", "\u2010")


@dataclass(frozen=True)
class Line:
    """A line of text on a page. Positions are in points from the upper left corner.

    Args:
        font: name of the font, or an empty string if the line has several fonts.
        page: number of the page.
        box: number of the block of lines on the page.
    """

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    size: float
    font: str
    page: int
    box: int

    @property
    def width(self) -> float:
        """The mean width of a character, in points."""
        return (self.x1 - self.x0) / len(self.text)


Block: TypeAlias = "Line | str"  # a line, or a table in Markdown


def markdown_of_pages(pages: Sequence[Sequence[Block]]) -> str:
    """Return the blocks of all pages as Markdown.

    A line is joined to the line above if the first word of the line would not fit at the end of the line above. Other
    lines stay separate.
    """
    blocks = [block for page in pages for block in page]
    lines = [block for block in blocks if isinstance(block, Line)]
    if not lines:
        return "\n\n".join(map(str, blocks))
    layout = _Layout(lines)
    parts: list[str] = []
    for group in _groups(blocks, layout):
        if isinstance(group, str):
            parts.append(group)
        elif all(map(is_code, group)) and len(group) > 1:
            parts.append(_code(group))
        elif level := layout.heading_level(group):
            parts.append("#" * level + " " + " ".join(line.text for line in group))
        else:
            parts.append(layout.paragraphs(group))
    return _joined(parts)


class _Layout:
    """The usual font size and line spacing of a document, and its hyphenated words."""

    def __init__(self, lines: Sequence[Line]) -> None:
        sizes: Counter[float] = Counter()
        for line in lines:
            sizes[line.size] += len(line.text)
        self.size = sizes.most_common(1)[0][0]
        below = [(b.top - a.top) / a.size for a, b in pairwise(lines) if a.box == b.box and a.page == b.page]
        self.leading = median([one for one in below if 0.8 < one < 2.5] or [1.2])
        larger = sorted({line.size for line in lines if line.size >= 1.12 * self.size}, reverse=True)
        self.levels = {size: min(rank, 4) for rank, size in enumerate(larger, 1)}
        words = " ".join(line.text.rstrip("-") for line in lines)
        self.hyphenated = {word.lower() for word in _HYPHENATED.findall(words)}
        self.words = {word.lower() for word in re.findall(r"\w+", words)}
        self.right: dict[tuple[int, int], float] = {}
        for line in lines:
            place = (line.page, round(line.x0 / 40))
            self.right[place] = max(self.right.get(place, 0), line.x1)

    def heading_level(self, group: Sequence[Line]) -> int:
        """Return the level of a heading, or 0 for other text. A single bold line is a heading of the lowest level."""
        first = group[0]
        if len(group) > 3 or sum(len(line.text) for line in group) > 200:
            return 0
        if all(line.size in self.levels for line in group):
            return self.levels[first.size]
        is_bold = bool(_BOLD.search(first.font)) and not is_code(first)
        if len(group) == 1 and is_bold and len(first.text) < 90 and not first.text.endswith((*_SENTENCE_END, ",")):
            return min(len(self.levels) + 1, 5)
        return 0

    def paragraphs(self, group: Sequence[Line]) -> str:
        """Join the wrapped lines of a group, and leave other lines separate."""
        text = ""
        start = group[0]
        for above, line in zip([None, *group], group, strict=False):
            if above and self.continues(above, line, start):
                text = self.join(text, line.text)
            else:
                are_lines = above is start and not _is_item(line.text)  # Why: verse and addresses have short lines.
                if above:
                    text += "\n" if are_lines or (_is_item(start.text) and _is_item(line.text)) else "\n\n"
                text += _BULLET.sub("- ", line.text)
                start = line
        return text

    def continues(self, above: Line, line: Line, start: Line) -> bool:
        """Return whether `line` continues the line `above` in a paragraph that begins with `start`."""
        if _is_item(line.text) or above.page != line.page or line.top < above.top:
            return not _is_item(line.text) and self.flows_on(above, line)
        if self.is_apart(above, line):
            return False
        is_indented = line.x0 > above.x0 + 0.8 * self.size
        if is_indented and not (above is start and _is_item(start.text)):
            return False
        return self.is_full(above, line) or (above.text.endswith(_HYPHENS) and line.text[0].islower())

    def is_full(self, above: Line, line: Line) -> bool:
        """Return whether the first word of `line` would not fit at the end of `above`."""
        right = max(self.right.get((above.page, round(above.x0 / 40) + shift), 0) for shift in (-1, 0, 1))
        first_word = line.text.split()[0]
        return above.x1 + line.width * (len(first_word) + 1) > right - 0.5 * self.size

    def is_apart(self, above: Line, line: Line) -> bool:
        """Return whether the lines have more space between them than usual, or different font sizes."""
        is_far = line.top - above.top > 1.3 * self.leading * max(above.size, line.size)
        sizes = sorted((above.size, line.size))
        return is_far or sizes[1] > 1.3 * sizes[0]

    def flows_on(self, above: Line, line: Line) -> bool:
        """Return whether a paragraph continues in the next column or on the next page."""
        is_open = not above.text.endswith(_SENTENCE_END)
        return is_open and line.text[0].islower() and abs(above.size - line.size) < 0.1 * self.size

    def join(self, above: str, below: str) -> str:
        """Join two lines, and undo hyphenation.

        The hyphen stays if the second line does not start in lower case, or if the word with the hyphen occurs
        elsewhere in the document.
        """
        if not above.endswith(_HYPHENS) or not (left := re.search(r"(\w+(?:-\w+)*).$", above)):
            return f"{above} {below}"
        right = re.match(r"\w+", below)
        if right is None:
            return f"{above} {below}"
        with_hyphen = f"{left[1]}-{right[0]}".lower()
        joined = f"{left[1]}{right[0]}".lower()
        is_compound = with_hyphen in self.hyphenated and joined not in self.words
        if not right[0][0].islower() or is_compound:
            return above[:-1] + "-" + below
        return above[:-1] + below


def _groups(blocks: Iterable[Block], layout: _Layout) -> Iterator[list[Line] | str]:
    """Yield tables, and groups of lines that form paragraphs, headings, lists or code."""
    group: list[Line] = []
    for block in blocks:
        if isinstance(block, str) or (group and not _belongs(group, block, layout)):
            if group:
                yield group
            group = []
        if isinstance(block, str):
            yield block
        else:
            group.append(block)
    if group:
        yield group


def _belongs(group: Sequence[Line], line: Line, layout: _Layout) -> bool:
    above = group[-1]
    if (above.size in layout.levels or line.size in layout.levels) and above.size != line.size:
        return False
    if is_code(above) != is_code(line) and above.box != line.box:
        return False
    if above.page != line.page or line.top < above.top:
        return layout.flows_on(above, line) and line.size not in layout.levels
    if is_code(above) and is_code(line):
        return line.top - above.top < 3 * layout.leading * line.size
    if bool(_BOLD.search(above.font)) != bool(_BOLD.search(line.font)) and layout.heading_level(group):
        return False
    return not layout.is_apart(above, line)


def _code(group: Sequence[Line]) -> str:
    """Return lines in a monospaced font as fenced code, with their indentation."""
    left = min(line.x0 for line in group)
    width = median(line.width for line in group)
    lines = [" " * round((line.x0 - left) / width) + line.text for line in group]
    return "\n".join(["```", *lines, "```"])


def is_code(line: Line) -> bool:
    """Return whether the whole line is in a monospaced font."""
    return bool(_MONOSPACED.search(line.font))


def _is_item(text: str) -> bool:
    return bool(_BULLET.match(text) or _NUMBER.match(text))


def _joined(parts: Sequence[str]) -> str:
    """Join parts by blank lines, and the items of one list by line breaks."""
    text = parts[0] if parts else ""
    for above, part in pairwise(parts):
        is_list = part.startswith("- ") and above.split("\n")[-1].startswith("- ")
        text += ("\n" if is_list else "\n\n") + part
    return text
