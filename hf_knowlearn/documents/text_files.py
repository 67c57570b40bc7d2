"""Reads files that contain one document each. Most formats become Markdown; the suffix selects the converter.

Plugins of `markitdown` are not loaded, and nothing is downloaded.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from hf_knowlearn.documents import html_files, mail, notebooks, office_files, pdf_pages, rst, tex
from hf_knowlearn.documents.conversion import Converter, first_heading
from hf_knowlearn.documents.front_matter import split_front_matter, title_and_language
from hf_knowlearn.documents.progress import named_if_slow
from hf_knowlearn.documents.structure import parse_blocks
from hf_knowlearn.documents.tabular import Rows, decoded

CONVERTERS: Mapping[str, Converter] = {
    ".docx": office_files.word_file,
    ".eml": mail.message,
    ".epub": office_files.book,
    ".htm": html_files.html_file,
    ".html": html_files.html_file,
    ".ipynb": notebooks.notebook,
    ".pdf": pdf_pages.pdf_file,
    ".pptx": office_files.slides,
    ".rst": rst.rst_file,
    ".tex": tex.tex_file,
    ".xhtml": html_files.html_file,
    ".xlsx": office_files.workbook,
}
SOURCE_CODE = frozenset(
    ".bash .bat .c .cc .cfg .clj .cmake .conf .cpp .cs .css .cu .dart .ex .f90 .go .gradle .h .hpp .hs .ini .java .jl "
    ".js .jsx .kt .lua .m .ml .php .pl .properties .proto .ps1 .py .pyi .r .rb .rs .scala .scss .sh .sql .swift .tf "
    ".toml .ts .tsx .vue .xml .yaml .yml .zig .zsh".split()
)
LONGEST_BEGINNING = 2000  # characters in which the heading of a plain text is searched
BEGINNING = 1 << 16  # bytes of a file that decide whether it is text


def plain_text(file: Path) -> Rows:
    """Yield the text of a file without changes. The title is the heading in the first line of the text, or else the
    name of the file."""
    text = decoded(file.read_bytes())
    yield 0, {"text": text, "title": _first_line_heading(text) or file.stem}


def _first_line_heading(text: str) -> str:
    """Return the first line of a plain text if it is a heading without a number, or an empty string."""
    blocks = parse_blocks(text[:LONGEST_BEGINNING])
    heading = blocks[0].section[0] if blocks and blocks[0].level == 1 else ""
    return "" if re.match(r"(?:[A-Z]|[IVX]+)[.)]\s", heading) else heading


def source_code(file: Path) -> Rows:
    """Yield the text of a file without changes. The title is the name of the file, with its suffix."""
    yield 0, {"text": decoded(file.read_bytes()), "title": file.name}


def markdown(file: Path) -> Rows:
    """Yield the text of a `.md` file after its front matter.

    The title is the title in the front matter, or else the first heading, or else the name of the file.
    """
    text = re.sub(r"\r\n?", "\n", decoded(file.read_bytes()))
    fields, body = split_front_matter(text)
    yield 0, {"text": body, "title": first_heading(body) or file.stem, **title_and_language(fields)}


def converted(file: Path) -> Rows:
    """Yield the file as Markdown. The title is the title that the converter finds, or else the name of the file."""
    with named_if_slow(file):
        text, title = CONVERTERS[file.suffix.lower()](file)
    text = text.replace("\f", "\n").replace("\0", "")
    yield 0, {"text": text, "title": " ".join(title.split()) or file.stem}


def has_text(file: Path) -> bool:
    """Return whether the beginning of a file is text in UTF-8 with at least one character that is not white space."""
    with open(file, "rb") as stream:
        content = stream.read(BEGINNING)
    try:
        # Why: the last character of a part of a file may be incomplete.
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=len(content) < BEGINNING)
    except UnicodeDecodeError:
        return False
    return bool(text.strip()) and not re.search(r"[\0-\x08\x0e-\x1a]", text)
