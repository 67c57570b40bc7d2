"""Converts PDF files to Markdown, with whole paragraphs and without running headers, footers and page numbers.

`pdfplumber` returns the lines of text of each page with their positions, and the tables that have lines around the
cells. This module finds the other tables by the positions of their cells.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.conversion import Converted, cannot_convert, first_heading, require_packages
from hf_knowlearn.documents.markdown_tables import markdown_table
from hf_knowlearn.documents.pdf_paragraphs import Block, Line, is_code, markdown_of_pages

logger = logging.getLogger(__name__)

OCR = "run OCR on the file first, for example with ocrmypdf"
MARGIN = 0.18  # share of the height of a page in which running headers and footers are
MAX_CELL = 25  # letters in the usual cell of a table without lines; with more, the columns are columns of text
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_ITEM_MARK = re.compile(r"\W|\(?\w{1,3}[.)]|\d+(?:\.\d+)+")  # a bullet, or the number of an item or a section
_PAGE_NUMBER = re.compile(r"(?:page|seite|p\.)?\W*(\d{1,4})\W*(?:(?:of|von|/)\W*\d{1,4})?", re.IGNORECASE)
_LATEX_COPYRIGHT = "c(cid:13)"  # a "c" and a circle around it
_UNMAPPED = re.compile(r"\(cid:\d+\)")


@dataclass
class _Page:
    """The blocks of one page.

    Args:
        number: number of the page, from 1.
        height: height in points.
        blocks: lines and tables, in reading order.
        has_images: whether the page contains an image.
    """

    number: int
    height: float
    blocks: list[Block]
    has_images: bool


def pdf_file(file: Path) -> Converted:
    """Convert a PDF file. The title is its first heading of the highest level.

    Raises:
        ValueError: the file cannot be opened, most of its pages have no text, or its characters are unknown.
    """
    require_packages("pdfplumber")
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfminer.pdfparser import PDFSyntaxError
    from pdfplumber.utils.exceptions import MalformedPDFException, PdfminerException

    try:
        with pdfplumber.open(file, laparams={}) as pdf:
            pages = [_read(page) for page in pdf.pages]
    except (MalformedPDFException, PdfminerException, PDFSyntaxError, OSError) as error:
        cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
        if isinstance(cause, PDFPasswordIncorrect):
            raise ValueError("protected by a password; save it without a password") from None
        raise cannot_convert(cause) from error
    _check_text(file, pages)
    _drop_running_lines(pages)
    text = markdown_of_pages([page.blocks for page in pages]).replace(_LATEX_COPYRIGHT, "\u00a9")
    return Converted(text, first_heading(text))


def _read(page: Any) -> _Page:
    """Return the blocks of a page, and close it, so that only one page is in memory."""
    lines = _pieces_joined(list(_lines(page.layout, page.height, page.page_number)))
    blocks = _with_ruled_tables(lines, page) if len(page.edges) >= 4 else list(lines)
    found = _Page(page.page_number, float(page.height), _with_aligned_tables(blocks), bool(page.images))
    page.close()
    return found


def _lines(layout: Any, height: float, number: int) -> Iterator[Line]:
    from pdfminer.layout import LTChar, LTTextBox

    for box_number, box in enumerate(item for item in layout if isinstance(item, LTTextBox)):
        for line in box:
            text = line.get_text().translate(_LIGATURES).strip()
            characters = [character for character in line if isinstance(character, LTChar)]
            letters = [one for one in characters if one.get_text().strip()]
            is_visible = line.y1 > 0 and line.y0 < height and line.x1 > 0
            if text and letters and is_visible:
                fonts = Counter(one.fontname for one in letters)
                yield Line(
                    text, line.x0, line.x1, height - line.y1, height - line.y0,
                    size=round(median(one.size for one in letters), 1),
                    font=fonts.most_common(1)[0][0] if len(fonts) == 1 else "",
                    page=number, box=box_number,
                )  # fmt: skip


def _pieces_joined(lines: Sequence[Line]) -> list[Line]:
    """Join the pieces of lines that have wide spaces in them, such as a bullet and its text."""
    result = list(lines)
    for line in sorted(lines, key=lambda line: line.x0):
        place = next((place for place, left in enumerate(result) if _is_next_piece(left, line)), None)
        if place is not None:
            left = result[place]
            spaces = max(round((line.x0 - left.x1) / line.width), 1) if is_code(left) and is_code(line) else 1
            text = left.text + " " * spaces + line.text
            result[place] = replace(left, text=text, x1=line.x1, size=line.size)
            result.remove(line)
    return result


def _is_next_piece(left: Line, line: Line) -> bool:
    gap = line.x0 - left.x1
    if abs(left.bottom - line.bottom) > 0.35 * line.size or gap < -1 or left is line:
        return False
    if _ITEM_MARK.fullmatch(left.text):
        return gap < 4 * line.size
    return gap < 0.9 * line.size or (is_code(left) and is_code(line))


def _with_ruled_tables(lines: Sequence[Line], page: Any) -> list[Block]:
    """Replace the text of each table that has lines around its cells by the table in Markdown."""
    blocks: list[Block] = list(lines)
    for table in page.find_tables():
        rows = [[" ".join((cell or "").split()) for cell in row] for row in table.extract()]
        columns = [column for column in zip(*rows, strict=True) if any(column)]
        rows = [list(row) for row in zip(*columns, strict=True) if any(row)]
        x0, top, x1, bottom = table.bbox
        if len(rows) < 2 or len(columns) < 2:
            continue
        inside = [
            block
            for block in blocks
            if isinstance(block, Line)
            and x0 - 2 <= (block.x0 + block.x1) / 2 <= x1 + 2
            and top - 2 <= (block.top + block.bottom) / 2 <= bottom + 2
        ]
        if inside:
            place = blocks.index(inside[0])
            blocks = [block for block in blocks if block not in inside]
            blocks.insert(place, markdown_table(rows))
    return blocks


def _with_aligned_tables(blocks: Sequence[Block]) -> list[Block]:
    """Replace the text of each table without lines around its cells by the table in Markdown."""
    lines = [block for block in blocks if isinstance(block, Line)]
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.top):
        if rows and abs(line.top - rows[-1][0].top) < 0.3 * line.size:
            rows[-1].append(line)
        else:
            rows.append([line])
    result = list(blocks)
    for group in _aligned(rows):
        cells = [sorted(row, key=lambda line: line.x0) for row in group]
        inside = {id(line) for row in group for line in row}
        place = next(index for index, block in enumerate(result) if id(block) in inside)
        result = [block for block in result if id(block) not in inside]
        result.insert(place, markdown_table([[cell.text for cell in row] for row in cells]))
    return result


def _aligned(rows: Iterable[list[Line]]) -> Iterator[list[list[Line]]]:
    """Yield groups of at least three rows with short cells at the same horizontal positions."""
    group: list[list[Line]] = []
    for row in [*rows, []]:
        if group and not _continues(group[-1], row):
            if len(group) > 2 and median(len(cell.text) for each in group for cell in each) <= MAX_CELL:
                yield group
            group = []
        if len(row) > 1:
            group.append(row)


def _continues(above: Sequence[Line], row: Sequence[Line]) -> bool:
    """Return whether `row` is just below the row `above` and has cells at the same horizontal positions."""
    if len(row) != len(above) or row[0].top - above[0].bottom > 1.5 * row[0].size:
        return False
    pairs = zip(sorted(above, key=lambda line: line.x0), sorted(row, key=lambda line: line.x0), strict=True)
    return all(
        min(abs(one.x0 - other.x0), abs(one.x1 - other.x1), abs(one.x0 + one.x1 - other.x0 - other.x1) / 2) < 3
        for one, other in pairs
    )


def _check_text(file: Path, pages: Sequence[_Page]) -> None:
    """Raise ValueError if the text of most pages cannot be read, and log the pages without text."""
    if not pages:
        raise ValueError("contains no pages; check that another program can open it")
    empty = [page for page in pages if not page.blocks]
    scanned = [page for page in empty if page.has_images]
    if len(empty) == len(pages) or 2 * len(scanned) > len(pages):
        raise ValueError(f"no text on {_page_list(scanned or empty)}; if these pages are scans, {OCR}")
    if scanned:
        logger.warning("%s: only images and no text on %s. If they are scans, %s.", file, _page_list(scanned), OCR)
    text = "".join(block if isinstance(block, str) else block.text for page in pages for block in page.blocks)
    unmapped = sum(len(match[0]) for match in _UNMAPPED.finditer(text))
    if unmapped > 0.2 * len(text):
        raise ValueError(f"the fonts of the file do not say which characters they show; {OCR}")


def _page_list(pages: Sequence[_Page]) -> str:
    numbers = [str(page.number) for page in pages]
    shown = ", ".join(numbers[:20]) + (f" and {number_of(len(numbers) - 20, 'more page')}" if numbers[20:] else "")
    return f"page {shown}" if len(numbers) == 1 else f"pages {shown}"


def _drop_running_lines(pages: Sequence[_Page]) -> None:
    """Remove running headers, running footers and page numbers.

    Running headers and footers are lines in the margins that occur on most pages, or as the first or last line of at
    least three pages. The numbers in such a line may differ between pages.
    """
    lines_of = {page.number: [block for block in page.blocks if isinstance(block, Line)] for page in pages}
    places: dict[tuple[str, int], set[int]] = defaultdict(set)
    outermost: Counter[tuple[str, int]] = Counter()
    for page in pages:
        lines = lines_of[page.number]
        edges = {min((line.top for line in lines), default=0.0), max((line.top for line in lines), default=0.0)}
        for line in _in_margins(page, lines):
            places[_key(line)].add(page.number)
            outermost[_key(line)] += any(abs(line.top - edge) < 4 for edge in edges)
    count = sum(map(bool, lines_of.values()))
    running = {key for key, on in places.items() if len(on) > 1 and (2 * len(on) >= count or outermost[key] > 2)}
    for page in pages:
        lines = _in_margins(page, lines_of[page.number])
        rows = [line.top for line in lines if _key(line) in running or _is_page_number(line.text, page.number)]
        # Why: the title of a chapter is next to the page number and repeats on few pages.
        dropped = {id(line) for line in lines if any(abs(line.top - row) < 3 for row in rows)}
        page.blocks[:] = [block for block in page.blocks if id(block) not in dropped]


def _in_margins(page: _Page, lines: Sequence[Line]) -> list[Line]:
    upper, lower = MARGIN * page.height, (1 - MARGIN) * page.height
    return [line for line in lines if line.bottom < upper or line.top > lower]


def _is_page_number(text: str, number: int) -> bool:
    """Return whether a text is the number of its page, such as "3", "- 3 -" or "Page 3 of 9"."""
    found = _PAGE_NUMBER.fullmatch(text)
    return found is not None and int(found[1]) == number


def _key(line: Line) -> tuple[str, int]:
    """Return the text with its numbers replaced, and the position on the page."""
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", line.text.lower()), round(line.top / 6)
