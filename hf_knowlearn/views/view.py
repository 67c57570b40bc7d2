"""A view: one telling of a document, with the proof that its words are the document's own.

`spans` maps the text back onto the document; what no span covers is layout. A fact can't be altered by a format
without a test seeing it, and an answer can be found again inside every view.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

Span = tuple[int, int, int]  # (start in the view, start in the document, length), in characters
Piece = str | tuple[int, int]  # layout, or a stretch of the document as (start, end)


@dataclass(frozen=True)
class View:
    """One telling of a document (of one part of it, when it was cut).

    `text` is what is learned. `spans`, joined in order, give every non-white-space character of the document exactly
    once; all else in `text` is layout the format declares, or the title. `index` numbers the views drawn together.
    """

    document_id: str
    part: int
    index: int
    family: str
    format: str
    text: str
    spans: tuple[Span, ...]
    prompt: str = ""

    def find(self, answer: str) -> list[tuple[int, int]]:
        """Where `answer` stands in `text`, as (start, end): from its first character to its last.

        It is looked for in the document's words alone, so it starts and ends there, never in layout. White space
        matches any white space, so an answer that runs over a line break or into the next sentence is found too (with
        the layout between the two). In another case only where it never stands as spelled: recall ignores case.
        """
        if not (words := answer.split()):
            raise ValueError(f"The answer {answer!r} is empty, so it can't be found: give an answer with words.")
        pattern = r"\s+".join(map(re.escape, words))
        told, starts = self._words()

        def place(at: int) -> int:
            span = bisect_right(starts, at) - 1
            return self.spans[span][0] + at - starts[span]

        found = list(re.finditer(pattern, told)) or re.finditer(pattern, told, re.IGNORECASE)
        return [(place(match.start()), place(match.end() - 1) + 1) for match in found]

    def _words(self) -> tuple[str, list[int]]:
        """The document's words without layout, and where in them each span starts."""
        pieces: list[str] = []
        starts: list[int] = []
        length = end = 0
        for start, source, count in self.spans:
            gap = " " * (source != end)  # between two spans the document has white space, or nothing
            pieces += gap, self.text[start : start + count]
            starts.append(length + len(gap))
            length += len(gap) + count
            end = source + count
        return "".join(pieces), starts


def assemble(pieces: Iterable[Piece], source: str) -> tuple[str, tuple[Span, ...]]:
    """The text that `pieces` spell, and the spans of the stretches they take from `source`."""
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    for piece in pieces:
        if isinstance(piece, str):
            part = piece
        else:
            part = source[piece[0] : piece[1]]
            if part:
                spans.append((length, piece[0], len(part)))
        parts.append(part)
        length += len(part)
    return "".join(parts), tuple(spans)
