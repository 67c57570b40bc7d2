"""Reads the rows of `.jsonl`, `.json`, `.csv`, `.tsv` and `.parquet` files. Each row has a number."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.document import show

# (number of the line or row, row or its problem). Numbers count from 1, and the number 0 is the whole file.
Rows: TypeAlias = "Iterator[tuple[int, Any]]"
DELIMITERS = ",;\t|"  # of a .csv file
_BOM = b"\xef\xbb\xbf"
_MAX_FIELD = 2**31 - 1  # characters; the largest limit that fits a C long on every platform


class ExactFloat(float):
    """A number that also has the text with which a JSON file writes it, such as "3.50"."""

    text: str

    def __new__(cls, text: str) -> ExactFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


def decoded(raw: bytes, offset: int = 0) -> str:
    """Decode the bytes at `offset` of a UTF-8 file, without the byte order mark. Raises ValueError."""
    skipped = len(_BOM) if offset == 0 and raw.startswith(_BOM) else 0
    try:
        return raw[skipped:].decode()
    except UnicodeDecodeError as error:
        place = error.start + skipped
        message = f"not UTF-8 at byte {offset + place} (the byte is 0x{raw[place]:02x}); save the file as UTF-8"
        raise ValueError(message) from None


def json_lines(file: Path) -> Rows:
    """Yield the objects of a `.jsonl` file, one per line. Blank lines are skipped."""
    offset = 0
    with open(file, "rb") as stream:
        for line, raw in enumerate(stream, 1):
            try:
                if text := decoded(raw, offset).strip():
                    yield line, _parsed(text)
            except ValueError as error:
                yield line, error
            offset += len(raw)


def json_rows(file: Path) -> Rows:
    """Yield the rows of a `.json` file: the objects of a list, the questions of SQuAD, or the only object."""
    data = _squad_rows(_parsed(decoded(file.read_bytes())))
    yield from enumerate(data if isinstance(data, list) else [data], 1)


def _squad_rows(data: Any) -> Any:
    """Return the questions of SQuAD's `{"data": [{"paragraphs": [{"qas": [...]}]}]}`, and other data unchanged."""
    articles = data.get("data") if isinstance(data, dict) else None
    if not isinstance(articles, list) or not all(isinstance(one, dict) and "paragraphs" in one for one in articles):
        return data
    try:
        return [row for article in articles for paragraph in article["paragraphs"] for row in paragraph["qas"]]
    except (KeyError, TypeError):
        raise ValueError('not in SQuAD\'s format; each paragraph needs "qas", a list of questions') from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=ExactFloat)
    except (ValueError, RecursionError) as error:  # Why: an integer with too many digits raises a plain ValueError.
        reason = str(error).replace("line 1 column", "column")  # Why: a line of a .jsonl file is a text of one line.
        fix = "write one object per line in a .jsonl file, or a list of objects in a .json file"
        raise ValueError(f"not JSON ({reason}): {show(text.strip())}; {fix}") from None


def csv_rows(file: Path, delimiter: str = "") -> Rows:
    """Yield the rows of a `.csv` file. The number of a row is the number of its first line. An empty field is null.

    Without `delimiter`, the delimiter is the character of `DELIMITERS` that occurs most often in the first line.

    Why not pandas or Arrow: they fill short rows with nulls, lose line numbers, or read "NA" as null.
    """
    csv.field_size_limit(_MAX_FIELD)  # Why: a document can be longer than the default of 131,072 characters.
    with open(file, "rb") as stream:
        if not delimiter:
            header_line = stream.readline()
            stream.seek(0)
            delimiter = max(DELIMITERS, key=header_line.decode(errors="replace").count)  # without one, the comma
        rows = _numbered(csv.reader(_decoded_lines(stream), delimiter=delimiter, strict=True))
        _, header = next(rows, (0, []))
        if len(set(header)) < len(header):
            raise ValueError(f"several of the columns {show(header)} have the same name; rename them")
        for line, fields in rows:
            if len(fields) == len(header):
                yield line, {name: field or None for name, field in zip(header, fields, strict=True)}
            else:
                counts = f"the row has {number_of(len(fields), 'field')}, but the header has {len(header)}"
                fix = f"put a field that contains {delimiter!r} or a line break in double quotes"
                yield line, ValueError(f"{counts}; {fix}")


def tsv_rows(file: Path) -> Rows:
    """Yield the rows of a `.tsv` file, see `csv_rows`."""
    return csv_rows(file, delimiter="\t")


def _decoded_lines(stream: BinaryIO) -> Iterator[str]:
    offset = 0
    for raw in stream:
        yield decoded(raw, offset)
        offset += len(raw)


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, fields) of each row that is not blank."""
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        fix = "a field that begins with a quote must end with one, and quotes inside it must be doubled"
        raise ValueError(f"line {line}: not CSV ({error}); {fix}") from None


def parquet_rows(file: Path) -> Rows:
    """Yield the rows of a `.parquet` file."""
    from pyarrow import ArrowException, parquet

    try:
        # Why: with the defaults, reading 500 MB of text takes 580 MB of memory instead of 110 MB (pyarrow 26).
        table = parquet.ParquetFile(str(file), buffer_size=1 << 20, pre_buffer=False)
        batches = table.iter_batches(batch_size=16, use_threads=False)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
    except (ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read as Parquet ({error}); check that the file is complete") from None
