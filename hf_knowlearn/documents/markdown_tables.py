"""Writes tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is the header. All rows must have the same length.

    Example:
        >>> print(markdown_table([["Year", "Cars"], ["1990", "12"]]))
        | Year | Cars |
        | --- | --- |
        | 1990 | 12 |
    """
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
