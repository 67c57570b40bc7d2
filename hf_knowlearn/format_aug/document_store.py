"""Documents by number: any of them can be had without the others, so that an order over them needs no memory of them.

Pages, tables and archives can't be entered in the middle, and to check documents all must be read. The surprising
decision: whatever they come from, they are copied once, checked, to lines of a file in the cache. Views never are.
"""

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock

from hf_knowlearn.documents import Document, iter_documents
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.files import files_at, folder_above, hub_name
from hf_knowlearn.documents.hub import load_split
from hf_knowlearn.documents.reading import DOCUMENTS
from hf_knowlearn.paths import PACKAGE

FIELDS = ("id", "text", "title", "language", "part", "start")
# Options of the builder that are those of `iter_documents`, by their names there.
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
    """The documents in a file of one a line. 8 bytes of each are kept in memory.

    `digest` is another whenever one of them is, or their order.
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
        # Opened anew for each: it costs a hundredth of telling a document, and is safe among threads and processes.
        with open(self.file, "rb", buffering=0) as lines:
            lines.seek(start)
            return Document(**json.loads(lines.read(end - start)))


def open_document_stores(
    options: Mapping[str, Any], cache_dir: str | os.PathLike[str] | None
) -> dict[str, DocumentStore]:
    """The shelf of each split of the source.

    Raises:
        ValueError: all that is wrong with a split's documents.
    """
    folder = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "format_aug" / "documents"
    reading = {there: options[here] for here, there in READING.items() if options.get(here) is not None}
    shelves: dict[str, DocumentStore] = {}
    problems: list[str] = []
    for split, source, own in _splits(options["source"], reading):
        try:
            shelves[split] = _open(source, own, folder)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return shelves


def _splits(source: Any, reading: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(name of the split, where it is, how it is read). The splits of a data set on the Hub keep their names."""
    if isinstance(source, Mapping):
        yield from ((split, part, reading) for split, part in source.items())
    elif isinstance(source, str) and (name := hub_name(source, tuple(DOCUMENTS))):
        splits = [reading["split"]] if "split" in reading else _splits_on_hub(name, reading)
        yield from ((split, source, {**reading, "split": split}) for split in splits)
    else:
        yield "train", source, reading


def _splits_on_hub(name: str, reading: Mapping[str, Any]) -> list[str]:
    try:
        return datasets.get_dataset_split_names(name, reading.get("config"), revision=reading.get("revision"))
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        raise ValueError(f"{name!r} is no path here, and as a data set on the Hub: {error}") from error


def _open(source: Any, reading: Mapping[str, Any], folder: Path) -> DocumentStore:
    if _is_documents(source):
        return DocumentStore(_copy(partial(iter, source), folder, _key_of_documents(source)))
    return DocumentStore(_copy(partial(iter_documents, source, **reading), folder, _key(source, reading)))


def _is_documents(source: Any) -> bool:
    return (
        isinstance(source, Sequence) and not isinstance(source, str) and any(isinstance(d, Document) for d in source)
    )


def _copy(documents: Callable[[], Iterable[Document]], folder: Path, key: str) -> Path:
    """The file of the documents that `key` stands for; written by the first process that wants it, whole or not."""
    file = folder / f"{key}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{key}.lock"):
        if file.exists():
            return file
        draft = folder / f"{key}.incomplete"
        encode = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make an encoder for each
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
            f"A list of documents holds a {type(others[0]).__name__}: give documents alone, or paths alone."
        )
    counts = Counter((document.id, document.part) for document in documents)
    if twice := [id for (id, _), count in counts.items() if count > 1]:
        raise ValueError(f"The list of documents gives ids more than once: {twice[:5]}. Give each document its own.")
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(ascii([getattr(document, name) for name in FIELDS]).encode())
    return digest.hexdigest()


def _key(source: Any, reading: Mapping[str, Any]) -> str:
    """What stands for the documents that would be read: names and bytes of files, and the code that reads them."""
    digest = hashlib.blake2b(ascii(sorted(reading.items())).encode(), digest_size=16)
    for code in sorted((PACKAGE / "documents").rglob("*.py")):
        digest.update(code.read_bytes())
    digest.update(_version("markitdown").encode())  # which makes text of a .pdf
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    suffixes = tuple(DOCUMENTS)
    here = [path for path in paths if hub_name(path, suffixes) is None]
    base = folder_above(here) if paths != [source] else None
    unread = ErrorReport("")  # reading tells of them; here they only keep this from being the key of fewer paths
    for path in paths:
        if name := hub_name(path, suffixes):
            rows = load_split(name, reading.get("config"), reading.get("split"), reading.get("revision"))[1]
            digest.update(rows._fingerprint.encode())  # made of the commit, the configuration and the split
        else:
            for file, known_as in files_at(path, suffixes, base, unread):
                digest.update(ascii((known_as, os.path.getsize(file))).encode())
                with open(file, "rb") as opened:
                    while block := opened.read(1 << 20):
                        digest.update(block)
    digest.update(ascii(unread.numbers).encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
