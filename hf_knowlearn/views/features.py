"""Finds features of a document, such as a title or several paragraphs. They determine which layouts suit it."""

import re
from functools import lru_cache

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, Sentences, sentences

# Bits of a set of features.
WORDS = 1  # a sentence outside verbatim blocks
FLOW = 2  # two sentences in one paragraph
PARAGRAPHS = 4  # two paragraphs
TITLE = 8  # a title
PROSE = 16  # no verbatim block, and no line break inside a sentence that is content (as in Chinese)
NO_FENCE = 32  # neither ``` nor ~~~
NO_TAGS = 64  # neither < nor &, and no character that XML excludes
NO_LATEX = 128  # none of \ { } $ % # _ ^ ~ &
NO_CELLS = 256  # no |
NO_QUOTES = 512  # neither " nor \, and no control character
# Line width -> the feature of documents that have a paragraph of at least twice this many characters.
LONGER_THAN = {40: 1 << 10, 56: 1 << 11, 72: 1 << 12, 88: 1 << 13, 104: 1 << 14, 120: 1 << 15}

# Characters that JSON or YAML escape, and characters that XML excludes.
_ESCAPED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def document_features(document: Document) -> int:
    """Return the features of a document, as a set of bits."""
    return _text_features(document.text, document.language) | (TITLE if document.title.strip() else 0)


@lru_cache(maxsize=1)  # Why: a mixture of families needs the features of one document several times in a row.
def _text_features(text: str, language: str) -> int:
    pieces = sentences(text, language)
    is_prose = not any(pieces.verbatim)
    found = PROSE if is_prose and not any("\n" in piece for piece in pieces.texts) else 0
    found |= WORDS if is_prose or not all(pieces.verbatim) else 0
    found |= FLOW if SENTENCE in pieces.breaks else 0
    found |= PARAGRAPHS if pieces.breaks.count(PARAGRAPH) > 1 else 0
    found |= NO_FENCE if "```" not in text and "~~~" not in text else 0
    # Why: most texts contain printable characters only, and this check is faster than a search.
    printable = text.replace("\n", " ").isprintable()
    if not any(map(text.__contains__, ("<", "&", "]]>"))) and (printable or not _NOT_XML.search(text)):
        found |= NO_TAGS
    found |= NO_CELLS if "|" not in text else 0
    if not any(map(text.__contains__, "\\{}$%#_^~&")):
        found |= NO_LATEX
    if '"' not in text and "\\" not in text and (printable or not _ESCAPED.search(text)):
        found |= NO_QUOTES
    longest = _longest_paragraph(pieces)
    for width, feature in LONGER_THAN.items():
        found |= feature if longest >= 2 * width else 0
    return found


def _longest_paragraph(pieces: Sentences) -> int:
    """Return the length of the longest paragraph of prose, in characters."""
    longest = current = 0
    for length, kind, verbatim in zip(pieces.lengths, pieces.breaks, pieces.verbatim, strict=True):
        if verbatim:
            current = 0
        elif kind == PARAGRAPH:
            current = length
        else:
            current += 1 + length
        longest = max(longest, current)
    return longest
