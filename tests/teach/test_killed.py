"""A run that is killed at any moment and started again gives the weights, responses and scores of a whole run."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, list[str]]]
STAGES = [
    {"name": "answer", "train_on": ["train_questions"], "max_steps": 3},
    {"name": "learn", "train_on": ["documents"], "max_steps": 2},
]
CHANGES = {
    "lora_dropout": 0.2, "learning_rate": 0.01, "num_views": 3, "save_steps": 1, "save_total_limit": 1,
    "logging_steps": 1, "gradient_accumulation_steps": 1, "per_device_eval_batch_size": 1,
    "evaluation.max_new_tokens": 4, "evaluation.open_book": True,
}  # fmt: skip
TIMES = {"seconds", "train_seconds", "evaluation_seconds", "self_replay_seconds", "peak_memory_bytes", "created"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """`run(options, moment=…, delay=…)` runs the command, which kills itself at a file operation if `moment` is given.

    Returns the exit code and the file operations."""
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "tests" / "killed.py"), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as server:
        assert server.stdin
        assert server.stdout

        def run(options: dict[str, Any], **when: Any) -> tuple[int, list[str]]:
            words = ["teach", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
            server.stdin.write(json.dumps({"words": words, **when}) + "\n")
            server.stdin.flush()
            done = json.loads(server.stdout.readline())
            return done["code"], done["log"]

        yield run
        server.stdin.close()


@pytest.fixture
def options(options: dict[str, Any], questions: Path, tmp_path: Path) -> dict[str, Any]:
    """The options of a run of two stages with an open-book evaluation, dropout, and a checkpoint at every step."""
    path = tmp_path / "curriculum.yaml"
    path.write_text(json.dumps({"stages": STAGES}), encoding="utf-8")  # JSON is YAML
    about = tmp_path / "about.jsonl"
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    named = [{**row, "document_id": name} for row, name in zip(rows, ("ferry.txt", "mill.md"), strict=True)]
    about.write_text("".join(json.dumps(row) + "\n" for row in named), encoding="utf-8")
    del options["max_steps"]
    return {**options, **CHANGES, "curriculum": path, "train_questions": about, "questions": about}


def files_of(folder: Path) -> dict[str, Any]:
    """The files of a finished run by content, without its checkpoints and without times."""
    with_times = {"report.json", "report.md", "report.html", "run.json", "times.json"}
    files = [path for path in folder.rglob("*") if path.is_file() and "checkpoints" not in path.parts]
    content: dict[str, Any] = {
        path.relative_to(folder).as_posix(): None if path.name in with_times else path.read_bytes() for path in files
    }
    for name in [name for name in content if name == "report.json" or name.endswith("stage.json")]:
        content[name] = without_times(json.loads((folder / name).read_text(encoding="utf-8")))
    return content


def without_times(figures: Any) -> Any:
    if isinstance(figures, dict):
        return {name: without_times(value) for name, value in figures.items() if name not in TIMES}
    return [without_times(value) for value in figures] if isinstance(figures, list) else figures


def moments(log: list[str], count: int) -> list[tuple[int, float]]:
    """Numbers of file operations before, during and after training in turn, each with a delay in seconds."""
    trains = [number for number, line in enumerate(log) if "/checkpoint-" in line]
    parts = [(0, trains[0]), (trains[0], trains[-1]), (trains[-1], len(log) - 3)]
    rng = random.Random(7)
    return [(rng.randrange(*parts[i % 3]), rng.choice((0.0, rng.uniform(0, 0.1)))) for i in range(count)]


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_moment_and_started_again_gives_the_same_result(
    run: Run, options: dict[str, Any], tmp_path: Path, count: int
):
    code, log = run({**options, "output_dir": tmp_path / "whole"})
    assert code == 0, (tmp_path / "0.out").read_text(encoding="utf-8")
    expected = files_of(tmp_path / "whole")
    assert {"model/adapter_model.safetensors", "answers.after.jsonl", "stages/1-answer/stage.json"} <= set(expected)
    expected["report.json"]["recipes"] = None  # contains the folder
    for number, (moment, delay) in enumerate(moments(log, count)):
        folder = tmp_path / f"killed-{number}"
        code, done = run({**options, "output_dir": folder}, moment=moment, delay=delay)
        what = f"killed {delay:.3f} s after operation {moment} of {len(log)}: {done[-1]}"
        assert code == -9, what
        code, _ = run({**options, "output_dir": folder})
        assert code == 0, (what, (tmp_path / f"{2 * number + 2}.out").read_text(encoding="utf-8"))
        found = files_of(folder)
        found["report.json"]["recipes"] = None
        assert found.keys() == expected.keys(), what
        assert [name for name in found if found[name] != expected[name] and name != "recipe.yaml"] == [], what
