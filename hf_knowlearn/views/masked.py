"""Masked: a request to restore the document with a share of its words blanked; the answer is the document.

Recovering a masked document teaches its facts in every direction (arXiv 2510.09885, which draws the share uniformly
from 0.05 to 0.95, as here). The surprising decision: white space stays, so a request is the document's words in order,
some blanked, and can be checked to be.
"""

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice

from hf_knowlearn.documents import Document
from hf_knowlearn.views.formats import allowed_groups, seed_number, too_few
from hf_knowlearn.views.view import View

BLANKS = ("_", "[...]", "<blank>", "(?)")
REQUESTS = (
    "Restore the text. Each {blank} stands for a missing word.\n\n{masked}\n\n",
    "Fill in every {blank} and write the whole text.\n\n{masked}\n\n",
    "Recover the document below, in which {blank} marks a lost word:\n\n{masked}\n\nThe document:\n\n",
    "Some words of this text were blanked ({blank}):\n\n{masked}\n\nThe complete text:\n\n",
    "{masked}\n\nWrite this again with a word for each {blank}.\n\n",
    "Complete: {masked}\n\nCompleted:\n",
)
RATIO = (0.05, 0.95)
FEWEST_WORDS = 5  # that can be blanked in 31 ways

# A word is what white space parts; of Chinese and Japanese, which part no words, a character.
_UNPARTED = "\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHANGE = "[\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef]*"  # of a character's sound or glyph
_WORD = re.compile(rf"[{_UNPARTED}]{_CHANGE}|[^\s{_UNPARTED}]+")


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
    """`num_views` requests (`View.prompt`) to restore `document`, each with other words blanked.

    Args:
        groups, hold_out: checked as in the other families. A request is not laid out in formats.
        first: how many views to pass over.
        ratio: the range, within 0 to 1, from which each view's share of blanked words is drawn; one word at least.

    Raises:
        ValueError: `num_views` below 1, a range that is none, or fewer distinct requests.
    """
    allowed_groups(num_views, groups, hold_out, first)
    try:
        low, high = ratio
    except (TypeError, ValueError):  # not two numbers: refused below, in the same words
        low = high = 0
    if not 0 < low <= high <= 1:
        raise ValueError(f"ratio={ratio}: give the least and the greatest share of blanked words, above 0, up to 1.")
    drawn = list(islice(_masked(document, seed, low, high), first + num_views))
    if len(drawn) < first + num_views:
        raise too_few(document, "requests to restore it", num_views, first, len(drawn), "tell it in formats")
    return drawn[first:]


def can_be_masked(document: Document) -> bool:
    """Whether it has words enough to be blanked in many ways."""
    return len(words_of(document.text[: 50 * FEWEST_WORDS])) >= FEWEST_WORDS


def _masked(document: Document, seed: int, low: float, high: float) -> Iterator[View]:
    text, spans = document.text, ((0, 0, len(document.text)),)
    parted = _parted(text)  # white space and words in turn
    words = parted[1::2]
    blank = blank_for(text)
    key = f"{seed_number(seed, document, 'masked')}/{low}/{high}/".encode()
    seen: set[str] = set()
    # A few words can be blanked in a few ways only: when a hundred draws bring none that is new, there is none.
    misses = 0
    while misses < 100:
        # Two bytes for each word, from a hash: alike on every machine and Python, and no generator to be seeded.
        noise = hashlib.shake_128(key + f"{len(seen)}/{misses}".encode()).digest(12 + 2 * len(words))
        part, place, which = (number / 2**32 for number in struct.unpack_from("<3I", noise))
        limit = 2**16 * (low + (high - low) * part)
        drawn = struct.unpack_from(f"<{len(words)}H", noise, 12)
        masked = parted.copy()
        masked[1::2] = [blank if number < limit else word for number, word in zip(drawn, words, strict=True)]
        if (blanks := masked.count(blank)) == 0:
            masked[1 + 2 * int(place * len(words))] = blank
            blanks = 1
        told = "".join(masked)
        if told in seen:
            misses += 1
            continue
        misses = 0
        prompt = REQUESTS[int(which * len(REQUESTS))].replace("{blank}", blank).replace("{masked}", told)
        name = f"blank_{blanks / len(words):.2f}"
        seen.add(told)
        yield View(document.id, document.part, len(seen) - 1, "masked", name, text, spans, prompt)


def _parted(text: str) -> list[str]:
    parted: list[str] = []
    position = 0
    for match in _WORD.finditer(text):
        start, end = match.span()
        parted += text[position:start], text[start:end]
        position = end
    parted.append(text[position:])
    return parted


def blank_for(text: str) -> str:
    """A sign for a missing word whose first character stands nowhere in `text`, so that it can't be taken for one."""
    signs = chain(BLANKS, map(chr, count(0x25A1)))  # U+25A1 is a white square
    return next(sign for sign in signs if sign[0] not in text)


def words_of(text: str) -> list[str]:
    """The words that may be blanked, in order."""
    return _WORD.findall(text)
