"""Files that are one document each: `.txt` and `.md` unchanged, other formats as Markdown through `markitdown`.

The suffix selects the converter. Plugins are not loaded, and nothing is downloaded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hf_knowlearn.documents.tabular import ColumnCheck, Rows, decoded, opened

EXTRA = 'pip install "hf_knowlearn[documents]"'

# suffix -> (converter of markitdown, whether the title that the file declares has priority over its first heading)
CONVERTERS = {
    ".docx": ("DocxConverter", False),
    ".epub": ("EpubConverter", True),  # Why: the first heading is the title of a chapter.
    ".htm": ("HtmlConverter", False),  # Why: <title> often contains the name of the site.
    ".html": ("HtmlConverter", False),
    ".pdf": ("PdfConverter", False),
    ".pptx": ("PptxConverter", False),
}

# Why: `strict` raises an error instead of returning plain text; the others leave snake_case without backslashes.
_OPTIONS = {"strict": True, "escape_asterisks": False, "escape_underscores": False}


def plain_text(file: Path, check: ColumnCheck) -> Rows:
    """The text of a `.txt` file. The title is the name of the file."""
    with opened(file) as stream:
        yield 0, {"text": decoded(stream.read()), "title": file.stem}


def markdown(file: Path, check: ColumnCheck) -> Rows:
    """The text of a `.md` file. The title is the first heading."""
    with opened(file) as stream:
        text = decoded(stream.read())
    yield 0, {"text": text, "title": first_heading(text) or file.stem}


def first_heading(text: str) -> str:
    """The first `# ` heading outside of fenced code, or an empty string."""
    fenced = False
    for line in re.split(r"\r\n?|\n", text):
        if line.startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and line.startswith("# ") and (heading := line[2:].strip().rstrip("#").strip()):
            return heading
    return ""


def missing_library(files: Sequence[str]) -> tuple[str, str] | None:
    """(first file that requires markitdown, message) if markitdown is not installed, else None."""
    files = [file for file in files if Path(file).suffix.lower() in CONVERTERS]
    if not files or find_spec("markitdown"):
        return None
    others = f" (as do {len(files) - 1} more files)" if len(files) > 1 else ""
    return files[0], f"requires markitdown{others}: {EXTRA}"


def converted(file: Path, check: ColumnCheck) -> Rows:
    """The file as Markdown. The title is the first heading, the declared title, or the name of the file."""
    from markitdown import MarkItDown, MarkItDownException, StreamInfo, converters

    name, prefer_declared = CONVERTERS[file.suffix.lower()]
    with opened(file) as stream:
        content = stream.read()
    # Why: with all converters enabled, a broken .docx would be converted as a zip archive.
    markitdown = MarkItDown(enable_builtins=False, enable_plugins=False)
    markitdown.register_converter(getattr(converters, name)())
    charset = None
    if name == "HtmlConverter":
        content, charset = _decode_html(content).encode(), "utf-8"
    info = StreamInfo(extension=file.suffix.lower(), charset=charset)
    try:
        result = markitdown.convert_stream(io.BytesIO(content), stream_info=info, **_OPTIONS)
    except MarkItDownException as error:
        raise ValueError(_reason(error)) from error
    text = result.markdown.replace("\f", "\n")  # Why: pdfminer writes page breaks as form feeds.
    titles = [first_heading(text), (result.title or "").strip()]
    title = next(filter(None, reversed(titles) if prefer_declared else titles), file.stem)
    yield 0, {"text": text, "title": " ".join(title.split())}


def _decode_html(content: bytes) -> str:
    """Decode a page as UTF-8, or with the encoding that it declares."""
    from bs4.dammit import EncodingDetector

    try:
        return decoded(content)  # Why: markitdown would guess, and read a Latin-1 é as a katakana.
    except ValueError as error:
        declared = EncodingDetector.find_declared_encoding(content, is_html=True)
        marked = EncodingDetector.strip_byte_order_mark(content)[1]
        try:
            return content.decode(marked or declared or "utf-8")
        except (UnicodeDecodeError, LookupError):
            encoding = f"declares the encoding {declared}, which does not fit" if declared else "declares no encoding"
            raise ValueError(f"{error}; the page {encoding}") from None


def _reason(error: Exception) -> str:
    """One line about the error of the converter. The message of markitdown has several lines."""
    from markitdown import MissingDependencyException

    attempts = getattr(error, "attempts", None) or []
    cause = attempts[-1].exc_info[1] if attempts and attempts[-1].exc_info else error
    if isinstance(cause, MissingDependencyException):
        return f"requires all dependencies of markitdown: {EXTRA}"
    message = ": ".join(filter(None, [type(cause).__name__, " ".join(str(cause).split())[:200]]))
    return f"cannot be converted ({message}); check that another program can open it"
