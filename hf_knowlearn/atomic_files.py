"""Files and folders that appear whole or not at all, by atomic rename; and JSON of plain values."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRAFTS = ".*.[0-9]*.draft"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Within the block, write to the path that is given; when it ends well, that file or folder becomes `path`."""
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
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def new_folder_problems(folder: Path) -> Iterator[str]:
    """What keeps `folder` from becoming a folder of ours, of which nothing is there yet."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        why = "is not empty, and nothing in it is ours to delete" if folder.is_dir() else "is no folder"
        yield f"output_dir={str(folder)!r} {why}: choose a new or an empty folder."


def delete_matching(folder: Path, pattern: str) -> None:
    """Delete what lies in `folder` under a name of this pattern."""
    for path in folder.glob(pattern):
        delete(path)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSONL of `rows`."""
    write_text(path, "".join(json.dumps(json_values(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def json_values(value: Any) -> Any:
    """The value, where nan and infinity, which JSON has not, are null."""
    if isinstance(value, Mapping):
        return {key: json_values(of_key) for key, of_key in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
