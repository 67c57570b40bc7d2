"""A document, question or conversation from a row of named columns, in Unicode NFC (UAX #15), lines ending in `\\n`.

The surprising decision: nothing is repaired beyond that. A row that lacks something is refused, in words that say
which columns there are.
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
    """NFC, since a tokenizer and a scorer see two spellings of é as two words; one kind of line end."""
    if not isinstance(value, str):
        return value
    if (place := value.find("\0")) >= 0:
        raise ValueError(f"a NUL at character {place}; is it a binary or a UTF-16 file? Save it as UTF-8 text")
    return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))


class Maker(Protocol[Item]):
    """Makes an item of a row."""

    def check(self, names: Collection[str]) -> None:
        """Raises ValueError, naming the columns there are, if one that is needed is not among them."""

    def make(self, row: Mapping[str, Any], place: str) -> Item:
        """`place` is the id of a row without one. Raises ValueError with what is wrong."""

    def is_empty(self, row: Mapping[str, Any]) -> bool:
        """Whether the row has a text of no word."""


@dataclass(frozen=True)
class Documents:
    """Documents from the columns that hold their text, id and title; None: from those whose names say so."""

    text: str | None = None
    id: str | None = None
    title: str | None = None

    def check(self, names: Collection[str]) -> None:
        for given, purpose in ((self.text, "text"), (self.id, "id"), (self.title, "title")):
            if given is not None and given not in names:
                raise ValueError(f"no column {given!r} for the {purpose}, only {show(list(names))}; name one of these")
        if self.text is None and "text" not in names:
            asks = " (is it a file of questions? They can't be among the documents)" if "question" in names else ""
            way_out = "name the document's column 'text', or say which it is with text_column="
            raise ValueError(f"no column 'text', only {show(list(names))}{asks}; {way_out}")

    def make(self, row: Mapping[str, Any], place: str) -> Document:
        self.check(row)
        text_key, title_key = self.text or "text", self.title or "title"
        id_key, id = first(row, *([self.id] if self.id else ("id", "document_id", "wiki_id")))
        if self.id and not id_key:
            raise ValueError(f"the column {self.id!r} holds no id here; give one, or leave id_column out")
        text = clean(row[text_key])
        given = {"title": clean(row.get(title_key)), "language": clean(row.get("language"))}
        return Document(
            _name(id, place),
            "" if text is None else text,
            metadata={name: row[name] for name in row if name not in {text_key, id_key, title_key, "language"}},
            **{name: value for name, value in given.items() if value not in (None, "")},
        )

    def is_empty(self, row: Mapping[str, Any]) -> bool:
        key = self.text or "text"
        return key in row and (row[key] is None or (isinstance(row[key], str) and not row[key].strip()))


class Questions:
    """Questions from the columns that data sets of questions and answers name them by."""

    def check(self, names: Collection[str]) -> None:
        if not {"question", "text"} & set(names):
            raise ValueError(
                f"no column 'question' or 'text', only {show(list(names))}; name the question's column so"
            )
        if not {"answers", "answer"} & set(names):
            raise ValueError(f"no column 'answers' or 'answer', only {show(list(names))}; a question needs an answer")

    def make(self, row: Mapping[str, Any], place: str) -> Question:
        given = {name: value for name, value in row.items() if value is not None}
        self.check(given)
        options = _texts("options", given["options"]) if "options" in given else ()
        return Question(
            _name(first(row, "id")[1], place),
            clean(first(row, "question", "text")[1]),
            _answers(row, options),
            _name(first(row, "document_id", "wiki_id")[1]),
            options=options,
            **{name: _name(row.get(name)) for name in ("relation", "fact_id", "kind")},
        )

    def is_empty(self, row: Mapping[str, Any]) -> bool:
        return False  # there is no option to leave out a question for that alone


class Conversations:
    """Conversations from the columns that TRL names them by."""

    def check(self, names: Collection[str]) -> None:
        if "messages" not in names:
            raise ValueError(f"no column 'messages', only {show(list(names))}; name the turns' column so")

    def make(self, row: Mapping[str, Any], place: str) -> Conversation:
        self.check(row)
        turns, tools = row["messages"], row.get("tools")
        if isinstance(tools, str):
            try:
                tools = json.loads(tools)
            except ValueError:
                raise ValueError(f"tools {show(tools)} is not JSON; write a list of them") from None
        return Conversation(
            _name(row.get("id"), place),
            tuple(map(_turn, turns)) if isinstance(turns, list) else turns,
            tuple(tools) if isinstance(tools, list) else () if tools is None else tools,
        )

    def is_empty(self, row: Mapping[str, Any]) -> bool:
        return False


def _turn(turn: Any) -> Any:
    """Without the nulls, which parquet has for what other turns have; but a template may ask for the content."""
    if not isinstance(turn, Mapping):
        return turn
    return {name: clean(value) for name, value in turn.items() if value is not None or name == "content"}


def first(row: Mapping[str, Any], *names: str) -> tuple[str, Any]:
    """The first of the columns that holds something, and what it holds."""
    return next(((name, row[name]) for name in names if row.get(name) is not None), ("", None))


def _name(value: Any, default: str | None = None) -> Any:
    """Ids are often numbers: they become text, so that 7 in the documents is "7" in the questions."""
    return clean(default) if value is None else str(value) if type(value) is int else clean(value)


def _answers(row: Mapping[str, Any], options: tuple[str, ...]) -> tuple[str, ...]:
    name, answers = first(row, "answers", "answer")
    if options and type(answers) is int:
        raise ValueError(f"{name} {answers} looks like the place of an option; write the option itself")
    if isinstance(answers, Mapping):
        answers = answers.get("text", answers)
    if isinstance(answers, str) and answers.startswith(('["', "['")):  # as pandas writes one into a csv
        raise ValueError(f"{name} {show(answers)} is a list written as a text; write one answer, or a list in .jsonl")
    return _texts(name, [answers] if isinstance(answers, str) else answers)


def _texts(name: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError(f'{name} must be a list of texts, such as ["Paris"], got {show(values)}')
    return tuple(map(clean, values))
