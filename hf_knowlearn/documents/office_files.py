"""Converts office files and e-books to Markdown.

`mammoth` converts `.docx` files to HTML, `python-pptx` reads `.pptx` files, and `openpyxl` reads `.xlsx` files.
"""

from __future__ import annotations

import io
import logging
import posixpath
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.conversion import Converted, cannot_convert, first_heading, require_packages
from hf_knowlearn.documents.html_files import decode_html
from hf_knowlearn.documents.markdown_tables import markdown_table

logger = logging.getLogger(__name__)

_STYLES = "p[style-name='Title'] => h1:fresh"
# Why: the first row of a table in Word is the header of the table, but files rarely mark this row as a header.
_EMPTY_HEADER = re.compile(r"^\|(?: +\|)+\n(\|(?: -{3,} \|)+)\n(\|.*\|)$", re.MULTILINE)
_FORMULA_WITHOUT_VALUE = re.compile(rb"</f>(?:<v\s*/>|<v></v>)?</c>|<f [^>]*/>(?:<v\s*/>|<v></v>)?</c>")


def word_file(file: Path) -> Converted:
    """Convert a `.docx` file. The title is the first heading."""
    require_packages("mammoth", "markitdown", "lxml", "bs4", "markdownify")
    import mammoth
    from markitdown.converter_utils.docx.pre_process import pre_process_docx

    from hf_knowlearn.documents.html_pages import read_chapter

    try:
        stream = pre_process_docx(io.BytesIO(file.read_bytes()))  # formulas become TeX
        html = mammoth.convert_to_html(stream, style_map=_STYLES).value
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise cannot_convert(error) from error
    markdown = _EMPTY_HEADER.sub(r"\2\n\1", read_chapter(html))
    return Converted(markdown, first_heading(markdown))


def slides(file: Path) -> Converted:
    """Convert a `.pptx` file: titles, texts, tables, charts and notes. The title of the document is the title of the
    first slide."""
    require_packages("pptx")
    from pptx import Presentation
    from pptx.exc import PackageNotFoundError

    try:
        presentation = Presentation(str(file))
    except (KeyError, PackageNotFoundError, ValueError, zipfile.BadZipFile) as error:
        raise cannot_convert(error) from error
    parts: list[str] = []
    for slide in presentation.slides:
        title = slide.shapes.title
        if title is not None and title.text_frame.text.strip():
            parts.append(f"# {' '.join(title.text_frame.text.split())}")
        parts += [
            part
            for shape in slide.shapes
            if shape.shape_id != getattr(title, "shape_id", None)
            for part in _shape(shape)
        ]
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame):
            parts.append(notes.text.strip())
    markdown = "\n\n".join(filter(None, parts))
    return Converted(markdown, first_heading(markdown))


def _shape(shape: Any) -> Iterator[str]:
    """Yield the blocks of a shape. If a placeholder has several paragraphs, they become the items of a list."""
    if hasattr(shape, "shapes"):
        for inner in shape.shapes:
            yield from _shape(inner)
    elif getattr(shape, "has_table", False):
        yield markdown_table([[" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows])
    elif getattr(shape, "has_chart", False):
        for plot in shape.chart.plots:
            rows = [["", *map(str, plot.categories)]]
            rows += [
                [series.name, *("" if one is None else f"{one:.15g}" for one in series.values)]
                for series in plot.series
            ]
            yield markdown_table([[str(cell) for cell in row] for row in rows])
    elif shape.has_text_frame:
        lines = [(one.level, " ".join(one.text.split())) for one in shape.text_frame.paragraphs if one.text.strip()]
        if shape.is_placeholder and len(lines) > 1:
            yield "\n".join("  " * level + f"- {text}" for level, text in lines)
        else:
            yield "\n\n".join(text for _, text in lines)


def workbook(file: Path) -> Converted:
    """Convert an `.xlsx` file: each sheet becomes a heading and a table. Empty rows and columns are omitted."""
    require_packages("openpyxl")
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(file, read_only=True, data_only=True)
        parts = [part for sheet in book.worksheets for part in _sheet(sheet)]
        book.close()
        _report_formulas(file)
    except (InvalidFileException, KeyError, zipfile.BadZipFile) as error:
        raise cannot_convert(error) from error
    return Converted("\n\n".join(parts), "")


def _sheet(sheet: Any) -> Iterator[str]:
    """Yield the name of a sheet as a heading, the lines above its table, and the table."""
    rows = [row for cells in sheet.iter_rows() if any(row := [_cell(cell) for cell in cells])]
    if not rows:
        return
    yield f"## {sheet.title}"
    is_wide = any(sum(map(bool, row)) > 1 for row in rows)
    while is_wide and sum(map(bool, rows[0])) == 1:
        yield "".join(rows.pop(0))
    columns = [column for column in zip_longest(*rows, fillvalue="") if any(column)]
    yield markdown_table(list(zip(*columns, strict=True)))


def _cell(cell: Any) -> str:
    """Return the value of a cell as text, with percent signs and all decimals."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, date | time):
        return value.isoformat(*([" "] if isinstance(value, datetime) else []))
    if isinstance(value, float | int) and not isinstance(value, bool):
        is_percent = "%" in (cell.number_format or "")
        return f"{value * 100:.15g}%" if is_percent else f"{value:.15g}"
    return " ".join(str(value).split())


def _report_formulas(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        count = sum(len(_FORMULA_WITHOUT_VALUE.findall(archive.read(name))) for name in names)
    if count:
        logger.warning(
            "%s: %s without a saved value; their cells are read as empty. Open the file in a spreadsheet and save it.",
            file,
            number_of(count, "formula"),
        )


def book(file: Path) -> Converted:
    """Convert an `.epub` file: its authors and its chapters, in reading order. The title of the document is the title
    of the book."""
    require_packages("lxml", "bs4", "markdownify")
    from lxml import etree

    try:
        with zipfile.ZipFile(file) as archive:
            return _book(archive)
    except (zipfile.BadZipFile, KeyError, IndexError, etree.XMLSyntaxError) as error:
        raise cannot_convert(error) from error


def _book(archive: zipfile.ZipFile) -> Converted:
    from hf_knowlearn.documents.html_pages import read_chapter

    root = _xml(archive.read("META-INF/container.xml"))
    package_name = root.xpath("//*[local-name()='rootfile']/@full-path")[0]
    package = _xml(archive.read(package_name))
    items = {item.get("id"): item for item in package.xpath("//*[local-name()='manifest']/*")}
    chapters = [items.get(one.get("idref")) for one in package.xpath("//*[local-name()='spine']/*")]
    parts = [f"**Authors:** {authors}"] if (authors := ", ".join(_texts(package, "creator"))) else []
    for item in chapters:
        if item is not None and "nav" not in (item.get("properties") or "").split():
            name = posixpath.normpath(posixpath.join(posixpath.dirname(package_name), unquote(item.get("href"))))
            parts.append(read_chapter(decode_html(archive.read(name))))
    return Converted("\n\n".join(filter(None, parts)), next(iter(_texts(package, "title")), ""))


def _xml(content: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=False)
    return etree.fromstring(content, parser=parser)


def _texts(package: Any, name: str) -> Sequence[str]:
    found = package.xpath(f"//*[local-name()='metadata']//*[local-name()='{name}']")
    return [text for one in found if (text := " ".join("".join(one.itertext()).split()))]
