"""What a user passed in: whether it is plainly sound, and if not what is wrong with it, all at once.

The surprising decision: rows are looked at twice. First by what is fast and can only say yes; and only where that says
no by rules that know a row's number, and what to do about it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from functools import partial
from itertools import chain
from typing import Any

from .scoring import (
    LONE_SURROGATE,
    NOT_UNICODE,
    SHOW,
    answers_rule,
    is_list,
    language_problems,
    normalizer,
    refuse,
    text_rule,
)

ROWS_NAMED = 5  # of each kind of problem; the others are counted


def has_samples(predictions: Collection[Any]) -> bool:
    """Whether the first row, and so every row, is a list of samples and not a string."""
    return not isinstance(next(iter(predictions)), str)


def sound(batch: Mapping[str, list[Any]], sampled: bool) -> bool:
    """Whether these rows are all of the plainest types and hold what they should, found without a loop of Python's."""
    texts: list[Any] = []
    for name, column in batch.items():
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


def checked(predictions: object, references: object) -> tuple[list[Any], list[list[str]]]:
    """Predictions and references as lists, or one error that names all that is wrong with them.

    Raises:
        ValueError: a column isn't a list, or is empty; their lengths differ; a prediction isn't a string, or a list
            of sampled strings in every row; accepted answers aren't a list of at least one string, or all of them
            normalise to nothing; a text has half a character.
    """
    columns = checked_columns({"predictions": predictions, "references": references}, normalizer("en"))
    return columns["predictions"], list(map(list, columns["references"]))


def checked_columns(
    columns: Mapping[str, Any],
    normal: Callable[[str], str],
    problems: Sequence[str] = (),
    *,
    ids: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, list[Any]]:
    """Columns as lists of plain strings, and lists of them, or one error that names all that is wrong with them.

    Args:
        columns: by the names that `score` has for them.
        normal: what is left of an accepted answer.
        problems: what else is wrong already.
        ids: what rows are called in the error, by column, if not by their numbers; lengths are then let be.
    """
    lists = {name: _listed(column) for name, column in columns.items()}
    problems = [*problems, *(shape_problems(columns) if ids is None else [])]
    sampled = bool(lists.get("predictions")) and has_samples(lists["predictions"])
    plainly = not problems and sound(lists, sampled)
    if plainly and all(any(map(normal, answers)) for answers in lists.get("references", [])):
        return lists
    rules: dict[str, Callable[[object], str]] = {
        "predictions": _said_rule,
        "references": partial(_reference_rule, normal=normal),
    }
    for name, rows in lists.items():
        called = range(len(rows)) if ids is None else ids[name]
        problems += _row_problems(name, rows, rules.get(name, _id_rule), called)
        if name == "predictions":
            problems += _mixed(rows, called)
    refuse(problems)
    return {name: [_plain(value) for value in rows] for name, rows in lists.items()}


def option_problems(language: object, abstentions: object) -> list[str]:
    """What is wrong with the options of `score`, in words."""
    problems = language_problems(language)
    if abstentions is None or (is_list(abstentions) and all(isinstance(text, str) for text in abstentions)):
        return problems
    return [
        *problems,
        f'abstentions is {SHOW.repr(abstentions)}: give a list of strings, such as ["I don\'t know"]; '
        "[] if only saying nothing is one",
    ]


SHAPES = {
    "predictions": "a list of strings, one per question",
    "references": "a list of lists of strings, one per question",
}


def shape_problems(columns: Mapping[str, Any]) -> list[str]:
    """Columns that are no lists, or empty, or of different lengths."""
    problems, lengths = [], {}
    for name, column in columns.items():
        # The order of a set is not the user's.
        if is_list(column) and not isinstance(column, Set) and len(column):
            lengths[name] = len(column)
        else:
            shape = SHAPES.get(name, "a list of strings, one per question, or leave it out")
            by_id = "; what is by question id goes to score_by_id" if isinstance(column, Mapping) else ""
            problems.append(f"{name} is {SHOW.repr(column)}: give {shape}{by_id}")
    if len(set(lengths.values())) > 1:
        told = ", but ".join(f"{length} {name}" for name, length in lengths.items())
        problems.append(
            f"{told}: row i of one belongs to row i of the other; "
            'where the model gave no answer, write "" as its prediction'
        )
    return problems


def _listed(column: object) -> list[Any]:
    return list(column) if is_list(column) and not isinstance(column, Set) else []


def _plain(value: Any) -> Any:
    # numpy's strings and other subclasses, and tuples, as what they are compared with.
    return str.__str__(value) if isinstance(value, str) else [str.__str__(text) for text in value]


def _row_problems(name: str, rows: list[Any], rule: Callable[[object], str], called: Sequence[Any]) -> list[str]:
    """One line for each way in which rows break the rule, with the first of those rows as the user wrote them."""
    broken: dict[str, list[int]] = {}
    for row, value in enumerate(rows):
        if why := rule(value):
            broken.setdefault(why, []).append(row)
    return [f"{_written_out(name, rows, numbers, called)}: {why}" for why, numbers in broken.items()]


def _written_out(name: str, rows: list[Any], numbers: list[int], called: Sequence[Any]) -> str:
    named = numbers[:ROWS_NAMED]
    shown = ", ".join(f"{name}[{SHOW.repr(called[row])}] is {SHOW.repr(rows[row])}" for row in named)
    more = len(numbers) - ROWS_NAMED
    return f"{shown} and {more} more up to row {SHOW.repr(called[numbers[-1]])}" if more > 0 else shown


def _said_rule(value: object) -> str:
    if isinstance(value, str) or not is_list(value):
        why = text_rule(value)
        return why.replace("one string;", "one string, or a list of sampled ones;") if why else ""
    if not len(value):
        return 'samples are a list of at least one string; write [""] where the model said nothing'
    if not all(isinstance(text, str) for text in value):
        return 'each sample is a string; write "" where the model said nothing'
    return NOT_UNICODE if any(map(LONE_SURROGATE.search, value)) else ""


def _mixed(rows: list[Any], called: Sequence[Any]) -> list[str]:
    """Strings and lists in one column: is a string the only sample, or was the list not meant?"""
    texts = [i for i, value in enumerate(rows) if isinstance(value, str)]
    lists = [i for i, value in enumerate(rows) if is_list(value)]
    if not texts or not lists:
        return []
    rarer = min(texts, lists, key=len)
    why = "some rows are a string and others a list of samples; give one or the other for every question"
    return [f"{_written_out('predictions', rows, rarer, called)}: {why}"]


def _reference_rule(value: object, normal: Callable[[str], str]) -> str:
    if why := answers_rule(value):
        return why
    if is_list(value) and any(map(normal, value)):
        return ""
    return (
        "without case, punctuation and articles (in English a, an, the) nothing is left of any accepted answer, so "
        "saying nothing would be right; add an answer with another word in it or leave the question out"
    )


def _id_rule(value: object) -> str:
    if not isinstance(value, str):
        return "an id is a string; write a number as text, and leave the column out where rows have none"
    if not value.strip():
        return "an id has at least one character; leave the column out where rows have none"
    return NOT_UNICODE if LONE_SURROGATE.search(value) else ""
