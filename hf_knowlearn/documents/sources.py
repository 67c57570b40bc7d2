"""Sources of rows: the supported file formats, and the files and datasets that a path names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from hf_knowlearn.documents import tabular, text_files
from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.files import NamedFile, PathLike, common_folder, find_files, hub_name
from hf_knowlearn.documents.hub import hub_rows, load_split
from hf_knowlearn.documents.tabular import ColumnCheck, Rows

Paths: TypeAlias = "PathLike | Sequence[PathLike]"


@dataclass(frozen=True)
class FileFormat:
    """How to read the files of a suffix.

    Args:
        rows: function that yields the rows of a file.
        unit: what the number of a row counts.
        if_no_rows: message about a file without rows.
        if_empty: hint about an empty text, appended to its message.
        is_text: whether a file is one document, so that options for columns do not apply.
    """

    rows: Callable[[Path, ColumnCheck], Rows]
    unit: str = "row"
    if_no_rows: str = "contains no rows; remove it"
    if_empty: str = ""
    is_text: bool = False


TABLE_FORMATS = {
    ".csv": FileFormat(tabular.csv_rows, "line"),
    ".json": FileFormat(tabular.json_rows),
    ".jsonl": FileFormat(
        tabular.json_lines, "line", "contains no lines; write one JSON object per line, or remove the file"
    ),
    ".parquet": FileFormat(tabular.parquet_rows),
    ".tsv": FileFormat(tabular.tsv_rows, "line"),
}
_TEXT_FORMATS = {
    ".md": FileFormat(text_files.markdown, is_text=True),
    ".txt": FileFormat(text_files.plain_text, is_text=True),
    **dict.fromkeys(text_files.CONVERTERS, FileFormat(text_files.converted, is_text=True)),
    ".pdf": FileFormat(
        text_files.converted, if_empty=" (if its pages are images, run OCR on the file first)", is_text=True
    ),
}
DOCUMENT_FORMATS = dict(sorted({**TABLE_FORMATS, **_TEXT_FORMATS}.items()))


@dataclass(frozen=True)
class Source:
    """A file, or a split of a dataset on the Hub.

    Args:
        place: the name of the source in messages.
        name: the name of the source in ids.
        format: how it is read.
        rows: function that yields the rows.
    """

    place: str
    name: str
    format: FileFormat
    rows: Callable[[ColumnCheck], Rows]


@dataclass(frozen=True)
class HubOptions:
    """The config, split and revision of a dataset on the Hub."""

    config: str | None = None
    split: str | None = None
    revision: str | None = None


def list_paths(path: Paths) -> list[PathLike]:
    """`path` as a list. Raises ValueError if it is neither a path nor a list of paths."""
    if isinstance(path, (str, os.PathLike)):
        return [path]
    if isinstance(path, (list, tuple)) and all(isinstance(one, (str, os.PathLike)) for one in path):
        return list(path)
    raise ValueError(
        f"path must be a path, the owner/name of a dataset on the Hub, or a list of these, got {show(path)}."
    )


def describe(path: Paths) -> str:
    """The path or paths for messages, shortened."""
    paths = list_paths(path)
    named = ", ".join(str(one)[:300] for one in paths[:3])
    return named if len(paths) <= 3 else f"{named} and {len(paths) - 3} more"


def find_sources(
    path: Paths, formats: Mapping[str, FileFormat], hub: HubOptions, problems: ErrorReport
) -> list[Source]:
    """The sources that `path` names. What cannot be found or loaded is added to `problems`."""
    suffixes, paths = tuple(formats), list_paths(path)
    if not paths:
        problems.add("[]", "the list of paths is empty; give at least one path")
    names = {one: hub_name(one, suffixes) for one in paths}
    local = [one for one in paths if names[one] is None]
    if paths == local and paths and hub != HubOptions():
        problems.add(
            describe(path), "config, split and revision apply to datasets on the Hub, and this is a local path"
        )
    base = None if isinstance(path, (str, os.PathLike)) else common_folder(local)
    sources: list[Source] = []
    for one in paths:
        if name := names[one]:
            sources.extend(_hub_sources(one, name, hub, problems))
        else:
            sources.extend(_file_sources(find_files(one, suffixes, base, problems), formats, problems))
    return sources


def _file_sources(
    files: Sequence[NamedFile], formats: Mapping[str, FileFormat], problems: ErrorReport
) -> Iterator[Source]:
    if missing := text_files.missing_library([str(file) for file, _ in files]):
        problems.add(*missing)
        files = [(file, name) for file, name in files if file.suffix.lower() not in text_files.CONVERTERS]
    for file, name in files:
        file_format = formats[file.suffix.lower()]
        yield Source(str(file), name, file_format, partial(file_format.rows, file))


def _hub_sources(path: PathLike, name: str, hub: HubOptions, problems: ErrorReport) -> Iterator[Source]:
    try:
        split, dataset = load_split(name, hub.config, hub.split, hub.revision)
    except ValueError as error:
        problems.add(path, str(error))
    else:
        yield Source(f"{name}[{split}]", split, TABLE_FORMATS[".parquet"], partial(hub_rows, dataset))
