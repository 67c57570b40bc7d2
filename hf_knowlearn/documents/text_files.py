"""Reads files that contain one document each. The library `markitdown` converts formats other than `.txt` and `.md`.

Converted files become Markdown. The suffix selects the converter. Plugins are not loaded, and nothing is downloaded.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from hf_knowlearn.documents.progress import named_if_slow
from hf_knowlearn.documents.tabular import Rows, decoded

EXTRA = 'pip install ".[documents]" in a checkout of hf_knowlearn'

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


def plain_text(file: Path) -> Rows:
    """Yield the text of a `.txt` file. The title is the name of the file."""
    yield 0, {"text": decoded(file.read_bytes()), "title": file.stem}


def markdown(file: Path) -> Rows:
    """Yield the text of a `.md` file. The title is the first heading, or the name of the file."""
    text = decoded(file.read_bytes())
    yield 0, {"text": text, "title": first_heading(text) or file.stem}


def first_heading(text: str) -> str:
    """Return the first `# ` heading outside of fenced code, or an empty string."""
    fenced = False
    for line in re.split(r"\r\n?|\n", text):
        if line.startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and line.startswith("# ") and (heading := line[2:].strip().rstrip("#").strip()):
            return heading
    return ""


def converted(file: Path) -> Rows:
    """Yield the file as Markdown. The title is the first heading, the declared title, or the name of the file."""
    try:
        from markitdown import MarkItDown, MarkItDownException, StreamInfo, converters
    except ImportError:
        raise ValueError(f"this format requires markitdown; install it: {EXTRA}") from None
    name, prefer_declared = CONVERTERS[file.suffix.lower()]
    content, charset = file.read_bytes(), None
    if name == "HtmlConverter":
        content, charset = _decode_html(content).encode(), "utf-8"
    # Why: with all converters enabled, a broken .docx would be converted as a zip archive.
    markitdown = MarkItDown(enable_builtins=False, enable_plugins=False)
    markitdown.register_converter(getattr(converters, name)())
    info = StreamInfo(extension=file.suffix.lower(), charset=charset)
    try:
        with named_if_slow(file):
            result = markitdown.convert_stream(io.BytesIO(content), stream_info=info, **_OPTIONS)
    except MarkItDownException as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"cannot be converted ({reason}); check that another program can open it") from error
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
        marked = EncodingDetector.strip_byte_order_mark(content)[1]
        declared = EncodingDetector.find_declared_encoding(content, is_html=True)
        try:
            return content.decode(marked or declared or "utf-8")
        except (UnicodeDecodeError, LookupError):
            raise ValueError(f"{error}, or correct the encoding that the page declares: {declared}") from None
