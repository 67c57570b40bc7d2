"""Writes numbers as text: shares with standard errors, counts, durations and sizes."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeGuard

NOT_EVALUATED = "not evaluated"


def known(value: object) -> TypeGuard[float]:
    """Return whether the value is a finite number.

    A figure can be None or nan, such as the loss of a diverged run or a standard error over a single document.
    """
    return isinstance(value, int | float) and isfinite(value)


def share(scores: Mapping[str, Any], name: str, absent: str = NOT_EVALUATED, sign: str = "") -> str:
    """Return the figure `name` with its standard error, such as `0.500 ± 0.100`. If it is unknown, return `absent`.

    Args:
        name: the name of the figure, such as `correct`, or its path, such as `chat.fulfilled`.
        sign: `+` puts a plus before a positive figure.
    """
    *path, name = name.split(".")
    for key in path:
        scores = scores.get(key) or {}
    value, error = scores.get(name), scores.get(f"{name}_se")
    if not known(value):
        return absent
    text = f"{value:{sign}.3f}"
    return f"{text} ± {error:.3f}" if known(error) else text


def number(figures: Mapping[str, Any], name: str, form: str = ",.0f") -> str:
    """Return the figure `name` in the given format; "" if it is unknown."""
    return format(figures[name], form) if known(figures.get(name)) else ""


def duration(seconds: float) -> str:
    """Return a duration in hours, minutes or seconds, such as `2.0 h`, `2.0 min` or `119 s`."""
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 2 * 60 else f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes in decimal units, such as `5 MB` or `1.00 GB`."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
