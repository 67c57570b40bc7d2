"""Makes questions from rows: selects the columns of the question and its answers, and drops unusable answers."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.documents.document import Question, show
from hf_knowlearn.documents.table_columns import clean, first_value, name_of, require, strings
from hf_knowlearn.documents.tabular import ExactFloat
from hf_knowlearn.knowledge_recall.scoring import normalize

# The columns of common datasets: the possible names for the question, and the possible names for its answers.
LAYOUTS = (
    (("question", "text"), ("answers", "answer")),
    (("instruction",), ("output",)),  # Alpaca; its column `input` joins the instruction
    (("input",), ("output",)),
    (("prompt",), ("completion",)),  # TRL
)
ANSWER_COLUMNS = ("answers", "answer", "output", "completion")
QUESTION_COLUMNS = ("question", "text", "instruction", "input", "prompt")
NAME_THEM = "name the right columns with question_column and answer_column"
INVISIBLE = "\u200b\u2060\ufeff"  # zero-width characters, which `str.strip` leaves


@dataclass
class QuestionColumns:
    """The names of the columns of a question and its answers. None: the usual names.

    Attributes:
        dropped: the ids of the questions with at least one answer that the method `question` dropped.
    """

    question_column: str | None = None
    answer_column: str | None = None
    dropped: list[str] = field(default_factory=list)

    def question(self, row: Mapping[str, Any], default_id: str) -> Question:
        """Make the question of a row.

        White space around answers is removed. No response can match an answer that is blank, consists only of an
        article, or has several lines. If a question has another answer, such an answer is dropped.

        Raises:
            ValueError: the row is invalid. The message contains the problems of the row.
        """
        given = {name: value for name, value in row.items() if value is not None}
        text, name, value = self._question_and_answers(given)
        answers = _answers(name, value)
        usable = tuple(answer for answer in answers if _is_usable(answer))
        _check_lines(answers, usable)
        question = Question(
            name_of(given.get("id"), default_id),
            clean(text),
            usable or answers,
            name_of(first_value(row, "document_id", "wiki_id")[1]),
            options=strings("options", given.get("options", [])),
            **{name: name_of(row.get(name)) for name in ("relation", "fact_id", "kind")},
        )
        if len(question.answers) < len(answers):
            self.dropped.append(question.id)
        return question

    def _question_and_answers(self, given: Mapping[str, Any]) -> tuple[Any, str, Any]:
        """Return the text of the question, the name of the column with its answers, and the value of this column."""
        if not self.question_column and not self.answer_column and "messages" in given and not any(_layouts(given)):
            return *_turns(given["messages"]), given["messages"][-1]["content"]
        question_name, answer_name = self._columns(given)
        text = given[question_name]
        extra = given.get("input") if question_name == "instruction" else None
        if isinstance(text, str) and isinstance(extra, str) and extra.strip():
            text = f"{text}\n{extra}"
        return text, answer_name, given[answer_name]

    def _columns(self, given: Mapping[str, Any]) -> tuple[str, str]:
        for name in filter(None, (self.question_column, self.answer_column)):
            require(given, name, fix="a question and an answer are needed in every row")
        if self.question_column or self.answer_column:
            return (
                self.question_column or _only(given, QUESTION_COLUMNS, "question"),
                self.answer_column or _only(given, ANSWER_COLUMNS, "answer"),
            )
        found = list(_layouts(given))
        if len(found) > 1:
            columns = ", or ".join(f"{question!r} and {answer!r}" for question, answer in found)
            raise ValueError(f"the columns of question and answer are ambiguous: {columns}; {NAME_THEM}")
        if not found:
            require(given, "question", "text", fix=f"rename the column of the question, or {NAME_THEM}")
            require(given, "answers", "answer", fix=f"a question needs an answer; rename the column, or {NAME_THEM}")
        question, answer = found[0]
        if answer == "answers" and isinstance(given.get("answer"), str) and not _same_answers(given):
            raise ValueError(f"the columns 'answers' and 'answer' have different values; {NAME_THEM}")
        return question, answer


def _layouts(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a question column and an answer column in the row."""
    for questions, answers in LAYOUTS:
        question, answer = first_value(given, *questions)[0], first_value(given, *answers)[0]
        is_part_of_alpaca = question == "input" and "instruction" in given
        if question and answer and not is_part_of_alpaca:
            yield question, answer


def _only(given: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    found = [name for name in names if name in given]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"the {what} could be in several columns: {show(found)}; {NAME_THEM}")
    raise ValueError(f"no column with the {what} was found among {show(list(given))}; {NAME_THEM}")


def _same_answers(given: Mapping[str, Any]) -> bool:
    return clean(given["answer"]).strip() in _answers("answers", given["answers"])


def _turns(messages: Any) -> tuple[str, str]:
    """Return the text of the user's turn, and the name that error messages use for the answers."""
    turns = messages if isinstance(messages, list) else []
    roles = [turn.get("role") if isinstance(turn, Mapping) else None for turn in turns]
    if roles != ["user", "assistant"] or not all(isinstance(turn.get("content"), str) for turn in turns):
        raise ValueError(
            "a question in `messages` must have one turn of the user and then one of the assistant, got the roles"
            f" {show(roles)}; longer conversations can be used for training, but not as questions"
        )
    return turns[0]["content"], "messages"


def _answers(name: str, value: Any) -> tuple[str, ...]:
    """Return the answers of a row. The value can be a string, a number, a list of these, or SQuAD's `{"text":
    [...]}`."""
    if isinstance(value, Mapping):
        value = value.get("text", value)
    if isinstance(value, str) and value.startswith(('["', "['")):  # Why: pandas writes lists like this to CSV.
        raise ValueError(f"{name} {show(value)} is a list in a string; write one answer, or use a .jsonl file")
    if isinstance(value, list):
        items = [item["text"] if isinstance(item, Mapping) and "text" in item else item for item in value]
        return tuple(_stripped(f"{name}[{i}]", item) for i, item in enumerate(items))
    if isinstance(value, str | int | float):
        return (_stripped(name, value),)
    raise ValueError(f'{name} must be a string, a number or a list of them, such as ["Paris"], got {show(value)}')


def _stripped(name: str, value: Any) -> Any:
    """Return the answer without white space around it. A number becomes a string with the digits of the file."""
    if isinstance(value, bool):
        raise ValueError(f'{name} is {str(value).lower()}; write the answer as text, such as "yes" or "true"')
    if isinstance(value, ExactFloat):
        value = value.text
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(
                f"{name} is {value}, which is not an answer; write the answer as text, or remove the question"
            )
        value = str(int(value)) if value.is_integer() else repr(value)  # Why: pandas stores 1831 as 1831.0.
    elif isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string or a number, got {show(value)}")
    text: str = clean(value)
    while text != (stripped := text.strip().strip(INVISIBLE)):
        text = stripped
    return text


def _is_usable(answer: str) -> bool:
    """Return whether a response can match the answer: the answer has one line, and contains a symbol or a word that is
    not an article."""
    has_symbol = any(unicodedata.category(sign)[0] == "S" or sign in "#%&@*/" for sign in answer)
    return len(answer.splitlines()) == 1 and (has_symbol or bool(normalize(answer)))


def _check_lines(answers: tuple[str, ...], usable: tuple[str, ...]) -> None:
    if not usable and (long := [answer for answer in answers if len(answer.splitlines()) > 1]):
        raise ValueError(
            f"the answer {show(long[0])} has several lines. Only the first line of a response is scored, so no"
            " response can match. Give an answer of one line, or train on the row as a conversation (`messages`)"
        )
