"""Writes files and folders completely or not at all, by atomic rename. Also converts values to valid JSON."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRAFTS = ".*.[0-9]*.draft"  # pattern of the names of unfinished files


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give the block a draft path to write to. If the block ends without an error, rename the draft to `path`.

    Example:
        >>> with atomic_write(Path("out/report.json")) as draft:
        ...     draft.write_text("{}")
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        if path.is_dir() or draft.is_dir():
            delete(path)
        os.replace(draft, path)
    finally:
        delete(draft)


def delete(path: Path) -> None:
    """Delete a file or folder if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def delete_matching(folder: Path, pattern: str) -> None:
    """Delete everything in `folder` whose name matches `pattern`."""
    for path in folder.glob(pattern):
        delete(path)


def new_folder_problems(folder: Path, option: str = "output_dir") -> Iterator[str]:
    """Yield a message if `folder`, the value of `option`, is not a new or an empty folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        why = "is not empty" if folder.is_dir() else "is not a folder"
        yield f"{option}={str(folder)!r} {why}. Choose a new or an empty folder."


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, completely or not at all."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one line of JSON for each row."""
    write_text(path, "".join(json.dumps(json_values(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def json_values(value: Any) -> Any:
    """Replace nan and infinity, which JSON does not have, by None."""
    if isinstance(value, Mapping):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
