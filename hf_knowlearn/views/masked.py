"""Makes masked views. The prompt contains a copy of the document with blanked words, and a request to restore the
document. The completion is the document.

Restoring masked documents teaches facts in both directions (arXiv 2510.09885). As in that paper, the share of blanked
words is sampled uniformly from 0.05 to 0.95.
"""

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import chain, count

from hf_knowlearn.documents import Document
from hf_knowlearn.views.sampling import sampling_number, select_groups, take_views
from hf_knowlearn.views.view import View

BLANKS = ("_", "[...]", "<blank>", "(?)")
PROMPTS = (
    "Restore the text. Each {blank} stands for a missing word.\n\n{masked}\n\n",
    "Fill in every {blank} and write the whole text.\n\n{masked}\n\n",
    "Recover the document below, in which {blank} marks a lost word:\n\n{masked}\n\nThe document:\n\n",
    "Some words of this text were blanked ({blank}):\n\n{masked}\n\nThe complete text:\n\n",
    "{masked}\n\nWrite this again with a word for each {blank}.\n\n",
    "Complete: {masked}\n\nCompleted:\n",
)
RATIO = (0.05, 0.95)
MIN_WORDS = 5  # five words can be blanked in 31 ways
MAX_REPEATS = 100  # after this many repeated samples in a row, a document counts as exhausted

# A word is a run of characters without white space. In Chinese and Japanese each character is a word.
_UNSPACED = "\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MODIFIERS = "[\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef]*"  # they change the character before them
_WORD = re.compile(rf"[{_UNSPACED}]{_MODIFIERS}|[^\s{_UNSPACED}]+")


def masked_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
    *,
    first: int = 0,
    ratio: tuple[float, float] = RATIO,
) -> list[View]:
    """Return `num_views` views whose prompts request to restore `document`. The prompts differ in the blanked words.

    Args:
        groups, hold_out: checked but not used, because masked views have no formats.
        first: number of views to skip.
        ratio: the smallest and the largest share of blanked words, above 0 and up to 1. Each view samples its share
            from this range. At least one word is blanked.

    Raises:
        TooFewViewsError: the document has fewer distinct prompts.
        ValueError: `num_views` is below 1, `first` is below 0, a group is unknown, or `ratio` is invalid.

    Example:
        >>> from hf_knowlearn import Document
        >>> from hf_knowlearn.views import masked_views
        >>> masked_views(Document("mill", "Tarn has an old mill."), 1)[0].prompt
        'Some words of this text were blanked (_):\\n\\nTarn _ an old mill.\\n\\nThe complete text:\\n\\n'
    """
    select_groups(num_views, groups, hold_out, first)
    try:
        low, high = ratio
        is_valid = 0 < low <= high <= 1
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ValueError(
            f"ratio={ratio}: give two numbers, the smallest and the largest share of blanked words, above 0 and at"
            " most 1."
        )
    views = _masked(document, seed, low, high)
    return take_views(views, document, num_views, first, what="requests to restore it", fix="use the family formats")


def can_be_masked(document: Document) -> bool:
    """Return whether the document has enough words for many different masks."""
    return len(words_of(document.text[: 50 * MIN_WORDS])) >= MIN_WORDS


def _masked(document: Document, seed: int, low: float, high: float) -> Iterator[View]:
    text, spans = document.text, ((0, 0, len(document.text)),)
    pieces = _split_words(text)
    words = pieces[1::2]
    blank = blank_for(text)
    key = f"{sampling_number(seed, document, 'masked')}/{low}/{high}/".encode()
    seen: set[str] = set()
    repeats = 0
    while repeats < MAX_REPEATS:
        # Why: the hash gives two random bytes for each word. They are the same on every machine and in every Python
        # version.
        random_bytes = hashlib.shake_128(key + f"{len(seen)}/{repeats}".encode()).digest(12 + 2 * len(words))
        share, position, choice = (number / 2**32 for number in struct.unpack_from("<3I", random_bytes))
        limit = 2**16 * (low + (high - low) * share)
        numbers = struct.unpack_from(f"<{len(words)}H", random_bytes, 12)
        masked = pieces.copy()
        masked[1::2] = [blank if number < limit else word for number, word in zip(numbers, words, strict=True)]
        if (blanks := masked.count(blank)) == 0:
            masked[1 + 2 * int(position * len(words))] = blank
            blanks = 1
        copy = "".join(masked)
        if copy in seen:
            repeats += 1
            continue
        repeats = 0
        prompt = PROMPTS[int(choice * len(PROMPTS))].replace("{blank}", blank).replace("{masked}", copy)
        name = f"blank_{blanks / len(words):.2f}"
        seen.add(copy)
        yield View(document.id, document.part, len(seen) - 1, "masked", name, text, spans, prompt)


def _split_words(text: str) -> list[str]:
    """Return alternating pieces of white space and words. The first piece and the last piece are white space or
    empty."""
    pieces: list[str] = []
    position = 0
    for match in _WORD.finditer(text):
        start, end = match.span()
        pieces += text[position:start], text[start:end]
        position = end
    pieces.append(text[position:])
    return pieces


def blank_for(text: str) -> str:
    """Return a sign for a missing word. Its first character does not occur in `text`, so the sign cannot be confused
    with a word."""
    signs = chain(BLANKS, map(chr, count(0x25A1)))  # U+25A1 is a white square
    return next(sign for sign in signs if sign[0] not in text)


def words_of(text: str) -> list[str]:
    """Return the words that can be blanked, in order."""
    return _WORD.findall(text)
