"""The progress of reading files that are converted."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.documents import progress, read_documents, text_files

HTML = "<p>The ferry leaves at six.</p>"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    monkeypatch.setattr(progress, "SLOW", 0.05)
    caplog.set_level(logging.INFO, logger=progress.logger.name)
    return lambda: [one.getMessage() for one in caplog.records if one.name == progress.logger.name]


def test_a_slow_file_is_named_in_the_log_while_it_is_read(tmp_path: Path, lines: Any):
    file = tmp_path / "slow.html"
    file.write_text("x" * 300_000)
    with progress.named_if_slow(file):
        deadline = time.monotonic() + 10
        while not lines() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lines() == [f"Reading {file} (0.3 MB) ..."]


def test_a_fast_file_is_not_named(tmp_path: Path, lines: Any):
    file = tmp_path / "fast.html"
    file.write_text(HTML)
    with progress.named_if_slow(file):
        pass
    time.sleep(0.2)
    assert lines() == []


def test_a_large_pdf_is_named_before_it_is_read(tmp_path: Path, lines: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LARGE", 10)
    monkeypatch.setattr(progress, "SLOW", 60)
    file = tmp_path / "large.pdf"
    file.write_text("x" * 20)
    with progress.named_if_slow(file):
        assert lines() == [f"Reading {file} (0.0 MB) ..."]


@pytest.mark.parametrize(
    ("is_terminal", "name", "has_bar"), [(True, "a.html", True), (False, "a.html", False), (True, "a.txt", False)]
)
def test_a_terminal_has_a_bar_for_converted_files(
    tmp_path: Path, is_terminal: bool, name: str, has_bar: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    if name.endswith("html"):
        pytest.importorskip("markitdown")
    (tmp_path / name).write_text(HTML)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    assert len(read_documents(tmp_path)) == 1
    assert ("Reading files" in capsys.readouterr().err) == has_bar


def test_conversion_names_slow_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("markitdown")
    named: list[Path] = []
    original = progress.named_if_slow

    def recorded(file: Path) -> Any:
        named.append(file)
        return original(file)

    monkeypatch.setattr(text_files, "named_if_slow", recorded)
    (tmp_path / "a.html").write_text(HTML)
    read_documents(tmp_path)
    assert named == [tmp_path / "a.html"]
