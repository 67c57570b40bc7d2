"""Reading of questions: column names, errors, and dropping of invalid rows."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.documents import Question, read_questions

Write = Callable[[Path, str | bytes], Path]
WriteRows = Callable[..., Path]
ReadError = Callable[..., str]


def test_questions_are_read_with_every_column_name(tmp_path: Path, write_rows: WriteRows):
    path = write_rows(
        tmp_path / "q.jsonl",
        {"wiki_id": 7, "question": "Who?", "answer": "Ada"},
        {
            "id": 1,
            "text": "Who?",
            "answers": ["Ada", "A. Lovelace"],
            "document_id": "d",
            "fact_id": 3,
            "relation": "r",
        },
        {"id": "s", "question": "Who?", "context": "…", "answers": {"text": ["Ada"], "answer_start": [0]}},
        {"question": "Which?", "text": "ignored", "answer": "Ada", "options": ["Ada", "Bob"], "kind": "choice"},
        {"question": "e\u0301", "answers": "Cafe\u0301", "answer": "ignored", "options": None},
    )
    assert read_questions(path) == [
        Question("q.jsonl:1", "Who?", ("Ada",), "7"),
        Question("1", "Who?", ("Ada", "A. Lovelace"), "d", "r", "3"),
        Question("s", "Who?", ("Ada",)),
        Question("q.jsonl:4", "Which?", ("Ada",), options=("Ada", "Bob"), kind="choice"),
        Question("q.jsonl:5", "\u00e9", ("Caf\u00e9",)),
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"answer": "x"}, "no column 'question' or 'text', only ['answer']; rename the column of the question."),
        ({"question": "Who?"}, "no column 'answers' or 'answer', only ['question']; a question needs an answer."),
        ({"question": "Who?", "answer": None}, "no column 'answers' or 'answer', only"),
        ({"question": " ", "answer": "x"}, "text contains only white space"),
        ({"question": 5, "answer": "x"}, "text must be a string, got int 5."),
        ({"question": "Who?", "answers": []}, "q.jsonl:1: answers is empty; a question needs at least one answer."),
        ({"question": "Who?", "answers": {"text": []}}, "answers is empty; a question needs at least one answer."),
        ({"question": "Who?", "answers": ["The"]}, "no word of the answers ['The'] is left after normalization"),
        ({"question": "Who?", "answer": ""}, "no word of the answers [''] is left after normalization"),
        (
            {"question": "Who?", "answers": {"t": 1}},
            'answers must be a list of strings, such as ["Paris"], got dict {',
        ),
        ({"question": "Who?", "answer": 1815}, 'answer must be a list of strings, such as ["Paris"], got int 1815.'),
        ({"question": "Who?", "answers": [1815]}, "answers[0] must be a string, got int 1815."),
        ({"question": "Who?", "answer": "x", "options": "xy"}, "options must be a list of strings, such as"),
        ({"question": "Who?", "answer": "x", "wiki_id": 1.5}, "document_id must be a string, got float 1.5."),
        ({"id": "Q: 1", "question": "Who?", "answers": []}, "q.jsonl:1: answers is empty;"),
    ],
)
def test_invalid_questions_are_errors_with_file_and_line(
    tmp_path: Path, row: dict[str, Any], expected: str, write_rows: WriteRows, read_error: ReadError
):
    message = read_error(read_questions, write_rows(tmp_path / "q.jsonl", row))
    assert f"{tmp_path / 'q.jsonl'}:1: " in message
    assert expected in message


def test_questions_cannot_be_read_from_text_files(tmp_path: Path, write: Write, read_error: ReadError):
    path = write(tmp_path / "q.txt", "Who?")
    assert (
        "q.txt: no supported file, only ['q.txt']; supported are .csv, .json, .jsonl, .parquet, .tsv files"
        in read_error(read_questions, path)
    )


GOOD, BAD = {"question": "Who?", "answer": "Ada"}, {"question": "Which?", "answer": "The"}


def test_invalid_questions_are_dropped_on_request_and_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, write_rows: WriteRows, read_error: ReadError
):
    path = write_rows(tmp_path / "q.jsonl", BAD, GOOD, *[BAD] * 7, {**GOOD, "id": 1}, {**GOOD, "id": 1}, [])
    assert 'To skip the invalid rows, use on_bad="drop".' in read_error(read_questions, path)
    assert not caplog.records
    assert [q.id for q in read_questions(path, on_bad="drop")] == ["q.jsonl:2", "1"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hf_knowlearn.documents.reading", logging.WARNING)
    assert f"{path}:1: no word of the answers ['The'] is left" in record.getMessage()
    assert "(Also at 3, 4, 5, 6, 7, 8, 9.)" in record.getMessage()
    assert f"{path}:11: the id '1' is already used at {path}:10" in record.getMessage()
    assert f"{path}:12: a row must be a JSON object" in record.getMessage()


def test_valid_questions_are_not_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture, write_rows: WriteRows):
    path = write_rows(tmp_path / "q.jsonl", GOOD)
    assert read_questions(path, on_bad="drop") == read_questions(path)
    assert not caplog.records


def test_problems_of_whole_files_cannot_be_dropped(tmp_path: Path, write: Write, write_rows: WriteRows):
    with pytest.raises(ValueError, match="no word of the answers") as caught:
        read_questions(write_rows(tmp_path / "all.jsonl", BAD), on_bad="drop")
    assert "on_bad" not in str(caught.value)
    with pytest.raises(ValueError, match="no such file or folder"):
        read_questions(tmp_path / "no.jsonl", on_bad="drop")
    write_rows(tmp_path / "folder" / "a.jsonl", GOOD)
    write(tmp_path / "folder" / "b.jsonl", "")
    with pytest.raises(ValueError, match="contains no rows"):
        read_questions(tmp_path / "folder", on_bad="drop")
    with pytest.raises(ValueError, match=r"on_bad must be 'raise' or 'drop', got 'ignore'\."):
        read_questions(tmp_path / "folder", on_bad="ignore")
