"""Escaping: any text of a user's as Markdown that shows it and does nothing else.

The surprising decision: it is shown as code rather than with its marks escaped. What a backslash keeps from being a
link is not the same in every renderer (bare addresses become links, `$` begins a formula); code is code in all.
"""

import re
import unicodedata

from markupsafe import Markup

LONGEST = 300  # characters of a text that a card quotes
# They turn round how what follows them is read, so that what is shown is not what is there.
REVERSING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def in_line(text: object) -> str:
    """The text on one line: white space made single, control characters as Python writes them, its end cut off."""
    joined = " ".join(str(text).split())
    shown = "".join(ascii(mark)[1:-1] if _is_control(mark) else mark for mark in joined)
    return shown if len(shown) <= LONGEST else shown[:LONGEST].rstrip() + "…"


def _is_control(mark: str) -> bool:
    return mark in REVERSING or unicodedata.category(mark) in ("Cc", "Cs")


def code(text: object) -> Markup:
    """The text as a span of code; of nothing, a dash."""
    shown = in_line(text)
    if not shown:
        return Markup("–")
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Markup(f"{fence}{space}{shown}{space}{fence}")


def cell(text: object) -> Markup:
    """`code` within a table, where a bar may end the cell whatever stands before it: it is shown as a broken one."""
    return code(in_line(text).replace("|", "¦"))


def fenced(text: str, language: str) -> Markup:
    """Lines as a block of code, whose fence is longer than any that they hold."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence}{language}\n{text.rstrip()}\n{fence}")
