"""Defines the figures of a report and their units. The unit of a figure determines how the report shows the figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import hypot
from typing import Any

from hf_knowlearn.reports.formatting import duration, known, size


class Unit(Enum):
    """The unit of a figure."""

    SHARE = "share of questions"
    PROBABILITY = "mean probability"
    SECONDS = "seconds"
    BYTES = "bytes"
    COUNT = "count"


@dataclass(frozen=True)
class Figure:
    """A finite number with its unit.

    Args:
        n: number of questions or documents that the figure is a mean over. None if it is not a mean.
        error: standard error of the figure. None if it is unknown.

    Example:
        >>> Figure(0.5, Unit.SHARE).text.replace("\\u00a0", " "), Figure(0.012, Unit.PROBABILITY, error=0.003).text
        ('50.0 %', '0.012 ± 0.003')
    """

    value: float
    unit: Unit
    n: int | None = None
    error: float | None = None

    @property
    def text(self) -> str:
        """The figure as text for a sentence. Shares, but no other figures, are in per cent."""
        match self.unit:
            case Unit.SHARE:
                return self.short
            case Unit.PROBABILITY:
                return self.short if self.error is None else f"{self.short} ± {self.error:.3f}"
            case Unit.SECONDS:
                return duration(self.value)
            case Unit.BYTES:
                return size(self.value)
            case Unit.COUNT:
                return f"{self.value:,.0f}"

    @property
    def short(self) -> str:
        """The text of a share or probability, without its standard error."""
        return f"{100 * self.value:.1f}\u00a0%" if self.unit is Unit.SHARE else f"{self.value:.3f}"

    @property
    def short_error(self) -> str:
        """The standard error as text, or "" if the error is unknown. The error of a share is in percentage points."""
        if self.error is None:
            return ""
        return f"{100 * self.error:.1f}" if self.unit is Unit.SHARE else f"{self.error:.3f}"


def change(before: Figure | None, after: Figure | None) -> int | None:
    """Return 1 if the figure rose, -1 if it fell, and 0 if it changed by at most two standard errors.

    Return None if a figure or its standard error is unknown.
    """
    if before is None or after is None or before.error is None or after.error is None:
        return None
    assert before.unit is after.unit
    if abs(after.value - before.value) <= 2 * hypot(before.error, after.error):
        return 0
    return 1 if after.value > before.value else -1


def share_of(scores: Mapping[str, Any], name: str, n: int | None = None) -> Figure | None:
    """Return the score `name`, such as `correct` or `chat.fulfilled`, as a share, or None if the score is unknown."""
    *path, name = name.split(".")
    for key in path:
        scores = scores.get(key) or {}
    return _figure(scores, name, Unit.SHARE, n)


def knowledge_of(scores: Mapping[str, Any]) -> Figure | None:
    """Return the mean probability of knowledge tokens, or None if the probability is unknown."""
    tokens = scores.get("knowledge_tokens") or {}
    return _figure(tokens, "probability", Unit.PROBABILITY, tokens.get("documents"))


def _figure(scores: Mapping[str, Any], name: str, unit: Unit, n: int | None) -> Figure | None:
    value, error = scores.get(name), scores.get(f"{name}_se")
    return Figure(value, unit, n, error if known(error) else None) if known(value) else None
