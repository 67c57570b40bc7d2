"""Code that all converters of files use: the class of the result, the check of installed packages, and the search for
the first heading."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, TypeAlias

from hf_knowlearn.documents.block_rules import FRONT_MATTER

EXTRA = 'pip install ".[documents]" in a checkout of hf_knowlearn'


class Converted(NamedTuple):
    """The text of a file, and its title or an empty string."""

    text: str
    title: str


Converter: TypeAlias = Callable[[Path], Converted]


def require_packages(*names: str) -> None:
    """Raise ValueError if a package of the extra `documents` is not installed."""
    for name in names:
        try:
            import_module(name)
        except ImportError:
            raise ValueError(f"this format requires {name}; install it: {EXTRA}") from None


def cannot_convert(error: Exception) -> ValueError:
    """Return the error for a file that a library could not convert."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ValueError(f"cannot be converted ({reason}); check that another program can open it")


def first_heading(text: str) -> str:
    """Return the first `# ` heading outside of fenced code and front matter, or an empty string."""
    fenced = False
    for line in re.split(r"\r\n?|\n", FRONT_MATTER.sub("", text, count=1)):
        if line.startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and line.startswith("# ") and (heading := line[2:].strip().rstrip("#").strip()):
            return heading
    return ""
