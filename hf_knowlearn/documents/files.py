"""Finds the local files or the dataset on the Hub that a path names.

A path that exists locally always names files. A name is looked up on the Hub only if no such path exists.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.folder_settings import SETTINGS_FILE, FolderSettings, read_settings

logger = logging.getLogger(__name__)

PathLike: TypeAlias = "str | os.PathLike[str]"

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


def find_files(
    path: PathLike,
    suffixes: Sequence[str],
    base: Path,
    problems: ErrorReport,
    is_text: Callable[[Path], bool] | None = None,
) -> list[tuple[Path, str, Mapping[str, str]]]:
    """Return the files at `path`, each with its name below `base` and its settings.

    Args:
        path: a file, or a folder. Its `hf_knowlearn.yaml` applies to documents only.
        suffixes: the supported suffixes, in lower case.
        base: the folder to which the names of the files are relative.
        problems: receives a problem if there are no such files, and the problems of `hf_knowlearn.yaml`.
        is_text: function that decides whether a file with another suffix is read. None: no such file is read.
    """
    if not os.path.exists(path):  # Why: unlike `Path.exists`, it never raises an error.
        fix = f"give a {', '.join(suffixes)} file, a folder of them, or the owner/name of a dataset on the Hub"
        place = f"no such file or folder (searched from {os.getcwd()})"
        problems.add(str(path)[:300] or "''", f"{place}; {fix}")
        return []
    entries_before = len(problems.entries)
    found = _walk(path, problems) if os.path.isdir(path) else [Path(path)]
    settings = FolderSettings()
    if os.path.isdir(path) and is_text:
        found, settings = _selected(Path(path), found, problems)
    chosen = [file for file in found if file.suffix.lower() in suffixes or (is_text and is_text(file))]
    others = [file.name for file in found if file not in set(chosen)]
    if not chosen and len(problems.entries) == entries_before:
        others_with_text = " and other files with text in UTF-8" if is_text else ""
        supported = f"supported are {', '.join(suffixes)} files{others_with_text}; hidden files are ignored"
        problems.add(path, f"no supported file, only {show(others)}; {supported}")
    elif others:
        reason = "their suffix is not supported" + (" and they are empty or not text in UTF-8" if is_text else "")
        logger.warning("Skipped in %s, because %s: %s.", path, reason, show(others))
    return [
        (file, Path(os.path.abspath(file)).relative_to(base).as_posix(), settings.of(_below(path, file)))
        for file in chosen
    ]


def _selected(folder: Path, found: Sequence[Path], problems: ErrorReport) -> tuple[list[Path], FolderSettings]:
    """Return the files that the settings of the folder include, and these settings."""
    files = [file for file in found if file.name != SETTINGS_FILE]
    if folder / SETTINGS_FILE not in found:
        return files, FolderSettings()
    settings = read_settings(folder / SETTINGS_FILE, problems)
    for glob in settings.unused([_below(folder, file) for file in files]):
        problems.add(folder / SETTINGS_FILE, f"no file matches {show(glob)}; correct or remove it")
    return [file for file in files if settings.reads(_below(folder, file))], settings


def _below(folder: PathLike, file: Path) -> str:
    return file.relative_to(folder).as_posix() if file != Path(folder) else file.name


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
