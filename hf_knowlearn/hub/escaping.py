"""Escapes text of users for Markdown, so that no part of it acts as markup.

Text is written as inline code, which all Markdown renderers show unchanged. Why not with backslashes: some renderers
ignore backslashes, turn addresses into links, or turn `$` into the start of a formula.
"""

import re
import unicodedata

from markupsafe import Markup

LONGEST = 300  # maximum number of characters of a quoted text
# Control characters that reverse the direction of text. With them, a text can look like a different text.
REVERSING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def in_line(text: object) -> str:
    """Return the text on one line, cut after `LONGEST` characters. Control characters become Python escapes."""
    joined = " ".join(str(text).split())
    shown = "".join(ascii(character)[1:-1] if _is_control(character) else character for character in joined)
    return shown if len(shown) <= LONGEST else shown[:LONGEST].rstrip() + "…"


def _is_control(character: str) -> bool:
    return character in REVERSING or unicodedata.category(character) in ("Cc", "Cs")


def code(text: object) -> Markup:
    """Return the text as inline code, or a dash if the text is empty."""
    shown = in_line(text)
    if not shown:
        return Markup("–")
    fence = _fence(shown, 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Markup(f"{fence}{space}{shown}{space}{fence}")


def cell(text: object) -> Markup:
    """Return the text as inline code in a table. `|` becomes `¦`, because `|` ends a cell even in code."""
    return code(in_line(text).replace("|", "¦"))


def fenced(text: str, language: str) -> Markup:
    """Return the text as a code block. Its fence is longer than all runs of backquotes in the text."""
    fence = _fence(text, 3)
    return Markup(f"{fence}{language}\n{text.rstrip()}\n{fence}")


def _fence(text: str, least: int) -> str:
    """Return at least `least` backquotes, and more than the longest run of backquotes in the text."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
