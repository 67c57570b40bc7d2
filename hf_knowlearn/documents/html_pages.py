"""HTML pages as Markdown, reduced to their content.

A library finds the text of the content. Its own Markdown is not used, because it omits headings and changes code.
Instead, the smallest element that has the text is converted, without the navigation in it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hf_knowlearn.documents.html_cleaning import clean_page

WHOLE_PAGE = "no article was found, so the whole page is read, with its navigation"
MIN_SHARE = 0.9  # of the text outside of links and navigation; with less, a larger element is read
FOUND_SHARE = 0.98  # of the text that the library found; the smallest element with it is the content
LINK_SHARE = 0.75  # of the text of a list; with more, it is navigation unless the library found it
MIN_VISIBLE_SHARE = 0.1  # of all text; with less, the whole page is read

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
        notice: what the reader should know about the conversion, or an empty string.
    """

    markdown: str
    title: str
    notice: str = ""


def read_page(html: str, find_text: Callable[[str], str] | None = None) -> Page:
    """Reduce a page to its content.

    Args:
        html: the page.
        find_text: function that returns the text of the content of a page.

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
    content, notice = _content(body, _letters(found))
    return Page(markdown_of(content), title, notice)


def read_chapter(html: str) -> str:
    """A page that is content as a whole, such as a chapter of a book, as Markdown."""
    from hf_knowlearn.documents.html_markdown import markdown_of

    body, _ = clean_page(html)
    if body is None:
        return ""
    for element in list(body.iter("nav")):
        element.drop_tree()
    return markdown_of(body)


def main_text(html: str) -> str:
    """The text of the content of a page, as Resiliparse finds it."""
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(html, main_content=True, comments=True, list_bullets=False))


class _Texts:
    """Lengths of the texts below each element, in letters and digits.

    Attributes:
        all: all text.
        links: text in links.
        found: text of which the library says that it is content. Short pieces of text count for nothing here.
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
        self.total_found = self.found[body]


def _content(body: Any, found: str) -> tuple[Any, str]:
    """The element to convert, without navigation, and a notice."""
    from copy import deepcopy

    texts = _Texts(body, found)
    whole = deepcopy(body)
    total = texts.all[body]
    root = _smallest(body, texts.found, texts.found[body])
    for element in list(_navigation(body, texts, found)):
        element.drop_tree()
    if body not in root.iterancestors():  # also if the element was in the navigation
        root = body
    remaining = _Texts(body, "")
    plain = {element: remaining.all[element] - remaining.links[element] for element in remaining.all}
    while root is not body and plain.get(root, 0) < MIN_SHARE * plain.get(body, 0):
        root = root.getparent()
    if remaining.all[root] < MIN_VISIBLE_SHARE * total:
        return whole, WHOLE_PAGE
    _add_title(body, root)
    if root is not body:
        root.tag = "div"  # Why: a cell of a table or an item of a list is nothing without its parent.
    return root, ""


def _smallest(body: Any, lengths: dict[Any, int], total: int) -> Any:
    """The smallest element with nearly all of the text."""
    element = body
    while larger := [child for child in element if total and lengths.get(child, 0) >= FOUND_SHARE * total]:
        element = larger[0]
    return element


def _navigation(body: Any, texts: _Texts, found: str) -> Iterator[Any]:
    """The outermost elements that are navigation and not content."""
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
    is_link_list = element.tag in _LINK_LISTS and links > LINK_SHARE * length and has_links
    return is_link_list and not _is_found(_letters("".join(element.itertext())), found)


def _is_found(letters: str, found: str) -> bool:
    """Whether most of four samples of a text are in the content."""
    step = max(len(letters) // 4, 1)
    samples = [letters[start : start + 16] for start in range(0, len(letters), step)][:4]
    return 2 * sum(sample in found for sample in samples) > len(samples)


def _add_title(body: Any, root: Any) -> None:
    """Put the only `<h1>` of the page at the beginning of the content if it is above it."""
    titles = list(body.iter("h1"))
    if root is not body and len(titles) == 1 and root not in titles[0].iterancestors():
        title = titles[0]
        title.drop_tree() if title.tail and title.tail.strip() else None
        title.tail = root.text
        root.text = None
        root.insert(0, title)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
