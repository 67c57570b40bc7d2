"""The real documents of the benchmarks, and more documents made of them.

Additional documents are pairs of real texts, or texts with a number appended. No two are the same, because a reader
reports duplicates, and the benchmark would measure these reports.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from measuring import MB, ROOT

DATA = ROOT.parent / "shared" / "data"
PART = 2000  # characters of a part of a book


def film(data: Path, most: int | None = None) -> list:
    """The documents on films: short, one paragraph each."""
    from hf_knowlearn.documents import read_documents

    return read_documents(_there(data / "film" / "documents.jsonl"))[:most]


def books(data: Path, most: int | None = None) -> list:
    """The books in parts of up to `PART` characters, without the header above the first `---`."""
    from hf_knowlearn.documents import Document, split_document

    parts: list = []
    for name, text in book_texts(data):
        parts += split_document(Document(name, text, title=name.replace("_", " ")), len, PART)
    return [part for part in parts if part.text.strip()][:most]


def book_texts(data: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of each book."""
    for file in sorted(_there(data / "books").glob("*.md")):
        header, line, text = file.read_text(encoding="utf-8").partition("\n---\n")
        yield file.stem, text if line else header


def _there(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"{path} does not exist. Name the folder that contains film/ and books/ with --data.")
    return path


def pairs(ones: Sequence, others: Sequence) -> Iterator[tuple[str, str]]:
    """(text, title) of different pairs: a document of `ones`, and one of `others` as its next paragraph."""
    for block in range(len(others)):
        for place, one in enumerate(ones):
            other = others[(block + place + 1) % len(others)]
            yield f"{one.text.strip()}\n\n{other.text.strip()}", other.title
    raise ValueError(f"{len(ones)} and {len(others)} documents make no more pairs. Choose fewer MB.")


def numbered(documents: Sequence) -> Iterator[tuple[str, str]]:
    """(text, title): the documents in a loop, each with a number appended."""
    for number, document in enumerate(cycle(documents)):
        yield f"{document.text} ({number})", document.title


def write(file: Path, texts: Iterator[tuple[str, str]], megabytes: float) -> int:
    """Write texts and titles with new ids to a `.jsonl` of `megabytes` MB. Returns the number of documents."""
    written = number = 0
    with open(file, "w", encoding="utf-8") as lines:
        while written < megabytes * MB:
            text, title = next(texts)
            line = json.dumps({"id": f"made-{number}", "title": title, "text": text}, ensure_ascii=False) + "\n"
            lines.write(line)
            written += len(line.encode())
            number += 1
    return number
