"""Invalid input: each problem is an error with its place, and nothing is dropped without a message."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document, read_documents, split_document

Write = Callable[[Path, str | bytes], Path]
ReadError = Callable[..., str]

LONG = ("some words of a text that never ends and has no stop at all in it " * 800_000)[:50_000_000]


def tokens(text: str) -> int:
    return -(-len(text) // 4)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.csv"])
def test_50_mb_on_one_line_are_read_completely(tmp_path: Path, name: str, write: Write):
    content = {"a.txt": LONG, "a.jsonl": json.dumps({"text": LONG}), "a.csv": f"text\n{LONG}\n"}
    content["a.json"] = content["a.jsonl"]
    started = time.process_time()
    (document,) = read_documents(write(tmp_path / name, content[name]))
    assert time.process_time() - started < 10  # below 1 s; hours if a character cost more than a constant
    assert document.text == LONG


def test_50_mb_without_a_sentence_end_are_split_at_words():
    started = time.process_time()
    parts = split_document(Document("d", LONG), tokens, 8192)
    assert time.process_time() - started < 60  # 4 s
    assert "".join(part.text for part in parts) == LONG
    assert all(tokens(part.text) <= 8192 and part.text.endswith(" ") for part in parts[:-1])
    assert len(parts) < 1.01 * len(LONG) / (4 * 8192)


@pytest.mark.parametrize("unit", ["no end in sight, ", "x", "字"])
def test_100_000_characters_without_a_sentence_end_are_split(unit: str):
    run = (unit * 100_000)[:100_000]
    text = f"A first sentence. {run}. And a last one."
    parts = split_document(Document("d", text, "Title"), tokens, 512)
    assert "".join(part.text for part in parts) == text
    assert all(text.startswith(part.text, part.start) for part in parts)
    assert all(part.title == "Title" and tokens(part.text) <= 512 for part in parts)
    assert parts[0].text == "A first sentence. "


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.jsonl", "a.csv", "a.json"])
@pytest.mark.parametrize("blank", ["\n", " \t\n\n ", "\u2003\u00a0\n", "\ufeff \n"])
def test_a_file_of_white_space_is_an_error_with_its_name(
    tmp_path: Path, name: str, blank: str, write: Write, read_error: ReadError
):
    message = read_error(read_documents, write(tmp_path / name, blank))
    assert "1 problem." in message
    assert f"{tmp_path / name}" in message.splitlines()[1]


def test_empty_documents_are_dropped_and_named_in_the_log(
    tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
):
    for name, text in {
        "a.txt": "",
        "b.md": " \n",
        "c.txt": "Text.",
        "d.jsonl": '{"text": null}\n{"text": "x"}',
    }.items():
        write(tmp_path / name, text)
    assert [d.id for d in read_documents(tmp_path, empty="drop")] == ["c.txt", "d.jsonl:2"]
    (record,) = caplog.records
    assert record.getMessage() == "\n".join(
        [
            f"The documents at {tmp_path}: 3 warnings.",
            f"  {tmp_path / 'a.txt'}: text is empty; it needs at least one word.",
            f"  {tmp_path / 'b.md'}: text contains only white space; it needs at least one word.",
            f"  {tmp_path / 'd.jsonl'}:1: text is empty; it needs at least one word.",
        ]
    )


def test_dropping_all_documents_is_an_error(tmp_path: Path, write: Write):
    write(tmp_path / "a.txt", "")
    write(tmp_path / "b.txt", " ")
    with pytest.raises(ValueError, match=r"2 warnings\.\n.*a\.txt: text is empty(.|\n)*No documents are left\."):
        read_documents(tmp_path, empty="drop")


def test_other_problems_than_empty_texts_are_not_dropped(tmp_path: Path, write: Write, read_error: ReadError):
    write(tmp_path / "a.jsonl", '{"text": ""}\n{"text": 5}\n{"no": 1}\n{"text": "x", "title": 1}\nno json\n')
    message = read_error(read_documents, tmp_path, empty="drop")
    assert "4 problems." in message
    assert "a.jsonl:1" not in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"caf\xed\xa0\x80", "a.txt: not UTF-8 at byte 3 (the byte is 0xed)"),  # a surrogate in bytes
        ("a.csv", b"text\ncaf\xed\xa0\x80\n", "a.csv: not UTF-8 at byte 8 (the byte is 0xed)"),
        ("a.jsonl", rb'{"text": "a\udc00b"}', "a.jsonl:1: text contains an unpaired surrogate ("),
        ("a.json", rb'[{"text": "x"}, {"text": "a\udc00b"}]', "a.json:2: text contains an unpaired surrogate ("),
        (
            "a.txt",
            b"a\0b",
            "a.txt: NUL at character 1, as in a binary or UTF-16 file; save the file as UTF-8 text.",
        ),
        ("a.md", b"# T\0\n", "a.md: NUL at character 3,"),
        ("a.jsonl", rb'{"text": "a\u0000b"}', "a.jsonl:1: NUL at character 1,"),
        ("a.json", rb'[{"text": "x", "title": "\u0000"}]', "a.json:1: NUL at character 0,"),
        ("a.csv", b"text\nx\nab\0\n", "a.csv"),  # Python 3.10 has words of its own for it
    ],
)
def test_unpaired_surrogates_and_nuls_are_errors_with_their_position(
    tmp_path: Path, name: str, content: bytes, expected: str, write: Write, read_error: ReadError
):
    message = read_error(read_documents, write(tmp_path / name, content))
    assert "1 problem." in message
    assert expected in message.splitlines()[1]


def test_repeated_ids_are_errors_across_formats(tmp_path: Path, write: Write, read_error: ReadError):
    write(tmp_path / "a.csv", 'id,text\n\n"1","One\nand\nmore."\n2,Two.\n')
    write(tmp_path / "b.json", '[{"id": 1, "text": "x"}, {"id": "e\u0301", "text": "y"}]')
    write(tmp_path / "c.jsonl", '{"id": "\u00e9", "text": "z"}\n{"id": 2, "text": "z"}\n')
    message = read_error(read_documents, tmp_path)
    assert "3 problems." in message
    assert f"b.json:1: the id '1' is already used at {tmp_path / 'a.csv'}:3; give each row its own id." in message
    assert f"c.jsonl:1: the id '\u00e9' is already used at {tmp_path / 'b.json'}:2;" in message
    assert f"c.jsonl:2: the id '2' is already used at {tmp_path / 'a.csv'}:6;" in message
