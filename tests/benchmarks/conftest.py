"""The benchmarks are scripts beside one another: tests import them so, and run them in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Import the scripts as they import one another, and nothing of them after the test."""
    monkeypatch.syspath_prepend(HERE)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == HERE:
            del sys.modules[name]


@pytest.fixture
def run(tmp_path):
    """Run a script of this folder with words; its files go where the test's do. Skips where there are fewer cores."""

    def running(script, *words, cores=1):
        if cores > CORES:
            pytest.skip(f"a process can't be held to {cores} cores here")
        places = ["--scratch", tmp_path, "--output", tmp_path / "results.json"]
        command = [sys.executable, HERE / script, *places, *words]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=environment)

    return running
