"""Rows of `.jsonl`, `.json`, `.csv`, `.tsv` and `.parquet` files, each with its number."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from hf_knowlearn.documents.document import show, unpaired_surrogate

Row: TypeAlias = dict[str, Any]
# (number, row or the problem of the row); the number of the line or row counts from 1, and 0 is the whole file
Rows: TypeAlias = "Iterator[tuple[int, Row | ValueError]]"
ColumnCheck: TypeAlias = "Callable[[Collection[str]], None]"  # gets the column names, raises ValueError
BOM = b"\xef\xbb\xbf"
_MAX_FIELD = 2**31 - 1  # characters; the largest limit that fits a C long on every platform
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading in binary mode."""
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(0, "a pipe or a device, not a file")  # Why: opening a pipe would block.
    with open(file, "rb") as stream:
        yield stream


def decoded(raw: bytes, offset: int = 0) -> str:
    """Decode bytes at `offset` of a UTF-8 file, without the byte order mark. Raises ValueError with the position."""
    skipped = len(BOM) if offset == 0 and raw.startswith(BOM) else 0
    try:
        return raw[skipped:].decode()
    except UnicodeDecodeError as error:
        place = error.start + skipped
        hint = "it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte is 0x{raw[place]:02x}"
        message = f"not UTF-8 at byte {offset + place} ({hint}); save the file as UTF-8"
        raise ValueError(message) from None


def json_lines(file: Path, check: ColumnCheck) -> Rows:
    """The objects of a `.jsonl` file, one per line. Blank lines are skipped.

    `check` is not used, because each row has its own columns.
    """
    offset = 0
    with opened(file) as stream:
        for line, raw in enumerate(stream, 1):
            if raw.removeprefix(BOM).strip():
                try:
                    text = decoded(raw, offset).rstrip("\r\n")
                    row = _parse_json(text, "write one object per line")
                    yield line, _checked_object(row, "a line", _SURROGATE_ESCAPE.search(text) is not None)
                except ValueError as error:
                    yield line, error
            offset += len(raw)


def json_rows(file: Path, check: ColumnCheck) -> Rows:
    """The objects of the list in a `.json` file, or the only object in it."""
    with opened(file) as stream:
        text = decoded(stream.read())
    data = _parse_json(text, "write a list of objects, or rename a file with one object per line to .jsonl")
    if isinstance(data, dict):
        _check_single_object(data, check)
        data = [data]
    elif not isinstance(data, list):
        raise ValueError(f'a .json file must contain a list of objects, such as [{{"text": "..."}}], got {show(data)}')
    may_have_surrogates = _SURROGATE_ESCAPE.search(text) is not None
    for number, row in enumerate(data, 1):
        try:
            yield number, _checked_object(row, "a row", may_have_surrogates)
        except ValueError as error:
            yield number, error


def _parse_json(text: str, fix: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:  # Why: an integer with too many digits raises a plain ValueError.
        reason: object = error
        if isinstance(error, json.JSONDecodeError):
            line = f"line {error.lineno}, " if error.lineno > 1 else ""
            reason = f"{error.msg} at {line}column {error.colno}"
        raise ValueError(f"not JSON ({reason}): {show(text.strip())}; {fix}") from None


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):  # Why: `json` would keep the last value only.
        raise ValueError(f"an object has the keys {show(_repeated([key for key, _ in pairs]))} more than once")
    return row


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _checked_object(row: object, name: str, may_have_surrogates: bool) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f'{name} must be a JSON object such as {{"text": "..."}}, got {show(row)}')
    if may_have_surrogates and unpaired_surrogate(dumped := json.dumps(row, ensure_ascii=False)) is not None:
        raise ValueError(f"an unpaired surrogate (\\ud800 to \\udfff) in {show(dumped)}; remove it")
    return row


def _check_single_object(data: Row, check: ColumnCheck) -> None:
    try:
        check(data)
    except ValueError:
        if lists := [key for key, value in data.items() if isinstance(value, list)]:
            raise ValueError(
                f"the file is an object with the keys {show(list(data))}; a .json file must be a list of objects: "
                f"save the list under {show(lists[0])} as its own file"
            ) from None
        raise


def csv_rows(file: Path, check: ColumnCheck, delimiter: str = ",") -> Rows:
    """The rows of a `.csv` file, numbered by their first line. An empty field is null.

    Why not pandas or Arrow: they fill short rows with nulls, lose line numbers, or read "NA" as null.
    """
    with opened(file) as stream:
        reader = csv.reader(_text_lines(stream), delimiter=delimiter, strict=True)
        header = next(_rows_with_lines(reader), (0, []))[1]
        if not header:
            return
        _check_header(header, delimiter, check)
        for line, fields in _rows_with_lines(reader):
            if len(fields) == len(header):
                yield line, {name: field or None for name, field in zip(header, fields, strict=True)}
            else:
                counts = f"the row has {len(fields)} fields, but the header has {len(header)}"
                fix = f"put a field that contains {delimiter!r} or a line break in double quotes"
                yield line, ValueError(f"{counts}; {fix}")


def tsv_rows(file: Path, check: ColumnCheck) -> Rows:
    """The rows of a `.tsv` file, as `csv_rows`."""
    return csv_rows(file, check, delimiter="\t")


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    offset = 0
    for raw in stream:
        yield decoded(raw, offset)
        offset += len(raw)


def _rows_with_lines(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """(first line, fields) of each row that is not blank."""
    while True:
        line = reader.line_num + 1
        limit = csv.field_size_limit(_MAX_FIELD)  # Why: the limit is global, so other readers get theirs back at once.
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fix = "a field that begins with a quote must end with one, and quotes inside it must be doubled"
            raise ValueError(f"line {line}: not CSV ({error}); {fix}") from None
        finally:
            csv.field_size_limit(limit)
        if fields:
            yield line, fields


def _check_header(header: list[str], delimiter: str, check: ColumnCheck) -> None:
    try:
        _check_names(header, check)
    except ValueError as error:
        other = next((mark for mark in ",;\t|" if mark != delimiter and mark in header[0]), None)
        if len(header) > 1 or other is None:
            raise
        hint = f"is the delimiter {other!r}? A .csv file uses ',' and a .tsv file uses tabs"
        raise ValueError(f"{error} ({hint})") from None


def _check_names(names: Sequence[str], check: ColumnCheck) -> None:
    if repeated := _repeated(names):
        raise ValueError(f"more than one column is named {show(repeated)}; give each column its own name")
    check(names)


def parquet_rows(file: Path, check: ColumnCheck) -> Rows:
    """The rows of a `.parquet` file."""
    from pyarrow import ArrowException, parquet

    with opened(file):  # Why: it raises the error about pipes; pyarrow needs less memory if it opens the file itself.
        try:
            # Why: with the defaults, reading 500 MB of text takes 580 MB of memory instead of 110 MB (pyarrow 26).
            table = parquet.ParquetFile(str(file), buffer_size=1 << 20, pre_buffer=False)
            _check_names(table.schema_arrow.names, check)
            batches = table.iter_batches(batch_size=16, use_threads=False)
            yield from enumerate((row for batch in batches for row in _batch_rows(batch)), 1)
        except ArrowException as error:
            raise ValueError(f"cannot be read as Parquet ({error}); check that the file is complete") from None


def _batch_rows(batch: Any) -> Iterator[Row | ValueError]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # Why: the error does not name the row.
        for index in range(len(batch)):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                yield ValueError(f"a text that is not UTF-8 ({error}); write the file again")
