"""Reports the progress of computations over rows: in a bar for each computation, or to the watcher of a run.

A run shows one bar for all of its parts. Its watcher receives the progress within the block of `watched_by`, and no
other bar is shown there.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from accelerate import PartialState
from tqdm.auto import tqdm

# Kinds of computation: responses, free texts, and forward passes without generation.
ANSWERS, TEXTS, FORWARD = "answers", "texts", "forward passes"
GENERATED = 2.0  # work of a generated token; the work of a token of a prompt is 1
FORM = "{l_bar}{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"


class Watcher(Protocol):
    """Receives the progress of computations.

    The work of a computation is measured in tokens of a forward pass. The work includes the largest possible number of
    generated tokens. If a response ends early, all of its work is done.
    """

    def starts(self, kind: str, work: float) -> None:
        """Receive the kind and the work of a computation that starts."""

    def advances(self, kind: str, work: float) -> None:
        """Receive work that is done. It is negative if a batch did not fit into memory and is computed again."""


_watchers: list[Watcher] = []


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Send the progress of all computations within the block to `watcher`, instead of showing a bar for each of them.

    Why not an argument: the measurements of a run call each other through several packages, and all of them would have
    to pass the watcher on.
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


class RowProgress:
    """The progress of one computation on this process, as a context manager.

    Args:
        label: The label of the bar. None shows no bar.
        kind: The kind of the computation.
        work: The work of each row, by row number.

    Example:
        >>> with RowProgress("Evaluating", ANSWERS, {0: 10, 1: 30}) as progress:
        ...     progress.advance(5)  # tokens of a batch with row 0
        ...     progress.finish([0])
    """

    def __init__(self, label: str | None, kind: str, work: dict[int, float]) -> None:
        self.kind, self.work, self.total = kind, work, sum(work.values())
        self.watcher = _watchers[-1] if _watchers else None
        self._reported = self._finished = 0.0
        hidden = label is None or self.watcher is not None or not PartialState().is_main_process
        self._bar = tqdm(total=len(work), desc=label, unit="row", disable=hidden, bar_format=FORM)

    def __enter__(self) -> "RowProgress":
        if self.watcher and self.work:
            self.watcher.starts(self.kind, self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, work: float) -> None:
        """Report work of the current batch."""
        self._reported += work
        if self.watcher:
            self.watcher.advances(self.kind, work)
        else:
            # Why the minimum: the sum of the parts of a row can exceed it by a rounding error, which tqdm warns of.
            self._bar.update(min(len(self.work) * work / self.total, len(self.work) - self._bar.n))

    def finish(self, rows: Iterable[int]) -> None:
        """Report that the current batch has finished these rows, or no rows if the batch did not fit into memory."""
        self._finished += sum(self.work[row] for row in rows)
        self.advance(self._finished - self._reported)


def work_of(lengths: Sequence[int], generated: Sequence[int]) -> list[float]:
    """Return the work of each row, from the number of its tokens and the largest number of its generated tokens."""
    return [length + GENERATED * new for length, new in zip(lengths, generated, strict=True)]
