"""Finds what a path names: files, or splits of datasets on the Hub. Rows are read from them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from hf_knowlearn.documents import tabular, text_files
from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.files import PathLike, common_folder, find_files, hub_name
from hf_knowlearn.documents.folder_settings import SETTINGS_FILE
from hf_knowlearn.documents.tabular import Rows

logger = logging.getLogger(__name__)

Paths: TypeAlias = "PathLike | Sequence[PathLike]"
Formats: TypeAlias = "Mapping[str, Callable[[Path], Rows]]"  # suffix -> function that yields the rows of a file

TABLE_FORMATS: Formats = {
    ".csv": tabular.csv_rows,
    ".json": tabular.json_rows,
    ".jsonl": tabular.json_lines,
    ".parquet": tabular.parquet_rows,
    ".tsv": tabular.tsv_rows,
}
_TEXT_FORMATS: Formats = {
    ".log": text_files.plain_text,
    ".md": text_files.markdown,
    ".txt": text_files.plain_text,
    **dict.fromkeys(text_files.CONVERTERS, text_files.converted),
}
DOCUMENT_FORMATS: Formats = dict(sorted({**TABLE_FORMATS, **_TEXT_FORMATS}.items()))
_TEXT_READERS = {*_TEXT_FORMATS.values(), text_files.source_code}


REACHABLE_WITHIN = 10.0  # seconds until the Hub must answer
# Why no option is named: it has different names in Python, and the command line has none.
_ONE_SPLIT = "select one split, or give a file with the rows of one split"


@dataclass(frozen=True)
class Source:
    """A file, or a split of a dataset on the Hub.

    Args:
        place: the name of the source in messages.
        name: the name of the source in ids.
        content: the path of the file, or the loaded split.
        reader: the function that yields the rows of `content`.
        settings: the fields `language`, `title` and `views` that `hf_knowlearn.yaml` sets for the file.
    """

    place: str
    name: str
    content: Any
    reader: Callable[[Any], Rows]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_text(self) -> bool:
        """Whether the whole source is one document. The options for columns do not apply to it."""
        return self.reader in _TEXT_READERS

    @property
    def is_converted(self) -> bool:
        """Whether the source is converted to Markdown, which can take long."""
        return self.reader is text_files.converted

    def rows(self) -> Rows:
        """Yield the rows, each with its number.

        The settings replace the title and the language of a text. Values in the rows of a table have priority over
        the settings.
        """
        for number, row in self.reader(self.content):
            if self.settings and isinstance(row, dict):
                own = () if self.is_text else {name for name, value in row.items() if value is not None}
                row = {**row, **{name: value for name, value in self.settings.items() if name not in own}}
            yield number, row


def list_paths(path: Paths) -> list[PathLike]:
    """Return `path` as a list of paths."""
    return [path] if isinstance(path, (str, os.PathLike)) else list(path)


def describe(path: Paths) -> str:
    """Return the path or paths for messages, shortened."""
    return ", ".join(map(str, list_paths(path)))[:300]


def find_sources(
    path: Paths,
    formats: Formats,
    problems: ErrorReport,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> list[Source]:
    """Return the sources that `path` names. Add problems with missing or unreadable sources to `problems`.

    Args:
        path: see `read_documents`.
        formats: the supported formats of files.
        config, split, revision: as in `datasets.load_dataset`, for datasets on the Hub.
    """
    suffixes, paths = tuple(formats), [_without_settings_file(one) for one in list_paths(path)]
    names = {one: hub_name(one, suffixes) for one in paths}
    if not paths:
        problems.add("[]", "the list of paths is empty; give at least one path")
    elif (config or split or revision) and not any(names.values()):
        message = "config, split and revision apply to datasets on the Hub, and this is a local path"
        problems.add(describe(path), message)
    base = common_folder([one for one in paths if names[one] is None])
    sources: list[Source] = []
    for one in paths:
        if name := names[one]:
            try:
                chosen, dataset = _load_split(name, config, split, revision)
                sources.append(Source(f"{name}[{chosen}]", chosen, dataset, _numbered))
            except ValueError as error:
                problems.add(one, str(error))
        else:
            sources.extend(_file_sources(one, formats, base, problems))
    return sources


def _file_sources(path: PathLike, formats: Formats, base: Path, problems: ErrorReport) -> Iterator[Source]:
    """Yield the sources for the files at `path`. If the formats include texts, every file that contains text is a
    source."""
    is_text = text_files.has_text if ".txt" in formats else None
    files = find_files(path, tuple(formats), base, problems, is_text)
    suffixes = {*formats, *text_files.SOURCE_CODE}
    if unknown := [file.name for file, _, _ in files if file.suffix.lower() not in suffixes]:
        logger.warning("Read in %s as plain text, because their suffix is unknown: %s.", path, show(unknown))
    for file, name, settings in files:
        suffix = file.suffix.lower()
        other = text_files.source_code if suffix in text_files.SOURCE_CODE else text_files.plain_text
        yield Source(str(file), name, file, formats.get(suffix, other), settings)


def _without_settings_file(path: PathLike) -> PathLike:
    """Return the folder of a `hf_knowlearn.yaml` file. Return any other path unchanged."""
    return Path(path).parent if os.path.isfile(path) and Path(path).name == SETTINGS_FILE else path


def _load_split(name: str, config: str | None, split: str | None, revision: str | None) -> tuple[str, Any]:
    """Load a split of the dataset `name`, and return the name of the split and its rows.

    Raises:
        ValueError: the dataset cannot be loaded, or it has several configs or splits and none is chosen.
    """
    from datasets import get_dataset_split_names, load_dataset
    from datasets.exceptions import DatasetsError

    try:
        check_reachable(name)
        if split is None:
            split, *others = get_dataset_split_names(name, config, revision=revision)
            if others:
                raise ValueError(f"the dataset has several splits, {show([split, *others])}; {_ONE_SPLIT}")
        return split, load_dataset(name, config, split=split, revision=revision)
    except (DatasetsError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        tried = f"no such path (searched from {os.getcwd()}), and the dataset cannot be loaded from the Hub"
        raise ValueError(f"{tried}: {reason}") from error


def check_reachable(name: str) -> None:
    """Raise ValueError if the Hub cannot be reached and the dataset `name` is not in the cache.

    Why: `datasets` tries six times, with pauses, before it reports that there is no network.
    """
    import datasets
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]  # of its HTTP library

    is_cached = Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___")).is_dir()
    if constants.HF_HUB_OFFLINE or is_cached:
        return
    try:
        HfApi().dataset_info(name, timeout=REACHABLE_WITHIN)
    except HfHubHTTPError:
        return  # Why: the Hub answered, and `datasets` has a better message.
    except (HTTPError, OSError) as error:
        raise ValueError(
            f"the Hub ({constants.ENDPOINT}) cannot be reached ({error}); check the network, or give a local path"
        ) from error


def _numbered(dataset: Any) -> Rows:
    return enumerate(dataset, 1)
