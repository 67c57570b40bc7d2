"""The classes `Document` and `Question`. Both classes check the fields of a new object."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.knowledge_recall.scoring import normalize


class InvalidItemError(ValueError):
    """Raised if a document, question or conversation has invalid fields.

    Attributes:
        id: the id of the item.
        problems: one message for each problem.
    """

    def __init__(self, kind: str, id: object, problems: tuple[str, ...]) -> None:
        super().__init__(kind, id, problems)
        self.kind, self.id, self.problems = kind, id, problems

    def __str__(self) -> str:
        return f"{self.kind} {show(self.id)}: {'; '.join(self.problems)}."


@dataclass(frozen=True)
class Document:
    """A text to learn, or one part of such a text.

    Args:
        id: name of the document, unique in its dataset. All parts of a document have the same id.
        text: the text, with at least one character that is not white space.
        title: the title, or an empty string.
        language: language code such as "en" or "zh". The language selects the rules that find sentences and names, and
            that decide which sentences can move. `read_documents` detects the language.
        part: number of the part, from 0. A whole document is part 0.
        start: position of `text` in the whole document's text, in characters.
        metadata: the other columns of the document's row. `hash` ignores them.
        heading: text with which every view of a part begins: the title and the section path. Empty for a whole
            document.

    Raises:
        InvalidItemError: a field is invalid. The error lists the problems of all fields.

    Example:
        >>> document = Document("ferry", "The ferry leaves at six.", title="The ferry")
        >>> document.language, document.part, document.start
        ('en', 0, 0)
    """

    id: str
    text: str
    title: str = ""
    language: str = "en"
    part: int = 0
    start: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    heading: str = ""

    def __post_init__(self) -> None:
        raise_if_invalid(self, _document_problems(self))


@dataclass(frozen=True)
class Question:
    """A question and its accepted answers.

    Args:
        id: name of the question, unique in its dataset.
        text: the question.
        answers: the accepted answers, at least one. A response is correct if it matches any of them.
        document_id: id of the document that the question is about.
        relation: the relation that the question is about, such as "birthplace". Reports group questions by relation.
        fact_id: name of the fact that the question is about. Questions about one fact in different wordings have the
            same `fact_id`.
        options: the choices of a multiple-choice question.
        kind: type of the question, such as "choice".

    Raises:
        InvalidItemError: a field is invalid, or no answer is left after normalization. The error lists all problems.

    Example:
        >>> question = Question("q1", "When does the ferry leave?", ("six", "6 o'clock"), document_id="ferry")
        >>> question.answers
        ('six', "6 o'clock")
    """

    id: str
    text: str
    answers: tuple[str, ...]
    document_id: str | None = None
    relation: str | None = None
    fact_id: str | None = None
    options: tuple[str, ...] = ()
    kind: str | None = None

    def __post_init__(self) -> None:
        raise_if_invalid(self, _question_problems(self))


def raise_if_invalid(item: Any, problems: Iterable[str]) -> None:
    """Raise `InvalidItemError` with the id of `item` if there are problems."""
    if found := tuple(problems):
        raise InvalidItemError(type(item).__name__, item.id, found)


def _document_problems(document: Document) -> Iterator[str]:
    yield from text_problems("id", document.id)
    yield from text_problems("text", document.text)
    yield from text_problems("title", document.title, may_be_blank=True)
    yield from text_problems("language", document.language)
    yield from text_problems("heading", document.heading, may_be_blank=True)
    for name in ("part", "start"):
        value = getattr(document, name)
        if type(value) is not int or value < 0:  # Why: `isinstance(True, int)` is true.
            yield f"{name} must be an integer of at least 0, got {show(value)}"
    if not isinstance(document.metadata, Mapping):
        yield f"metadata must be a mapping, got {show(document.metadata)}"


def _question_problems(question: Question) -> Iterator[str]:
    yield from text_problems("id", question.id)
    yield from text_problems("text", question.text)
    for name in ("document_id", "relation", "fact_id", "kind"):
        if (value := getattr(question, name)) is not None:
            yield from text_problems(name, value)
    yield from _tuple_problems("options", question.options)
    answer_problems = list(_tuple_problems("answers", question.answers))
    yield from answer_problems or _missing_answer(question.answers)


def _tuple_problems(name: str, values: object) -> Iterator[str]:
    if not isinstance(values, tuple):
        yield f"{name} must be a tuple of strings, such as ('Paris',), got {show(values)}"
        return
    for index, value in enumerate(values):
        yield from text_problems(f"{name}[{index}]", value, may_be_blank=True)


def _missing_answer(answers: tuple[str, ...]) -> Iterator[str]:
    if not answers:
        yield "answers is empty; a question needs at least one answer"
    elif not any(map(normalize, answers)):  # Why: an empty response would match such an answer.
        yield (
            f"no word of the answers {show(list(answers))} is left after normalization, which removes punctuation and "
            "a/an/the; give an answer with another word"
        )


def text_problems(name: str, value: object, may_be_blank: bool = False) -> Iterator[str]:
    """Yield the problems of a field that must be a string that UTF-8 can encode."""
    if not isinstance(value, str):
        yield f"{name} must be a string, got {show(value)}"
    elif not may_be_blank and not value.strip():
        yield f"{name} {'contains only white space' if value else 'is empty'}; it needs at least one word"
    elif (place := unpaired_surrogate(value)) is not None:
        yield (
            f"{name} contains an unpaired surrogate ({value[place]!a} at character {place}), which UTF-8 cannot "
            "encode; replace or remove it"
        )


def unpaired_surrogate(text: str) -> int | None:
    """Return the position of the first unpaired surrogate in `text`, or None."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


# Why: an invalid value can be 50 MB long or deeply nested, and messages show it on one line.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = 20


def show(value: object) -> str:
    """Return a short `repr` for messages. It begins with the type, except for strings and lists."""
    shown, kind = _short.repr(value), "float" if isinstance(value, float) else type(value).__name__
    return shown if isinstance(value, str | list) else f"{kind} {shown}"
