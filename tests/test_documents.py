"""Documents and questions: read whole or refused with all reasons at once; parts that tile their document."""

import json
import logging
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hf_knowlearn.documents import Document, Question, cut, read_documents, read_questions

DATA = Path(__file__).parents[1].parent / "shared" / "data"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(path: Path, *rows: Any) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def refusal(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(ValueError, match="problem") as caught:
        read(path)
    return str(caught.value)


# The nouns


def test_a_document_and_a_question_can_be_hashed_pickled_and_compared():
    document = Document("d", "Text.", metadata={"year": 1900})
    question = Question("q", "Who?", ("Ada",))
    assert {document, question} == {pickle.loads(pickle.dumps(document)), pickle.loads(pickle.dumps(question))}
    assert document != Document("d", "Text.", metadata={"year": 1901})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"id": 3}, "id must be a string, got int 3"),
        ({"id": ""}, "id is empty; give it a word"),
        ({"text": " \n\u2003"}, "text is only white space; give it a word"),
        ({"text": None}, "text must be a string, got NoneType None"),
        (
            {"text": "a\ud800b"},
            r"text holds half a surrogate pair \('\\ud800' at character 1\), which can't be encoded",
        ),
        ({"title": b"x"}, "title must be a string, got bytes b'x'"),
        ({"language": ""}, "language is empty"),
        ({"part": -1}, "part must be a whole number from 0 up, got int -1"),
        ({"start": True}, "start must be a whole number from 0 up, got bool True"),
        ({"metadata": [1]}, r"metadata must be a mapping, got \[1\]"),
        ({"text": "", "part": 0.5}, "^Document 'd': text is empty; give it a word; part must be .* got float 0.5.$"),
    ],
)
def test_a_document_refuses(wrong: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        Document(**{"id": "d", "text": "Text.", **wrong})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"text": ""}, "text is empty"),
        ({"answers": ()}, "there is no answer; a question needs at least one"),
        ({"answers": ("The", "a.", "")}, r"of the answers \['The', 'a.', ''\] nothing is left once case"),
        ({"answers": "Ada"}, r"answers must be a tuple of strings, such as \('Paris',\), got 'Ada'"),
        ({"answers": ["Ada"]}, r"answers must be a tuple of strings, .* got \['Ada'\]"),
        ({"answers": ("Ada", 1815)}, r"answers\[1\] must be a string, got int 1815"),
        ({"answers": ("\udc00",)}, r"answers\[0\] holds half a surrogate pair"),
        ({"options": (1,)}, r"options\[0\] must be a string, got int 1"),
        ({"document_id": 7}, "document_id must be a string, got int 7"),
        ({"relation": " "}, "relation is only white space"),
        ({"fact_id": 1.5}, "fact_id must be a string, got float 1.5"),
        ({"kind": []}, r"kind must be a string, got \[\]"),
        ({"id": 1, "kind": 2}, "^Question int 1: id must be .*; kind must be a string, got int 2.$"),
    ],
)
def test_a_question_refuses(wrong: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        Question(**{"id": "q", "text": "Who?", "answers": ("Ada",), **wrong})


def test_a_question_keeps_an_answer_of_nothing_beside_a_good_one():
    assert Question("q", "Which band?", ("The", "The The Band")).answers == ("The", "The The Band")


def test_a_refusal_does_not_print_the_whole_of_a_huge_value():
    with pytest.raises(ValueError, match="metadata must be") as caught:
        Document("d" * 10**6, "Text.", metadata="x" * 10**6)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


# Reading documents


def test_a_folder_is_read_through_sorted_and_without_hidden_files(tmp_path: Path):
    write(tmp_path / "b.txt", "Bee.")
    write(tmp_path / "a" / "c.MD", "no heading")
    write(tmp_path / "dir.txt" / "d.txt", "Dee.")
    write(tmp_path / ".hidden.txt", b"\xff")
    write(tmp_path / ".git" / "e.txt", b"\xff")
    write_rows(tmp_path / "rows.jsonl", {"text": "Row."})
    documents = read_documents(str(tmp_path))
    assert [d.id for d in documents] == ["a/c.MD", "b.txt", "dir.txt/d.txt", "rows.jsonl:1"]
    assert [d.title for d in documents] == ["c", "b", "d", ""]
    assert documents == [Document(d.id, d.text, d.title) for d in documents]


def test_a_single_file_has_its_name_for_an_id(tmp_path: Path):
    assert read_documents(write(tmp_path / "x" / "a.txt", "Text.")) == [Document("a.txt", "Text.", "a")]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Title\nText", "Title"),
        ("Text\n\n#  Later one ##\n# Another", "Later one"),
        ("# C#", "C"),
        ("## Second level\nText", "file"),
        ("#hashtag\nText", "file"),
        ("# \n# #\n# Not empty", "Not empty"),
        ("```\n# comment\n```\n# Title", "Title"),
        ("~~~\n# comment\n", "file"),
    ],
)
def test_the_title_of_markdown_is_its_first_heading_and_the_text_stays_whole(tmp_path: Path, text: str, title: str):
    (document,) = read_documents(write(tmp_path / "file.md", text))
    assert (document.title, document.text) == (title, text)


def test_a_heading_in_a_txt_file_is_no_title(tmp_path: Path):
    assert read_documents(write(tmp_path / "file.txt", "# Heading"))[0].title == "file"


def test_text_comes_out_in_nfc_with_plain_line_ends_and_no_bom(tmp_path: Path):
    decomposed = "\ufeffCafe\u0301\r\nOne\rTwo\r\n"
    write(tmp_path / "a.txt", decomposed)
    write_rows(tmp_path / "b.jsonl", {"id": "e\u0301", "title": "e\u0301", "text": "Cafe\u0301\r\n"})
    text, row = read_documents(tmp_path)
    assert text.text == "Caf\u00e9\nOne\nTwo\n"
    assert (row.id, row.title, row.text) == ("\u00e9", "\u00e9", "Caf\u00e9\n")


def test_file_names_are_normalised_like_the_ids_that_questions_name(tmp_path: Path):
    (document,) = read_documents(write(tmp_path / "Cafe\u0301.txt", "Text."))
    (question,) = read_questions(
        write_rows(tmp_path / "q.jsonl", {"question": "?!x", "answer": "y", "document_id": "Cafe\u0301.txt"})
    )
    assert document.id == question.document_id == "Caf\u00e9.txt"
    assert document.title == "Caf\u00e9"


def test_jsonl_may_have_a_bom_crlf_and_blank_lines(tmp_path: Path):
    path = write(tmp_path / "a.JSONL", b'\xef\xbb\xbf{"text": "One"}\r\n\r\n  \n{"text": "Two"}')
    assert [(d.id, d.text) for d in read_documents(path)] == [("a.JSONL:1", "One"), ("a.JSONL:4", "Two")]


def test_a_row_names_its_id_and_keeps_its_other_columns(tmp_path: Path):
    path = write_rows(
        tmp_path / "a.jsonl",
        {"text": "1", "wiki_id": 5, "document_id": "d", "id": None, "year": [1900]},
        {"text": "2", "wiki_id": 6, "title": None, "language": "fr"},
        {"text": "3", "language": "", "title": ""},
        {"text": "4", "document_id": "d", "id": "e"},
    )
    assert read_documents(path) == [
        Document("d", "1", metadata={"wiki_id": 5, "id": None, "year": [1900]}),
        Document("6", "2", language="fr"),
        Document("a.jsonl:3", "3"),
        Document("e", "4", metadata={"document_id": "d"}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "", "a.txt: text is empty; give it a word."),
        ("a.txt", b"\xef\xbb\xbf", "a.txt: text is empty"),
        ("a.md", " \r\n\t", "a.md: text is only white space; give it a word."),
        ("a.txt", b"caf\xe9", "a.txt: not UTF-8 at byte 3 (the byte is 0xe9); save the file as UTF-8."),
        ("a.txt", b"\xef\xbb\xbf\xe9", "a.txt: not UTF-8 at byte 3 (the byte is 0xe9)"),
        ("a.txt", "Text".encode("utf-16"), "a.txt: not UTF-8 at byte 0 (it looks like UTF-16)"),
        ("a.txt", "Text".encode("utf-16-le"), "a.txt: a NUL at character 1; is it a binary or a UTF-16 file?"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xe9"}\n', "a.jsonl:2: not UTF-8 at byte 24 (the byte is 0xe9)"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "a.jsonl:2: not JSON (Expecting value at column "),
        ("a.jsonl", '{"text": ' + "1" * 5000 + "}", "a.jsonl:1: not JSON (Exceeds the limit"),
        ("a.jsonl", '{"text": ' + "[" * 200_000, "a.jsonl:1: not JSON (maximum recursion depth"),
        ("a.jsonl", '["text"]', """a.jsonl:1: a line must be a JSON object such as {"text": "..."}, got ['text']."""),
        ("a.jsonl", '{"body": "x", "n": 1}', "a.jsonl:1: no column 'text', only ['body', 'n']; name the document's"),
        ("a.jsonl", '{"question": "x"}', "no column 'text', only ['question'] (is it a file of questions?"),
        ("a.jsonl", '{"text": 5}', "a.jsonl:1: text must be a string, got int 5."),
        ("a.jsonl", '{"text": null}', "a.jsonl:1: text must be a string, got NoneType None."),
        ("a.jsonl", '{"text": "x", "id": 1.5}', "a.jsonl:1: Document float 1.5: id must be a string, got float 1.5."),
        ("a.jsonl", '{"text": "x", "title": 5}', "a.jsonl:1: title must be a string, got int 5."),
        ("a.jsonl", '{"text": " ", "id": "x"}', "a.jsonl:1: Document 'x': text is only white space"),
        ("a.jsonl", r'{"text": "a\u0000b"}', "a.jsonl:1: a NUL at character 1;"),
        ("a.jsonl", r'{"text": "a\ud800"}', "a.jsonl:1: half a surrogate pair ("),
        ("a.jsonl", r'{"text": "a", "m": {"\uDfff": 1}}', "a.jsonl:1: half a surrogate pair ("),
        ("a.jsonl", "", "a.jsonl: holds no line; write one JSON object a line, or take the file away."),
        ("a.jsonl", "\ufeff\n\n", "a.jsonl: holds no line"),
        (
            "a.pdf",
            "x",
            "a.pdf: a file with suffix '.pdf' is not read; give a .jsonl, .md, .txt file or a folder of them.",
        ),
        ("txt", "x", "txt: a file with suffix '' is not read"),
    ],
)
def test_bad_documents_are_refused_by_file_and_line(tmp_path: Path, name: str, content: str | bytes, says: str):
    message = refusal(read_documents, write(tmp_path / name, content))
    assert f"{tmp_path}{os.sep}" in message
    assert says in message
    assert f"{tmp_path / name}: 1 problem.\n" in message


def test_a_surrogate_pair_in_json_escapes_is_one_character(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", r'{"text": "\ud83d\ude00"}')
    assert read_documents(path)[0].text == "\U0001f600"


def test_a_path_to_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert f"{tmp_path / 'no'}: nothing is there; give a" in refusal(read_documents, tmp_path / "no")
    monkeypatch.chdir(tmp_path)
    assert f"no.txt: nothing is there (from {tmp_path}); give a" in refusal(read_documents, Path("no.txt"))
    assert len(refusal(read_documents, Path("x" * 10_000))) < 1500  # the text instead of the path
    with pytest.raises(ValueError, match=r"an empty path would mean the current folder; write '\.' for that"):
        read_documents("")


def test_a_folder_with_nothing_to_read_says_what_is_read(tmp_path: Path):
    assert f"{tmp_path}: holds no file; read are .jsonl, .md, .txt files" in refusal(read_documents, tmp_path)
    write(tmp_path / ".hidden.txt", "x")
    assert "holds no file" in refusal(read_documents, tmp_path)
    for number in range(7):
        write(tmp_path / f"{number}.pdf", "x")
    assert "holds only 0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf and 2 more; read are" in refusal(read_documents, tmp_path)


def test_files_left_unread_are_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path / "a.txt", "x")
    assert not caplog.records
    write(tmp_path / "b" / "c.pdf", "x")
    read_documents(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"Left unread in {tmp_path}, by their suffix: b/c.pdf."
    ]
    assert caplog.records[0].name == "hf_knowlearn.documents"


def test_duplicate_ids_are_refused_with_both_lines(tmp_path: Path):
    write_rows(tmp_path / "a.jsonl", {"id": 1, "text": "x"}, {"id": "1", "text": "y"})
    write_rows(tmp_path / "b.jsonl", {"wiki_id": 1, "text": "x"}, {"id": "c.txt", "text": "z"})
    write(tmp_path / "c.txt", "x")
    message = refusal(read_documents, tmp_path)
    assert f"{tmp_path / 'a.jsonl'}:2: the id '1' is taken by {tmp_path / 'a.jsonl'}:1; give each its own." in message
    assert f"{tmp_path / 'b.jsonl'}:1: the id '1' is taken by {tmp_path / 'a.jsonl'}:1; give" in message
    assert f"{tmp_path / 'c.txt'}: the id 'c.txt' is taken by {tmp_path / 'b.jsonl'}:2; give" in message


def test_all_problems_come_at_once_and_like_ones_together(tmp_path: Path):
    write(tmp_path / "a.txt", "")
    write_rows(tmp_path / "b.jsonl", {"text": ""}, {"text": "good"}, *[{"text": ""}] * 4, {"text": 1}, {"text": 1})
    assert refusal(read_documents, tmp_path) == "\n".join(
        [
            f"The documents at {tmp_path}: 8 problems.",
            f"  {tmp_path / 'a.txt'}: text is empty; give it a word.",
            f"  {tmp_path / 'b.jsonl'}:1: text is empty; give it a word. (The same at line 3, 4 and 2 more.)",
            f"  {tmp_path / 'b.jsonl'}:7: text must be a string, got int 1. (The same at line 8.)",
        ]
    )


def test_a_long_list_of_problems_is_cut_at_20_with_the_rest_counted(tmp_path: Path):
    message = refusal(read_documents, write_rows(tmp_path / "a.jsonl", *[{"text": number} for number in range(25)]))
    assert message.startswith(f"The documents at {tmp_path / 'a.jsonl'}: 25 problems.\n")
    assert "got int 19." in message
    assert "got int 20." not in message
    assert message.endswith("\n  ... and 5 more kinds of problem.")


def test_links_that_lead_round_are_walked_once_and_broken_ones_refused(tmp_path: Path):
    root = tmp_path / "root"
    write(root / "in" / "a.txt", "x")
    write(tmp_path / "outside" / "b.txt", "y")
    write(tmp_path / "beside.txt", "not asked for")
    for link, target in {"self": ".", "above": "..", "again": "in", "other": "../outside"}.items():
        (root / link).symlink_to(target)
    assert [d.id for d in read_documents(root)] == ["again/a.txt", "other/b.txt"]
    (root / "broken.txt").symlink_to("nowhere")
    (root / "round.txt").symlink_to("round.txt")
    message = refusal(read_documents, root)
    assert f"{root / 'broken.txt'}: can't be read (No such file or directory); see what it is" in message
    assert f"{root / 'round.txt'}: can't be read (" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.txt")
    assert "a.txt: can't be read (a pipe or a device, not a file)" in refusal(read_documents, tmp_path)


def test_a_folder_that_may_not_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "a.txt", "x")
    locked, listdir = write(tmp_path / "locked" / "b.txt", "x").parent, os.listdir

    def listdir_of_a_stranger(folder: Path) -> list[str]:  # the tests may run as root, who may do anything
        if folder == locked:
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", listdir_of_a_stranger)
    assert f"{locked}: can't be opened (Permission denied); see who may read it." in refusal(read_documents, tmp_path)


def test_a_file_name_that_is_not_unicode_is_refused_in_words_that_can_be_printed(tmp_path: Path):
    try:
        write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xff.txt")), "x")
    except OSError:
        pytest.skip("this file system wants Unicode names")
    message = refusal(read_documents, tmp_path)
    assert r"f\udcff.txt: id holds half a surrogate pair" in message
    message.encode()


# Reading questions


def test_questions_are_read_in_every_spelling(tmp_path: Path):
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
    ("row", "says"),
    [
        ({"answer": "x"}, "no column 'question' or 'text', only ['answer']; name the question's column so."),
        ({"question": "Who?"}, "no column 'answers' or 'answer', only ['question']; a question needs an answer."),
        ({"question": "Who?", "answer": None}, "no column 'answers' or 'answer', only"),
        ({"question": " ", "answer": "x"}, "text is only white space"),
        ({"question": 5, "answer": "x"}, "text must be a string, got int 5."),
        ({"question": "Who?", "answers": []}, "q.jsonl:1: there is no answer; a question needs at least one."),
        ({"question": "Who?", "answers": {"text": []}}, "there is no answer; a question needs at least one."),
        ({"question": "Who?", "answers": ["The"]}, "of the answers ['The'] nothing is left once case"),
        ({"question": "Who?", "answer": ""}, "of the answers [''] nothing is left once case"),
        ({"question": "Who?", "answers": {"t": 1}}, 'answers must be a list of texts, such as ["Paris"], got dict {'),
        ({"question": "Who?", "answer": 1815}, 'answer must be a list of texts, such as ["Paris"], got int 1815.'),
        ({"question": "Who?", "answers": [1815]}, "answers[0] must be a string, got int 1815."),
        (
            {"question": "Who?", "answer": 1, "options": ["x", "y"]},
            "answer 1 looks like the place of an option; write",
        ),
        ({"question": "Who?", "answer": "x", "options": "xy"}, "options must be a list of texts, such as"),
        ({"question": "Who?", "answer": "x", "wiki_id": 1.5}, "document_id must be a string, got float 1.5."),
        ({"id": "Q: 1", "question": "Who?", "answers": []}, "q.jsonl:1: Question 'Q: 1': there is no answer;"),
    ],
)
def test_bad_questions_are_refused_by_file_and_line(tmp_path: Path, row: dict[str, Any], says: str):
    message = refusal(read_questions, write_rows(tmp_path / "q.jsonl", row))
    assert f"{tmp_path / 'q.jsonl'}:1: " in message
    assert says in message


def test_questions_are_not_read_from_text(tmp_path: Path):
    path = write(tmp_path / "q.txt", "Who?")
    assert "q.txt: a file with suffix '.txt' is not read; give a .jsonl file or a folder" in refusal(
        read_questions, path
    )


GOOD, BAD = {"question": "Who?", "answer": "Ada"}, {"question": "Which?", "answer": "The"}


def test_bad_questions_are_dropped_on_request_and_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write_rows(tmp_path / "q.jsonl", BAD, GOOD, *[BAD] * 7, {**GOOD, "id": 1}, {**GOOD, "id": 1}, [])
    assert 'To go on without the bad lines: on_bad="drop".' in refusal(read_questions, path)
    assert not caplog.records
    assert [q.id for q in read_questions(path, on_bad="drop")] == ["q.jsonl:2", "1"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hf_knowlearn.documents", logging.WARNING)
    assert f"{path}:1: of the answers ['The'] nothing" in record.getMessage()
    assert "(The same at line 3, 4, 5, 6, 7, 8, 9.)" in record.getMessage()
    assert f"{path}:11: the id '1' is taken by {path}:10" in record.getMessage()
    assert f"{path}:12: a line must be a JSON object" in record.getMessage()


def test_nothing_is_dropped_in_silence_when_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write_rows(tmp_path / "q.jsonl", GOOD)
    assert read_questions(path, on_bad="drop") == read_questions(path)
    assert not caplog.records


def test_what_cannot_be_dropped_is_refused_even_so(tmp_path: Path):
    with pytest.raises(ValueError, match="of the answers") as caught:
        read_questions(write_rows(tmp_path / "all.jsonl", BAD), on_bad="drop")
    assert "on_bad" not in str(caught.value)
    with pytest.raises(ValueError, match="nothing is there"):
        read_questions(tmp_path / "no.jsonl", on_bad="drop")
    write_rows(tmp_path / "folder" / "a.jsonl", GOOD)
    write(tmp_path / "folder" / "b.jsonl", "")
    with pytest.raises(ValueError, match="holds no line"):
        read_questions(tmp_path / "folder", on_bad="drop")
    with pytest.raises(ValueError, match=r"on_bad must be \"raise\" or \"drop\", got 'ignore'\."):
        read_questions(tmp_path / "folder", on_bad="ignore")


# Real data


@pytest.mark.skipif(not (DATA / "film").is_dir(), reason="needs ../shared/data/film")
def test_film_is_read_and_every_question_has_its_document():
    documents, questions = read_documents(DATA / "film/documents.jsonl"), read_questions(DATA / "film/questions.jsonl")
    assert (len(documents), len(questions)) == (1720, 11603)
    assert {q.document_id for q in questions} <= {d.id for d in documents}
    assert all(d.title and not d.metadata for d in documents)
    message = refusal(read_documents, DATA / "film")
    assert (
        "questions.jsonl:1: no column 'text', only ['wiki_id', 'question', 'answer'] (is it a file of que" in message
    )
    assert message.count("\n") == 1  # 11,603 lines, one thing wrong


@pytest.mark.skipif(not (DATA / "books").is_dir(), reason="needs ../shared/data/books")
def test_books_are_read_and_cut():
    books = read_documents(DATA / "books")
    assert len(books) == 15
    assert all(book.title.startswith("Title: ") and "\r" not in book.text for book in books)
    for book in books:
        parts = cut(book, count_words, 300)
        assert_tiled(book, parts, count_words, 300)
        assert all(re.search(r"""[.!?]["'”’)*_]*\s+$|\n\s*\n\s*$|$""", part.text) for part in parts)
        sizes = [count_words(part.text) for part in parts[:-1]]
        assert sum(sizes) / len(sizes) > 0.9 * 300


# Cutting


def count_words(text: str) -> int:
    return len(text.split())


def assert_tiled(document: Document, parts: Sequence[Document], length: Callable[[str], int], limit: int) -> None:
    assert "".join(part.text for part in parts) == document.text
    place = document.start
    for number, part in enumerate(parts):
        assert part == replace_unchecked(document, part.text, number, place)
        assert part.text
        assert length(part.text) <= limit
        place += len(part.text)


def replace_unchecked(document: Document, text: str, part: int, start: int) -> Document:
    if text.strip():
        return replace(document, text=text, part=part, start=start)
    expected = pickle.loads(pickle.dumps(document))
    vars(expected).update(text=text, part=part, start=start)
    return expected


DOCUMENT = Document("d", "One two. Three four five!  Six?\n\nSeven. Eight nine ten", "Title", "nl", metadata={"k": 1})


def test_a_document_that_fits_comes_back_as_it_is():
    (whole,) = cut(DOCUMENT, count_words, 10)
    assert whole is DOCUMENT


@pytest.mark.parametrize(
    ("limit", "parts"),
    [
        (9, ["One two. Three four five!  Six?\n\nSeven. ", "Eight nine ten"]),
        (5, ["One two. Three four five!  ", "Six?\n\nSeven. Eight nine ten"]),
        (3, ["One two. ", "Three four five!  ", "Six?\n\nSeven. ", "Eight nine ten"]),
        (2, ["One two. ", "Three four ", "five!  Six?\n\n", "Seven. ", "Eight nine ", "ten"]),
    ],
)
def test_parts_end_at_sentences_else_at_words(limit: int, parts: list[str]):
    cut_up = cut(DOCUMENT, count_words, limit)
    assert [part.text for part in cut_up] == parts
    assert_tiled(DOCUMENT, cut_up, count_words, limit)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Yes. Version 3.5 is out. Use it!", ["Yes. ", "Version 3.5 is out. ", "Use it!"]),
        ('"Go!" he said. (Then he left.) Gone now.', ['"Go!" ', "he said. ", "(Then he left.) ", "Gone now."]),
        ("今日は雨。明日は「晴れ。」多分ね", ["今日は雨。", "明日は「晴れ。」", "多分ね"]),
        (
            "A heading\n \t\nA text\nof lines\r\n\r\nThe end",
            ["A heading\n \t\n", "A text\nof lines\r\n\r\n", "The end"],
        ),
        ("What?! Who is it? No one... Oh yes", ["What?! ", "Who is it? ", "No one... ", "Oh yes"]),
    ],
)
def test_where_a_sentence_ends(text: str, sentences: list[str]):
    assert "".join(sentences) == text
    for pair in pairwise(sentences):
        limit = len("".join(pair)) - 1  # more than the first sentence, and not both
        assert [part.text for part in cut(Document("d", "".join(pair)), len, limit)] == list(pair)


def test_a_word_that_is_too_long_is_cut_anywhere():
    parts = cut(Document("d", "ab cdefghijk lm"), len, 4)
    assert [part.text for part in parts] == ["ab ", "cdef", "ghij", "k lm"]


def test_long_words_are_counted_by_length_and_not_by_characters():
    word = "abcdefghijklm "
    ten, thirty = Document("d", word * 10), Document("d", f"x{word}" * 30)
    assert cut(ten, count_words, 10) == [ten]
    assert all(part.text.endswith(" ") for part in cut(thirty, count_words, 10))


def test_a_part_is_cut_further_with_its_place_in_the_whole():
    whole = Document("d", "One two. Three four. Five six.")
    first, second = cut(whole, count_words, 4)
    again = cut(second, count_words, 1)
    assert [(p.text, p.part, p.start) for p in again] == [
        ("Five ", 1, len(first.text)),
        ("six.", 2, len(first.text) + 5),
    ]
    assert all(whole.text[p.start :].startswith(p.text) for p in [first, second, *again])


def test_only_white_space_longer_than_the_limit_makes_a_part_without_a_word():
    parts = cut(Document("d", f"{' ' * 25}word{' ' * 3}word"), len, 10)
    assert [part.text for part in parts] == [" " * 10, " " * 10, " " * 5 + "word ", "  word"]
    first, *_ = cut(Document("d", "\n\nAn overlong sentence here"), count_words, 2)
    assert first.text == "\n\nAn overlong "


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, None])
def test_a_limit_that_is_no_count_is_refused(limit: Any):
    with pytest.raises(ValueError, match=r"^limit must be a whole number of at least 1, got \w+ "):
        cut(DOCUMENT, count_words, limit)


def test_a_limit_that_no_character_fits_is_refused():
    says = r"A limit of 2 is too small: character 3 \('字'\) of document 'd' measures 3\. Raise it\."
    with pytest.raises(ValueError, match=says):
        cut(Document("d", "abc字"), lambda text: len(text.encode()), 2)


LENGTHS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "words": count_words,
    "bytes": lambda text: len(text.encode()),
    "pieces of words, with two marks around": lambda text: 2 + sum(-(-len(word) // 4) for word in text.split()),
    "coarse": lambda text: len(text) // 7,
    "erratic": lambda text: len(text) + 3 * (len(text) % 2),
}
TEXTS = st.one_of(
    st.text(min_size=1),
    st.text(st.sampled_from('ab .!?\n\r\t。」"é\u0301\u00a0\u200d🙂'), min_size=1, max_size=400),
    st.lists(st.sampled_from(["Word", " ", "a", ". ", "!\n", "\n\n", "。", "x" * 50, " " * 30]), min_size=1).map(
        "".join
    ),
).filter(str.strip)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from(sorted(LENGTHS)), st.integers(6, 60))
@example("word " * 2000, "words", 50)
@example("x" * 3000, "characters", 6)
@example("a" + " " * 3000 + "b", "characters", 7)
def test_parts_tile_the_document_and_fit(text: str, name: str, limit: int):
    document = Document("d", text, "T")
    assert_tiled(document, cut(document, LENGTHS[name], limit), LENGTHS[name], limit)


SENTENCES = st.lists(st.integers(1, 9).map(lambda words: " ".join(["word"] * words) + ". "), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(SENTENCES, st.integers(9, 60))
def test_parts_are_those_of_taking_sentence_by_sentence(sentences: list[str], limit: int):
    greedy = [""]
    for sentence in sentences:
        if count_words(greedy[-1] + sentence) > limit:
            greedy.append("")
        greedy[-1] += sentence
    assert [part.text for part in cut(Document("d", "".join(sentences)), count_words, limit)] == greedy


@pytest.mark.parametrize(
    "unit", ["One sentence of six words is here. ", "word ", "x", "字", ". ", "\n", "a" + " " * 5000, '."', "\n    "]
)
def test_cutting_measures_little_more_than_the_document_however_long(unit: str):
    text, measured = "a" + unit * (1_000_000 // len(unit)), [0, 0]

    def length(piece: str) -> int:
        measured[0] += 1
        measured[1] += len(piece)
        return -(-len(piece) // 4)

    parts = cut(Document("d", text), length, 500)
    assert len(parts) <= 1.1 * len(text) / 2000
    assert measured[0] <= 10 * len(parts)
    assert measured[1] <= 20 * len(text)


@pytest.mark.parametrize(("end", "most"), [(". ", 6), (" ", 14), ("", 22)])  # parts of sentences, words, characters
def test_a_part_takes_a_handful_of_measurements(end: str, most: int):
    calls, random = 0, Random(0)

    def length(piece: str) -> int:
        nonlocal calls
        calls += 1
        return sum(map(len, piece.split("x")))  # how many characters a token has varies

    units = ("".join(random.choices(["x", "y", "xxxxyyxxxx"], k=random.randint(1, 20))) for _ in range(20_000))
    parts = cut(Document("d", end.join(units)), length, 300)
    assert len(parts) > 50
    assert calls <= most * len(parts)
