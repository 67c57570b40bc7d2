"""Makes questions from rows: selects the columns of the question and its answers, and drops unusable answers."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.console import spelled
from hf_knowlearn.documents.document import Question, show
from hf_knowlearn.documents.table_columns import SkippedRowError, clean, first_value, name_of, require, strings
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
LONGEST_SYSTEM = 500  # characters of a system turn that becomes a part of the question
INVISIBLE = "\u200b\u2060\ufeff"  # zero-width characters, which `str.strip` leaves


@dataclass
class QuestionColumns:
    """The names of the columns of a question and its answers. None: the usual names.

    Attributes:
        dropped: the ids of the questions with at least one answer that the method `question` dropped.
        impossible: number of the rows that are marked as impossible to answer.
    """

    question_column: str | None = None
    answer_column: str | None = None
    dropped: list[str] = field(default_factory=list)
    impossible: int = 0

    def question(self, row: Mapping[str, Any], default_id: str) -> Question:
        """Make the question of a row.

        White space around answers is removed. No response can match an answer that is blank, consists only of an
        article, or has several lines. If a question has another answer, such an answer is dropped.

        Raises:
            SkippedRowError: the row is marked as impossible to answer, as in SQuAD 2.0.
            ValueError: the row is invalid. The message contains the problems of the row.
        """
        given = {name: value for name, value in row.items() if value is not None}
        if given.get("is_impossible") is True:
            self.impossible += 1
            raise SkippedRowError(f"{show(given.get('id', default_id))} is a question without an answer")
        text, name, value = self._question_and_answers(given, row)
        answers = _answers(name, _chosen(given, value))
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

    def _question_and_answers(self, given: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[Any, str, Any]:
        """Return the text of the question, the name of the column with its answers, and the value of this column."""
        if not self.question_column and not self.answer_column and "messages" in given and not any(_layouts(given)):
            return *_turns(given["messages"]), given["messages"][-1]["content"]
        question_name, answer_name = self._columns(given, row)
        text = given[question_name]
        if isinstance(text, list) and isinstance(given[answer_name], list):  # TRL's conversational format
            messages = [*text, *given[answer_name]]
            return *_turns(messages), messages[-1]["content"]
        extra = given.get("input") if question_name == "instruction" else None
        if isinstance(text, str) and isinstance(extra, str) and extra.strip():
            text = f"{text}\n{extra}"
        return text, answer_name, given[answer_name]

    def _columns(self, given: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, str]:
        for name in filter(None, (self.question_column, self.answer_column)):
            _check_not_null(row, (name,), "remove the row, or give it a value")
            require(given, name, fix="a question and an answer are needed in every row")
        if self.question_column or self.answer_column:
            return (
                self.question_column or _only(given, QUESTION_COLUMNS, "question"),
                self.answer_column or _only(given, ANSWER_COLUMNS, "answer"),
            )
        found = list(_layouts(given))
        if len(found) > 1:
            columns = ", or ".join(f"{question!r} and {answer!r}" for question, answer in found)
            raise ValueError(f"the columns of question and answer are ambiguous: {columns}; {name_them()}")
        if not found:
            _check_not_null(row, QUESTION_COLUMNS, "remove the row, or give it a question")
            require(given, "question", "text", fix=f"rename the column of the question, or {name_them()}")
            _check_not_null(row, ANSWER_COLUMNS, "remove the question, or give it an answer")
            require(given, "answers", "answer", fix=f"a question needs an answer; rename the column, or {name_them()}")
        question, answer = found[0]
        if answer == "answers" and isinstance(given.get("answer"), str) and not _same_answers(given):
            raise ValueError(f"the columns 'answers' and 'answer' have different values; {name_them()}")
        return question, answer


def name_them() -> str:
    """Return the fix for columns that are not found."""
    return f"name the right columns with {spelled('question_column')} and {spelled('answer_column')}"


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
        raise ValueError(f"the {what} could be in several columns: {show(found)}; {name_them()}")
    raise ValueError(f"no column with the {what} was found among {show(list(given))}; {name_them()}")


def _same_answers(given: Mapping[str, Any]) -> bool:
    return clean(given["answer"]).strip() in _answers("answers", given["answers"])


def _turns(messages: Any) -> tuple[str, str]:
    """Return the text of the question, and the name that error messages use for the answers.

    The question is the user's turn. A short system turn comes before the question, as a line of its own.
    """
    turns = messages if isinstance(messages, list) else []
    roles = [turn.get("role") if isinstance(turn, Mapping) else None for turn in turns]
    system = turns[0].get("content") if roles[:1] == ["system"] else ""
    if roles[:1] == ["system"] and isinstance(system, str):
        if len(system) > LONGEST_SYSTEM:
            raise ValueError(
                f"the system turn {show(system)} has {len(system)} characters; a system turn becomes a part of the"
                f" question and must have at most {LONGEST_SYSTEM} characters; shorten it, or remove it"
            )
        turns, roles = turns[1:], roles[1:]
    if roles != ["user", "assistant"] or not all(isinstance(turn.get("content"), str) for turn in turns):
        raise ValueError(
            "a question in messages must have one turn of the user and then one of the assistant, got the roles"
            f" {show(roles)}; longer conversations can be used for training, but not as questions"
        )
    question = turns[0]["content"]
    return f"{system}\n{question}" if system.strip() else question, "messages"


def _check_not_null(row: Mapping[str, Any], names: tuple[str, ...], fix: str) -> None:
    """Raise a ValueError if one of the columns exists in the row, but all of these columns are null."""
    found = [name for name in names if name in row]
    if found and all(row[name] is None for name in found):
        raise ValueError(f"{found[0]} is null; {fix}")


def _chosen(given: Mapping[str, Any], value: Any) -> Any:
    """Return the text of the option if the answer is the index of an option. Return other answers unchanged.

    Raises:
        ValueError: the number can be an index and also the text of another option, or there is no such option.
    """
    options = given.get("choices", given.get("options"))
    if type(value) is not int or not isinstance(options, list) or not all(isinstance(one, str) for one in options):
        return value
    is_index, same = 0 <= value < len(options), [one for one in options if one.strip() == str(value)]
    if same and is_index and options[value] not in same:
        raise ValueError(
            f"the answer {value} is the text of an option, and also the index of the option {show(options[value])};"
            " write the text of the right option as the answer"
        )
    if not same and not is_index:
        raise ValueError(
            f"the answer {value} is not one of the options {show(options)}, and not an index from 0 to"
            f" {len(options) - 1}; write the text of the right option as the answer"
        )
    return value if same else options[value]


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
