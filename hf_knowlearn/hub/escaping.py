"""Escaping: shows any text in Markdown literally, so that no part of it acts as markup.

Why: a user's text becomes inline code instead of escaped text, because Markdown renderers disagree about backslashes
(bare addresses become links, `$` starts a formula) but not about code.
"""

import re
import unicodedata

from markupsafe import Markup

LONGEST = 300  # characters of a text that a card quotes
# Control characters that reverse the direction of text. They can make a text look like another one.
REVERSING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def in_line(text: object) -> str:
    """The text on one line, at most `LONGEST` characters long, with control characters as Python escapes (such as
    `\\x1b`)."""
    joined = " ".join(str(text).split())
    shown = "".join(ascii(character)[1:-1] if _is_control(character) else character for character in joined)
    return shown if len(shown) <= LONGEST else shown[:LONGEST].rstrip() + "…"


def _is_control(character: str) -> bool:
    return character in REVERSING or unicodedata.category(character) in ("Cc", "Cs")


def code(text: object) -> Markup:
    """The text as inline code; a dash if the text is empty."""
    shown = in_line(text)
    if not shown:
        return Markup("–")
    fence = _fence(shown, 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Markup(f"{fence}{space}{shown}{space}{fence}")


def cell(text: object) -> Markup:
    """The text as inline code in a table. A bar would end the cell even in code, so it becomes a broken bar."""
    return code(in_line(text).replace("|", "¦"))


def fenced(text: str, language: str) -> Markup:
    """The text as a code block, with a fence longer than any in the text."""
    fence = _fence(text, 3)
    return Markup(f"{fence}{language}\n{text.rstrip()}\n{fence}")


def _fence(text: str, least: int) -> str:
    """A fence with more backquotes than the longest run of backquotes in the text, and at least `least`."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
