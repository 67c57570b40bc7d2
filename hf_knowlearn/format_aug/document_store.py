"""Random access to the documents of a source, with little memory: the checked documents are written to the cache once.

Web pages, tables and archives have no random access, and checking needs all documents. Views are never written here.
"""

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock

from hf_knowlearn.documents import Document, iter_documents
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.files import common_folder, find_files, hub_name
from hf_knowlearn.documents.hub import load_split
from hf_knowlearn.documents.sources import DOCUMENT_FORMATS
from hf_knowlearn.paths import PACKAGE

FIELDS = ("id", "text", "title", "language", "part", "start")
# Options of the builder that `iter_documents` has, and their names there.
READING = {
    "text_column": "text_column",
    "id_column": "id_column",
    "title_column": "title_column",
    "empty": "empty",
    "duplicates": "duplicates",
    "near_duplicates": "near_duplicates",
    "source_config": "config",
    "source_split": "split",
    "source_revision": "revision",
}


class DocumentStore:
    """The documents of a JSON Lines file, by number. It holds 8 bytes per document in memory.

    Args:
        file: the file, with one document per line.

    Attributes:
        digest: a hash of all documents and their order.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.starts = array("q", [0])
        digest = hashlib.blake2b(digest_size=16)
        with open(file, "rb") as lines:
            for line in lines:
                digest.update(line)
                self.starts.append(self.starts[-1] + len(line))
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> Document:
        start, end = self.starts[number], self.starts[number + 1]
        # Why: opened for each document, because an open file cannot be shared by threads and processes. It costs a
        # hundredth of the time that the views take.
        with open(self.file, "rb", buffering=0) as lines:
            lines.seek(start)
            return Document(**json.loads(lines.read(end - start)))


def open_document_stores(
    options: Mapping[str, Any], cache_dir: str | os.PathLike[str] | None
) -> dict[str, DocumentStore]:
    """The documents of each split of `options["source"]`.

    Args:
        options: `source`, and those of `READING`; other options are ignored.
        cache_dir: folder to use instead of the cache of `datasets`.

    Raises:
        ValueError: lists every problem of the documents of all splits.
    """
    folder = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "format_aug" / "documents"
    reading = {name: options[option] for option, name in READING.items() if options.get(option) is not None}
    stores: dict[str, DocumentStore] = {}
    problems: list[str] = []
    for split, source, split_reading in _splits(options["source"], reading):
        try:
            stores[split] = _open(source, split_reading, folder)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return stores


def _splits(source: Any, reading: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """The name, the source and the reading options of each split."""
    if isinstance(source, Mapping):
        yield from ((split, part, reading) for split, part in source.items())
    elif isinstance(source, str) and (name := hub_name(source, tuple(DOCUMENT_FORMATS))):
        splits = [reading["split"]] if "split" in reading else _splits_on_hub(name, reading)
        yield from ((split, source, {**reading, "split": split}) for split in splits)
    else:
        yield "train", source, reading


def _splits_on_hub(name: str, reading: Mapping[str, Any]) -> list[str]:
    try:
        return datasets.get_dataset_split_names(name, reading.get("config"), revision=reading.get("revision"))
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        raise ValueError(f"source={name!r} is not an existing path, and not a dataset on the Hub: {error}") from error


def _open(source: Any, reading: Mapping[str, Any], folder: Path) -> DocumentStore:
    if _is_documents(source):
        return DocumentStore(_written_once(partial(iter, source), folder, _key_of_documents(source)))
    return DocumentStore(_written_once(partial(iter_documents, source, **reading), folder, _key(source, reading)))


def _is_documents(source: Any) -> bool:
    return (
        isinstance(source, Sequence) and not isinstance(source, str) and any(isinstance(d, Document) for d in source)
    )


def _written_once(documents: Callable[[], Iterable[Document]], folder: Path, key: str) -> Path:
    """The file of the documents with this key. The first process that needs it writes it."""
    file = folder / f"{key}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        if file.exists():
            return file
        draft = folder / f"{key}.incomplete"
        encode = json.JSONEncoder(ensure_ascii=False).encode  # Why: `json.dumps` would make an encoder per document
        try:
            with open(draft, "w", encoding="utf-8", newline="") as lines:
                for document in documents():
                    lines.write(encode({name: getattr(document, name) for name in FIELDS}) + "\n")
            os.replace(draft, file)
        finally:
            draft.unlink(missing_ok=True)
    return file


def _key_of_documents(documents: Sequence[Any]) -> str:
    if others := [d for d in documents if not isinstance(d, Document)]:
        raise ValueError(
            f"source is a list with both a Document and a {type(others[0]).__name__}: give only Documents, or only"
            " paths and names."
        )
    counts = Counter((document.id, document.part) for document in documents)
    if repeated := [id for (id, _), count in counts.items() if count > 1]:
        raise ValueError(
            f"source is a list in which several documents have the same id: {repeated[:5]}. Give each document a"
            " different id."
        )
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(ascii([getattr(document, name) for name in FIELDS]).encode())
    return digest.hexdigest()


def _key(source: Any, reading: Mapping[str, Any]) -> str:
    """A hash of what decides which documents are read: names and bytes of the files, options, and the reading code."""
    digest = hashlib.blake2b(ascii(sorted(reading.items())).encode(), digest_size=16)
    digest.update(code_hash([PACKAGE / "documents"], "markitdown").encode())  # markitdown converts PDF files
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    suffixes = tuple(DOCUMENT_FORMATS)
    local = [path for path in paths if hub_name(path, suffixes) is None]
    base = common_folder(local) if paths != [source] else None
    # Why: `iter_documents` reports these problems. They are in the key because a source with a missing path must not
    # have the key of the same source without that path.
    missing = ErrorReport("")
    for path in paths:
        if name := hub_name(path, suffixes):
            rows = load_split(name, reading.get("config"), reading.get("split"), reading.get("revision"))[1]
            digest.update(rows._fingerprint.encode())  # depends on the commit, the configuration and the split
        else:
            for file, name_in_ids in find_files(path, suffixes, base, missing):
                digest.update(ascii((name_in_ids, os.path.getsize(file))).encode())
                with open(file, "rb") as opened:
                    while block := opened.read(1 << 20):
                        digest.update(block)
    digest.update(ascii(missing.entries).encode())
    return digest.hexdigest()


def code_hash(folders: Iterable[Path], library: str) -> str:
    """A hash of all Python and TOML files in `folders`, and of the version of `library` if it is installed."""
    digest = hashlib.blake2b(digest_size=16)
    with suppress(PackageNotFoundError):
        digest.update(version(library).encode())
    for folder in folders:
        for file in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
