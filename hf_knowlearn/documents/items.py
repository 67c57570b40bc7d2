"""Turns each row of a source into an item: a document, question or conversation with a unique id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from hf_knowlearn.console import spelled
from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, InvalidItemError, Question, show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.progress import bar_of
from hf_knowlearn.documents.sources import Source
from hf_knowlearn.documents.table_columns import EmptyDocumentError, SkippedRowError

Item = TypeVar("Item", Document, Question, Conversation)
Make: TypeAlias = Callable[[dict[str, Any], str], Item]  # makes the item of a row, given its default id


def read_items(
    sources: Sequence[Source],
    make_for: Callable[[Source], Make[Item]],
    problems: ErrorReport,
    dropped: ErrorReport | None = None,
) -> Iterator[tuple[Source, int, Item]]:
    """Yield the valid items of all sources, each with its source and row number.

    Args:
        make_for: returns, for a source, the function that turns a row of this source into an item.
        problems: collects the problems. Reading continues after a problem, so that all problems are found.
        dropped: collects the empty documents, which are skipped. None: an empty document is a problem.
    """
    places: dict[str, str] = {}  # id -> where it was used first
    for source in bar_of(sources, any(source.is_converted for source in sources)):
        make = make_for(source)
        for number, row in _rows(source, problems):
            try:
                item = _item(make, row, f"{source.name}:{number}" if number else source.name)
                if item.id in places:
                    raise ValueError(
                        f"the id {show(item.id)} is already used at {places[item.id]}; give each row its own id"
                    )
            except SkippedRowError:
                continue
            except EmptyDocumentError as error:
                if dropped is None:
                    problems.fixes.add(f"To skip empty documents, use {spelled('empty', 'drop')}.")
                message = str(error)
                (problems if dropped is None else dropped).add(source.place, message, number)
            except ValueError as error:
                problems.add(source.place, str(error), number)
            else:
                places[item.id] = f"{source.place}:{number}" if number else source.place
                yield source, number, item


def _item(make: Make[Item], row: Any, default_id: str) -> Item:
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f'a row must be a JSON object such as {{"text": "..."}}, got {show(row)}')
    try:
        return make(row, default_id)
    except InvalidItemError as error:
        raise ValueError("; ".join(error.problems)) from None  # Why: the place in the report identifies the item.


def _rows(source: Source, problems: ErrorReport) -> Iterator[tuple[int, Any]]:
    has_rows = False
    try:
        for number, row in source.rows():
            has_rows = True
            yield number, row
        if not has_rows:
            problems.add(source.place, "contains no rows; remove it")
    except OSError as error:
        reason = error.strerror or error
        problems.add(source.place, f"cannot be read ({reason}); check the file and its permissions")
    except ValueError as error:
        problems.add(source.place, str(error))
