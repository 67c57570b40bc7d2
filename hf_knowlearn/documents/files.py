"""Finds the files that a path names, or the dataset on the Hub.

A path that exists locally always names files. A name is looked up on the Hub only if no such path exists.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.error_report import ErrorReport

logger = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"
NamedFile: TypeAlias = "tuple[Path, str]"  # a file, and its path below a base folder, for ids

_HUB = "hf://datasets/"
_OWNER_AND_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)


def hub_name(path: PathLike, suffixes: Sequence[str]) -> str | None:
    """Return `owner/name` if `path` names a dataset on the Hub, or None if it names local files."""
    name = path.removeprefix(_HUB) if isinstance(path, str) else ""
    if not _OWNER_AND_NAME.fullmatch(name):
        return None
    is_local = path == name and (os.path.exists(name) or Path(name).suffix.lower() in suffixes)
    return None if is_local else name


def common_folder(paths: Sequence[PathLike]) -> Path:
    """Return the deepest folder that contains all paths."""
    folders = [path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)) for path in paths]
    return Path(os.path.commonpath(list(map(os.path.abspath, folders or ["."]))))


def find_files(path: PathLike, suffixes: Sequence[str], base: Path, problems: ErrorReport) -> list[NamedFile]:
    """Return the files at `path` that have one of `suffixes`.

    Args:
        path: a file or a folder.
        suffixes: the supported suffixes, in lower case.
        base: the folder to which the names of the files are relative.
        problems: receives a problem if there are no such files.
    """
    if not os.path.exists(path):  # Why: unlike `Path.exists`, it never raises an error.
        fix = f"give a {', '.join(suffixes)} file, a folder of them, or the owner/name of a dataset on the Hub"
        place = f"no such file or folder (searched from {os.getcwd()})"
        problems.add(str(path)[:300] or "''", f"{place}; {fix}")
        return []
    entries_before = len(problems.entries)
    found = _walk(path, problems) if os.path.isdir(path) else [Path(path)]
    chosen = [file for file in found if file.suffix.lower() in suffixes]
    others = [file.name for file in found if file.suffix.lower() not in suffixes]
    if not chosen and len(problems.entries) == entries_before:
        supported = f"supported are {', '.join(suffixes)} files, and hidden files are ignored"
        problems.add(path, f"no supported file, only {show(others)}; {supported}")
    elif others:
        logger.warning("Skipped in %s, because their suffix is not supported: %s.", path, show(others))
    return [(file, Path(os.path.abspath(file)).relative_to(base).as_posix()) for file in chosen]


def _walk(folder: PathLike, problems: ErrorReport) -> list[Path]:
    """Return all files below `folder`, sorted by name, without hidden files. Each folder is visited only once."""

    def report(error: OSError) -> None:
        problems.add(error.filename, f"cannot be opened ({error.strerror}); check its permissions")

    found: list[Path] = []
    visited = set(map(str, Path(os.path.realpath(folder)).parents))  # Why: a link to one would be a cycle.
    for parent, folders, names in os.walk(folder, onerror=report, followlinks=True):
        real = os.path.realpath(parent)
        is_new = real not in visited
        visited.add(real)
        folders[:] = sorted(name for name in folders if is_new and not name.startswith("."))
        found.extend(Path(parent, name) for name in names if is_new and not name.startswith("."))
    return sorted(found, key=lambda file: file.parts)
