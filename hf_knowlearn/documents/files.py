"""Which files a path stands for, and which names are data sets on the Hub.

The surprising decision: what exists here is a path; only a name that does not exist here is asked for on the Hub.
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

_HUB = "hf://datasets/"
_OWNER_AND_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)


def hub_name(path: PathLike, suffixes: Sequence[str]) -> str | None:
    """`owner/name` if that is what `path` is, or None if it stands for files here."""
    if not isinstance(path, str):
        return None
    name = path.removeprefix(_HUB)
    if not _OWNER_AND_NAME.fullmatch(name):
        return None
    if path.startswith(_HUB):
        return name
    is_file = os.path.exists(path) or Path(path).suffix.lower() in suffixes
    return None if is_file else name


def folder_above(paths: Sequence[PathLike]) -> Path | None:
    """The deepest folder that holds all of several paths: below it their files have names that differ."""
    folders = [path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)) for path in paths if str(path)]
    return Path(os.path.commonpath(list(map(os.path.abspath, folders)))) if folders else None


def files_at(
    path: PathLike, suffixes: Sequence[str], base: Path | None, problems: ErrorReport
) -> list[tuple[Path, str]]:
    """(file, its name below `base`, or else below `path`) of the files to read."""
    root, read = Path(path), ", ".join(suffixes)
    if not os.fspath(path):
        problems.add("''", "an empty path would mean the current folder; write '.' for that")
    elif not os.path.exists(path):  # unlike Path.exists, never raises
        at = f" (from {os.getcwd()})" * (not root.is_absolute())
        a_folder = "a folder of them, or a data set's owner/name on the Hub"
        problems.add(str(root)[:300], f"nothing is there{at}; give a {read} file, {a_folder}")
    elif root.is_dir():
        return _files_in(root, suffixes, base, problems)
    elif root.suffix.lower() not in suffixes:
        problems.add(root, f"a file with suffix {root.suffix!r} is not read; give a {read} file or a folder of them")
    else:
        return [(root, _name_below(base, root) if base else root.name)]
    return []


def _name_below(base: Path, file: Path) -> str:
    return Path(os.path.abspath(file)).relative_to(base).as_posix()


def _files_in(
    folder: Path, suffixes: Sequence[str], base: Path | None, problems: ErrorReport
) -> list[tuple[Path, str]]:
    above = set(map(str, Path(os.path.realpath(folder)).parents))  # a link to there would lead round
    before = len(problems.numbers)
    found = list(_walk(folder, above, problems))
    chosen = [file for file in found if file.suffix.lower() in suffixes]
    others = [file.relative_to(folder).as_posix() for file in found if file.suffix.lower() not in suffixes]
    named = ", ".join(others[:5]) + f" and {len(others) - 5} more" * (len(others) > 5)
    if not chosen and len(problems.numbers) == before:
        there = f"only {named}" if others else "no file"
        problems.add(folder, f"holds {there}; read are {', '.join(suffixes)} files, and no hidden ones")
    elif others:
        logger.warning("Left unread in %s, by their suffix: %s.", folder, named)
    return [(file, _name_below(base, file) if base else file.relative_to(folder).as_posix()) for file in chosen]


def _walk(folder: Path, seen: set[str], problems: ErrorReport) -> Iterator[Path]:
    """Files below `folder`, sorted, no hidden ones; a link back up, or a second way in, isn't followed."""
    if (real := os.path.realpath(folder)) in seen:
        return
    seen.add(real)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        problems.add(folder, f"can't be opened ({error.strerror}); see who may read it")
        return
    for name in names:
        if os.path.isdir(folder / name):
            yield from _walk(folder / name, seen, problems)
        else:
            yield folder / name
