"""Searches for an answer in a text. Only whole words count: the answer "No" does not occur in "Honor"."""

import re
from collections.abc import Callable

# Why: re-exported for packages that may import `documents` only.
from hf_knowlearn.knowledge_recall.scoring import normalize as normalize

CharSpan = tuple[int, int]  # (start, end) in characters
Find = Callable[[str], list[CharSpan]]

# Thai, Lao, Burmese, Khmer, and everything from the CJK radicals on: scripts without spaces, or with word endings.
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\U0003ffff]")

# Scripts without spaces between words, where each character counts as a word: Thai, Lao, Burmese, Khmer, kana, Han.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")


def find_text(text: str, answer: str) -> list[CharSpan]:
    """Return all places of `answer` in `text` as (start, end), including those inside longer words.

    White space in `answer` matches any white space. The search ignores case only if it finds nothing with the exact
    case.

    Raises:
        ValueError: `answer` has no words.

    Example:
        >>> find_text("Rye and more rye.", "rye")
        [(13, 16)]
    """
    if not (words := answer.split()):
        raise ValueError(f"The answer {answer!r} is empty. Give an answer with at least one word.")
    pattern = r"\s+".join(map(re.escape, words))
    found = list(re.finditer(pattern, text)) or re.finditer(pattern, text, re.IGNORECASE)
    return [match.span() for match in found]


def find_whole_words(text: str, answer: str, find: Find | None = None) -> list[CharSpan]:
    """Return all places of `answer` in `text` as whole words.

    The search tries `answer` unchanged, in lower case, capitalized, and in upper case. It returns the places of the
    first of these spellings that occurs.

    Args:
        find: the function that searches for a spelling. None: `find_text`. The method `View.find` searches only the
            words of the document.
    """
    return occurrences(text, answer, find)[0]


def occurrences(text: str, answer: str, find: Find | None = None) -> tuple[list[CharSpan], bool]:
    """Return the result of `find_whole_words`, and whether `answer` occurs at all, even inside a longer word."""
    occurs = False
    # Why: "Drama" is found in "Dramatic", and `find` then does not look for "drama".
    for spelling in dict.fromkeys((answer, answer.lower(), answer.capitalize(), answer.upper())):
        spans = find(spelling) if find else find_text(text, spelling)
        if whole := [span for span in spans if is_whole_word(text, *span)]:
            return whole, True
        if not spans:
            break
        occurs = True
    return [], occurs


def is_whole_word(text: str, start: int, end: int) -> bool:
    """Return whether `text[start:end]` begins and ends at the edge of a word."""
    return not (_one_word(text[start - 1 : start], text[start]) or _one_word(text[end - 1], text[end : end + 1]))


def _one_word(before: str, after: str) -> bool:
    return before.isalnum() and after.isalnum() and not _NO_SPACES.search(before + after)
