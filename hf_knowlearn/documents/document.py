"""The two nouns: a document to be learned, and a question about one; neither can be made wrong.

The surprising decision: an answer of which SQuAD's normalisation leaves nothing ("The") is refused, because an empty
reply would be counted as knowing it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.knowledge_recall.scoring import normalize


@dataclass(frozen=True)
class Document:
    """A text to be learned, or one part of it: `start` is the part's character offset in the whole document's text."""

    id: str
    text: str
    title: str = ""
    language: str = "en"
    part: int = 0
    start: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)  # a dict has no hash; documents go into sets

    def __post_init__(self) -> None:
        refuse(f"Document {show(self.id)}", _wrong_document(self))


@dataclass(frozen=True)
class Question:
    """A question with its accepted answers; `fact_id` joins the wordings of one fact."""

    id: str
    text: str
    answers: tuple[str, ...]
    document_id: str | None = None
    relation: str | None = None
    fact_id: str | None = None
    options: tuple[str, ...] = ()
    kind: str | None = None

    def __post_init__(self) -> None:
        refuse(f"Question {show(self.id)}", _wrong_question(self))


def refuse(who: str, wrong: Iterator[str]) -> None:
    if problems := list(wrong):
        raise ValueError(f"{who}: {'; '.join(problems)}.")


def _wrong_document(document: Document) -> Iterator[str]:
    yield from wrong_text("id", document.id)
    yield from wrong_text("text", document.text)
    yield from wrong_text("title", document.title, may_be_blank=True)
    yield from wrong_text("language", document.language)
    for name in ("part", "start"):
        value = getattr(document, name)
        if type(value) is not int or value < 0:  # a bool is an int to isinstance
            yield f"{name} must be a whole number from 0 up, got {show(value)}"
    if not isinstance(document.metadata, Mapping):
        yield f"metadata must be a mapping, got {show(document.metadata)}"


def _wrong_question(question: Question) -> Iterator[str]:
    yield from wrong_text("id", question.id)
    yield from wrong_text("text", question.text)
    for name in ("document_id", "relation", "fact_id", "kind"):
        if (value := getattr(question, name)) is not None:
            yield from wrong_text(name, value)
    yield from _wrong_texts("options", question.options)
    wrong_answers = list(_wrong_texts("answers", question.answers))
    yield from wrong_answers or _unanswerable(question.answers)


def _wrong_texts(name: str, values: object) -> Iterator[str]:
    if not isinstance(values, tuple):
        yield f"{name} must be a tuple of strings, such as ('Paris',), got {show(values)}"
        return
    for index, value in enumerate(values):
        yield from wrong_text(f"{name}[{index}]", value, may_be_blank=True)


def _unanswerable(answers: tuple[str, ...]) -> Iterator[str]:
    """An answer is compared after normalisation: one that is nothing then would be recalled by an empty reply."""
    if not answers:
        yield "there is no answer; a question needs at least one"
    elif not any(map(normalize, answers)):
        yield (
            f"of the answers {show(list(answers))} nothing is left once case, punctuation and a/an/the are dropped; "
            "give an answer with a word in it"
        )


def wrong_text(name: str, value: object, may_be_blank: bool = False) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name} must be a string, got {show(value)}"
    elif not may_be_blank and not value.strip():
        yield f"{name} is {'only white space' if value else 'empty'}; give it a word"
    elif (place := lone_surrogate(value)) is not None:
        yield (
            f"{name} holds half a surrogate pair ({value[place]!a} at character {place}), which can't be encoded; "
            "replace or remove it"
        )


def lone_surrogate(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


_short = reprlib.Repr()  # a wrong value can be 50 MB long or nested without end
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = 20


def show(value: object) -> str:
    """The value as Python writes it, with its type where that is the news, short enough for one line."""
    shown = _short.repr(value)
    return shown if isinstance(value, str | list) else f"{type(value).__name__} {shown}"
