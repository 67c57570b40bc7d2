"""Puts the strings of a layout around and between the sentences of a document.

A `Frame` holds these strings, and a format sets some fields of the frame. `lay_out` copies every piece of the document
unchanged. A piece therefore starts at the total length of the strings and pieces before it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain
from operator import add
from string import ascii_lowercase

from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, SOFT, Sentences
from hf_knowlearn.views.view import Span

ROMAN_DIGITS = {"m": 1000, "cm": 900, "d": 500, "cd": 400, "c": 100, "xc": 90, "l": 50, "xl": 40}
ROMAN_DIGITS |= {"x": 10, "ix": 9, "v": 5, "iv": 4, "i": 1}
VERBATIM_BREAK = "\n\n"  # before and after a verbatim block, in every format
_LINE_SIGNS = "-+*#>=|~:\u2010\u2011\u2012\u2013\u2014\u2015\u2022"
_NUMBER_OF_ITEM = re.compile(r"\d{1,9}[.)](?!\S)")


@dataclass(frozen=True)
class Frame:
    """The strings of a layout, from the outermost to the innermost."""

    preamble: str = ""  # before everything, so that the text does not begin the row
    open: str = ""  # the two ends of a container
    close: str = ""
    head: str = ""  # heading or label; `{title}` is the title of the document
    prefix: str = ""  # at the start of every line
    indent: str = ""  # at the start of every line that begins with layout
    trailing: str = ""  # at the end of every line that ends with layout
    sentence_prefix: str = ""  # before and after each sentence
    sentence_suffix: str = ""
    item: str = ""  # before each sentence; `{}` is its label
    labels: Callable[[int], str] = str  # the label of item number 1, 2, ...
    sub_item: str = ""  # before each sentence of a paragraph except the first
    joint: str = ""  # between two sentences
    space: str = " "  # between two sentences of a line
    line: str = ""  # a line break between two sentences, in place of the space
    paragraph: str = "\n\n"  # between two paragraphs
    width: int = 0  # lines are wrapped at this many characters; 0: never
    is_spaced: bool = True  # False: no spaces between sentences, as in Chinese

    @cached_property
    def before(self) -> dict[int, str]:
        """The layout between two pieces of prose, for each kind of break between them in the document."""
        joint = f"{self.line or self.space}{self.joint}{self.line or self.space}" if self.joint else ""
        between = joint or self.line or self.space
        return {
            SOFT: " ",
            SENTENCE: self.sentence_suffix + self._with_line_marks(between) + self._first_prefix,
            PARAGRAPH: self.sentence_suffix + self._with_line_marks(self.paragraph) + self._first_prefix,
        }

    @cached_property
    def unspaced(self) -> "Frame":
        """A copy of this layout for a text without spaces between its sentences."""
        prefix, suffix = self.sentence_prefix.strip(" "), self.sentence_suffix.strip(" ")
        space, paragraph = self.space.strip(" "), self.paragraph.strip(" ")
        return replace(
            self,
            sentence_prefix=prefix,
            sentence_suffix=suffix,
            space=space,
            paragraph=paragraph,
            is_spaced=False,
        )

    @cached_property
    def _first_prefix(self) -> str:
        return "" if self.item else self.sentence_prefix  # an item puts the label after its own mark

    @cached_property
    def wrap_break(self) -> str:
        """The line break that replaces a space where a line is wrapped."""
        return self._with_line_marks("\n")

    def start(self, title: str, verbatim: bool) -> str:
        """Return the layout before the first piece. `verbatim`: whether this piece is a verbatim block."""
        head = self.open + self.head.replace("{title}", " ".join(title.splitlines()).strip())
        if verbatim:
            # Why a blank line: without it, a label can be joined to a heading that is underlined.
            return self.preamble + (f"{head.rstrip()}{VERBATIM_BREAK}" if self.head else head)
        *lines, last = head.split("\n")
        lines = [f"{self.prefix}{line}".rstrip() for line in lines] if self.prefix else lines
        return self.preamble + "\n".join([*lines, self.prefix + last + self.indent + self._first_prefix])

    def end(self, verbatim: bool) -> str:
        """Return the string that follows the last piece. `verbatim`: whether the last piece is a verbatim block."""
        if verbatim:
            return self.close if not self.close or self.close.startswith("\n") else f"\n{self.close}"
        return self.sentence_suffix + self.trailing + self.close

    def _with_line_marks(self, between: str) -> str:
        """Return the layout in `between` with the strings for the ends and starts of lines added at each line break.
        `between` is the layout between two pieces."""
        if "\n" not in between:
            return between
        first, *inner, last = between.split("\n")
        lines = [first + self.trailing, *(f"{self.prefix}{line}".rstrip() for line in inner)]
        return "\n".join([*lines, self.prefix + self.indent + last])


def lay_out(frame: Frame, title: str, pieces: Sentences) -> tuple[str, tuple[Span, ...]]:
    """Return the text of `pieces` in the layout `frame`, and one span for each copied piece.

    Args:
        title: the title of the document; it may be empty.
        pieces: sentences and verbatim blocks, in the order in which they are laid out.

    Example:
        >>> from hf_knowlearn.documents.sentences import sentences
        >>> from hf_knowlearn.views.layout import Frame, lay_out
        >>> lay_out(Frame(item="- ", line="\\n"), "", sentences("Tarn has a mill. It is old."))
        ('- Tarn has a mill.\\n- It is old.', ((2, 0, 16), (21, 17, 10)))
    """
    before = frame.before
    layout = list(map(before.__getitem__, pieces.breaks))
    if any(pieces.verbatim):
        _separate_verbatim_blocks(layout, frame, pieces)
    if not frame.is_spaced:
        _separate_words(layout, pieces)
    layout[0] = frame.start(title, pieces.verbatim[0])
    if frame.item:
        _add_items(layout, frame, pieces)
    tail = frame.end(pieces.verbatim[-1])
    if frame.width:
        layout, pieces = _wrapped(layout, frame, pieces)
    return _joined(layout, pieces, tail)


def _joined(layout: list[str], pieces: Sentences, tail: str) -> tuple[str, tuple[Span, ...]]:
    """Return the text, in which layout and pieces alternate, and the spans of the pieces."""
    texts, starts, lengths, _, _ = pieces
    steps = map(add, map(len, layout), chain((0,), lengths))
    spans = tuple(zip(accumulate(steps), starts, lengths, strict=False))
    strings = [tail] * (2 * len(texts) + 1)
    strings[:-1:2] = layout
    strings[1::2] = texts
    return "".join(strings), spans


def _separate_verbatim_blocks(layout: list[str], frame: Frame, pieces: Sentences) -> None:
    """Put blank lines, and no marks, before and after verbatim blocks."""
    for i in range(1, len(layout)):
        after_verbatim, is_verbatim = pieces.verbatim[i - 1], pieces.verbatim[i]
        if after_verbatim or is_verbatim:
            end = "" if after_verbatim else frame.sentence_suffix + frame.trailing
            layout[i] = end + VERBATIM_BREAK + ("" if is_verbatim else frame.indent + frame._first_prefix)


def _separate_words(layout: list[str], pieces: Sentences) -> None:
    """Put a space between two sentences that have no layout between them, if a word ends before the space and another
    word begins after it, as in an English sentence of a Chinese text."""
    for i in range(1, len(layout)):
        before, after = pieces.texts[i - 1][-1], pieces.texts[i][0]
        if not layout[i] and before.isascii() and after < "\u2e80":
            layout[i] = " "


def _add_items(layout: list[str], frame: Frame, pieces: Sentences) -> None:
    """Put the string `item` before each sentence. If there is a `sub_item`, all sentences of a paragraph except the
    first get this string instead."""
    number = 0
    for i, (kind, verbatim) in enumerate(zip(pieces.breaks, pieces.verbatim, strict=True)):
        if verbatim or (kind == SOFT and i):
            continue
        if frame.sub_item and i and kind == SENTENCE and not pieces.verbatim[i - 1]:
            layout[i] += frame.sub_item + frame.sentence_prefix
        else:
            number += 1
            layout[i] += frame.item.replace("{}", frame.labels(number)) + frame.sentence_prefix


def _wrapped(layout: list[str], frame: Frame, pieces: Sentences) -> tuple[list[str], Sentences]:
    """Return the layout and the pieces, with lines wrapped at `frame.width` characters. Lines break only at spaces
    between words."""
    layouts, texts, starts = map(list, zip(*_wrap(layout, frame, pieces), strict=True))
    return layouts, Sentences(texts, starts, list(map(len, texts)), [], [])


def _wrap(layout: list[str], frame: Frame, pieces: Sentences) -> Iterator[tuple[str, str, int]]:
    """Yield (layout before it, its text, its start in the document) for each piece or line of a wrapped piece."""
    line_break, width = frame.wrap_break, frame.width
    margin = len(line_break) - line_break.rindex("\n") - 1
    column = 0
    for text, start, before, verbatim in zip(pieces.texts, pieces.starts, layout, pieces.verbatim, strict=True):
        new_line = before.rfind("\n")
        column = column + len(before) if new_line < 0 else len(before) - new_line - 1
        position = 0
        first_word = text.find(" ") if " " in text else len(text)
        if before.isspace() and new_line < 0 and column + first_word > width:
            before, column = line_break, margin
        while column + len(text) - position > width and not verbatim:
            at = _last_space(text, position, position + max(width - column, 0))  # a title can fill the line
            at = _next_space(text, position) if at < 0 else at  # a word longer than the line
            if at < 0:
                break
            yield before, text[position:at], start + position
            position, before, column = at + 1, line_break, margin
        yield before, text[position:], start + position
        column += len(text) - position


def _last_space(text: str, start: int, stop: int) -> int:
    """Return the last space from `start` to `stop` where a line can be wrapped, or -1."""
    at = text.rfind(" ", start + 1, stop + 1)
    while at >= 0 and not _is_between_words(text, at):
        at = text.rfind(" ", start + 1, at)
    return at


def _next_space(text: str, start: int) -> int:
    """Return the first space after `start` where a line can be wrapped, or -1."""
    at = text.find(" ", start + 1)
    while at >= 0 and not _is_between_words(text, at):
        at = text.find(" ", at + 1)
    return at


def _is_between_words(text: str, at: int) -> bool:
    """Return whether the space at position `at` separates two words. A space next to other white space or between two
    digits ("10 000") does not separate words. Nor does a space before a sign that would begin a list, heading or quote
    on the next line, such as the minus in "5 - 3"."""
    before, after = text[at - 1], text[at + 1 : at + 2]
    if after.isalpha():
        return not before.isspace()
    if before.isspace() or after.isspace() or after == "" or after in _LINE_SIGNS:
        return False
    return not after.isdigit() or not (before.isdigit() or _NUMBER_OF_ITEM.match(text, at + 1))


def letters(number: int) -> str:
    """Return the label of item `number` in letters: a, b, ..., z, aa, ab, ..."""
    label = ""
    while number:
        number, rest = divmod(number - 1, len(ascii_lowercase))
        label = ascii_lowercase[rest] + label
    return label


def roman(number: int) -> str:
    """Return the Roman numeral of `number` in lower case, such as iv for 4."""
    numerals = ""
    for sign, value in ROMAN_DIGITS.items():
        count, number = divmod(number, value)
        numerals += sign * count
    return numerals


# Name in `marks.toml` -> the label of item number 1, 2, ...
LABELS: dict[str, Callable[[int], str]] = {
    "number": str,
    "letter": letters,
    "capital": lambda number: letters(number).upper(),
    "roman": roman,
    "roman_capital": lambda number: roman(number).upper(),
}
