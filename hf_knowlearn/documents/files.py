"""Resolution of paths: the files that a path names, or the dataset on the Hub.

A path that exists locally always names files. Only a name that does not exist locally is looked up on the Hub.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from hf_knowlearn.documents.error_report import ErrorReport

logger = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"
NamedFile: TypeAlias = "tuple[Path, str]"  # a file, and its path below a base folder, for ids

_HUB = "hf://datasets/"
_OWNER_AND_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)


def hub_name(path: PathLike, suffixes: Sequence[str]) -> str | None:
    """`owner/name` if `path` names a dataset on the Hub, or None if it names local files."""
    name = path.removeprefix(_HUB) if isinstance(path, str) else ""
    if not _OWNER_AND_NAME.fullmatch(name):
        return None
    is_local = path == name and (os.path.exists(name) or Path(name).suffix.lower() in suffixes)
    return None if is_local else name


def common_folder(paths: Sequence[PathLike]) -> Path | None:
    """The deepest folder that contains all paths, or None if there are no paths."""
    folders = [path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)) for path in paths if str(path)]
    return Path(os.path.commonpath(list(map(os.path.abspath, folders)))) if folders else None


def find_files(path: PathLike, suffixes: Sequence[str], base: Path | None, problems: ErrorReport) -> list[NamedFile]:
    """The files of `path` that have one of `suffixes`.

    Args:
        path: a file or a folder.
        suffixes: the supported suffixes, in lower case.
        base: folder to which the names of the files are relative, or None for `path` itself.
        problems: receives the problem if there are no files.
    """
    root, supported = Path(path), ", ".join(suffixes)
    if not os.fspath(path):
        problems.add("''", "the path is empty; write '.' for the current folder")
    elif not os.path.exists(path):  # Why: unlike `Path.exists`, it never raises an error.
        place = "" if root.is_absolute() else f" (searched from {os.getcwd()})"
        fix = f"give a {supported} file, a folder of them, or the owner/name of a dataset on the Hub"
        problems.add(str(root)[:300], f"no such file or folder{place}; {fix}")
    elif root.is_dir():
        return _folder_files(root, suffixes, base, problems)
    elif root.suffix.lower() not in suffixes:
        fix = f"give a {supported} file or a folder of them"
        problems.add(root, f"files with the suffix {root.suffix!r} are not supported; {fix}")
    else:
        return [(root, _name_below(base, root) if base else root.name)]
    return []


def _name_below(base: Path, file: Path) -> str:
    return Path(os.path.abspath(file)).relative_to(base).as_posix()


def _folder_files(folder: Path, suffixes: Sequence[str], base: Path | None, problems: ErrorReport) -> list[NamedFile]:
    parents = set(map(str, Path(os.path.realpath(folder)).parents))  # Why: a link to one of them would be a cycle.
    entries_before = len(problems.entries)
    found = list(_walk(folder, parents, problems))
    chosen = [file for file in found if file.suffix.lower() in suffixes]
    others = [file.relative_to(folder).as_posix() for file in found if file.suffix.lower() not in suffixes]
    named = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
    if not chosen and len(problems.entries) == entries_before:
        content = f"contains only {named}" if others else "contains no files"
        problems.add(folder, f"{content}; supported are {', '.join(suffixes)} files, and hidden files are ignored")
    elif others:
        logger.warning("Skipped in %s, because their suffix is not supported: %s.", folder, named)
    return [(file, _name_below(base, file) if base else file.relative_to(folder).as_posix()) for file in chosen]


def _walk(folder: Path, visited: set[str], problems: ErrorReport) -> Iterator[Path]:
    """All files below `folder` except hidden ones, sorted by name. Each real folder is visited once."""
    if (real := os.path.realpath(folder)) in visited:
        return
    visited.add(real)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        problems.add(folder, f"cannot be opened ({error.strerror}); check its permissions")
        return
    for name in names:
        if os.path.isdir(folder / name):
            yield from _walk(folder / name, visited, problems)
        else:
            yield folder / name
