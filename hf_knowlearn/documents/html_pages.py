"""HTML pages as Markdown, reduced to their content.

The library Resiliparse finds the text of the content. This text has no tables and no code, so this module converts the
page itself, without navigation. Navigation is what the page declares as navigation, and each list of links that is not
in the text of the library. Why not only the elements that are in the text of the library: this text lacks tables and
definitions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hf_knowlearn.documents.html_cleaning import clean_page

WHOLE_PAGE = "hardly any text is outside of the navigation, so the whole page is read"
FOUND_SHARE = 0.98  # of the text that the library found; an element with at least this share is the content
LINK_SHARE = 0.75  # of the text of a list; a list with a larger share of links can be navigation
MIN_SHARE = 0.1  # of all text; if the content has a smaller share, the whole page is read

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_NAVIGATION_TAGS = frozenset(("nav", "aside", "footer", "menu", "form"))
_NAVIGATION_ROLES = frozenset(
    "alertdialog banner complementary contentinfo dialog menu menubar navigation search toolbar".split()
)
_NAVIGATION_NAMES = re.compile(
    r"(?:^|[\s_-])(?:ads?|advert(?:isement|s)?|banner|breadcrumbs?|catlinks|consent|cookies?|footer|masthead|menu(?:bar)?"
    r"|modal|most-read|nav(?:bar|box|igation)?|newsletter|noprint|pager|pagination|popup|promo|related|recommendations?"
    r"|recommended|shar(?:e|ing)|sharedaddy|sidebar|sign-?up|skip-?links?|social|sphinxsidebar|subscribe|toc|toolbar"
    r"|top-?bar)(?=$|[\s_-])",
    re.IGNORECASE,
)
_LINK_LISTS = frozenset(("div", "li", "ol", "p", "section", "table", "td", "tr", "ul"))
_NEVER_DROPPED = frozenset(("html", "body", "main", "article"))


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Args:
        markdown: the content.
        title: the title that the page declares, or an empty string.
        notice: a notice for the log, or an empty string.
    """

    markdown: str
    title: str
    notice: str = ""


def read_page(html: str, find_text: Callable[[str], str] | None = None) -> Page:
    """Reduce a page to its content.

    Args:
        html: the page.
        find_text: the function that finds the text of the content in a page.

    Returns:
        The content as Markdown, without navigation, reference marks, link targets and images. If no content is found,
        the whole page, with a notice.

    Raises:
        ValueError: the page is nested too deeply.
    """
    from lxml import etree

    from hf_knowlearn.documents.html_markdown import markdown_of

    body, title = clean_page(html)
    if body is None:
        return Page("", title)
    found = (find_text or main_text)(etree.tostring(body, encoding="unicode", method="html"))
    content = _content(body, _letters(found))
    if content is None:
        return Page(markdown_of(clean_page(html)[0]), title, WHOLE_PAGE)
    return Page(markdown_of(content), title)


def read_chapter(html: str) -> str:
    """Convert a page without navigation, such as a chapter of a book, to Markdown."""
    from hf_knowlearn.documents.html_markdown import markdown_of

    body, _ = clean_page(html)
    if body is None:
        return ""
    for element in list(body.iter("nav")):
        element.drop_tree()
    return markdown_of(body)


def main_text(html: str) -> str:
    """Return the text that Resiliparse considers the content of a page."""
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(html, main_content=True, comments=True, list_bullets=False))


class _Texts:
    """The number of letters and digits below each element of a page.

    Attributes:
        all: all text.
        links: text in links.
        found: text that the library found. Pieces of fewer than 20 letters do not count, because they can occur in the
            found text by chance.
    """

    def __init__(self, body: Any, found: str) -> None:
        self.all: dict[Any, int] = defaultdict(int)
        self.links: dict[Any, int] = defaultdict(int)
        self.found: dict[Any, int] = defaultdict(int)
        elements = list(body.iter())
        in_link = set()
        position = 0
        for element in elements:
            if element.tag == "a" or element.getparent() in in_link:
                in_link.add(element)
            for owner, text in ((element, element.text), (element.getparent(), element.tail)):
                if text and (letters := _letters(text)) and owner is not None:
                    self.all[owner] += len(letters)
                    self.links[owner] += len(letters) * (owner in in_link)
                    if len(letters) >= 20:
                        place = found.find(letters, position)
                        if place < 0:
                            place = found.find(letters)
                        if place >= 0:
                            position = place
                            self.found[owner] += len(letters)
        for element in reversed(elements[1:]):
            for lengths in (self.all, self.links, self.found):
                if element in lengths:
                    lengths[element.getparent()] += lengths[element]
        self.total, self.total_found = self.all[body], self.found[body]


def _content(body: Any, found: str) -> Any:
    """Return the element to convert, without navigation, or None if hardly any text is left."""
    texts = _Texts(body, found)
    root = _main_element(body, texts)
    for element in list(_navigation(body, texts, found)):
        element.drop_tree()
    if len(_letters("".join(root.itertext()))) < MIN_SHARE * texts.total:
        return None
    _add_title(body, root)
    return root


def _main_element(body: Any, texts: _Texts) -> Any:
    """Return the element that the page declares to be its content, or the whole body if the library found content
    outside of this element."""
    for element in body.xpath(".//main | .//article | .//*[@role='main']"):
        if texts.total_found and texts.found.get(element, 0) >= FOUND_SHARE * texts.total_found:
            return element
    return body


def _navigation(body: Any, texts: _Texts, found: str) -> Iterator[Any]:
    """Yield the outermost elements that are navigation."""
    skipped: set[Any] = set()
    for element in body.iter():
        if element.getparent() in skipped:
            skipped.add(element)
        elif element.tag not in _NEVER_DROPPED and _is_navigation(element, texts, found):
            skipped.add(element)
            yield element


def _is_navigation(element: Any, texts: _Texts, found: str) -> bool:
    length, links = texts.all.get(element, 0), texts.links.get(element, 0)
    if texts.found.get(element, 0) > 0.5 * texts.total_found:
        return False
    names = f"{element.get('class') or ''} {element.get('id') or ''}"
    is_named = element.tag in _NAVIGATION_TAGS or element.get("role") in _NAVIGATION_ROLES
    if is_named or _NAVIGATION_NAMES.search(names):
        return links > 0.5 * length or texts.found.get(element, 0) <= 0.3 * length
    if texts.found.get(element, 0) > 0.3 * length:
        return False
    if element.tag == "header":
        return links > 0.3 * length or not any(True for _ in element.iter(*_HEADINGS))
    has_links = sum(link.get("href") is not None for link in element.iter("a")) > 1
    if element.tag not in _LINK_LISTS or links <= LINK_SHARE * length or not has_links:
        return False
    table = next(element.iterancestors("table"), None)
    if table is None:
        return not _is_found(_letters("".join(element.itertext())), found)
    # Why: in a table that arranges the page, a cell of links is a menu. In tables of data, links are values.
    arranges_page = any(True for _ in table.iterdescendants("h1", "h2", "p", "table"))
    return arranges_page and 2 * texts.all[table] > texts.total


def _is_found(letters: str, found: str) -> bool:
    """Return whether most of four samples of a text occur in the text that the library found."""
    step = max(len(letters) // 4, 1)
    samples = [letters[start : start + 16] for start in range(0, len(letters), step)][:4]
    return 2 * sum(sample in found for sample in samples) > len(samples)


def _add_title(body: Any, root: Any) -> None:
    """If the only `<h1>` of the page is outside of the content, move the `<h1>` to the beginning of the content."""
    titles = list(body.iter("h1"))
    if root is not body and len(titles) == 1 and root not in titles[0].iterancestors():
        titles[0].tail, root.text = root.text, None
        root.insert(0, titles[0])


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
