"""The seconds of the parts of a run over several sessions."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hf_knowlearn.teach.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that `time.monotonic` returns: `now.value` seconds."""
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr("hf_knowlearn.teach.clock.time.monotonic", lambda: now.value)
    return now


def recorded(folder: Path) -> dict[str, float]:
    return json.loads((folder / "times.json").read_text(encoding="utf-8"))


def test_sessions_add_up(tmp_path: Path, now: SimpleNamespace):
    for seconds in (5, 7):
        clock = Clock(tmp_path)
        with clock.measure("training"):
            now.value += seconds
        now.value += 1000  # between two sessions
    assert clock.seconds == recorded(tmp_path) == {"training": 12}


def test_parts_are_counted_apart(tmp_path: Path, now: SimpleNamespace):
    clock = Clock(tmp_path)
    with clock.measure("training"):
        now.value += 2
    with clock.measure("evaluation"):
        now.value += 3
    assert recorded(tmp_path) == {"training": 2, "evaluation": 3}


def test_time_is_counted_when_a_part_fails_or_exits(tmp_path: Path, now: SimpleNamespace):
    def stop(seconds: float) -> None:
        with Clock(tmp_path).measure("training"):
            now.value += seconds
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        stop(4)
    assert recorded(tmp_path) == {"training": 4}


def test_a_killed_process_has_recorded_the_time_to_its_last_checkpoint(tmp_path: Path, now: SimpleNamespace):
    clock, nothing = Clock(tmp_path), SimpleNamespace()
    measured: Any = clock.measure("training")
    measured.__enter__()
    now.value += 10
    clock.on_save(nothing, nothing, nothing)  # type: ignore[arg-type]
    now.value += 3
    assert recorded(tmp_path) == {"training": 10}
    measured.__exit__(None, None, None)
    assert recorded(tmp_path) == {"training": 13}
