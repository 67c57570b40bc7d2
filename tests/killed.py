"""Runs `knowlearn` commands that are killed at a file operation: `python tests/killed.py FOLDER < JOBS`.

Each job is a line of JSON with the words of the command, the number of a file operation (`moment`) and a delay in
seconds. Each runs in a fork of this process, which has imported everything. At that file operation below FOLDER, and
after the delay, the fork kills itself with SIGKILL. The result is a line of JSON with the exit code (negative: the
signal) and the file operations.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

import hf_knowlearn.cli
import hf_knowlearn.teach.measurements
import hf_knowlearn.teach.report_builder
import hf_knowlearn.training.sigterm

WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def watch(folder: str, log: Path, moment: int | None, delay: float) -> threading.Thread:
    """Log each file operation below `folder`, and kill the process `delay` seconds after operation number `moment`.

    Returns the thread that waits for the delay.
    """
    file, count = log.open("w", encoding="utf-8"), 0

    def kill() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    killer = threading.Thread(target=kill)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in WATCHED or not str(arguments[0]).startswith(folder):
            return
        print(event, arguments[0], file=file, flush=True)
        if count == moment:
            killer.start() if delay else kill()
        count += 1

    sys.addaudithook(hook)
    return killer


def run(words: list[str], folder: str, log: Path, moment: int | None, delay: float) -> int:
    """Run the command in a fork, and return its exit code."""
    child = os.fork()
    if not child:
        code = 1
        with log.with_suffix(".out").open("w", encoding="utf-8") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        try:
            killer = watch(folder, log, moment, delay)
            code = hf_knowlearn.cli.main(words)
            if killer.ident:  # the delay may be longer than the command
                killer.join()
        except Exception:
            logging.exception("The command failed.")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for number, line in enumerate(sys.stdin):
        job = json.loads(line)
        record = folder / f"{number}.log"
        ended = run(job["words"], str(folder), record, job.get("moment"), job.get("delay", 0.0))
        print(json.dumps({"code": ended, "log": record.read_text(encoding="utf-8").splitlines()}), flush=True)
