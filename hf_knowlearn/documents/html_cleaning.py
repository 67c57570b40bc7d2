"""Parses HTML pages, and removes scripts, controls, images, reference marks and hidden text."""

from __future__ import annotations

import re
from typing import Any

MAX_DEPTH = 200  # elements within each other

_INVISIBLE = (
    "script style template noscript iframe object svg canvas link meta head img picture video audio map button input "
    "select textarea"
).split()
_MARK_CLASSES = re.compile(
    r"(?:^|\s)(?:mw-editsection|footnote-ref(?:erence)?|noteref|headerlink|anchorjs-link|mw-cite-backlink|mw-jump-link)"
    r"(?=$|\s)"
)
_MARK = re.compile(r"\[?\s*(?:\d{1,3}|[a-z]|(?:note|nb|n)\s*\d+|[*†‡])\s*\]?", re.IGNORECASE)
_ANCHOR_MARKS = frozenset("¶ # § ^ ↑ ↩ 🔗 \uf0c1".split())
_HIDDEN = re.compile(r"display:\s*none|visibility:\s*hidden", re.IGNORECASE)
_SELF_CLOSING = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([a-zA-Z][\w:]*)([^<>]*)/>"
)
_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


def clean_page(html: str) -> tuple[Any, str]:
    """Parse a page.

    Returns:
        The `<body>` with its text only, or None if the page is empty; and the declared title.

    Raises:
        ValueError: the page is nested too deeply to be read completely.
    """
    from lxml import etree
    from lxml import html as lxml_html

    if html.lstrip()[:5] == "<?xml":  # Why: in HTML, `<a/>` opens a link that contains all that follows.
        html = _SELF_CLOSING.sub(r"<\1\2></\1>", html)
    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        tree = lxml_html.document_fromstring(html.encode(), parser=parser)
    except etree.ParserError:  # an empty page
        return None, ""
    title = " ".join((tree.findtext(".//title") or "").split())
    body = tree.find("body")
    if body is None:
        return None, title
    _check_depth(body)
    for clean in (_write_formulas, _remove_marks, _remove_invisible, _write_indices):
        clean(body)
    return body, title


def _check_depth(body: Any) -> None:
    depths = {body: 0}
    for element in body.iterdescendants():
        depths[element] = depths[element.getparent()] + 1
        if depths[element] > MAX_DEPTH:
            raise ValueError(
                f"the page nests more than {MAX_DEPTH} elements inside of each other; check that all tags are closed"
            )


def _write_formulas(body: Any) -> None:
    """Replace each formula in MathML by its TeX source, if the page contains the TeX source."""
    for formula in list(body.iter("math")):
        source = formula.get("alttext") or "".join(formula.xpath(".//annotation[contains(@encoding, 'tex')]//text()"))
        if not source:
            continue
        outer = formula
        for parent in formula.iterancestors("span"):
            if re.search(r"katex|math", parent.get("class") or "", re.IGNORECASE):
                outer = parent
        _replace(outer, f"${source.strip()}$")


def _remove_marks(body: Any) -> None:
    """Remove reference marks, such as [12], and the links next to headings."""
    for element in list(body.iter("sup", "span", "a")):
        text = "".join(element.itertext()).strip()
        is_mark = _MARK_CLASSES.search(element.get("class") or "") or element.get("role") == "doc-noteref"
        if element.get("class") == "label" and element.getparent().tag == "aside":  # a footnote of docutils
            is_mark = True
        if element.tag == "sup":
            has_link = element.find(".//a[@href]") is not None
            is_mark = is_mark or element.get("class") == "reference" or (has_link and _MARK.fullmatch(text))
        elif element.tag == "a":
            is_mark = is_mark or text in _ANCHOR_MARKS
        if is_mark and len(text) < 40:
            _remove_space_before(element)
            element.drop_tree()


def _remove_space_before(mark: Any) -> None:
    """Remove the space between a word and its reference mark if punctuation follows."""
    if (mark.tail or " ")[0] in ".,;:!?)":
        previous = mark.getprevious()
        if previous is not None:
            previous.tail = (previous.tail or "").rstrip() or None
        else:
            mark.getparent().text = (mark.getparent().text or "").rstrip() or None


def _remove_invisible(body: Any) -> None:
    for element in list(body.iter(*_INVISIBLE)):
        element.drop_tree()
    hidden = [
        one for one in body.iterdescendants() if one.get("hidden") is not None or _HIDDEN.search(one.get("style", ""))
    ]
    outer = [one for one in hidden if not set(hidden).intersection(one.iterancestors())]
    # Why: if most of the text is hidden, it opens with a click, as do the answers of a list of questions.
    is_content = 2 * sum(map(_length, outer)) > _length(body)
    for element in outer:
        if not is_content or _length(element) < 80:
            element.drop_tree()


def _length(element: Any) -> int:
    return len("".join("".join(element.itertext()).split()))


def _write_indices(body: Any) -> None:
    """Write numbers in `<sup>` and `<sub>` with Unicode characters, so that 10<sup>6</sup> does not become 106."""
    for element in list(body.iter("sup", "sub")):
        text = "".join(element.itertext()).strip()
        if re.fullmatch(r"[-+−=()n\d]*\d[-+−=()n\d]*", text):
            _replace(element, text.translate(_RAISED if element.tag == "sup" else _LOWERED))


def _replace(element: Any, text: str) -> None:
    """Replace an element by a text."""
    if element.getparent() is not None:
        element.tail = text + (element.tail or "")
        for child in list(element):
            element.remove(child)
        element.text = None
        element.drop_tree()
