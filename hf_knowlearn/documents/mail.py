"""Messages in `.eml` files: the headers that readers see, the text, and the names of the attachments."""

from __future__ import annotations

import logging
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from hf_knowlearn.documents.conversion import Converted, require_packages

logger = logging.getLogger(__name__)

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def message(file: Path) -> Converted:
    """Convert a message. The text is the plain-text version of the message, or else the HTML version. The title is the
    subject."""
    with open(file, "rb") as stream:
        mail = BytesParser(policy=policy.default).parse(stream)
    if not any(mail.get(name) for name in _HEADERS):
        raise ValueError(f"no message: it has none of the headers {', '.join(_HEADERS)}")
    headers = [f"{name}: {' '.join(str(mail[name]).split())}" for name in _HEADERS if mail.get(name)]
    if names := [part.get_filename() or part.get_content_type() for part in mail.iter_attachments()]:
        logger.warning("%s: attachments are not read: %s. Save them as files to read them.", file, ", ".join(names))
    text = _body(mail)
    return Converted("\n".join(headers) + f"\n\n{text}", " ".join(str(mail.get("Subject", "")).split()))


def _body(mail: EmailMessage) -> str:
    part = mail.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        content = str(part.get_content())
    except (LookupError, MessageError) as error:
        raise ValueError(f"the text cannot be decoded ({error}); save the message as UTF-8") from error
    if part.get_content_subtype() == "plain":
        return content.strip("\n")
    require_packages("lxml", "bs4", "markdownify")
    from hf_knowlearn.documents.html_pages import read_chapter

    return read_chapter(content)
