"""Shows the progress while files are read and converted. A large PDF file can take minutes.

On a terminal, a bar counts the files. The log names each file that takes longer than `SLOW` seconds.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TypeVar

logger = logging.getLogger(__name__)

SLOW = 5.0  # seconds
LARGE = 2_000_000  # bytes of a PDF file whose conversion takes longer than that

Source = TypeVar("Source")


def bar_of(sources: Sequence[Source], wanted: bool) -> Iterator[Source]:
    """Yield the sources. Show a progress bar if it is `wanted` and standard error is a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield from sources
        return
    from tqdm.auto import tqdm

    yield from tqdm(sources, desc="Reading files", unit="file", leave=False)


@contextmanager
def named_if_slow(file: Path) -> Iterator[None]:
    """Log the name and size of a file that takes long to read. A large PDF file is logged immediately."""
    size = file.stat().st_size

    def name_it() -> None:
        logger.info("Reading %s (%.1f MB) ...", file, size / 1e6)

    timer = Timer(SLOW, name_it)
    timer.daemon = True  # an interrupted process does not wait for it
    if file.suffix.lower() == ".pdf" and size > LARGE:
        name_it()
    else:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
