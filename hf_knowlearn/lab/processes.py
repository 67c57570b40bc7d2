"""The runs of a study as processes, several at a time.

Each run is `python -m hf_knowlearn.teach` on the recipe beside its folder. It can be repeated alone, and it continues
from its last checkpoint after an interruption.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.lab.study import PlannedRun
from hf_knowlearn.teach import run_folder

# Environment variables that set the number of threads of a process, for torch and the libraries below it.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

Start = Callable[..., "subprocess.Popen[bytes]"]


def is_finished(run: PlannedRun) -> bool:
    """Whether the run is finished.

    Raises:
        ValueError: Its folder contains another run.
    """
    return run_folder.is_finished(run.recipe.output_dir, run.recipe.options, overwrite=False)


def run_all(runs: Sequence[PlannedRun], jobs: int) -> Generator[tuple[PlannedRun, str | None], None, None]:
    """Run all, `jobs` at a time on equal shares of the cores. Yields each run as it ends, with its error, or None.

    An interruption also stops the runs. They continue from their last checkpoint next time.
    """
    environment = {**os.environ, **dict.fromkeys(THREADS, str(max(1, cores() // jobs)))}
    with ThreadPoolExecutor(jobs) as pool, processes() as start:
        waiting = {pool.submit(_run, run, environment, start): run for run in runs}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def log_path(run: PlannedRun) -> Path:
    """The log of the run."""
    return _beside(run, ".log")


def _beside(run: PlannedRun, suffix: str) -> Path:
    folder = run.recipe.output_dir
    return folder.with_name(f"{folder.name}{suffix}")


@contextmanager
def processes() -> Iterator[Start]:
    """Yields a function that starts a process. When the block ends, running processes are terminated."""
    running: list[subprocess.Popen[bytes]] = []
    closed = threading.Event()

    def start(*words: str, **options: object) -> "subprocess.Popen[bytes]":
        if closed.is_set():
            raise RuntimeError("the study has been stopped")
        running.append(subprocess.Popen(words, **options))  # type: ignore[call-overload]
        return running[-1]

    try:
        yield start
    finally:
        closed.set()
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            process.wait()


def _run(run: PlannedRun, environment: dict[str, str], start: Start) -> str | None:
    """Run `run` in a process. Returns its error, or None."""
    recipe = _beside(run, ".yaml")
    options = {**run.recipe.options, "output_dir": str(run.recipe.output_dir)}
    atomic_files.write_text(recipe, yaml.safe_dump(options, sort_keys=True, allow_unicode=True))
    with log_path(run).open("wb") as log:
        words = [sys.executable, "-m", "hf_knowlearn.teach", "--config", str(recipe)]
        code = start(*words, stdout=log, stderr=log, env=environment).wait()
    if is_finished(run):
        return None
    lines = log_path(run).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code}: {lines[-1]}" if code and lines else f"exit code {code} before its end"
