"""The benchmarks are scripts that import one another: tests import them, or run them in a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Make the scripts importable, and remove them from `sys.modules` after the test."""
    monkeypatch.syspath_prepend(HERE)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == HERE:
            del sys.modules[name]


@pytest.fixture
def run(tmp_path):
    """Run a script with arguments; its files go to the test's folder. Skips the test if there are too few cores."""

    def running(script, *words, cores=1):
        if cores > CORES:
            pytest.skip(f"this machine has fewer than {cores} cores")
        places = ["--scratch", tmp_path, "--output", tmp_path / "results.json"]
        command = [sys.executable, HERE / script, *places, *words]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=environment)

    return running
