"""Copies: documents that say what an earlier one says, word for word or nearly (MinHash, Broder 1997).

The surprising decision: MinHash only proposes. A pair counts as near duplicates when the exact Jaccard similarity of
their shingles is at the threshold or above, so that no document is dropped for a chance collision.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from typing import Any, cast

from hf_knowlearn.documents.digests import Digests
from hf_knowlearn.documents.document import Document, show
from hf_knowlearn.documents.text_files import EXTRA

SHINGLE = 5  # words, as FineWeb takes them (arXiv 2406.17557, §3.4)
PERMUTATIONS = 128
MISSED = 1e-4  # the greatest chance that a pair just at the threshold is not proposed

# Scripts written without spaces between words: there, a character is a word. Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def shingles(text: str) -> Iterator[str]:
    """Every five words in a row, whatever their case and what stands between them; all words of a shorter text."""
    words = WORD.findall(text.casefold()) or [text.strip()]
    return (" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1)))


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of two texts: the share of their shingles, taken together, that both have."""
    ours, theirs = set(shingles(one)), set(shingles(other))
    return len(ours & theirs) / len(ours | theirs)


class Copies:
    """The documents met so far. To know an exact copy costs some 60 bytes and the id; a near one, all the texts."""

    def __init__(self, threshold: float | None) -> None:
        self._texts = Digests()
        # The ids of the first to have each text, end to end: objects would take more than the digests do.
        self._ids, self._ends = bytearray(), array("q", [0])
        self._near = None if threshold is None else _Near(threshold)

    def original(self, document: Document) -> str | None:
        """What `document` is a copy of, in words, or None; then it is remembered."""
        new = len(self._texts)
        if (first := self._texts.first(document.text.strip(), new)) != new:
            return f"{document.id!r} has the text of {self._id(first)!r}"
        self._ids += document.id.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._ids))
        return self._near.original(document) if self._near else None

    def _id(self, number: int) -> str:
        return self._ids[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogatepass")


class _Near:
    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self.threshold = threshold
        self.documents: list[Document] = []
        bands, rows = _bands(threshold)
        self.index = MinHashLSH(num_perm=PERMUTATIONS, params=(bands, rows))

    def original(self, document: Document) -> str | None:
        sketch = _sketch(document.text)
        for number in sorted(self.index.query(sketch)):
            other = self.documents[number]
            if (alike := similarity(document.text, other.text)) >= self.threshold:
                return f"{document.id!r} is {alike:.2f} like {other.id!r}"
        self.index.insert(len(self.documents), sketch)
        self.documents.append(document)
        return None


def _bands(threshold: float) -> tuple[int, int]:
    """(bands, rows) with few proposals: of the pairs of similarity s, (1 - s^rows)^bands are missed."""
    rows = max(r for r in range(1, PERMUTATIONS // 2 + 1) if (1 - threshold**r) ** (PERMUTATIONS // r) <= MISSED)
    return PERMUTATIONS // rows, rows


def _sketch(text: str) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS)
    encoded = (shingle.encode() for shingle in shingles(text))
    while some := list(islice(encoded, 8192)):  # each takes half a kilobyte while it is hashed
        sketch.update_batch(some)
    return sketch


def wrong_threshold(threshold: object) -> Iterator[str]:
    if type(threshold) not in (int, float) or not 0.5 <= cast(float, threshold) <= 1:
        yield f"near_duplicates must be None or a similarity from 0.5 to 1, such as 0.8, got {show(threshold)}"
    elif find_spec("datasketch") is None:
        yield f"near_duplicates needs datasketch, which is not installed: {EXTRA}"
