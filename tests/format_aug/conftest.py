"""Shared by the tests of `format_aug`: documents in a file, and a cache per test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from hf_knowlearn.worlds import World


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of `datasets` in this test."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the biographies of people `first` to `last - 1` to a JSON Lines file, and returns its path."""

    def write(last: int, first: int = 0, name: str = "people.jsonl", **changes: Any) -> Path:
        world = World(11)
        biographies = [world.biography(person) for person in world.people(first, last)]
        rows = [{"id": d.id, "title": d.title, "text": d.text, **changes} for d in biographies]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
