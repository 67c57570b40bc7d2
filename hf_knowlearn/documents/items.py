"""Items from the rows of sources: each row becomes a document, question or conversation with a unique id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, InvalidItemError, Question, show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.sources import Source
from hf_knowlearn.documents.table_columns import Columns, clean
from hf_knowlearn.documents.tabular import Row

Item = TypeVar("Item", Document, Question, Conversation)


def read_items(
    sources: Iterable[Source],
    columns_of: Callable[[Source], Columns[Item]],
    problems: ErrorReport,
    dropped: ErrorReport | None = None,
) -> Iterator[tuple[Source, int, Item]]:
    """Yield the valid items of all sources, each with its source and row number.

    Args:
        columns_of: the columns to use for the rows of a source.
        problems: receives the problems. Reading continues after a problem, so that all are found.
        dropped: receives the empty documents. With None they are problems.
    """
    places: dict[str, str] = {}  # id -> where it was used first
    for source in sources:
        for number, item in _source_items(source, columns_of(source), problems, dropped):
            if item.id in places:
                message = f"the id {show(item.id)} is already used at {places[item.id]}; give each row its own id"
                problems.add(source.place, message, number, source.format.unit)
            else:
                places[item.id] = f"{source.place}:{number}" if number else source.place
                yield source, number, item


def _source_items(
    source: Source, columns: Columns[Item], problems: ErrorReport, dropped: ErrorReport | None
) -> Iterator[tuple[int, Item]]:
    has_rows = False
    try:
        for number, row in source.rows(columns.check):
            has_rows = True
            if (item := _make_item(source, number, row, columns, problems, dropped)) is not None:
                yield number, item
        if not has_rows:
            problems.add(source.place, source.format.if_no_rows)
    except OSError as error:
        reason = error.strerror or error
        problems.add(source.place, f"cannot be read ({reason}); check the file and its permissions")
    except ValueError as error:
        problems.add(source.place, str(error))


def _make_item(
    source: Source,
    number: int,
    row: Row | ValueError,
    columns: Columns[Item],
    problems: ErrorReport,
    dropped: ErrorReport | None,
) -> Item | None:
    """The item of a row, or None after its problem is reported."""
    default_id = f"{source.name}:{number}" if number else source.name
    is_empty = not isinstance(row, ValueError) and columns.is_empty(row)
    try:
        if isinstance(row, ValueError):
            raise row
        return columns.make(row, default_id)
    except ValueError as error:
        message = str(error)
        if isinstance(error, InvalidItemError) and error.id == clean(default_id):
            message = "; ".join(error.problems)  # Why: the report names the file and row, and the id repeats them.
    if is_empty and dropped is None:
        problems.fixes.add('To skip empty documents, use empty="drop".')
    report = dropped if is_empty and dropped is not None else problems
    if is_empty:
        message = message.rstrip(".") + source.format.if_empty
    report.add(source.place, message, number, source.format.unit)
    return None
