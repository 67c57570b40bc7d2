"""What surrounds every command: what it says, and how it ends. What the user can mend ends in exit code 2."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BITSANDBYTES = "bitsandbytes.backends.cpu.ops"
TEACH_EXAMPLE = "knowlearn teach --model MODEL --documents PATH [--questions FILE] --output_dir DIR"


@dataclass
class Outcome:
    """How a command ended, and where it shows what it made."""

    code: int = 0

    def show(self, text: str) -> None:
        """Print `text` on the main process."""
        if _is_main_process():
            print(text)


@contextmanager
def command_console(resumes: bool = True) -> Iterator[Outcome]:
    """A command's surroundings: our messages on standard output, a `ValueError` as one message and exit code 2.

    `resumes`: whether the command, stopped and given again, goes on where it stopped.
    """
    outcome = Outcome()
    handler = logging.StreamHandler(sys.stdout)
    logger = logging.getLogger("hf_knowlearn")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if _is_main_process() else logging.ERROR)
    # bitsandbytes 0.50 looks for a faster 4-bit kernel whenever it is imported, and tells everyone who has none.
    logging.getLogger(BITSANDBYTES).setLevel(logging.ERROR)
    listens = resumes and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _end) if listens else None
    try:
        with warnings.catch_warnings():
            # TRL sets both by their old names itself; whoever runs this can't mend it.
            warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
            yield outcome
    except ValueError as error:
        print(f"knowlearn: {error}", file=sys.stderr)
        outcome.code = 2
    except KeyboardInterrupt:
        goes_on = " The same command goes on from the last checkpoint, if there is one." if resumes else ""
        print(f"\nknowlearn: stopped.{goes_on}", file=sys.stderr)
        outcome.code = 130  # what a shell gives a command that Ctrl-C ended
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        if listens:
            signal.signal(signal.SIGTERM, before)


def _end(*_: Any) -> None:
    """What SIGTERM does while nothing is trained: what was asked so far is written already."""
    raise SystemExit(0)


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0  # known before torch is loaded
