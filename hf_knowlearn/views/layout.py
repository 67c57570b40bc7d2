"""Layout: what stands around and between a document's sentences, as data; and the one function that sets it.

A `Frame` is a set of strings. A format fills in some of its fields, so two formats compose when they fill in different
ones. The surprising decision: nothing here sees a word. Every piece of the document is copied whole, and the spans are
the running sum of lengths, which is what makes both the proof and the speed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from operator import add

from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, SOFT, Sentences
from hf_knowlearn.views.view import Span

KEPT_BREAK = "\n\n"  # beside a block kept as written, whatever the frame


@dataclass(frozen=True)
class Frame:
    """The strings of a layout, from the outside in. `{title}` stands for the document's title."""

    preamble: str = ""  # moves the text away from the beginning
    open: str = ""  # the container's two ends
    close: str = ""
    head: str = ""  # heading or prefix
    prefix: str = ""  # of every line
    indent: str = ""  # of every line that layout begins
    trailing: str = ""  # at the end of every line that layout ends
    opening: str = ""  # before and after each sentence
    closing: str = ""
    item: str = ""  # before each sentence; `{}` stands for its label
    labels: Callable[[int], str] = str  # the label of item number 1, 2, ...
    sub_item: str = ""  # before each sentence of a paragraph but its first
    joint: str = ""  # between two sentences
    space: str = " "  # between two sentences of a line
    line: str = ""  # a line break between two sentences instead of the space
    paragraph: str = "\n\n"  # between two paragraphs
    width: int = 0  # at which lines are wrapped; 0: not at all

    @cached_property
    def before(self) -> dict[int, str]:
        """The layout between two pieces of prose, by what stands between them in the document."""
        joint = f"{self.line or self.space}{self.joint}{self.line or self.space}" if self.joint else ""
        between = joint or self.line or self.space
        return {
            SOFT: " ",
            SENTENCE: self.closing + self._broken(between) + self._opening,
            PARAGRAPH: self.closing + self._broken(self.paragraph) + self._opening,
        }

    @cached_property
    def _opening(self) -> str:
        return "" if self.item else self.opening  # which stands behind the item's mark

    @cached_property
    def line_break(self) -> str:
        """What wrapping puts in place of a space."""
        return self._broken("\n")

    def start(self, title: str, kept: bool) -> str:
        """Everything before the first piece, which may be a block kept as written."""
        head = self.open + self.head.replace("{title}", " ".join(title.splitlines()).strip())
        if kept:
            return self.preamble + (head if not head or head.endswith("\n") else f"{head.rstrip(' ')}\n")
        *lines, last = head.split("\n")
        lines = [f"{self.prefix}{line}".rstrip() for line in lines] if self.prefix else lines
        return self.preamble + "\n".join([*lines, self.prefix + last + self.indent + self._opening])

    def end(self, kept: bool) -> str:
        """Everything after the last piece."""
        if kept:
            return self.close if not self.close or self.close.startswith("\n") else f"\n{self.close}"
        return self.closing + self.trailing + self.close

    def _broken(self, between: str) -> str:
        """`between` with what belongs at the ends and beginnings of its lines."""
        if "\n" not in between:
            return between
        first, *inner, last = between.split("\n")
        lines = [first + self.trailing, *(f"{self.prefix}{line}".rstrip() for line in inner)]
        return "\n".join([*lines, self.prefix + self.indent + last])


def lay_out(frame: Frame, title: str, told: Sentences) -> tuple[str, tuple[Span, ...]]:
    """The text of `told` in `frame`, and the spans of its pieces."""
    before = frame.before
    layout = list(map(before.__getitem__, told.breaks))
    if any(told.kept):
        _set_kept(layout, frame, told)
    layout[0] = frame.start(title, told.kept[0])
    if frame.item:
        _number(layout, frame, told)
    tail = frame.end(told.kept[-1])
    if frame.width:
        layout, told = _wrapped(layout, frame, told)
    return _join(layout, told, tail)


def _join(layout: list[str], told: Sentences, tail: str) -> tuple[str, tuple[Span, ...]]:
    texts, starts, lengths, _, _ = told
    steps = map(add, map(len, layout), chain((0,), lengths))
    spans = tuple(zip(accumulate(steps), starts, lengths, strict=False))
    pieces = [tail] * (2 * len(texts) + 1)
    pieces[:-1:2] = layout
    pieces[1::2] = texts
    return "".join(pieces), spans


def _set_kept(layout: list[str], frame: Frame, told: Sentences) -> None:
    """A block kept as written stands alone: no mark touches it, and blank lines part it from the rest."""
    for i in range(1, len(layout)):
        after, is_kept = told.kept[i - 1], told.kept[i]
        if after or is_kept:
            closing = "" if after else frame.closing + frame.trailing
            layout[i] = closing + KEPT_BREAK + ("" if is_kept else frame.indent + frame._opening)


def _number(layout: list[str], frame: Frame, told: Sentences) -> None:
    """Put the item's mark before each sentence; with `sub_item`, only the first of a paragraph gets the mark."""
    number = 0
    for i, (kind, kept) in enumerate(zip(told.breaks, told.kept, strict=True)):
        if kept or (kind == SOFT and i):
            continue
        if frame.sub_item and i and kind == SENTENCE and not told.kept[i - 1]:
            layout[i] += frame.sub_item + frame.opening
        else:
            number += 1
            layout[i] += frame.item.replace("{}", frame.labels(number)) + frame.opening


def _wrapped(layout: list[str], frame: Frame, told: Sentences) -> tuple[list[str], Sentences]:
    """The same with lines wrapped at `frame.width` characters, at spaces between words alone."""
    layouts, texts, starts = map(list, zip(*_wrap(layout, frame, told), strict=True))
    return layouts, Sentences(texts, starts, list(map(len, texts)), [], [])


def _wrap(layout: list[str], frame: Frame, told: Sentences) -> Iterator[tuple[str, str, int]]:
    """(layout before it, text, start in the document) of each line or piece of one."""
    line_break, width = frame.line_break, frame.width
    margin = len(line_break) - line_break.rindex("\n") - 1
    column = 0
    for text, start, before, kept in zip(told.texts, told.starts, layout, told.kept, strict=True):
        new_line = before.rfind("\n")
        column = column + len(before) if new_line < 0 else len(before) - new_line - 1
        position = 0
        first_word = text.find(" ") if " " in text else len(text)
        if before.isspace() and new_line < 0 and column + first_word > width:
            before, column = line_break, margin
        while column + len(text) - position > width and not kept:
            at = _last_space(text, position, position + max(width - column, 0))  # a title can fill the line
            at = _next_space(text, position) if at < 0 else at  # a word longer than the line
            if at < 0:
                break
            yield before, text[position:at], start + position
            position, before, column = at + 1, line_break, margin
        yield before, text[position:], start + position
        column += len(text) - position


def _last_space(text: str, start: int, stop: int) -> int:
    at = text.rfind(" ", start + 1, stop + 1)
    while at >= 0 and not _breaks(text, at):
        at = text.rfind(" ", start + 1, at)
    return at


def _next_space(text: str, start: int) -> int:
    at = text.find(" ", start + 1)
    while at >= 0 and not _breaks(text, at):
        at = text.find(" ", at + 1)
    return at


def _breaks(text: str, at: int) -> bool:
    """Whether the space is one between words: not beside white space, nor between the digits of a number."""
    before, after = text[at - 1], text[at + 1 : at + 2]
    return not before.isspace() and not after.isspace() and after != "" and not (before.isdigit() and after.isdigit())


def labels_of(symbols: Sequence[str]) -> Callable[[int], str]:
    """The labels a, b, ..., z, aa, ab, ...: as many as wanted, of any alphabet."""

    def label(number: int) -> str:
        letters = ""
        while number:
            number, rest = divmod(number - 1, len(symbols))
            letters = symbols[rest] + letters
        return letters

    return label


def roman(number: int) -> str:
    """1, 4, 9 as i, iv, ix."""
    numerals = ""
    for value, sign in zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        "m cm d cd c xc l xl x ix v iv i".split(),
        strict=True,
    ):
        count, number = divmod(number, value)
        numerals += sign * count
    return numerals
