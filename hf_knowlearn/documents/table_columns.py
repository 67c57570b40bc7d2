"""Documents, questions and conversations from the named columns of a row.

Text is normalized to Unicode NFC (UAX #15), with `\\n` as line break. Nothing else is repaired.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, Question, show

Item = TypeVar("Item", Document, Question, Conversation, covariant=True)


def clean(value: Any) -> Any:
    """A string in NFC with `\\n` as line break; other values unchanged. Raises ValueError for a NUL character."""
    if not isinstance(value, str):
        return value
    if (place := value.find("\0")) >= 0:
        raise ValueError(f"a NUL at character {place}; is it a binary or a UTF-16 file? Save it as UTF-8 text")
    return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))


class Columns(Protocol[Item]):
    """The columns of a row that make an item."""

    def check(self, names: Collection[str]) -> None:
        """Raise ValueError, with the names of the columns, if a required column is missing."""

    def make(self, row: Mapping[str, Any], default_id: str) -> Item:
        """Make an item. Raises ValueError with the problems of the row."""

    def is_empty(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is a document without text, which the reader may skip."""
        return False


@dataclass(frozen=True)
class DocumentColumns(Columns[Document]):
    """The columns of a document's text, id and title. None selects the usual names."""

    text: str | None = None
    id: str | None = None
    title: str | None = None

    def check(self, names: Collection[str]) -> None:
        for field, name in vars(self).items():
            if name is not None and name not in names:
                raise ValueError(f"no column {name!r} for the {field}, only {show(list(names))}; give one of these")
        if self.text is None and "text" not in names:
            hint = " (is it a file of questions? Questions cannot be read as documents)" if "question" in names else ""
            fix = "rename the column of the text to 'text', or give its name with text_column="
            raise ValueError(f"no column 'text', only {show(list(names))}{hint}; {fix}")

    def make(self, row: Mapping[str, Any], default_id: str) -> Document:
        self.check(row)
        text_key, title_key = self.text or "text", self.title or "title"
        id_key, id = _first_value(row, *([self.id] if self.id else ("id", "document_id", "wiki_id")))
        if self.id and not id_key:
            raise ValueError(f"the column {self.id!r} contains no id in this row; add one, or remove id_column")
        text = clean(row[text_key])
        optional = {"title": clean(row.get(title_key)), "language": clean(row.get("language"))}
        return Document(
            _name(id, default_id),
            "" if text is None else text,
            metadata={name: row[name] for name in row if name not in {text_key, id_key, title_key, "language"}},
            **{name: value for name, value in optional.items() if value not in (None, "")},
        )

    def is_empty(self, row: Mapping[str, Any]) -> bool:
        text = row.get(self.text or "text", "missing")
        return text is None or (isinstance(text, str) and not text.strip())


class QuestionColumns(Columns[Question]):
    """The columns of a question, under the names that common datasets use."""

    def check(self, names: Collection[str]) -> None:
        if not {"question", "text"} & set(names):
            raise ValueError(f"no column 'question' or 'text', only {show(list(names))}; rename the question's column")
        if not {"answers", "answer"} & set(names):
            raise ValueError(f"no column 'answers' or 'answer', only {show(list(names))}; a question needs an answer")

    def make(self, row: Mapping[str, Any], default_id: str) -> Question:
        given = {name: value for name, value in row.items() if value is not None}
        self.check(given)
        options = _strings("options", given["options"]) if "options" in given else ()
        return Question(
            _name(given.get("id"), default_id),
            clean(_first_value(row, "question", "text")[1]),
            _answers(row, options),
            _name(_first_value(row, "document_id", "wiki_id")[1]),
            options=options,
            **{name: _name(row.get(name)) for name in ("relation", "fact_id", "kind")},
        )


class ConversationColumns(Columns[Conversation]):
    """The columns of a conversation, under TRL's names."""

    def check(self, names: Collection[str]) -> None:
        if "messages" not in names:
            raise ValueError(f"no column 'messages', only {show(list(names))}; rename the column of the messages")

    def make(self, row: Mapping[str, Any], default_id: str) -> Conversation:
        self.check(row)
        turns, tools = row["messages"], row.get("tools")
        if isinstance(tools, str):
            try:
                tools = json.loads(tools)
            except ValueError:
                raise ValueError(f"tools {show(tools)} is not JSON; write a list of tools") from None
        return Conversation(
            _name(row.get("id"), default_id),
            tuple(map(_turn, turns)) if isinstance(turns, list) else turns,
            () if tools is None else tuple(tools) if isinstance(tools, list) else tools,
        )


def _turn(turn: Any) -> Any:
    """The turn without null fields, which Parquet adds, except for the content, which templates expect."""
    if not isinstance(turn, Mapping):
        return turn
    return {name: clean(value) for name, value in turn.items() if value is not None or name == "content"}


def _first_value(row: Mapping[str, Any], *names: str) -> tuple[str, Any]:
    """(name, value) of the first of the columns that is not null, or ("", None)."""
    return next(((name, row[name]) for name in names if row.get(name) is not None), ("", None))


def _name(value: Any, default: str | None = None) -> Any:
    """An id or another name. Integers become strings, so that 7 in one file matches "7" in another."""
    if value is None:
        return clean(default)
    return str(value) if type(value) is int else clean(value)


def _answers(row: Mapping[str, Any], options: tuple[str, ...]) -> tuple[str, ...]:
    name, answers = _first_value(row, "answers", "answer")
    if options and type(answers) is int:
        raise ValueError(f"{name} {answers} looks like the index of an option; write the text of the option")
    if isinstance(answers, Mapping):
        answers = answers.get("text", answers)
    if isinstance(answers, str) and answers.startswith(('["', "['")):  # Why: pandas writes lists like this to CSV.
        raise ValueError(f"{name} {show(answers)} is a list in a string; write one answer, or use a .jsonl file")
    return _strings(name, [answers] if isinstance(answers, str) else answers)


def _strings(name: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError(f'{name} must be a list of strings, such as ["Paris"], got {show(values)}')
    return tuple(map(clean, values))
