"""Writes the documents of a source to an Arrow file in the cache, after checking them. The cache contains no views.

Why: rows of an Arrow file can be read in any order with little memory. Web pages, tables and archives can only be read
from the beginning.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError, DatasetsError

from hf_knowlearn.documents import Document, iter_documents
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.files import hub_name
from hf_knowlearn.documents.sources import DOCUMENT_FORMATS, check_reachable, find_sources
from hf_knowlearn.paths import PACKAGE

FIELDS = {"id": "string", "text": "string", "title": "string", "language": "string", "part": "int64", "start": "int64"}
# Option of the builder -> the name of this option in `iter_documents`.
READING = {
    "text_column": "text_column",
    "id_column": "id_column",
    "title_column": "title_column",
    "empty": "empty",
    "duplicates": "duplicates",
    "source_config": "config",
    "source_split": "split",
    "source_revision": "revision",
}


def open_documents(
    options: Mapping[str, Any], cache_dir: str | os.PathLike[str] | None
) -> dict[str, datasets.Dataset]:
    """Return the documents of each split of `options["source"]`, as rows with the columns of `FIELDS`.

    The first process that needs the documents writes the cache file. The fingerprint of a split depends on the
    documents.

    Args:
        options: `source` and the options in `READING`. Other options are ignored.
        cache_dir: folder to use instead of the cache of `datasets`.

    Raises:
        ValueError: some documents are invalid. The message lists all problems of all splits.
    """
    folder = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "format_aug" / "documents"
    reading = {name: options[option] for option, name in READING.items() if options.get(option) is not None}
    # Why: the option is not in `READING`, because it also changes the rows of a source that is a list of documents.
    reading |= {"language": options["language"]} if options.get("language") else {}
    opened: dict[str, datasets.Dataset] = {}
    problems: list[str] = []
    for split, source, split_reading in _splits(options["source"], reading):
        try:
            if isinstance(source, list | tuple) and source and isinstance(source[0], Document):
                opened[split] = _written_once(partial(iter, source), folder, _key_of_documents(source))
            else:
                read = partial(iter_documents, source, **split_reading)
                opened[split] = _written_once(read, folder, _key(source, split_reading))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return opened


def _splits(source: Any, reading: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield the name, the source and the reading options of each split."""
    if isinstance(source, Mapping):
        yield from ((split, part, reading) for split, part in source.items())
    elif isinstance(source, str) and (name := hub_name(source, tuple(DOCUMENT_FORMATS))):
        splits = [reading.get("split", "train")]
        if "split" not in reading:
            with suppress(DatasetsError, OSError, ValueError):  # Why: the reader reports the error.
                check_reachable(name)
                splits = datasets.get_dataset_split_names(
                    name, reading.get("config"), revision=reading.get("revision")
                )
        yield from ((split, source, {**reading, "split": split}) for split in splits)
    else:
        yield "train", source, reading


def _written_once(documents: Callable[[], Iterable[Document]], folder: Path, key: str) -> datasets.Dataset:
    def rows() -> Iterator[dict[str, Any]]:
        return ({name: getattr(document, name) for name in FIELDS} for document in documents())

    try:
        return datasets.Dataset.from_generator(
            rows,
            features=datasets.Features({name: datasets.Value(type) for name, type in FIELDS.items()}),
            cache_dir=str(folder),
            fingerprint=key,
            writer_batch_size=64,  # number of documents in memory
        )
    except DatasetGenerationError as error:  # Why: `datasets` hides the message of the reader.
        raise error.__cause__ or error from None


def _key_of_documents(documents: Sequence[Document]) -> str:
    counts = Counter((document.id, document.part) for document in documents)
    if repeated := [id for (id, _), count in counts.items() if count > 1]:
        raise ValueError(
            f"source: several documents in the list have the same id: {repeated[:5]}. Give each document a different"
            " id."
        )
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(ascii([getattr(document, name) for name in FIELDS]).encode())
    return digest.hexdigest()


def _key(source: Any, reading: Mapping[str, Any]) -> str:
    """Return a hash of everything that determines the documents: names and bytes of the files, options, and the code
    that reads them."""
    digest = hashlib.blake2b(ascii(sorted(reading.items())).encode(), digest_size=16)
    for (
        library
    ) in "docutils mammoth markdownify markitdown pdfplumber py3langid pylatexenc python-pptx resiliparse".split():
        digest.update(code_hash([PACKAGE / "documents"], library).encode())
    hub = {name: reading.get(name) for name in ("config", "split", "revision")}
    # Why: `iter_documents` reports these problems. The key includes them because a source with a missing path must not
    # have the key of the same source without this path.
    problems = ErrorReport("")
    for found in find_sources(source, DOCUMENT_FORMATS, problems, **hub):
        digest.update(ascii((found.name, sorted(found.settings.items()))).encode())
        if isinstance(found.content, Path):
            with open(found.content, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        else:
            digest.update(found.content._fingerprint.encode())  # depends on the commit, the config and the split
    digest.update(ascii(problems.entries).encode())
    return digest.hexdigest()


def code_hash(folders: Iterable[Path], library: str) -> str:
    """Return a hash of all Python and TOML files in `folders`, and of the version of `library` if it is installed."""
    digest = hashlib.blake2b(digest_size=16)
    with suppress(PackageNotFoundError):
        digest.update(version(library).encode())
    for folder in folders:
        for file in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
