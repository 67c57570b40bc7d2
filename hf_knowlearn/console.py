"""Prints the messages of a command, and determines its exit code. A `ValueError` gives exit code 2."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TextIO

BITSANDBYTES = "bitsandbytes.backends.cpu.ops"
TEACH_EXAMPLE = "knowlearn teach --model MODEL --documents PATH [--questions FILE] --output_dir DIR"
_in_command = False  # whether a command of the command line runs


@dataclass
class Outcome:
    """The exit code of a command, and the function that prints its results."""

    code: int = 0

    def show(self, text: str) -> None:
        """Print `text` on the main process."""
        if _is_main_process():
            print(text, flush=True)

    def fail(self, text: str, code: int) -> None:
        """Print an error, and end the command with `code`."""
        print(f"knowlearn: {text}", file=sys.stderr)
        self.code = code


@contextmanager
def command_console(resumes: bool = True) -> Iterator[Outcome]:
    """Print log messages of this package to standard output within the block.

    A `ValueError` in the block is printed as an error message, and the exit code is then 2.

    Args:
        resumes: Whether a repeated command continues an interrupted run.
    """
    global _in_command
    outcome = Outcome()
    before_command, _in_command = _in_command, True
    _set_progress_bars()
    handler = _Handler(sys.stdout)
    logger = logging.getLogger("hf_knowlearn")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if _is_main_process() else logging.ERROR)
    # bitsandbytes 0.50 warns on every import if its faster 4-bit kernel is not installed.
    logging.getLogger(BITSANDBYTES).setLevel(logging.ERROR)
    handles_sigterm = resumes and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _exit) if handles_sigterm else None
    try:
        with warnings.catch_warnings():
            # TRL itself sets these options by their deprecated names.
            warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
            yield outcome
    except ValueError as error:
        outcome.fail(str(error), 2)
    except KeyboardInterrupt:
        resume = " Repeat the command to continue from the last checkpoint, if there is one." if resumes else ""
        print(f"\nknowlearn: stopped.{resume}", file=sys.stderr)
        outcome.code = 130  # the code that shells use for Ctrl-C
    finally:
        _in_command = before_command
        logger.removeHandler(handler)
        logger.setLevel(level)
        if handles_sigterm:
            signal.signal(signal.SIGTERM, before)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes messages above the progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm = sys.modules.get("tqdm")  # Why: without a progress bar, tqdm need not be imported
        with tqdm.tqdm.external_write_mode(self.stream) if tqdm else nullcontext():
            super().emit(record)


def spelled(option: str, value: str | None = None) -> str:
    """Return an option as the user writes it: `--empty drop` during a command, and `empty='drop'` in Python."""
    if _in_command:
        return f"--{option}" if value is None else f"--{option} {value}"
    return option if value is None else f"{option}={value!r}"


def _set_progress_bars() -> None:
    """Show progress bars on the main process only, and only for work that takes more than a second.

    This function sets environment variables that tqdm reads when it is imported.
    """
    os.environ.setdefault("TQDM_DELAY", "1")
    if not _is_main_process():
        os.environ.setdefault("TQDM_DISABLE", "1")


def _exit(*_: Any) -> None:
    """Exit with code 0. Handles SIGTERM outside of training, when all generated answers are already saved."""
    raise SystemExit(0)


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0  # torch may not be loaded yet
