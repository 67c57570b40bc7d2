"""Validates the arguments of `score`. One error lists all problems, with the rows and the fix.

First, a fast check tests whole columns. If the check fails, slower rules find and describe the invalid rows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from functools import partial
from itertools import chain
from typing import Any, TypeGuard

from .scoring import (
    LONE_SURROGATE,
    NOT_UNICODE,
    SHOW,
    answers_rule,
    is_list,
    language_problems,
    raise_problems,
    text_rule,
)

ROWS_LISTED = 5  # maximum number of rows that a message shows; it counts further rows


def has_samples(predictions: Collection[Any]) -> bool:
    """Return whether predictions are lists of sampled responses. The first row decides."""
    return not isinstance(next(iter(predictions)), str)


def _is_valid(columns: Mapping[str, list[Any]], sampled: bool) -> bool:
    """Return whether all rows have plain types and valid values. Why `map` and `set`: a loop over rows is slow."""
    texts: list[Any] = []
    for name, column in columns.items():
        if name == "references" or (name == "predictions" and sampled):
            if not set(map(type, column)) <= {list, tuple} or not all(column):
                return False
            texts += chain.from_iterable(column)
        else:
            texts += column
            if name != "predictions" and not (set(map(type, column)) == {str} and all(map(str.strip, column))):
                return False
    if set(map(type, texts)) != {str}:
        return False
    return not any(LONE_SURROGATE.search(text) for text in texts if not text.isascii())


def validated_columns(
    columns: Mapping[str, Any],
    normal: Callable[[str], str],
    problems: Sequence[str] = (),
) -> dict[str, list[Any]]:
    """Validate columns, and return them as lists of strings or lists of lists of strings.

    Args:
        columns: the columns, by the name of the argument of `score`.
        normal: a function that normalises an accepted answer.
        problems: messages about other problems, which the `ValueError` also lists.

    Raises:
        ValueError: a column is empty or not a list, or the lengths of the columns differ. Or a prediction is neither
            a string nor a list of strings. Or accepted answers are not a list of at least one string, or all of them
            are empty after normalisation. Or a text has a lone surrogate. The message lists all problems.
    """
    problems = [*problems, *_shape_problems(columns)]
    lists = {name: _listed(column) for name, column in columns.items()}
    sampled = bool(lists["predictions"]) and has_samples(lists["predictions"])
    valid = not problems and _is_valid(lists, sampled)
    if valid and all(any(map(normal, answers)) for answers in lists["references"]):
        return lists
    rules: dict[str, Callable[[object], str]] = {
        "predictions": _prediction_rule,
        "references": partial(_reference_rule, normal=normal),
        "questions": _question_rule,
    }
    for name, rows in lists.items():
        problems += _row_problems(name, rows, rules.get(name, _id_rule))
    raise_problems([*problems, *_mixed(lists["predictions"])])
    return {name: [_plain(value) for value in rows] for name, rows in lists.items()}


def option_problems(language: object, abstentions: object) -> list[str]:
    """Return messages about an invalid `language` or invalid `abstentions`."""
    problems = language_problems(language)
    if abstentions is None or (is_list(abstentions) and all(isinstance(text, str) for text in abstentions)):
        return problems
    return [
        *problems,
        f'abstentions is {SHOW.repr(abstentions)}: give a list of strings, such as ["I don\'t know"]. Give [] if only '
        "empty predictions are abstentions",
    ]


SHAPES = {
    "predictions": "a list of strings, one per question",
    "references": "a list of lists of strings, one per question",
}
SHAPE_OF_IDS = "a list of strings, one per question, or leave it out"


def _listed(column: Any) -> list[Any]:
    if not _has_rows(column):
        return []
    # Why: a column of a dataset is fast to slice and slow to iterate.
    return list(column[:] if isinstance(column, Sequence) else column)


def _has_rows(column: object) -> TypeGuard[Collection[Any]]:
    # Why: a set has no order.
    return is_list(column) and not isinstance(column, Set) and len(column) > 0


def _shape_problems(columns: Mapping[str, Any]) -> list[str]:
    """Return messages about columns that are not lists, are empty, or have different lengths."""
    problems = [
        f"{name} is {SHOW.repr(column)}: give {SHAPES.get(name, SHAPE_OF_IDS)}"
        for name, column in columns.items()
        if not _has_rows(column)
    ]
    lengths = {name: len(column) for name, column in columns.items() if _has_rows(column)}
    if len(set(lengths.values())) > 1:
        numbers = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        problems.append(
            f"the numbers of rows differ ({numbers}): give one row for each question. "
            'If the model gave no response to a question, write "" as its prediction'
        )
    return problems


def _plain(value: Any) -> Any:
    # Why: numpy strings, other subclasses and tuples become plain strings and lists.
    return str.__str__(value) if isinstance(value, str) else [str.__str__(text) for text in value]


def _row_problems(name: str, rows: list[Any], rule: Callable[[object], str]) -> list[str]:
    """Return a message for each reason why rows are invalid. A message shows the first rows with this reason.

    Args:
        rule: a function that returns the reason why a value is invalid, or "" if it is valid.
    """
    broken: dict[str, list[int]] = {}
    for row, value in enumerate(rows):
        if why := rule(value):
            broken.setdefault(why, []).append(row)
    return [f"{_shown_rows(name, rows, numbers)}: {why}" for why, numbers in broken.items()]


def _shown_rows(name: str, rows: list[Any], numbers: list[int]) -> str:
    shown = ", ".join(f"{name}[{row}] is {SHOW.repr(rows[row])}" for row in numbers[:ROWS_LISTED])
    more = len(numbers) - ROWS_LISTED
    return f"{shown} and {more} more up to row {numbers[-1]}" if more > 0 else shown


def _prediction_rule(value: object) -> str:
    if isinstance(value, str) or not is_list(value):
        why = text_rule(value)
        return why.replace("one string;", "one string, or a list of sampled strings;") if why else ""
    if not len(value):
        return 'samples are a list of at least one string; write [""] for an empty response'
    if not all(isinstance(text, str) for text in value):
        return 'each sample is a string; write "" for an empty response'
    return NOT_UNICODE if any(map(LONE_SURROGATE.search, value)) else ""


def _mixed(rows: list[Any]) -> list[str]:
    """Return a message if some predictions are strings and others are lists."""
    texts = [i for i, value in enumerate(rows) if isinstance(value, str)]
    lists = [i for i, value in enumerate(rows) if is_list(value)]
    if not texts or not lists:
        return []
    rarer = min(texts, lists, key=len)
    why = "some rows are strings and others are lists of samples; give the same kind for every question"
    return [f"{_shown_rows('predictions', rows, rarer)}: {why}"]


def _reference_rule(value: object, normal: Callable[[str], str]) -> str:
    if why := answers_rule(value):
        return why
    if is_list(value) and any(map(normal, value)):
        return ""
    return (
        "every accepted answer consists of punctuation and articles (in English a, an, the), so an empty prediction "
        "would match; add an answer with another word, or remove the question"
    )


def _question_rule(value: object) -> str:
    if not isinstance(value, str):
        return "a question is one string, or leave out this argument"
    return NOT_UNICODE if LONE_SURROGATE.search(value) else ""


def _id_rule(value: object) -> str:
    if not isinstance(value, str):
        return "an id is a string; write a number as text, or leave out this argument if the rows have no ids"
    if not value.strip():
        return "an id has at least one character; give each row an id, or leave out this argument"
    return NOT_UNICODE if LONE_SURROGATE.search(value) else ""
