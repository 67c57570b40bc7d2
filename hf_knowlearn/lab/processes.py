"""Executes the runs of a study as separate processes, several at a time.

Each process is `python -m hf_knowlearn.teach --config RECIPE`. The recipe is the file beside the folder of the run, so
a user can repeat a single run. An interrupted run continues from its last checkpoint.
"""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.lab.study import PlannedRun
from hf_knowlearn.teach import run_folder

# Environment variables that set the number of threads of torch and its libraries.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
SECONDS = 0.1  # seconds between two checks of the processes


def is_finished(run: PlannedRun) -> bool:
    """Return whether the run is finished.

    Raises:
        ValueError: the folder of the run contains another run.
    """
    return run_folder.is_finished(run.recipe.output_dir, run.recipe.options, overwrite=False)


def run_all(runs: Sequence[PlannedRun], jobs: int) -> Generator[tuple[PlannedRun, str | None], None, None]:
    """Execute all runs, `jobs` at a time. Each run gets an equal share of the cores.

    Yields each run when the run ends, with the error message, or with None if the run succeeded. Closing the generator
    terminates the processes. The next call then continues these runs from their last checkpoints.
    """
    waiting = list(runs)
    running: dict[subprocess.Popen[bytes], PlannedRun] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[_start(run, max(1, cores() // jobs))] = run
            for process in [process for process in running if process.poll() is not None]:
                run = running.pop(process)
                yield run, _error(run, process.returncode)
            time.sleep(SECONDS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def log_path(run: PlannedRun) -> Path:
    """Return the path of the run's log, beside the folder of the run."""
    folder = run.recipe.output_dir
    return folder.with_name(f"{folder.name}.log")


def _start(run: PlannedRun, threads: int) -> "subprocess.Popen[bytes]":
    """Write the recipe of the run, and start its process."""
    recipe, log = log_path(run).with_suffix(".yaml"), log_path(run)
    options = {**run.recipe.options, "output_dir": str(run.recipe.output_dir)}
    atomic_files.write_text(recipe, yaml.safe_dump(options, sort_keys=True, allow_unicode=True))
    words = [sys.executable, "-m", "hf_knowlearn.teach", "--config", str(recipe)]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    with log.open("wb") as output:
        return subprocess.Popen(words, stdout=output, stderr=output, env=environment)


def _error(run: PlannedRun, code: int) -> str | None:
    """Return the error message of a run whose process ended with this exit code; None if the run is finished."""
    if is_finished(run):
        return None
    lines = log_path(run).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code}: {lines[-1]}" if code and lines else f"the process ended early with exit code {code}"
