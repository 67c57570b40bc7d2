"""Formats: a document told in other layouts, word for word (formatting-based augmentation, arXiv 2503.03705).

A format frames the document's sentences; it can't reach inside one. That is why it can't touch a fact, and why it
needs no other model. The paper names "controlling spaces or adding special characters around sentences" and no list:
the formats below are this project's own choice.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from hf_knowlearn.documents import Document
from hf_knowlearn.views.sentences import Sentence, sentences
from hf_knowlearn.views.view import Piece, View, assemble


@dataclass(frozen=True)
class Format:
    """A layout: its name, its group, and the pieces it makes of a title and sentences."""

    name: str
    group: str
    lay_out: Callable[[str, Sequence[Sentence]], Iterable[Piece]]
    needs_title: bool = False


def _frame(
    title: str,
    told: Sequence[Sentence],
    /,
    *,
    head: str = "",
    opening: str = "",
    closing: str = "",
    between: str = " ",
    paragraph: str = "\n\n",
    tail: str = "",
) -> Iterable[Piece]:
    """`head`, each sentence between `opening` and `closing`, joined by `between` (paragraphs by `paragraph`), `tail`.

    `{title}` in `head` and `{n}`, `{letter}` in `opening` stand for the title and the sentence's number from 1.
    """
    yield head.replace("{title}", title)
    for number, sentence in enumerate(told):
        if number:
            yield paragraph if sentence.opens_paragraph else between
        yield opening.replace("{n}", str(number + 1)).replace("{letter}", _letter(number))
        yield (sentence.start, sentence.end)
        yield closing
    yield tail


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ...: the letters of a list's items."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _framed(name: str, group: str, **frame: str) -> Format:
    return Format(name, group, partial(_frame, **frame), needs_title="{title}" in frame.get("head", ""))


FORMATS: tuple[Format, ...] = (
    _framed("one_space", "spacing"),
    _framed("two_spaces", "spacing", between="  "),
    _framed("indented", "spacing", head="    ", paragraph="\n\n    "),
    _framed("tabbed", "spacing", between="\t"),
    _framed("sentence_lines", "lines", between="\n"),
    _framed("spaced_lines", "lines", between="\n\n", paragraph="\n\n\n"),
    _framed("indented_lines", "lines", opening="  ", between="\n"),
    _framed("quotes", "marks", opening='"', closing='"'),
    _framed("guillemets", "marks", opening="« ", closing=" »"),
    _framed("brackets", "marks", opening="[", closing="]"),
    _framed("emphasis", "marks", opening="**", closing="**"),
    _framed("ticks", "marks", opening="`", closing="`"),
    _framed("bars", "marks", between=" | ", paragraph=" || "),
    _framed("dashes", "lists", opening="- ", between="\n"),
    _framed("bullets", "lists", opening="\u2022 ", between="\n"),
    _framed("numbers", "lists", opening="{n}. ", between="\n"),
    _framed("letters", "lists", opening="({letter}) ", between="\n"),
    _framed("heading", "headings", head="# {title}\n\n"),
    _framed("title_line", "headings", head="Title: {title}\nText: "),
    _framed("document", "headings", head="Document: "),
    _framed("underlined", "headings", head="{title}\n=====\n"),
    _framed("block_quote", "containers", opening="> ", between="\n", paragraph="\n>\n"),
    _framed("html", "containers", opening="<p>", closing="</p>", between="\n"),
    _framed("xml", "containers", head="<document>\n", between="\n", tail="\n</document>"),
    _framed("fence", "containers", head="```\n", between="\n", tail="\n```"),
)
GROUPS = tuple(dict.fromkeys(format.group for format in FORMATS))


def as_written(document: Document) -> View:
    """The document itself, as a view of no format."""
    text, spans = assemble([(0, len(document.text))], document.text)
    return View(document.id, document.part, 0, "formats", "as_written", text, spans)


def format_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
) -> list[View]:
    """`num_views` tellings of `document` in different formats, drawn by `seed` and the document alone.

    Args:
        groups: the groups of formats to draw from; all of them when None.
        hold_out: a group never drawn, kept for measuring on formats that training has not shown.

    Raises:
        ValueError: `num_views` below 1, an unknown group, or fewer distinct formats than `num_views`.
    """
    allowed = _allowed(num_views, groups, hold_out)
    told = sentences(document.text, document.language)
    views: list[View] = []
    seen: set[str] = set()
    for format in sorted(allowed, key=lambda f: _draw(seed, document, f.name)):
        if len(views) == num_views:
            break
        if format.needs_title and not document.title.strip():
            continue
        text, spans = assemble(format.lay_out(document.title, told), document.text)
        if text not in seen:  # a document of one sentence looks alike in formats that differ between sentences
            seen.add(text)
            views.append(View(document.id, document.part, len(views), "formats", format.name, text, spans))
    if len(views) < num_views:
        has = f"{len(told)} sentence{'s' * (len(told) != 1)}{'' if document.title.strip() else ', no title'}"
        raise ValueError(
            f"num_views={num_views}, but document {document.id!r} has only {len(views)} distinct formats ({has}):"
            f" ask for at most that many, or allow more groups."
        )
    return views


def _allowed(num_views: int, groups: Sequence[str] | None, hold_out: str | None) -> list[Format]:
    if num_views < 1:
        raise ValueError(f"num_views={num_views}: a document is told at least once, so give 1 or more.")
    wanted = [*(groups or ()), *((hold_out,) if hold_out else ())]
    if unknown := [name for name in wanted if name not in GROUPS]:
        raise ValueError(f"Unknown groups of formats {unknown}: choose from {', '.join(GROUPS)}.")
    allowed = [f for f in FORMATS if f.group != hold_out and (groups is None or f.group in groups)]
    if not allowed:
        raise ValueError(f"groups={groups} with hold_out={hold_out!r} leaves no format to tell a document in.")
    return allowed


def _draw(seed: int, document: Document, name: str) -> bytes:
    """A key for sorting formats into the order in which this document draws them: a hash, so alike everywhere.

    ASCII, because what `repr` escapes of other scripts changes with the Unicode version of Python.
    """
    return hashlib.blake2b(ascii((seed, document.id, document.part, name)).encode(), digest_size=8).digest()
