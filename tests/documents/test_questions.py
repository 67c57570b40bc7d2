"""Reading of questions: column names, errors, and dropping of invalid rows."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hf_knowlearn.console import command_console
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
        {"question": "e\u0301", "answers": "Cafe\u0301", "answer": "Cafe\u0301", "options": None},
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
        ({"answer": "x"}, "no column 'question' or 'text', only ['answer']; rename the column of the question, or"),
        ({"question": "Who?"}, "no column 'answers' or 'answer', only ['question']; a question needs an answer;"),
        ({"question": "Who?", "answer": None}, "q.jsonl:1: answer is null; remove the question, or give it an answer"),
        ({"question": None, "answer": "x"}, "q.jsonl:1: question is null; remove the row, or give it a question"),
        ({"question": " ", "answer": "x"}, "text contains only white space"),
        ({"question": 5, "answer": "x"}, "text must be a string, got int 5."),
        ({"question": "Who?", "answers": []}, "q.jsonl:1: answers is empty; a question needs at least one answer."),
        ({"question": "Who?", "answers": {"text": []}}, "answers is empty; a question needs at least one answer."),
        ({"question": "Who?", "answers": ["The"]}, "no word of the answers ['The'] is left after normalization"),
        ({"question": "Who?", "answer": ""}, "no word of the answers [''] is left after normalization"),
        (
            {"question": "Who?", "answers": {"t": 1}},
            'answers must be a string, a number or a list of them, such as ["Paris"], got dict {',
        ),
        ({"question": "Who?", "answer": True}, 'answer is true; write the answer as text, such as "yes" or "true".'),
        ({"question": "Who?", "answers": ["x", None]}, "answers[1] must be a string or a number, got NoneType None."),
        (
            {"question": "Who?", "answer": float("nan")},
            "answer is nan, which is not an answer; write the answer as text",
        ),
        ({"question": "Who?", "answer": "one\ntwo"}, "the answer 'one\\ntwo' has several lines. Only the first line"),
        ({"question": "Who?", "answers": ["one\u2028two", "The"]}, "has several lines"),
        (
            {"question": "Who?", "answer": "x", "prompt": "p", "completion": "y"},
            "the columns of question and answer are ambiguous: 'question' and 'answer', or 'prompt' and 'completion';"
            " name the right columns with question_column and answer_column.",
        ),
        (
            {"question": "Who?", "answers": ["x"], "answer": "y"},
            "the columns 'answers' and 'answer' have different values; name the right columns with question_column",
        ),
        (
            {"question": "Who?", "output": "x"},
            "no column 'answers' or 'answer', only ['question', 'output']; a question",
        ),
        (
            {"messages": [{"role": "user", "content": "Who?"}]},
            "a question in messages must have one turn of the user and then one of the assistant, got the roles"
            " ['user'];",
        ),
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
    assert "on_bad" not in read_error(read_questions, path)  # the command line does not have this option
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


# Formats of other datasets


@pytest.mark.parametrize(
    ("row", "text", "answers"),
    [
        ({"question": "When?", "answer": 1831}, "When?", ("1831",)),
        ({"question": "When?", "answers": [1831, "in 1831", 2.5]}, "When?", ("1831", "in 1831", "2.5")),
        ({"instruction": "Who?", "output": "Ada", "input": ""}, "Who?", ("Ada",)),
        ({"instruction": "Translate.", "input": "two", "output": "deux"}, "Translate.\ntwo", ("deux",)),
        ({"instruction": "Who?", "input": None, "output": "Ada", "text": "### Who? Ada"}, "Who?", ("Ada",)),
        ({"input": "Who?", "output": "Ada"}, "Who?", ("Ada",)),
        ({"prompt": "Who?", "completion": " Ada"}, "Who?", ("Ada",)),
        ({"question": "Who?", "prompt": "p", "answer": "Ada"}, "Who?", ("Ada",)),
        (
            {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada"}]},
            "Who?",
            ("Ada",),
        ),
        (
            {"question": "Who?", "answers": [{"text": "Ada", "answer_start": 3}, {"text": "Ada L."}]},
            "Who?",
            ("Ada", "Ada L."),
        ),
    ],
)
def test_the_formats_of_other_datasets_are_read(
    tmp_path: Path, row: dict[str, Any], text: str, answers: tuple[str, ...], write_rows: WriteRows
):
    assert read_questions(write_rows(tmp_path / "q.jsonl", row)) == [Question("q.jsonl:1", text, answers)]


def test_numbers_become_their_text_in_the_file(tmp_path: Path, write: Write):
    lines = [f'{{"question": "How many?", "answer": {number}}}' for number in ("3.50", "1e3", "-0.0", "1831", "2.0")]
    questions = read_questions(write(tmp_path / "q.jsonl", "\n".join(lines)))
    assert [question.answers[0] for question in questions] == ["3.50", "1e3", "-0.0", "1831", "2.0"]


def test_whole_numbers_of_a_parquet_column_of_floats_have_no_decimal_point(tmp_path: Path):
    table = pa.table({"question": ["When?", "How many?"], "answer": [1831.0, 2.5]})
    parquet.write_table(table, tmp_path / "q.parquet")
    assert [question.answers[0] for question in read_questions(tmp_path / "q.parquet")] == ["1831", "2.5"]


def test_a_file_in_the_format_of_squad_is_read(tmp_path: Path, write: Write):
    first = {"id": "s1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    more = {"id": "s2", "question": "Where?", "answers": [{"text": "London", "answer_start": 9}]}
    paragraphs = [{"context": "Ada ...", "qas": [first]}, {"context": "...", "qas": [more]}]
    path = write(
        tmp_path / "q.json", json.dumps({"version": "1.1", "data": [{"title": "T", "paragraphs": paragraphs}]})
    )
    assert read_questions(path) == [Question("s1", "Who?", ("Ada",)), Question("s2", "Where?", ("London",))]
    broken = write(tmp_path / "b.json", json.dumps({"data": [{"paragraphs": [{"context": "x"}]}]}))
    with pytest.raises(ValueError, match='not in SQuAD\'s format; each paragraph needs "qas"'):
        read_questions(broken)


def test_the_columns_can_be_named(tmp_path: Path, write: Write, read_error: ReadError):
    path = write(tmp_path / "q.csv", "Frage,Antwort,question,answer\nWer?,Ada,Who?,x\n")
    assert read_questions(path, question_column="Frage", answer_column="Antwort")[0].text == "Wer?"
    (question,) = read_questions(path, answer_column="Antwort")
    assert (question.text, question.answers) == ("Who?", ("Ada",))
    assert "no column 'Fragen', only ['Frage', 'Antwort', 'question', 'answer']" in read_error(
        read_questions, path, question_column="Fragen"
    )
    two = write(tmp_path / "two.csv", "q,answer,output\nWho?,Ada,Bob\n")
    assert "the answer could be in several columns: ['answer', 'output']; name the right columns with" in read_error(
        read_questions, two, question_column="q"
    )
    none = write(tmp_path / "none.csv", "q,a\nWho?,Ada\n")
    assert "no column with the answer was found among ['q', 'a']; name the right columns" in read_error(
        read_questions, none, question_column="q"
    )


# Answers


def test_answers_have_no_white_space_or_invisible_characters_around_them(tmp_path: Path, write_rows: WriteRows):
    path = write_rows(
        tmp_path / "q.jsonl", {"question": "Who?", "answers": [" \u00a0Ada\u2003\n", "\u200b A. L.\ufeff"]}
    )
    assert read_questions(path)[0].answers == ("Ada", "A. L.")


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        (["", "Paris"], ("Paris",)),
        (["The", "Paris", " "], ("Paris",)),
        (["\u200b", "...", "Paris"], ("Paris",)),
        (["In Paris,\nFrance", "Paris"], ("Paris",)),
        (["+", "plus"], ("+", "plus")),
    ],
)
def test_answers_that_no_response_matches_are_dropped_with_a_warning(
    tmp_path: Path, answers: list[str], left: tuple[str, ...], write_rows: WriteRows, caplog: pytest.LogCaptureFixture
):
    rows = [{"id": "a", "question": "Where?", "answers": answers}, {"id": "b", "question": "Who?", "answer": "Ada"}]
    questions = read_questions(write_rows(tmp_path / "q.jsonl", *rows))
    assert questions[0].answers == left
    expected = "that are blank, only an article, or longer than a line: ['a']."
    assert (f"Dropped accepted answers of 1 question from {tmp_path / 'q.jsonl'} {expected}" in caplog.text) == (
        len(left) < len(answers)
    )


def test_the_log_counts_in_the_singular_and_the_plural(
    tmp_path: Path, write_rows: WriteRows, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    row = {"question": "Who?", "answer": "Ada"}
    read_questions(write_rows(tmp_path / "q.jsonl", row))
    assert "Read 1 question from" in caplog.text
    read_questions(write_rows(tmp_path / "q.jsonl", row, row))
    assert "Read 2 questions from" in caplog.text


@pytest.mark.parametrize(
    ("row", "text", "answers"),
    [
        (
            {"messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "Who?"},
                {"role": "assistant", "content": "Ada"},
            ]},
            "Be short.\nWho?",
            ("Ada",),
        ),
        (
            {
                "prompt": [{"role": "user", "content": "Who?"}],
                "completion": [{"role": "assistant", "content": "Ada"}],
            },
            "Who?",
            ("Ada",),
        ),
        ({"question": "When?", "choices": ["1800", "1831"], "answer": 1}, "When?", ("1831",)),
        ({"question": "How many?", "choices": ["1", "2"], "answer": 2}, "How many?", ("2",)),
        ({"question": "Which?", "options": ["Ada", "Bob"], "answer": 0}, "Which?", ("Ada",)),
        ({"question": "When?", "choices": ["1800", "1831"], "answer": "1831"}, "When?", ("1831",)),
    ],
)  # fmt: skip
def test_the_question_and_the_answer_of_common_formats(
    tmp_path: Path, write_rows: WriteRows, row: dict[str, Any], text: str, answers: tuple[str, ...]
):
    (question,) = read_questions(write_rows(tmp_path / "q.jsonl", row))
    assert (question.text, question.answers) == (text, answers)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "How many?", "choices": ["1", "2"], "answer": 1}, "also the index of the option '2'"),
        ({"question": "When?", "choices": ["1800", "1831"], "answer": 2}, "not an index from 0 to 1"),
        (
            {"messages": [
                {"role": "system", "content": "x" * 501},
                {"role": "user", "content": "Who?"},
                {"role": "assistant", "content": "Ada"},
            ]},
            "has 501 characters; a system turn becomes a part of the question and must have at most 500",
        ),
    ],
)  # fmt: skip
def test_an_ambiguous_question_is_an_error(
    tmp_path: Path, write_rows: WriteRows, read_error: ReadError, row: dict[str, Any], message: str
):
    assert message in read_error(read_questions, write_rows(tmp_path / "q.jsonl", row))


IMPOSSIBLE = {"id": "2", "question": "Why?", "is_impossible": True, "answers": []}


def test_impossible_questions_of_squad_2_are_skipped_with_one_notice(
    tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
):
    possible = {"id": "1", "question": "When?", "is_impossible": False, "answers": [{"text": "1831"}]}
    content = {"data": [{"paragraphs": [{"context": "c", "qas": [possible, IMPOSSIBLE, {**IMPOSSIBLE, "id": "3"}]}]}]}
    with caplog.at_level(logging.INFO, "hf_knowlearn"):
        questions = read_questions(write(tmp_path / "q.json", json.dumps(content)))
    assert questions == [Question("1", "When?", ("1831",))]
    (notice,) = [text for text in caplog.messages if "is_impossible" in text]
    assert "Skipped 2 questions that are marked as impossible to answer" in notice


def test_a_file_with_only_impossible_questions_is_an_error(tmp_path: Path, write_rows: WriteRows):
    with pytest.raises(ValueError, match="has only 1 question that is marked as impossible"):
        read_questions(write_rows(tmp_path / "q.jsonl", IMPOSSIBLE))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_file_is_detected(tmp_path: Path, write: Write, delimiter: str):
    lines = [delimiter.join(fields) for fields in (("Frage", "Antwort"), ("Wann?", "1831"))]
    path = write(tmp_path / "q.csv", "\n".join(lines))
    (question,) = read_questions(path, question_column="Frage", answer_column="Antwort")
    assert (question.text, question.answers) == ("Wann?", ("1831",))


def test_messages_name_options_as_the_user_writes_them(tmp_path: Path, write_rows: WriteRows):
    path = write_rows(tmp_path / "q.jsonl", {"q": "Who?", "a": "Ada"})
    with pytest.raises(ValueError, match="with question_column and answer_column"):
        read_questions(path)
    with command_console() as outcome:
        read_questions(path)
    assert outcome.code == 2
    with command_console(), pytest.raises(ValueError, match="with --question_column and --answer_column"):
        read_questions(path)
