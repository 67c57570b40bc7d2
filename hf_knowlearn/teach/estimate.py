"""Estimates the remaining time of a run, from the work of its parts and the measured speed.

Work is measured in tokens of a forward pass (see `generation.progress`). Computations of one kind have one speed. If
this speed is not measured yet, the estimate uses the speed of a similar kind, or that of a forward pass.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_knowlearn.generation.progress import ANSWERS, TEXTS

TRAINING = "training"  # the kind of the training; the other kinds are those of `generation.progress`
SIMILAR = {TEXTS: ANSWERS, ANSWERS: TEXTS}
LEAST = 2.0  # seconds of a kind before its measured speed is used


@dataclass
class Part:
    """A part of a run, such as the training.

    Args:
        work: the planned work of each kind. It grows if the part does more.
        group: parts of a group do the same work. If the first of them does more than planned, the others do, too.
        done: the work that is done.
    """

    name: str
    work: dict[str, float]
    group: str = ""
    done: dict[str, float] = field(default_factory=dict)
    has_begun: bool = False
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.planned = dict(self.work)


class Estimate:
    """Estimates the remaining time of a run.

    Args:
        seconds_per_token: the duration of a forward pass, divided by its number of tokens.

    Example:
        >>> estimate = Estimate(seconds_per_token=0.01)
        >>> estimate.plan([Part("evaluation", {"answers": 1000}), Part("training", {"training": 6000})])
        >>> estimate.seconds_left()
        70.0
    """

    def __init__(self, seconds_per_token: float) -> None:
        self.seconds_per_token = seconds_per_token
        self.parts: list[Part] = []
        self.earlier = 0.0  # seconds of the sessions of the run before it was resumed
        self._part = Part("", {})
        self._measured: dict[str, tuple[float, float]] = {}  # kind -> seconds, and work done in this time
        self._growth: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
        self._start = self._last = time.monotonic()

    def plan(self, parts: Sequence[Part]) -> None:
        """Set the parts of the run. Parts that have begun stay as they are."""
        begun = {part.name: part for part in self.parts if part.has_begun}
        self.parts = [begun.get(part.name, part) for part in parts]

    def begin(self, name: str) -> Part:
        """Begin a part, and return it."""
        found = next((part for part in self.parts if part.name == name), None)
        if found is None:
            self.parts.append(found := Part(name, {}))
        found.has_begun, self._part, self._last = True, found, time.monotonic()
        return found

    def end(self, part: Part, seconds: float) -> None:
        """End a part.

        Args:
            seconds: the duration of the part in all sessions. If an earlier session did all of its work, this duration
                gives the speed of its kinds.
        """
        part.has_begun = part.has_ended = True
        total = sum(part.work.values())
        if not part.done and total and seconds >= LEAST:
            for kind, work in part.work.items():
                self._measure(kind, seconds * work / total, work)
        for kind, planned in part.planned.items():
            if part.group and planned:
                self._growth[part.group, kind] = max(1.0, part.work[kind] / planned)

    def start(self, kind: str, work: float) -> None:
        """Start a computation in the current part. If the part did not plan its work, the work of the part grows."""
        part = self._part
        part.work[kind] = max(part.work.get(kind, 0.0), part.done.get(kind, 0.0) + work)
        self._last = time.monotonic()

    def advance(self, kind: str, work: float) -> None:
        """Count work of the current part that is done, and the time since the last call."""
        now = time.monotonic()
        self._measure(kind, now - self._last, work)
        self._part.done[kind] = self._part.done.get(kind, 0.0) + work
        self._last = now

    def skip(self, kind: str, work: float) -> None:
        """Count work of the current part that an earlier session did."""
        self._part.done[kind] = self._part.done.get(kind, 0.0) + work
        self._last = time.monotonic()

    def seconds_left(self) -> float:
        """Return the estimated remaining time of the run, in seconds."""
        return sum(
            max(0.0, self._expected(part, kind) - part.done.get(kind, 0.0)) * self._seconds_per_work(kind)
            for part in self.parts
            if not part.has_ended
            for kind in part.work
        )

    def share(self) -> float:
        """Return the share of the run's time that has passed, in [0, 1]."""
        passed = self.earlier + time.monotonic() - self._start
        total = passed + self.seconds_left()
        return passed / total if total else 0.0

    def _expected(self, part: Part, kind: str) -> float:
        return part.work[kind] * (1.0 if part.has_begun else self._growth[part.group, kind])

    def _measure(self, kind: str, seconds: float, work: float) -> None:
        before = self._measured.get(kind, (0.0, 0.0))
        self._measured[kind] = before[0] + seconds, before[1] + work

    def _seconds_per_work(self, kind: str) -> float:
        for one in (kind, SIMILAR.get(kind, kind)):
            seconds, work = self._measured.get(one, (0.0, 0.0))
            if seconds >= LEAST and work > 0:
                return seconds / work
        return self.seconds_per_token
