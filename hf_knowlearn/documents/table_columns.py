"""Makes documents and conversations from the columns of a row.

Text is normalized to Unicode NFC (UAX #15), with `\\n` as line break. It is not changed in other ways.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_knowlearn.console import spelled
from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, show, text_problems
from hf_knowlearn.documents.language import UNDETERMINED, language_code


class EmptyDocumentError(ValueError):
    """Raised if the text of a row is null or contains only white space."""


class SkippedRowError(ValueError):
    """Raised if a row is valid, but is not to be read."""


@dataclass(frozen=True)
class DocumentColumns:
    """The names of the columns of a document's text, id and title. None: the usual names."""

    text: str = "text"
    id: str | None = None
    title: str | None = None

    def document(self, row: Mapping[str, Any], default_id: str) -> Document:
        """Make the document of a row.

        Raises:
            EmptyDocumentError: the text is empty.
            ValueError: the row is invalid. The message contains the problems of the row.
        """
        for option, name in vars(self).items():
            if name:
                require(
                    row,
                    name,
                    fix=f"rename the column of the {option}, or give its name with {spelled(f'{option}_column')}",
                )
        title_key = self.title or "title"
        id_key, id = first_value(row, *([self.id] if self.id else ("id", "document_id", "wiki_id")))
        if self.id and not id_key:
            raise ValueError(
                f"the column {self.id!r} has no id in this row; add an id, or remove the option {spelled('id_column')}"
            )
        text = "" if row[self.text] is None else clean(row[self.text])
        if isinstance(text, str) and not text.strip():
            raise EmptyDocumentError(*text_problems("text", text))
        optional = {"title": clean(row.get(title_key)), "language": language_code(row.get("language") or UNDETERMINED)}
        return Document(
            name_of(id, default_id),
            text,
            metadata={name: row[name] for name in row if name not in {self.text, id_key, title_key, "language"}},
            **{name: value for name, value in optional.items() if value not in (None, "")},
        )


def conversation_of(row: Mapping[str, Any], default_id: str) -> Conversation:
    """Make the conversation of a row with the columns of TRL. Raises ValueError."""
    require(row, "messages", fix="rename the column of the messages")
    turns, tools = row["messages"], row.get("tools")
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except ValueError:
            raise ValueError(f"tools {show(tools)} is not JSON; write a list of tools") from None
    return Conversation(
        name_of(row.get("id"), default_id),
        tuple(map(_turn, turns)) if isinstance(turns, list) else turns,
        () if tools is None else tuple(tools) if isinstance(tools, list) else tools,
    )


def clean(value: Any) -> Any:
    """Return a string in NFC with `\\n` as line break. Return other values unchanged. Raises ValueError for a NUL."""
    if not isinstance(value, str):
        return value
    if (place := value.find("\0")) >= 0:
        raise ValueError(f"NUL at character {place}, as in a binary or UTF-16 file; save the file as UTF-8 text")
    return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))


def require(row: Mapping[str, Any], *names: str, fix: str) -> None:
    """Raise a ValueError that ends with `fix` if the row has none of the columns."""
    if not set(names) & set(row):
        raise ValueError(f"the row has no column {' or '.join(map(repr, names))}, only {show(list(row))}; {fix}")


def _turn(turn: Any) -> Any:
    """Return the turn without null fields, which Parquet adds. A `content` that is null stays, because chat templates
    expect `content`."""
    if not isinstance(turn, Mapping):
        return turn
    return {name: clean(value) for name, value in turn.items() if value is not None or name == "content"}


def first_value(row: Mapping[str, Any], *names: str) -> tuple[str, Any]:
    """Return (name, value) of the first of the columns that is not null, or ("", None)."""
    return next(((name, row[name]) for name in names if row.get(name) is not None), ("", None))


def name_of(value: Any, default: str | None = None) -> Any:
    """Return an id or another name. An integer becomes a string, so that 7 in one file matches "7" in another."""
    if value is None:
        return clean(default)
    return str(value) if type(value) is int else clean(value)


def strings(name: str, values: object) -> tuple[str, ...]:
    """Return a list of strings as a tuple. Raises ValueError for other values."""
    if not isinstance(values, list):
        raise ValueError(f'{name} must be a list of strings, such as ["Paris"], got {show(values)}')
    return tuple(map(clean, values))
