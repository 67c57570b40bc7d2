"""Markdown from an HTML element: headings, lists, tables and code, without link targets."""

from __future__ import annotations

import re
from typing import Any

_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight(?:-source)?|code|sourceCode)[-\s](?!literal)(\w+)")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_OPTIONS: dict[str, Any] = {
    "heading_style": "atx",
    "bullets": "-",
    "escape_asterisks": False,
    "escape_underscores": False,
    "escape_misc": False,
    "strip": ["a"],
    "table_infer_header": False,
}


def markdown_of(element: Any) -> str:
    """Convert an `lxml` element to Markdown."""
    from bs4 import BeautifulSoup
    from lxml import etree
    from markdownify import MarkdownConverter

    _collapse_spaces(element)
    for literal in element.xpath(".//span[contains(@class, 'docutils literal')]"):
        literal.tag = "code"
    for table in list(element.iter("table")):
        _unwrap_layout(table)
    html = etree.tostring(element, encoding="unicode", method="html", with_tail=False)
    converter = MarkdownConverter(**_OPTIONS, code_language_callback=_code_language)
    return tidy(converter.convert_soup(BeautifulSoup(html, "lxml")))


def _collapse_spaces(root: Any) -> None:
    """Replace white space by one space, except in `<pre>`."""
    verbatim: set[Any] = set()
    for element in root.iter():
        parent = element.getparent()
        if element.tag == "pre" or parent in verbatim:
            verbatim.add(element)
        elif element.text:
            element.text = _SPACES.sub(" ", element.text)
        if element.tail and parent not in verbatim:
            element.tail = _SPACES.sub(" ", element.tail)


def _unwrap_layout(table: Any) -> None:
    """Turn a table into plain blocks if it arranges a page instead of data."""
    is_layout = table.get("role") == "presentation" or any(
        True for _ in table.iter("h1", "h2", "h3", "article", "pre")
    )
    if is_layout or len(list(table.iter("table"))) > 1:
        parts = list(table.iter("tbody", "thead", "tfoot", "tr", "td", "th", "caption"))
        for part in [table, *parts]:
            if next(part.iterancestors("table"), table) is table:
                part.tag = "div"


def _code_language(element: Any) -> str:
    classes = [*element.get("class", []), *(element.code.get("class", []) if element.code else [])]
    found = _LANGUAGE.search(" ".join(classes))
    return found[1] if found else ""


def tidy(markdown: str) -> str:
    """Remove white space at the ends of lines, and all but one of several blank lines, outside of fenced code."""
    lines: list[str] = []
    fenced = False
    for line in markdown.split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        line = line if fenced else line.rstrip()
        if fenced or line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n")
