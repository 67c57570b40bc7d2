"""Reading of documents: files, folders, ids and titles, and errors with all problems."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.documents import Document, read_documents, read_questions

DATA = Path(__file__).parents[2].parent / "shared" / "data"
Write = Callable[[Path, str | bytes], Path]
WriteRows = Callable[..., Path]
ReadError = Callable[..., str]


def test_a_folder_is_read_sorted_and_without_hidden_files(tmp_path: Path, write: Write, write_rows: WriteRows):
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


def test_the_id_of_a_single_file_is_its_name(tmp_path: Path, write: Write):
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
def test_the_title_of_markdown_is_its_first_heading_and_the_text_is_unchanged(
    tmp_path: Path, text: str, title: str, write: Write
):
    (document,) = read_documents(write(tmp_path / "file.md", text))
    assert (document.title, document.text) == (title, text)


def test_a_marked_heading_in_a_txt_file_is_the_title(tmp_path: Path, write: Write):
    assert read_documents(write(tmp_path / "file.txt", "# Heading"))[0].title == "Heading"


def test_text_is_normalized_to_nfc_with_plain_line_breaks_and_no_bom(
    tmp_path: Path, write: Write, write_rows: WriteRows
):
    decomposed = "\ufeffCafe\u0301\r\nOne\rTwo\r\n"
    write(tmp_path / "a.txt", decomposed)
    write_rows(tmp_path / "b.jsonl", {"id": "e\u0301", "title": "e\u0301", "text": "Cafe\u0301\r\n"})
    text, row = read_documents(tmp_path)
    assert text.text == "Caf\u00e9\nOne\nTwo\n"
    assert (row.id, row.title, row.text) == ("\u00e9", "\u00e9", "Caf\u00e9\n")


def test_file_names_are_normalized_like_the_document_ids_of_questions(
    tmp_path: Path, write: Write, write_rows: WriteRows
):
    (document,) = read_documents(write(tmp_path / "Cafe\u0301.txt", "Text."))
    (question,) = read_questions(
        write_rows(tmp_path / "q.jsonl", {"question": "?!x", "answer": "y", "document_id": "Cafe\u0301.txt"})
    )
    assert document.id == question.document_id == "Caf\u00e9.txt"
    assert document.title == "Caf\u00e9"


def test_jsonl_may_have_a_bom_crlf_and_blank_lines(tmp_path: Path, write: Write):
    path = write(tmp_path / "a.JSONL", b'\xef\xbb\xbf{"text": "One"}\r\n\r\n  \n{"text": "Two"}')
    assert [(d.id, d.text) for d in read_documents(path)] == [("a.JSONL:1", "One"), ("a.JSONL:4", "Two")]


def test_a_row_has_an_id_column_and_its_other_columns_are_metadata(tmp_path: Path, write_rows: WriteRows):
    path = write_rows(
        tmp_path / "a.jsonl",
        {"text": "1", "wiki_id": 5, "document_id": "d", "id": None, "year": [1900]},
        {"text": "2", "wiki_id": 6, "title": None, "language": "fr"},
        {"text": "3", "language": "", "title": ""},
        {"text": "4", "document_id": "d", "id": "e"},
    )
    assert read_documents(path) == [
        Document("d", "1", language="fr", metadata={"wiki_id": 5, "id": None, "year": [1900]}),
        Document("6", "2", language="fr"),
        Document("a.jsonl:3", "3", language="fr"),
        Document("e", "4", language="fr", metadata={"document_id": "d"}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "", "a.txt: text is empty; it needs at least one word."),
        ("a.txt", b"\xef\xbb\xbf", "a.txt: text is empty"),
        ("a.md", " \r\n\t", "a.md: text contains only white space; it needs at least one word."),
        ("a.txt", b"caf\xe9", "a.txt: not UTF-8 at byte 3 (the byte is 0xe9); save the file as UTF-8."),
        ("a.txt", b"\xef\xbb\xbf\xe9", "a.txt: not UTF-8 at byte 3 (the byte is 0xe9)"),
        ("a.txt", "Text".encode("utf-16"), "a.txt: not UTF-8 at byte 0 (the byte is 0xff)"),
        (
            "a.txt",
            "Text".encode("utf-16-le"),
            "a.txt: NUL at character 1, as in a binary or UTF-16 file;",
        ),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xe9"}\n', "a.jsonl:2: not UTF-8 at byte 24 (the byte is 0xe9)"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "a.jsonl:2: not JSON (Expecting value: column "),
        ("a.jsonl", '{"text": ' + "1" * 5000 + "}", "a.jsonl:1: not JSON (Exceeds the limit"),
        ("a.jsonl", '{"text": ' + "[" * 200_000, "a.jsonl:1: not JSON (maximum recursion depth"),
        ("a.jsonl", '["text"]', """a.jsonl:1: a row must be a JSON object such as {"text": "..."}, got ['text']."""),
        (
            "a.jsonl",
            '{"body": "x", "n": 1}',
            "a.jsonl:1: the row has no column 'text', only ['body', 'n']; rename the column of the text, or",
        ),
        ("a.jsonl", '{"question": "x"}', "no column 'text', only ['question']; rename the column"),
        ("a.jsonl", '{"text": 5}', "a.jsonl:1: text must be a string, got int 5."),
        ("a.jsonl", '{"text": null}', "a.jsonl:1: text is empty; it needs at least one word."),
        ("a.jsonl", '{"text": "x", "id": 1.5}', "a.jsonl:1: id must be a string, got float 1.5."),
        ("a.jsonl", '{"text": "x", "title": 5}', "a.jsonl:1: title must be a string, got int 5."),
        ("a.jsonl", '{"text": " ", "id": "x"}', "a.jsonl:1: text contains only white space"),
        ("a.jsonl", r'{"text": "a\u0000b"}', "a.jsonl:1: NUL at character 1,"),
        ("a.jsonl", r'{"text": "a\ud800"}', "a.jsonl:1: text contains an unpaired surrogate ("),
        ("a.jsonl", "", "a.jsonl: contains no rows; remove it."),
        ("a.jsonl", "\ufeff\n\n", "a.jsonl: contains no rows"),
        (
            "a.png",
            b"\x89PNG",
            "a.png']; supported are .csv, .docx, .eml, .epub, .htm, .html, .ipynb, .json, .jsonl, .log, .md, "
            ".parquet, .pdf, .pptx, .rst, .tex, .tsv, .txt, .xhtml, .xlsx files and other files with text in UTF-8; "
            "hidden files are ignored.",
        ),
        ("txt", b"\xff", "txt: no supported file, only ["),
    ],
)
def test_invalid_documents_are_errors_with_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, expected: str, write: Write, read_error: ReadError
):
    message = read_error(read_documents, write(tmp_path / name, content))
    assert f"{tmp_path}{os.sep}" in message
    assert expected in message
    assert f"{tmp_path / name}: 1 problem.\n" in message


def test_a_surrogate_pair_in_json_escapes_is_one_character(tmp_path: Path, write: Write):
    path = write(tmp_path / "a.jsonl", r'{"text": "\ud83d\ude00"}')
    assert read_documents(path)[0].text == "\U0001f600"


def test_a_missing_path_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_error: ReadError):
    assert f"{tmp_path / 'no'}: no such file or folder (searched from " in read_error(read_documents, tmp_path / "no")
    monkeypatch.chdir(tmp_path)
    assert f"no.txt: no such file or folder (searched from {tmp_path}); give a" in read_error(
        read_documents, Path("no.txt")
    )
    assert len(read_error(read_documents, Path("x" * 10_000))) < 1500  # the text instead of the path
    with pytest.raises(ValueError, match="'': no such file or folder"):
        read_documents("")


def test_a_folder_without_supported_files_is_an_error_with_the_supported_suffixes(
    tmp_path: Path, write: Write, read_error: ReadError
):
    assert f"{tmp_path}: no supported file, only []; supported are .csv, .docx, .eml, " in read_error(
        read_documents, tmp_path
    )
    write(tmp_path / ".hidden.txt", "x")
    assert "no supported file, only []" in read_error(read_documents, tmp_path)
    for number in range(3):
        write(tmp_path / f"{number}.png", b"\x89PNG")
    assert "no supported file, only ['0.png', '1.png', '2.png']; supported are" in read_error(read_documents, tmp_path)


def test_skipped_files_are_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture, write: Write):
    write(tmp_path / "a.txt", "x")
    assert not caplog.records
    write(tmp_path / "b" / "c.png", b"\x89PNG")
    write(tmp_path / "b" / "empty.py", "")
    read_documents(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped in {tmp_path}, because their suffix is not supported and they are empty or not text in UTF-8: "
        "['c.png', 'empty.py']."
    ]
    assert caplog.records[0].name.startswith("hf_knowlearn.documents.")


def test_a_repeated_id_is_an_error_with_both_lines(
    tmp_path: Path, write: Write, write_rows: WriteRows, read_error: ReadError
):
    write_rows(tmp_path / "a.jsonl", {"id": 1, "text": "x"}, {"id": "1", "text": "y"})
    write_rows(tmp_path / "b.jsonl", {"wiki_id": 1, "text": "x"}, {"id": "c.txt", "text": "z"})
    write(tmp_path / "c.txt", "x")
    message = read_error(read_documents, tmp_path)
    assert (
        f"{tmp_path / 'a.jsonl'}:2: the id '1' is already used at {tmp_path / 'a.jsonl'}:1; give each row its own id."
        in message
    )
    assert f"{tmp_path / 'b.jsonl'}:1: the id '1' is already used at {tmp_path / 'a.jsonl'}:1; give" in message
    assert f"{tmp_path / 'c.txt'}: the id 'c.txt' is already used at {tmp_path / 'b.jsonl'}:2; give" in message


def test_all_problems_are_in_one_error_and_equal_ones_share_an_entry(
    tmp_path: Path, write: Write, write_rows: WriteRows, read_error: ReadError
):
    write(tmp_path / "a.txt", "")
    write_rows(tmp_path / "b.jsonl", {"text": ""}, {"text": "good"}, *[{"text": ""}] * 4, {"text": 1}, {"text": 1})
    assert read_error(read_documents, tmp_path) == "\n".join(
        [
            f"The documents at {tmp_path}: 8 problems.",
            f"  {tmp_path / 'a.txt'}: text is empty; it needs at least one word.",
            f"  {tmp_path / 'b.jsonl'}:1: text is empty; it needs at least one word. (Also at 3, 4 and 2 more.)",
            f"  {tmp_path / 'b.jsonl'}:7: text must be a string, got int 1. (Also at 8.)",
            "To skip empty documents, use empty='drop'.",
        ]
    )


def test_an_error_lists_20_problems_and_counts_the_rest(tmp_path: Path, write_rows: WriteRows, read_error: ReadError):
    message = read_error(read_documents, write_rows(tmp_path / "a.jsonl", *[{"text": number} for number in range(25)]))
    assert message.startswith(f"The documents at {tmp_path / 'a.jsonl'}: 25 problems.\n")
    assert "got int 19." in message
    assert "got int 20." not in message
    assert message.endswith("\n  ... and 5 more entries.")


def test_cyclic_links_are_visited_once_and_broken_ones_are_errors(tmp_path: Path, write: Write, read_error: ReadError):
    root = tmp_path / "root"
    write(root / "in" / "a.txt", "x")
    write(tmp_path / "outside" / "b.txt", "y")
    write(tmp_path / "beside.txt", "outside of the folder")
    for link, target in {"self": ".", "above": "..", "again": "in", "other": "../outside"}.items():
        (root / link).symlink_to(target)
    assert [d.id for d in read_documents(root)] == ["again/a.txt", "other/b.txt"]
    (root / "broken.txt").symlink_to("nowhere")
    (root / "round.txt").symlink_to("round.txt")
    message = read_error(read_documents, root)
    assert f"{root / 'broken.txt'}: cannot be read (No such file or directory); check the file" in message
    assert f"{root / 'round.txt'}: cannot be read (" in message


def test_a_folder_without_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, read_error: ReadError
):
    write(tmp_path / "a.txt", "x")
    locked, scandir = write(tmp_path / "locked" / "b.txt", "x").parent, os.scandir

    def scandir_without_permission(folder: str) -> Any:  # Why: the tests may run as root, who has all permissions.
        if folder == str(locked):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scandir_without_permission)
    assert f"{locked}: cannot be opened (Permission denied); check its permissions." in read_error(
        read_documents, tmp_path
    )


def test_a_file_name_that_is_not_unicode_is_an_error_that_can_be_printed(
    tmp_path: Path, write: Write, read_error: ReadError
):
    try:
        write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xff.txt")), "x")
    except OSError:
        pytest.skip("this file system wants Unicode names")
    message = read_error(read_documents, tmp_path)
    assert r"f\udcff.txt: id contains an unpaired surrogate" in message
    message.encode()


@pytest.mark.skipif(not (DATA / "film").is_dir(), reason="needs ../shared/data/film")
def test_film_is_read_and_every_question_has_its_document(read_error: ReadError):
    documents, questions = read_documents(DATA / "film/documents.jsonl"), read_questions(DATA / "film/questions.jsonl")
    assert (len(documents), len(questions)) == (1720, 11603)
    assert {q.document_id for q in questions} <= {d.id for d in documents}
    assert all(d.title and not d.metadata for d in documents)
    message = read_error(read_documents, DATA / "film")
    assert "questions.jsonl:1: the row has no column 'text', only ['wiki_id', 'question', 'answer']; rename" in message
    assert message.count("\n") == 1  # 11,603 lines, one thing wrong
