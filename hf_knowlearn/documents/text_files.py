"""Files that are one document each: `.txt` and `.md` as they are; pdf, docx, … as Markdown, through `markitdown`.

The surprising decision: a file is converted by what its name says and never by guessing, or a broken .docx would come
out as the text of its zip archive. Nothing is fetched, and no plugin is loaded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hf_knowlearn.documents.tabular import Check, Rows, decoded, opened

EXTRA = 'pip install "hf_knowlearn[documents]"'

# Suffix -> the converter of markitdown, and whether a title that the file declares goes before its first heading.
CONVERTED = {
    ".docx": ("DocxConverter", False),
    ".epub": ("EpubConverter", True),  # the first heading is that of a chapter
    ".htm": ("HtmlConverter", False),  # <title> often holds the site's name too
    ".html": ("HtmlConverter", False),
    ".pdf": ("PdfConverter", False),
    ".pptx": ("PptxConverter", False),
}

# Passed on to the converters: no plain text in place of Markdown that can't be made; snake_case, not snake\_case.
_WORD_FOR_WORD = {"strict": True, "escape_asterisks": False, "escape_underscores": False}


def plain_text(file: Path, check: Check) -> Rows:
    with opened(file) as stream:
        yield 0, {"text": decoded(stream.read()), "title": file.stem}


def markdown(file: Path, check: Check) -> Rows:
    with opened(file) as stream:
        text = decoded(stream.read())
    yield 0, {"text": text, "title": first_heading(text) or file.stem}


def first_heading(text: str) -> str:
    fenced = False
    for line in re.split(r"\r\n?|\n", text):
        if line.startswith(("```", "~~~")):
            fenced = not fenced  # a `# ` in there is a comment of some code
        elif not fenced and line.startswith("# ") and (heading := line[2:].strip().rstrip("#").strip()):
            return heading
    return ""


def missing_library(files: Sequence[str]) -> tuple[str, str] | None:
    """Where, and what to say, if some of the files need markitdown and it is not installed."""
    needing = [file for file in files if Path(file).suffix.lower() in CONVERTED]
    if not needing or find_spec("markitdown"):
        return None
    others = f", as do {len(needing) - 1} more files here" * (len(needing) > 1)
    return needing[0], f"needs markitdown to be read{others}: {EXTRA}"


def converted(file: Path, check: Check) -> Rows:
    """The document as Markdown, its title from the first heading or from what the file declares."""
    from markitdown import MarkItDown, MarkItDownException, StreamInfo, converters

    name, declared_first = CONVERTED[file.suffix.lower()]
    with opened(file) as stream:
        content = stream.read()
    markitdown = MarkItDown(enable_builtins=False, enable_plugins=False)
    markitdown.register_converter(getattr(converters, name)())
    charset = None
    if name == "HtmlConverter":
        content, charset = _html(content).encode(), "utf-8"
    info = StreamInfo(extension=file.suffix.lower(), charset=charset)
    try:
        result = markitdown.convert_stream(io.BytesIO(content), stream_info=info, **_WORD_FOR_WORD)
    except MarkItDownException as error:
        raise ValueError(_why(error)) from error
    # A page break is a form feed to pdfminer.
    text = result.markdown.replace("\f", "\n")
    titles = [(result.title or "").strip(), first_heading(text)]
    title = next(filter(None, titles if declared_first else reversed(titles)), file.stem)
    yield 0, {"text": text, "title": " ".join(title.split())}


def _html(content: bytes) -> str:
    """Text of a page in UTF-8, or in what it declares. Left to guess, markitdown makes a katakana of a Latin-1 é."""
    from bs4.dammit import EncodingDetector

    try:
        return decoded(content)
    except ValueError as error:
        declared = EncodingDetector.find_declared_encoding(content, is_html=True)
        marked = EncodingDetector.strip_byte_order_mark(content)[1]
        try:
            return content.decode(marked or declared or "utf-8")
        except (UnicodeDecodeError, LookupError):
            says = f"declares {declared}, which it is not in" if declared else "declares no other encoding"
            raise ValueError(f"{error}; the page {says}") from None


def _why(error: Exception) -> str:
    """What the converter met with; what markitdown says of it is several lines long."""
    from markitdown import MissingDependencyException

    attempts = getattr(error, "attempts", None) or []
    cause = attempts[-1].exc_info[1] if attempts and attempts[-1].exc_info else error
    if isinstance(cause, MissingDependencyException):
        return f"can't be read without all of markitdown: {EXTRA}"
    said = " ".join(str(cause).split())[:200]
    return f"can't be converted ({type(cause).__name__}{': ' * bool(said)}{said}); see that it opens elsewhere"
