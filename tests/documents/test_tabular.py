"""Tables: the same rows are the same documents in every format, and malformed tables are errors."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from hf_knowlearn.documents import Document, Question, read_documents, read_questions

Write = Callable[[Path, str | bytes], Path]
WriteRows = Callable[..., Path]
ReadError = Callable[..., str]

HARD = 'Quotes "", a comma,\na new line,\n\n\ta tab; NA, null, 007 and café.'
ROWS = [
    {"id": "a", "title": "NA", "text": HARD, "year": "1900"},
    {"id": "7", "title": None, "text": "null", "year": None},
    {"id": "b,c", "title": "Ti\ntle", "text": " white space stays ", "year": "x"},
]


def csv_of(rows: list[dict[str, Any]], **dialect: Any) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)
    return path


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], object]] = {
    ".jsonl": lambda path, rows: path.write_text("".join(json.dumps(row) + "\n" for row in rows)),
    ".json": lambda path, rows: path.write_text(json.dumps(rows, indent=1)),
    ".csv": lambda path, rows: path.write_text(csv_of(rows), newline=""),
    ".tsv": lambda path, rows: path.write_text(csv_of(rows, dialect="excel-tab"), newline=""),
    ".parquet": lambda path, rows: write_parquet(path, rows, row_group_size=2),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_same_rows_are_the_same_documents_in_every_format(tmp_path: Path, suffix: str):
    WRITERS[suffix](tmp_path / f"t{suffix}", ROWS)
    assert read_documents(tmp_path) == [
        Document("a", HARD, "NA", metadata={"year": "1900"}),
        Document("7", "null", metadata={"year": None}),
        Document("b,c", " white space stays ", "Ti\ntle", metadata={"year": "x"}),
    ]


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_same_rows_are_the_same_questions_in_every_format(tmp_path: Path, suffix: str):
    path = tmp_path / f"q{suffix}"
    WRITERS[suffix](path, [{"id": "1", "question": "Who?", "answer": "Ada, née Byron", "document_id": "d"}])
    assert read_questions(path) == [Question("1", "Who?", ("Ada, née Byron",), "d")]


@pytest.mark.parametrize(
    ("suffix", "numbers"), [(".jsonl", (1, 2, 3)), (".json", (1, 2, 3)), (".csv", (2, 7, 8)), (".parquet", (1, 2, 3))]
)
def test_the_default_id_of_a_row_is_its_file_and_first_line(tmp_path: Path, suffix: str, numbers):
    path = tmp_path / "deep" / f"t{suffix}"
    path.parent.mkdir()
    WRITERS[suffix](path, [{"text": text} for text in ("One\n\n\ntwo\nthree", "x", "y")])
    assert [d.id for d in read_documents(tmp_path)] == [f"deep/t{suffix}:{number}" for number in numbers]


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_empty_or_null_text_is_an_error_or_dropped_with_file_and_row(
    tmp_path: Path, suffix: str, read_error: ReadError, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / f"t{suffix}"
    WRITERS[suffix](path, [{"id": "a", "text": None}, {"id": "b", "text": "Good."}, {"id": "c", "text": " \n"}])
    first, last = (2, 4) if suffix in (".csv", ".tsv") else (1, 3)
    message = read_error(read_documents, path)
    assert f"{path}:{first}: text is empty; it needs at least one word." in message
    assert f"{path}:{last}: text contains only white space; it needs at least one word." in message
    assert message.endswith("To skip empty documents, use empty='drop'.")
    assert not caplog.records
    assert [d.id for d in read_documents(path, empty="drop")] == ["b"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"The documents at {path}: 2 warnings.\n")
    assert f"{path}:{first}: text is empty" in record.getMessage()
    assert f"{path}:{last}: text contains only white space" in record.getMessage()


@pytest.mark.parametrize("suffix", WRITERS)
def test_columns_are_chosen_by_name_and_the_rest_is_metadata(tmp_path: Path, suffix: str):
    path = tmp_path / f"t{suffix}"
    WRITERS[suffix](path, [{"body": "B.", "key": "k", "head": "H", "text": "T.", "id": "i", "title": "old"}])
    rest = {"text": "T.", "id": "i", "title": "old"}
    assert read_documents(path, text_column="body", id_column="key", title_column="head") == [
        Document("k", "B.", "H", metadata=rest)
    ]
    assert read_documents(path, id_column="title", title_column="title") == [
        Document("old", "T.", "old", metadata={"body": "B.", "key": "k", "head": "H", "id": "i"})
    ]


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            "no column 'text', only ['body', 'n']; rename the column of the text, or give its name with text_column.",
        ),
        ({"text_column": "words"}, "no column 'words', only ['body', 'n']; rename the column of the text"),
        (
            {"text_column": "body", "id_column": "key"},
            "only ['body', 'n']; rename the column of the id",
        ),
        ({"text_column": "body", "title_column": "head"}, "no column 'head', only ['body', 'n']"),
        (
            {"text_column": "body", "id_column": "n"},
            "the column 'n' has no id in this row; add an id, or remove the option id_col",
        ),
    ],
)
def test_a_missing_column_is_an_error_with_the_existing_ones(
    tmp_path: Path, suffix: str, options: dict[str, str], expected: str, read_error: ReadError
):
    path = tmp_path / f"t{suffix}"
    WRITERS[suffix](path, [{"body": "Text.", "n": None}, {"body": "More.", "n": None}])
    message = read_error(read_documents, path, **options)
    assert expected in message
    assert message.count(str(path)) == 2  # in the heading and once for the table, however many rows


def test_a_column_option_without_a_table_is_an_error(tmp_path: Path, write: Write, read_error: ReadError):
    write(tmp_path / "a.txt", "Text.")
    expected = "the name of a column is given, but text files have no columns; remove the option"
    assert expected in read_error(read_documents, tmp_path, text_column="body")
    write(tmp_path / "b.csv", "body\nTable.\n")
    assert [d.text for d in read_documents(tmp_path, text_column="body")] == ["Text.", "Table."]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "", "a.csv: contains no rows; remove it."),
        ("a.csv", "\n", "a.csv: contains no rows"),
        ("a.csv", "text\n", "a.csv: contains no rows"),
        (
            "a.csv",
            "id,text\n1,x\n2\n3,y,z\n",
            "a.csv:3: the row has 1 field, but the header has 2; put a field that contains ',' or",
        ),
        ("a.csv", "id,text\n1,x\n2\n3,y,z\n", "a.csv:4: the row has 3 fields, but the header has 2"),
        ("a.csv", 'text\nx\n"y" z\n', "a.csv: line 3: not CSV (',' expected after '\"'); a field that begins with"),
        ("a.csv", 'text\n"x\ny\n', "a.csv: line 2: not CSV (unexpected end of data)"),
        ("a.csv", b"text\nx\ncaf\xe9\n", "a.csv: not UTF-8 at byte 10 (the byte is 0xe9); save the file as UTF-8."),
        ("a.csv", "text\nx\n".encode("utf-16"), "a.csv: not UTF-8 at byte 0 (the byte is 0xff)"),
        (
            "a.csv",
            "text,id,text\nx,1,y\n",
            "a.csv: several of the columns ['text', 'id', 'text'] have the same name; rename them.",
        ),
        (
            "a.csv",
            "id;words\n1;x\n",
            "a.csv:2: the row has no column 'text', only ['id', 'words']; rename the column",
        ),
        (
            "a.json",
            "",
            "a.json: not JSON (Expecting value: column 1 (char 0)): ''; write one object per line in",
        ),
        ("a.json", '{"text": "x"}\n{"text": "y"}\n', "a.json: not JSON (Extra data: line 2 column 1 (char 14)): "),
        ("a.json", "[" * 200_000, "a.json: not JSON (maximum recursion depth"),
        ("a.json", "[]", "a.json: contains no rows"),
        (
            "a.json",
            '"text"',
            'a.json:1: a row must be a JSON object such as {"text": "..."}, got \'text\'.',
        ),
        ("a.json", '["x"]', 'a.json:1: a row must be a JSON object such as {"text": "..."}, got \'x\'.'),
        ("a.json", '{"n": 1, "data": [{}]}', "a.json:1: the row has no column 'text', only ['n', 'data']"),
        ("a.json", r'[{"text": "x"}, {"text": "\ud800"}]', "a.json:2: text contains an unpaired surrogate ("),
        ("a.json", b'[{"text": "\xe9"}]', "a.json: not UTF-8 at byte 11"),
        ("a.json", '[{"text": "x", "id": 1}, {"text": "y", "id": 1}]', "a.json:2: the id '1' is already used at "),
        ("a.parquet", "PAR1", "a.parquet: cannot be read"),
        ("a.parquet", "", "a.parquet: cannot be read as Parquet ("),
    ],
)
def test_malformed_tables_are_errors_with_file_and_position(
    tmp_path: Path, name: str, content: str | bytes, expected: str, write: Write, read_error: ReadError
):
    message = read_error(read_documents, write(tmp_path / name, content))
    assert expected in message.replace(f"{tmp_path}{os.sep}", "")


def test_a_json_file_of_one_object_is_one_row(tmp_path: Path, write: Write):
    path = write(tmp_path / "a.json", b'\xef\xbb\xbf{"text": "Text.", "year": [1900]}')
    assert read_documents(path) == [Document("a.json:1", "Text.", metadata={"year": [1900]})]


def test_a_csv_with_semicolons_in_its_header_is_split_at_them(tmp_path: Path, write: Write):
    read = [d.text for d in read_documents(write(tmp_path / "a.csv", 'id;text\n1;Tarn, a town.\n2;"Ulm; old."\n'))]
    assert read == ["Tarn, a town.", "Ulm; old."]
    (document,) = read_documents(write(tmp_path / "b.csv", "text,a;b\nTarn; a town.,1\n"))
    assert document.text == "Tarn; a town."


def test_csv_may_have_a_bom_windows_line_ends_and_blank_lines(tmp_path: Path, write: Write):
    path = write(tmp_path / "a.CSV", b'\xef\xbb\xbfid,text\r\n1,"Two\r\nlines"\r\n\r\n2,x\r\n')
    assert [(d.id, d.text) for d in read_documents(path)] == [("1", "Two\nlines"), ("2", "x")]


def test_a_csv_field_may_be_longer_than_the_default_limit(tmp_path: Path, write: Write):
    csv.field_size_limit(131_072)
    path = write(tmp_path / "a.csv", f"text\n{'x' * 131_073}\n")
    assert len(read_documents(path)[0].text) == 131_073


def test_a_truncated_parquet_file_is_an_error(tmp_path: Path, read_error: ReadError):
    whole = write_parquet(tmp_path / "a.parquet", [{"text": "Text."}] * 100).read_bytes()
    for size in (5, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.parquet").write_bytes(whole[:size])
        assert "a.parquet: cannot be read" in read_error(read_documents, tmp_path / "a.parquet")


def test_parquet_without_rows_is_an_error(tmp_path: Path, read_error: ReadError):
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "a.parquet")
    assert "a.parquet: contains no rows" in read_error(read_documents, tmp_path)


def test_a_parquet_text_that_is_not_utf8_is_an_error(tmp_path: Path, read_error: ReadError):
    texts = [b"one", b"caf\xe9", b"three"]
    offsets = pyarrow.py_buffer(b"".join(place.to_bytes(4, "little") for place in (0, 3, 7, 12)))
    column = pyarrow.Array.from_buffers(pyarrow.string(), 3, [None, offsets, pyarrow.py_buffer(b"".join(texts))])
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    message = read_error(read_documents, tmp_path / "a.parquet")
    assert "1 problem." in message
    assert "a.parquet: cannot be read as Parquet ('utf-8' codec can't decode byte 0xe9" in message


def test_integer_ids_become_strings_and_other_values_are_unchanged(tmp_path: Path):
    path = write_parquet(tmp_path / "a.parquet", [{"id": 7, "text": "Text.", "score": 0.5, "tags": ["x"]}])
    assert read_documents(path) == [Document("7", "Text.", metadata={"score": 0.5, "tags": ["x"]})]


def test_the_lines_of_a_malformed_csv_cannot_be_dropped(tmp_path: Path, write: Write):
    path = write(tmp_path / "q.csv", 'question,answer\nWho?,Ada\n"x" y,z\nWhich?,Bob\n')
    with pytest.raises(ValueError, match="line 3: not CSV"):  # the fourth line is unread: nobody could name it
        read_questions(path, on_bad="drop")


@pytest.mark.parametrize("cell", ["['Ada', 'Bob']", '["Ada"]'])
def test_a_list_in_a_string_field_is_an_error(tmp_path: Path, cell: str, read_error: ReadError):
    WRITERS[".csv"](tmp_path / "q.csv", [{"question": "Who?", "answers": cell}])
    message = read_error(read_questions, tmp_path / "q.csv")
    assert f"q.csv:2: answers {cell!r} is a list in a string; write one answer, or use a .jsonl file" in message


def test_an_answer_may_begin_with_a_bracket(tmp_path: Path):
    WRITERS[".csv"](tmp_path / "q.csv", [{"question": "Which token?", "answers": "[CLS]"}])
    assert read_questions(tmp_path / "q.csv")[0].answers == ("[CLS]",)
