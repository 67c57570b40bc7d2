"""A view as text for a terminal: the document's words bright, the layout dim.

The surprising decision: no control character of a document reaches the terminal, which would obey it. It is shown as
Python writes it (`\\x1b`).
"""

import re
from collections.abc import Iterator, Sequence

from hf_knowlearn.views import View

# All of Unicode's controls but tab and line feed; separators and overrides that reorder a line.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_STYLES = {"words": "1", "layout": "2", "space": "2;7", "heading": "36"}  # bright, dim, dim and inverse, cyan
_WIDE = re.compile(r"((?: {2,}|[\t\u2003])+)")


def painted(view: View, most: int, colour: bool) -> str:
    """A view's request and text; of each, `most` characters (0: all)."""
    request, text = [("layout", view.prompt)], list(pieces(view))
    if not view.prompt:
        return _excerpt(text, most, colour)
    cut = "\n" * (0 < most < len(view.prompt))
    return _excerpt(request, most, colour) + cut + _excerpt(text, most, colour)


def _excerpt(of: Sequence[tuple[str, str]], most: int, colour: bool) -> str:
    length = sum(len(piece) for _, piece in of)
    left = most or length
    shown = []
    for kind, piece in of:
        shown.append(paint(piece[:left], kind, colour))
        left -= min(left, len(piece))
    if 0 < most < length:
        more = f"... and {length - most:,} more characters (--excerpt 0 shows all)."
        shown.append("\n" + paint(more, "heading", colour))
    return "".join(shown)


def pieces(view: View) -> Iterator[tuple[str, str]]:
    """A view's text in pieces, each with what it is: words, layout, or space (layout that no eye would see)."""
    position = 0
    for start, _, length in [*view.spans, (len(view.text), 0, 0)]:
        for i, piece in enumerate(_WIDE.split(view.text[position:start])):
            yield "space" if i % 2 else "layout", piece
        position = start + length
        yield "words", view.text[start:position]


def escaped(text: str) -> str:
    """`text` with its control characters as Python writes them."""
    return CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def in_line(text: str) -> str:
    """`text` escaped and in one line."""
    return " ".join(escaped(text).split())


def paint(text: str, kind: str, colour: bool) -> str:
    """`text`, safe for a terminal, in the style of its kind. Line by line, since pagers end a style with its line."""
    safe = escaped(text)
    if not colour:
        return safe
    return "\n".join(f"\x1b[{_STYLES[kind]}m{line}\x1b[0m" if line else "" for line in safe.split("\n"))
