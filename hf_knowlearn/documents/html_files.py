"""Converts HTML files, and decodes HTML."""

from __future__ import annotations

import logging
from pathlib import Path

from hf_knowlearn.documents.conversion import Converted, first_heading, require_packages
from hf_knowlearn.documents.tabular import decoded

logger = logging.getLogger(__name__)


def html_file(file: Path) -> Converted:
    """Reduce a page to its content. The title is the first heading, or else the title that the page declares."""
    require_packages("resiliparse", "lxml", "bs4", "markdownify")
    from hf_knowlearn.documents.html_pages import read_page

    page = read_page(decode_html(file.read_bytes()))
    if page.notice:
        logger.warning("%s: %s.", file, page.notice)
    return Converted(page.markdown, first_heading(page.markdown) or page.title)  # Why: <title> often names the site.


def decode_html(content: bytes) -> str:
    """Decode a page as UTF-8, or with the encoding that it declares. Raises ValueError."""
    from bs4.dammit import EncodingDetector

    try:
        return decoded(content)  # Why: a detector guesses, and reads a Latin-1 é as a katakana.
    except ValueError as error:
        marked = EncodingDetector.strip_byte_order_mark(content)[1]
        declared = EncodingDetector.find_declared_encoding(content, is_html=True)
        try:
            return content.decode(marked or declared or "utf-8")
        except (UnicodeDecodeError, LookupError):
            raise ValueError(f"{error}, or correct the encoding that the page declares: {declared}") from None
