"""Splits long documents into parts that fit a model. The joined parts equal the document."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import copy

from hf_knowlearn.documents.document import Document, show

TokenLengths = Callable[[list[str]], list[int]]  # texts -> number of tokens of each

# The end of a paragraph, or sentence-final punctuation with its closing quotes. Full-width punctuation (the
# ideographic full stop, \uff01 and \uff1f) needs no white space after it.
_SENTENCE_END = re.compile(r"""\n\s*\n\s*|[.!?]["'”’»)\]*_]*\s+|[。\uff01\uff1f]["'”’」』\uff09]*\s*""")
_WORD = re.compile(r"\S+\s*")


def split_document(document: Document, length: Callable[[str], int], limit: int) -> list[Document]:
    """Split a document into parts of at most `limit`. Each part is as long as possible.

    A part ends at the end of a sentence if a whole sentence fits, otherwise at white space. If there is no white
    space, it can end anywhere. White space belongs to the part before it. `length` is called a few times per part, on
    texts of about the size of a part.

    Args:
        document: the document. If it fits, it is returned unchanged.
        length: a function that returns the length of a text, usually its number of tokens.
        limit: the largest length of a part, at least 1.

    Returns:
        The parts in order, with `part` and `start` set. A part without a word is possible only if the document has a
        run of white space that is longer than `limit`.

    Raises:
        ValueError: `limit` is not a positive integer, or it is too small for a single character.

    Example:
        >>> document = Document("mill", "The mill grinds rye. It is old.")
        >>> parts = split_document(document, lambda text: len(text.split()), limit=4)
        >>> [(part.text, part.part, part.start) for part in parts]
        [('The mill grinds rye. ', 0, 0), ('It is old.', 1, 21)]
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be an integer of at least 1, got {show(limit)}.")
    text = document.text
    if _fits(text, 0, len(text), length, limit):
        return [document]
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if ends[-1:] != [len(text)]:
        ends.append(len(text))
    parts: list[Document] = []
    start, reach = 0, 4 * limit  # Why: an English token has about 4 characters.
    while start < len(text):
        end = _part_end(text, start, ends, reach, length, limit)
        if end is None:
            place = f"character {start} ({text[start]!r}) of document {show(document.id)}"
            raise ValueError(f"limit={limit} is too small: {place} has length {length(text[start])}. Increase limit.")
        parts.append(_part(document, len(parts), start, end))
        start, reach = end, end - start
    return parts


def _part(document: Document, number: int, start: int, end: int) -> Document:
    part = copy(document)  # Why: `replace` would raise an error for a part that contains only white space.
    changes = {"text": document.text[start:end], "part": document.part + number, "start": document.start + start}
    vars(part).update(changes)
    return part


def _part_end(
    text: str, start: int, ends: Sequence[int], reach: int, length: Callable[[str], int], limit: int
) -> int | None:
    """Return the farthest possible end of a part that begins at `start`. None: not even one character fits."""

    def farthest(places: Sequence[int], first: int = 0) -> int | None:
        return _last_fitting(lambda end: _fits(text, start, end, length, limit), places, first, start + reach)

    # Why: only the next characters are searched for words, or a line of 50 MB would be searched once for each part.
    near = text[start : start + 8 * limit]
    word = start + len(near) - len(near.lstrip())
    sentence = bisect_right(ends, word)  # the first end with a word before it
    if (end := farthest(ends, sentence)) is not None:
        return end
    stop = min(ends[sentence] if sentence < len(ends) else len(text), start + 8 * limit)
    words = [match.end() for match in _WORD.finditer(text, word, stop)]
    if stop not in (len(text), *ends[sentence : sentence + 1]):
        words = words[:-1]  # Why: the last word may continue beyond `stop`.
    end = farthest(words)
    return farthest(range(start + 1, stop + 1)) if end is None else end


def _fits(text: str, start: int, end: int, length: Callable[[str], int], limit: int) -> bool:
    """Return whether the slice has at most length `limit`. Measure only the beginning of a very long slice."""
    probe = start + 8 * limit
    while probe < end:
        if length(text[start:probe]) > 1.5 * limit + 1:  # Why: a longer text may have a few tokens less, but not 1/3.
            return False
        probe = start + 4 * (probe - start)
    return length(text[start:end]) <= limit


def _last_fitting(fits: Callable[[int], bool], places: Sequence[int], first: int, guess: int) -> int | None:
    """Return the last of the ascending `places[first:]` that fits. The search begins at `guess`."""
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
