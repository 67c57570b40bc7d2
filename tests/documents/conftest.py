"""Fixtures that write files and return the message of a reading error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write() -> Callable[[Path, str | bytes], Path]:
    def write(path: Path, content: str | bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def write_rows(write: Callable[[Path, str | bytes], Path]) -> Callable[..., Path]:
    def write_rows(path: Path, *rows: Any) -> Path:
        return write(path, "".join(json.dumps(row) + "\n" for row in rows))

    return write_rows


@pytest.fixture
def read_error() -> Callable[..., str]:
    """The words of the ValueError that `read(path, **options)` raises."""

    def read_error(read: Callable[..., object], path: object, **options: Any) -> str:
        with pytest.raises(ValueError, match="problem") as caught:
            read(path, **options)
        return str(caught.value)

    return read_error
