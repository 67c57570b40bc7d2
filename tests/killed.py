"""Runs of `knowlearn teach` that are killed at a file operation: `python tests/killed.py FOLDER < JOBS`.

Each job is a line of JSON: the words of the command, and the moment. It is run in a fork of this process, which has
imported everything and run nothing, and answered with a line: the exit code (negative: the signal), and each file
operation below FOLDER. At the moment's operation, and some milliseconds after, the process kills itself with SIGKILL.
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
    """Write down each file operation below `folder`; at that of number `moment`, die `delay` seconds later, in the
    thread that is returned."""
    file, count = log.open("w", encoding="utf-8"), 0

    def die() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    death = threading.Thread(target=die)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in WATCHED or not str(arguments[0]).startswith(folder):
            return
        print(event, arguments[0], file=file, flush=True)
        if count == moment:
            death.start() if delay else die()
        count += 1

    sys.addaudithook(hook)
    return death


def run(words: list[str], folder: str, log: Path, moment: int | None, delay: float) -> int:
    """The command in a fork; its exit code."""
    child = os.fork()
    if not child:
        code = 1
        with log.with_suffix(".out").open("w", encoding="utf-8") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        try:
            death = watch(folder, log, moment, delay)
            code = hf_knowlearn.cli.main(words)
            if death.ident:  # it may come after the end, too
                death.join()
        except Exception:
            logging.exception("The command failed.")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    for number, line in enumerate(sys.stdin):
        job = json.loads(line)
        record = place / f"{number}.log"
        ended = run(job["words"], str(place), record, job.get("moment"), job.get("delay", 0.0))
        print(json.dumps({"code": ended, "log": record.read_text(encoding="utf-8").splitlines()}), flush=True)
