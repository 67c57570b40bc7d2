"""Detection of exact and near duplicates among documents, with MinHash for the near ones (Broder 1997)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from importlib.util import find_spec
from itertools import islice
from typing import Any, cast

from hf_knowlearn.documents.document import Document, show
from hf_knowlearn.documents.text_files import EXTRA

SHINGLE = 5  # words per shingle, as in FineWeb (arXiv 2406.17557, §3.4)
PERMUTATIONS = 128
MAX_MISS_RATE = 1e-4  # highest probability that a pair at the threshold is not compared

# Scripts without spaces between words, where each character counts as a word: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def shingles(text: str) -> Iterator[str]:
    """All runs of `SHINGLE` words, without case and punctuation. A shorter text is one shingle."""
    words = WORD.findall(text.casefold()) or [text.strip()]
    return (" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1)))


def similarity(first: str, second: str) -> float:
    """Jaccard similarity of the shingles of two texts, in [0, 1]."""
    one, other = set(shingles(first)), set(shingles(second))
    return len(one & other) / len(one | other)


class DuplicateIndex:
    """The documents seen so far.

    Exact duplicates are found by a digest of the text. Near duplicates need the texts of all documents in memory.

    Args:
        threshold: least similarity of near duplicates, or None to find exact duplicates only.
    """

    def __init__(self, threshold: float | None) -> None:
        self._ids: dict[bytes, str] = {}  # digest of a text -> id of the first document with that text
        self._near = None if threshold is None else _NearDuplicates(threshold)

    def add(self, document: Document) -> str | None:
        """Add a document. If it duplicates an earlier one, return a message that names both."""
        digest = blake2b(document.text.strip().encode(), digest_size=16).digest()
        if digest in self._ids:
            return f"{document.id!r} has the same text as {self._ids[digest]!r}"
        self._ids[digest] = document.id
        return self._near.add(document) if self._near else None


class _NearDuplicates:
    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self.threshold = threshold
        self.documents: list[Document] = []
        self.index = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(threshold))

    def add(self, document: Document) -> str | None:
        sketch = _sketch(document.text)
        # Why: MinHash only proposes pairs. The exact similarity decides, so a hash collision drops no document.
        for number in sorted(self.index.query(sketch)):
            other = self.documents[number]
            if (score := similarity(document.text, other.text)) >= self.threshold:
                return f"{document.id!r} has a similarity of {score:.2f} to {other.id!r}"
        self.index.insert(len(self.documents), sketch)
        self.documents.append(document)
        return None


def _bands(threshold: float) -> tuple[int, int]:
    """(bands, rows) with as few proposals as possible. A pair of similarity s is missed with (1 - s^rows)^bands."""
    rows = max(
        r for r in range(1, PERMUTATIONS // 2 + 1) if (1 - threshold**r) ** (PERMUTATIONS // r) <= MAX_MISS_RATE
    )
    return PERMUTATIONS // rows, rows


def _sketch(text: str) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS)
    encoded = (shingle.encode() for shingle in shingles(text))
    while batch := list(islice(encoded, 8192)):  # Why: each shingle takes 0.5 kB of memory while it is hashed.
        sketch.update_batch(batch)
    return sketch


def threshold_problems(threshold: object) -> Iterator[str]:
    """The problems of a value of the option `near_duplicates`."""
    if type(threshold) not in (int, float) or not 0.5 <= cast(float, threshold) <= 1:
        yield f"near_duplicates must be None or a similarity from 0.5 to 1, such as 0.8, got {show(threshold)}"
    elif find_spec("datasketch") is None:
        yield f"near_duplicates requires datasketch, which is not installed: {EXTRA}"
