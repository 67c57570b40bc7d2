"""Running a study: each run a process of its own, several side by side, none twice.

The surprising decision: a run is nothing but `hf_knowlearn.teach` on the recipe that lies beside its folder. So it
goes on where it was stopped, can be repeated alone, and has a peak of memory that is its own.
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
from hf_knowlearn.lab.study import Planned
from hf_knowlearn.teach import run_folder

# What says how many threads a process takes for its sums, to torch and to what lies below it.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def finished(run: Planned) -> bool:
    """Whether the run is done already.

    Raises:
        ValueError: its folder holds another run.
    """
    return run_folder.is_finished(run.recipe.output_dir, run.recipe.options, overwrite=False)


def run_all(runs: Sequence[Planned], jobs: int) -> Generator[tuple[Planned, str | None], None, None]:
    """Run them, so many `jobs` at a time on equal shares of the cores; yields each as it ends, with why it failed.

    When this is interrupted, so are the runs; each saves a checkpoint from which it goes on.
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
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def log_of(run: Planned) -> Path:
    """Where what the run says is written."""
    folder = run.recipe.output_dir
    return folder.with_name(f"{folder.name}.log")


def recipe_of(run: Planned) -> Path:
    """The run's recipe, with which it can be repeated alone."""
    folder = run.recipe.output_dir
    return folder.with_name(f"{folder.name}.yaml")


Start = Callable[..., "subprocess.Popen[bytes]"]


@contextmanager
def processes() -> Iterator[Start]:
    """What starts a process that does not outlive this block: one that still runs is asked to save and end."""
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


def _run(run: Planned, environment: dict[str, str], start: Start) -> str | None:
    """Do the run. Returns why it failed, if it did."""
    recipe = recipe_of(run)
    options = {**run.recipe.options, "output_dir": str(run.recipe.output_dir)}
    atomic_files.write_text(recipe, yaml.safe_dump(options, sort_keys=True, allow_unicode=True))
    with log_of(run).open("wb") as log:
        words = [sys.executable, "-m", "hf_knowlearn.teach", "--config", str(recipe)]
        code = start(*words, stdout=log, stderr=log, env=environment).wait()
    if finished(run):
        return None
    if not code:
        return "stopped before its end"
    said = log_of(run).read_text(encoding="utf-8", errors="replace").split("knowlearn: ")[-1].strip().splitlines()
    what = said[0 if code == 2 else -1] if said else "it said nothing"  # a refusal begins with it, a traceback ends so
    return f"exit code {code}: {what}"
