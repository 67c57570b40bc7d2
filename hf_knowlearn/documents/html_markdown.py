"""Markdown from an HTML element: headings, lists, tables and code, without link targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hf_knowlearn.documents.markdown_tables import markdown_table

_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight(?:-source)?|code|sourceCode)[-\s](?!literal)(\w+)")
_INDENTED = frozenset(("ul", "ol", "dl", "table", "pre"))  # a quotation with only these indents them
_PLAIN_PARTS = frozenset(("table", "tbody", "thead", "tfoot", "tr", "td", "th", "a", "span"))
_TABLE_PARTS = ("tbody", "thead", "tfoot", "tr", "td", "th", "caption")
_LINES = ("dt", "td", "th", "a", "span", "summary", "caption", "h1", "h2", "h3", "h4", "h5", "h6")
_MARK = "\ufdd0"  # Unicode reserves it for programs, so no text has it
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
    for quote in element.iter("blockquote"):
        if not (quote.text or "").strip() and all(child.tag in _INDENTED for child in quote):
            quote.tag = "div"
    for table in list(element.iter("table")):
        _unwrap_layout(table)
    for table in element.iterdescendants("table"):
        _add_header(table)
    stored = list(_take_plain_tables(element))
    stored += _take_code_with_fences(element, len(stored))
    html = etree.tostring(element, encoding="unicode", method="html", with_tail=False)
    converter = MarkdownConverter(**_OPTIONS, code_language_callback=_code_language)
    markdown = tidy(converter.convert_soup(BeautifulSoup(html, "lxml")))
    return re.sub(f"{_MARK}(\\d+){_MARK}", lambda found: stored[int(found[1])], markdown)


def _collapse_spaces(root: Any) -> None:
    """Replace each run of white space by one space, except in `<pre>`."""
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
    """Convert a table that only arranges the page to plain blocks, and a table inside a line of text to text."""
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
    is_layout = (
        table.get("role") == "presentation"
        or any(True for _ in table.iter("h1", "h2", "h3", "article", "pre"))
        or len(list(table.iter("table"))) > 1
        or all(len(row) < 2 for row in rows)
    )
    is_in_line = next(table.iterancestors(*_LINES), None) is not None
    if is_layout or is_in_line:
        parts = [part for part in table.iter(*_TABLE_PARTS) if next(part.iterancestors("table")) is table]
        for part in [table, *parts]:
            part.tag = "span" if is_in_line else "div"
            if is_in_line:
                part.tail = f" {part.tail or ''}"


def _add_header(table: Any) -> None:
    """Remove empty rows. Add an empty header row to a table without a header, because Markdown requires a header.

    The caption becomes a paragraph above the table.
    """
    for part in list(table.iter("caption", "colgroup")):
        part.tag, part.tail = "p", None
        table.addprevious(part)
    for row in list(table.iter("tr")):
        if not "".join(row.itertext()).strip():
            row.getparent().remove(row)
    rows = list(table.iter("tr"))
    if rows and not all(cell.tag == "th" for cell in rows[0]) and rows[0].getparent().tag != "thead":
        header = table.makeelement("tr")
        for cell in rows[0]:
            header.append(table.makeelement("th", {"colspan": cell.get("colspan", "1")}))
        rows[0].addprevious(header)


def _take_plain_tables(root: Any) -> Iterator[str]:
    """Yield the Markdown of each table whose cells contain only text and links, and replace the table by a mark.

    Why: `markdownify` is slow for large tables.
    """
    number = 0
    for table in list(root.iterdescendants("table")):
        rows = list(table.iter("tr"))
        width = max(map(len, rows), default=0)
        is_plain = all(
            part.tag in _PLAIN_PARTS and part.get("colspan", "1") == "1" and part.get("rowspan", "1") == "1"
            for part in table.iter()
        )
        if not rows or not is_plain or next(table.iterancestors("li", "dd", "blockquote"), None) is not None:
            continue
        cells = [
            [" ".join("".join(cell.itertext()).split()) for cell in row] + [""] * (width - len(row)) for row in rows
        ]
        yield markdown_table(cells)
        for child in list(table):
            table.remove(child)
        table.tag, table.text = "p", f"{_MARK}{number}{_MARK}"
        number += 1


def _take_code_with_fences(root: Any, number: int) -> Iterator[str]:
    """Yield each `<pre>` whose text contains a code fence, as Markdown with a longer fence, and replace the `<pre>` by
    a mark."""
    for code in list(root.iter("pre")):
        text = "".join(code.itertext()).strip("\n")
        if "```" not in text or next(code.iterancestors("li", "dd", "blockquote", "table"), None) is not None:
            continue
        fence = "`" * (1 + max(map(len, re.findall("`{3,}", text))))
        yield f"{fence}\n{text}\n{fence}"
        for child in list(code):
            code.remove(child)
        code.tag, code.text = "p", f"{_MARK}{number}{_MARK}"
        number += 1


def _code_language(element: Any) -> str:
    classes = [*element.get("class", []), *(element.code.get("class", []) if element.code else [])]
    found = _LANGUAGE.search(" ".join(classes))
    return found[1] if found else ""


def tidy(markdown: str) -> str:
    """Outside of fenced code, remove white space at the ends of lines, and repeated blank lines."""
    lines: list[str] = []
    fenced = False
    for line in markdown.split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        line = line if fenced else line.rstrip()
        if fenced or line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n")
