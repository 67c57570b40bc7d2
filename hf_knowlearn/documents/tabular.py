"""Rows of `.jsonl`, `.json`, `.csv`, `.tsv` and `.parquet` files, each with its number, and what is wrong with it.

The surprising decision: csv is read by Python's own module, strictly. Faster readers fill a row that is too short with
nulls, lose the line's number, or take "NA" for nothing.
"""

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

from hf_knowlearn.documents.document import lone_surrogate, show

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = "Iterator[tuple[int, Row | ValueError]]"  # a line's or row's number from 1, and what is there
Check: TypeAlias = "Callable[[Collection[str]], None]"  # of the names of the columns; raises ValueError
_LONGEST_FIELD = 2**31 - 1  # characters; what a C long holds everywhere
BOM = b"\xef\xbb\xbf"


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(0, "a pipe or a device, not a file")  # opening a pipe would wait for ever
    with open(file, "rb") as stream:
        yield stream


def decoded(raw: bytes, offset: int = 0) -> str:
    """Text of bytes that stand at `offset` of a file, without its byte order mark."""
    skipped = len(BOM) if offset == 0 and raw.startswith(BOM) else 0
    try:
        return raw[skipped:].decode()
    except UnicodeDecodeError as error:
        place = error.start + skipped
        hint = "it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte is 0x{raw[place]:02x}"
        message = f"not UTF-8 at byte {offset + place} ({hint}); save the file as UTF-8"
        raise ValueError(message) from None


def json_lines(file: Path, check: Check) -> Rows:
    """Line by line without the blank ones. Each row has columns of its own, so that they are checked one by one."""
    offset = 0
    with opened(file) as stream:
        for line, raw in enumerate(stream, 1):
            if raw.removeprefix(BOM).strip():
                try:
                    yield line, _row_of_line(decoded(raw, offset).rstrip("\r\n"))
                except ValueError as error:
                    yield line, error
            offset += len(raw)


def _row_of_line(text: str) -> Row:
    row = _json(text, "write one object a line")
    if not isinstance(row, dict):
        raise ValueError(f'a line must be a JSON object such as {{"text": "..."}}, got {show(row)}')
    _refuse_half_pairs(row, text)
    return row


def _json(text: str, way_out: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:  # a plain ValueError for an integer of 5,000 digits
        why: object = error
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg} at {f'line {error.lineno}, ' * (error.lineno > 1)}column {error.colno}"
        raise ValueError(f"not JSON ({why}): {show(text.strip())}; {way_out}") from None


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):  # or the last one would do away with the others
        raise ValueError(f"an object names {show(_twice([key for key, _ in pairs]))} more than once")
    return row


def _twice(names: Sequence[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _refuse_half_pairs(row: Row, text: str) -> None:
    if _HALF_PAIR.search(text) and lone_surrogate(json.dumps(row, ensure_ascii=False)) is not None:
        raise ValueError(f"half a surrogate pair (\\ud8.. to \\udf.. alone) in {show(text.strip())}; remove it")


_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def json_rows(file: Path, check: Check) -> Rows:
    """The objects of a list, or the one object that the file is."""
    with opened(file) as stream:
        text = decoded(stream.read())
    data = _json(text, "write a list of objects, or name a file of one object a line .jsonl")
    if isinstance(data, dict):
        _refuse_lists_within(data, check)
    elif not isinstance(data, list):
        raise ValueError(f'a .json file must hold a list of objects, such as [{{"text": "..."}}], got {show(data)}')
    has_half_pairs = _HALF_PAIR.search(text) is not None
    for number, row in enumerate(data if isinstance(data, list) else [data], 1):
        yield number, _row_of_list(row, has_half_pairs)


def _refuse_lists_within(data: Row, check: Check) -> None:
    try:
        check(data)
    except ValueError:
        if lists := [key for key, value in data.items() if isinstance(value, list)]:
            raise ValueError(
                f"an object with the keys {show(list(data))}; a .json file must be a list of objects, such as that "
                f"under {show(lists[0])} may be: write it alone"
            ) from None
        raise


def _row_of_list(row: object, has_half_pairs: bool) -> Row | ValueError:
    if not isinstance(row, dict):
        return ValueError(f'a row must be an object such as {{"text": "..."}}, got {show(row)}')
    if has_half_pairs and lone_surrogate(shown := json.dumps(row, ensure_ascii=False)) is not None:
        return ValueError(f"half a surrogate pair (\\ud8.. to \\udf.. alone) in {show(shown)}; remove it")
    return row


def csv_rows(file: Path, check: Check, delimiter: str = ",") -> Rows:
    """Rows below a header, numbered by the line they begin at; an empty field is a null, as csv has no other."""
    with opened(file) as stream:
        reader = csv.reader(_text_lines(stream), delimiter=delimiter, strict=True)
        header = next(_whole_rows(reader), (0, []))[1]
        if not header:
            return
        _check_header(header, delimiter, check)
        for line, fields in _whole_rows(reader):
            if len(fields) == len(header):
                yield line, {name: field or None for name, field in zip(header, fields, strict=True)}
            else:
                yield line, ValueError(_wrong_count(fields, header, delimiter))


def tsv_rows(file: Path, check: Check) -> Rows:
    return csv_rows(file, check, delimiter="\t")


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    offset = 0
    for raw in stream:
        yield decoded(raw, offset)
        offset += len(raw)


def _whole_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) without the blank lines."""
    while True:
        line = reader.line_num + 1
        limit = csv.field_size_limit(_LONGEST_FIELD)  # of the process: other readers have theirs back at once
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            way_out = "a field that begins with a quote ends with one, and quotes within are doubled"
            raise ValueError(f"line {line}: not csv ({error}); {way_out}") from None
        finally:
            csv.field_size_limit(limit)
        if fields:
            yield line, fields


def _check_header(header: list[str], delimiter: str, check: Check) -> None:
    try:
        _check_names(header, check)
    except ValueError as error:
        other = next((mark for mark in ",;\t|" if mark != delimiter and mark in header[0]), None)
        if len(header) > 1 or other is None:
            raise
        asks = f"is it separated by {other!r}? Read are .csv by ',' and .tsv by tabs"
        raise ValueError(f"{error} ({asks})") from None


def _check_names(names: Sequence[str], check: Check) -> None:
    if twice := _twice(names):
        raise ValueError(f"more than one column is named {show(twice)}; give each a name of its own")
    check(names)


def _wrong_count(fields: list[str], header: list[str], delimiter: str) -> str:
    return (
        f"{len(fields)} fields under a header of {len(header)}; put a field that holds {delimiter!r} or a line's end "
        "in double quotes"
    )


def parquet_rows(file: Path, check: Check) -> Rows:
    from pyarrow import ArrowException, parquet

    with opened(file):  # refuses what is no file; pyarrow reads with less memory by itself
        try:
            # With its defaults 500 MB of texts took 580 MB of memory here, so 110 (pyarrow 26).
            table = parquet.ParquetFile(str(file), buffer_size=1 << 20, pre_buffer=False)
            _check_names(table.schema_arrow.names, check)
            batches = table.iter_batches(batch_size=16, use_threads=False)
            yield from enumerate((row for batch in batches for row in _python_rows(batch)), 1)
        except ArrowException as error:
            raise ValueError(f"can't be read as parquet ({error}); see that the file is whole") from None


def _python_rows(batch: Any) -> Iterator[Row | ValueError]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(len(batch)):  # which row it is
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                yield ValueError(f"a text that is not UTF-8 ({error}); write the file anew")
