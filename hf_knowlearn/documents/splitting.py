"""Cutting: a long document in parts that tile it, each as long as a model can take (greedy, sentence by sentence).

The surprising decision: a part keeps its white space, so the parts joined are the document, character for character.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import copy

from hf_knowlearn.documents.document import Document, show

# A paragraph's end, or sentence-final punctuation with its closing quotes. The full-width kind (the ideographic stop,
# \uff01 and \uff1f) needs no white space after it.
_SENTENCE_END = re.compile(r"""\n\s*\n\s*|[.!?]["'”’»)\]*_]*\s+|[。\uff01\uff1f]["'”’」』\uff09]*\s*""")
_WORD = re.compile(r"\S+\s*")


def split_document(document: Document, length: Callable[[str], int], limit: int) -> list[Document]:
    """The document in parts of at most `limit` by `length` (tokens of a text), which joined are the document again.

    Parts end where a sentence does; within a sentence that is too long, at white space; within such a word, anywhere.
    White space stays with the part before it; only a run of it that is over `limit` can make a part without a word.
    `length` is called a handful of times a part, on texts of about a part's size, however long the document.
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be a whole number of at least 1, got {show(limit)}.")
    text = document.text
    if _fits(text, 0, len(text), length, limit):
        return [document]
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    ends += [len(text)] * (ends[-1:] != [len(text)])
    parts: list[Document] = []
    start, reach = 0, 4 * limit  # in characters; an English token has about 4
    while start < len(text):
        end = _part_end(text, start, ends, reach, length, limit)
        if end is None:
            where = f"character {start} ({text[start]!r}) of document {show(document.id)}"
            raise ValueError(f"A limit of {limit} is too small: {where} measures {length(text[start])}. Raise it.")
        parts.append(_part(document, len(parts), start, end))
        start, reach = end, end - start
    return parts


def _part(document: Document, number: int, start: int, end: int) -> Document:
    part = copy(document)  # not `replace`: a part may be a mere run of white space, which is no document of its own
    changes = {"text": document.text[start:end], "part": document.part + number, "start": document.start + start}
    vars(part).update(changes)
    return part


def _part_end(
    text: str, start: int, ends: Sequence[int], reach: int, length: Callable[[str], int], limit: int
) -> int | None:
    """The farthest end of the part from `start`: of a sentence, else of a word, else anywhere; None if none fits."""

    def farthest(places: Sequence[int], first: int = 0) -> int | None:
        return _last_fitting(lambda end: _fits(text, start, end, length, limit), places, first, start + reach)

    # Words are looked for near by only, or a line of 50 MB would be searched to its end for each of its parts.
    near = text[start : start + 8 * limit]
    word = start + len(near) - len(near.lstrip())
    sentence = bisect_right(ends, word)  # the first end with a word before it
    if (end := farthest(ends, sentence)) is not None:
        return end
    stop = min(ends[sentence] if sentence < len(ends) else len(text), start + 8 * limit)
    words = [match.end() for match in _WORD.finditer(text, word, stop)]
    if stop not in (len(text), *ends[sentence : sentence + 1]):
        words = words[:-1]  # it goes on beyond `stop`
    end = farthest(words)
    return farthest(range(start + 1, stop + 1)) if end is None else end


def _fits(text: str, start: int, end: int, length: Callable[[str], int], limit: int) -> bool:
    """Whether `length` of the slice is within `limit`; of a very long slice only its beginning is measured."""
    probe = start + 8 * limit
    while probe < end:
        if length(text[start:probe]) > 1.5 * limit + 1:  # a longer text may have a few tokens less, but not a third
            return False
        probe = start + 4 * (probe - start)
    return length(text[start:end]) <= limit


def _last_fitting(fits: Callable[[int], bool], places: Sequence[int], first: int, guess: int) -> int | None:
    """The last of the ascending `places[first:]` that fits: exponential search from `guess`, then bisection."""
    low, high, step = first - 1, len(places), 1
    index = max(bisect_right(places, guess) - 1, first)
    while high - low > 1:
        if fits(places[index]):
            low = index
        else:
            high = index
        middle = (low + high) // 2
        index = min(middle, low + step) if low >= first else max(middle, high - step)
        step *= 2
    return places[low] if low >= first else None


TokenLengths = Callable[[list[str]], list[int]]
