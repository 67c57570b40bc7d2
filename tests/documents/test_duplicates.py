"""Duplicates: documents with the same text are named, and dropped on request."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_knowlearn.documents import read_documents

Write = Callable[[Path, str | bytes], Path]
WriteRows = Callable[..., Path]
ReadError = Callable[..., str]


@pytest.fixture
def path(tmp_path: Path, write: Write, write_rows: WriteRows) -> Path:
    """Four documents: the second and third have the text of the first, but for what reading takes away."""
    write(tmp_path / "a.txt", "Cafe\u0301 at six.")
    write_rows(tmp_path / "b.jsonl", {"id": "b", "title": "B", "text": "Caf\u00e9 at six.\r\n"}, {"text": "Other."})
    write(tmp_path / "c.md", "\ufeffCaf\u00e9 at six.")
    return tmp_path


def test_duplicates_are_included_and_named_in_the_log(path: Path, caplog: pytest.LogCaptureFixture):
    assert [d.id for d in read_documents(path)] == ["a.txt", "b", "b.jsonl:2", "c.md"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        f"The documents at {path}: 2 warnings.\n"
        f"  {path / 'b.jsonl'}:1: 'b' has the same text as 'a.txt' (included).\n"
        f"  {path / 'c.md'}: 'c.md' has the same text as 'a.txt' (included).",
    )


def test_duplicates_are_dropped_on_request_and_named_in_the_log(path: Path, caplog: pytest.LogCaptureFixture):
    assert [d.id for d in read_documents(path, duplicates="drop")] == ["a.txt", "b.jsonl:2"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"The documents at {path}: 2 warnings.\n")
    assert "'b' has the same text as 'a.txt' (dropped)." in record.getMessage()
    assert "'c.md' has the same text as 'a.txt' (dropped)." in record.getMessage()


def test_the_log_names_all_dropped_duplicates_and_the_first_twenty_others(
    tmp_path: Path, write_rows: WriteRows, caplog: pytest.LogCaptureFixture
):
    path = write_rows(tmp_path / "a.jsonl", *[{"id": f"d{n}", "text": "Same."} for n in range(31)])
    assert len(read_documents(path)) == 31
    assert len(read_documents(path, duplicates="drop")) == 1
    retained, dropped = (record.getMessage() for record in caplog.records)
    assert "'d20' has" in retained
    assert "'d21' has" not in retained
    assert retained.endswith("... and 10 more entries.")
    assert all(f"'d{n}' has the same text as 'd0' (dropped)." in dropped for n in range(1, 31))
