"""Removes private information about the machine from a report and its recipes.

Each path is replaced by its last part. The SHA-256 of the data does not change, so users can check whether they have
the data of the run.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hf_knowlearn.hub.recipe_options import PRIVATE, SOURCES, named_values

WORLD = "world:"
OWNER_AND_NAME = re.compile(r"(hf://datasets/)?([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95})", re.ASCII)
FILE = re.compile(r"\S*[/\\]\S*\.[A-Za-z0-9]{1,8}")
DATA_FILES = tuple(
    ".txt .md .jsonl .json .csv .tsv .parquet .pdf .docx .pptx .html .htm .epub .xlsx .rst .tex .ipynb .eml".split()
)


def hub_id(source: str | None) -> str | None:
    """Return `owner/name` if the source is a repository on the Hub; None for a path or a synthetic world."""
    found = OWNER_AND_NAME.fullmatch(source or "")
    if found is None or source is None or source.endswith(DATA_FILES):
        return None
    return found[2] if found[1] or not os.path.exists(source) else None


def public_name(source: str) -> str:
    """Return the name of a source for a card: its name on the Hub, or the last part of its path."""
    return source if source.startswith(WORLD) or hub_id(source) else last_part(source)


def last_part(path: str) -> str:
    """Return the last part of a POSIX or Windows path."""
    return PureWindowsPath(path).name or PurePosixPath(path).name or "."


def redacted(report: Mapping[str, Any], private_folders: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the report with the last part of each path instead of the path. Questions and responses do not change.

    Args:
        private_folders: folders of this machine, such as the home folder. Paths below them are replaced in all texts.
    """
    recipes = {
        name: {option: value for option, value in recipe.items() if option not in PRIVATE}
        for name, recipe in report["recipes"].items()
    }
    options = chain.from_iterable(map(named_values, report["recipes"].values()))
    paths = {value for option, value in options if is_path(value, option)}
    sources = [str(data.get("source") or "").split(", ") for data in (report.get("data") or {}).values()]
    paths |= {source for source in chain.from_iterable(sources) if os.path.isabs(source)}
    # Why the longest path first: a path can contain another path.
    patterns = [re.escape(path) for path in sorted(paths, key=len, reverse=True)]
    below = r"(?:[/\\][^\s'\",;:]*|(?=[\s'\",;:]|$))"
    patterns += [re.escape(str(folder)) + below for folder in private_folders if folder != folder.parent]
    pattern = re.compile("|".join(patterns) or r"(?!)")
    result: dict[str, Any] = map_texts(
        {**report, "recipes": recipes}, lambda text: pattern.sub(lambda path: last_part(path[0]), text)
    )
    return result


def is_path(value: str, option: str = "") -> bool:
    """Return whether the value of an option is a path with at least two parts."""
    if value == last_part(value) or value.startswith((WORLD, "https://", "http://")) or hub_id(value):
        return False
    return option in SOURCES or FILE.fullmatch(value) is not None or os.path.exists(value)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of JSON data with `change` applied to every string that is not in `examples`."""
    if isinstance(value, Mapping):
        # Why not in examples: they contain questions and responses, which are published unchanged.
        return {name: item if name == "examples" else map_texts(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_texts(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
