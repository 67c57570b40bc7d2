"""Finds features of a document, such as a title or several paragraphs. The features determine which layouts suit the
document.

Features also prevent layouts that would change the meaning of a text. For example, a layout puts quotation marks
around sentences only if the text contains no quotation. Otherwise a sentence in quotation marks would look like
another quotation.
"""

import re
from functools import cache, lru_cache

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.block_rules import BlockKind
from hf_knowlearn.documents.sentence_rules import SentenceRules, rules_for
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, SOFT, Sentences, sentences
from hf_knowlearn.documents.structure import parse_blocks

# Bits of a set of features.
WORDS = 1  # a sentence outside verbatim blocks
FLOW = 2  # two sentences in one paragraph
PARAGRAPHS = 4  # two paragraphs
TITLE = 8  # a title, and no heading before each view; a title after this heading would end its section
PROSE = 16  # no verbatim block, and no line break inside a sentence that is content (as in Chinese)
NO_FENCE = 32  # neither ``` nor ~~~
NO_TAGS = 64  # neither < nor &, and no character that XML excludes
NO_LATEX = 128  # none of \ { } $ % # _ ^ ~ &
NO_CELLS = 256  # no |
NO_ESCAPES = 512  # neither " nor \, and no control character
# Line width -> the feature of documents that have a paragraph of at least twice this many characters.
LONGER_THAN = {40: 1 << 10, 56: 1 << 11, 72: 1 << 12, 88: 1 << 13, 104: 1 << 14, 120: 1 << 15}
SPACED = 1 << 16  # spaces between sentences, unlike in Chinese
NO_SPEECH = 1 << 17  # no quotation mark, question or dash before a sentence; no turn of a dialogue, mail or quote
NO_ITEMS = 1 << 18  # no list and no clause
UNNUMBERED = 1 << 19  # NO_ITEMS, and no instruction, question or reference such as "step 2"
WORD_STARTS = 1 << 20  # every sentence begins with a letter, not with a number or a sign
NO_LINE_MARKS = 1 << 21  # no sentence would be a list item, heading or quote at the start of a line
NO_EMPHASIS = 1 << 22  # none of * _ ` = | + in a sentence

# Characters that JSON or YAML escape, and characters that XML excludes.
_ESCAPED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_SPEECH = {BlockKind.DIALOGUE_TURN, BlockKind.MAIL_HEADER, BlockKind.QUOTE, BlockKind.LOG_LINE}
_ITEMS = {BlockKind.ORDERED_LIST, BlockKind.UNORDERED_LIST, BlockKind.CLAUSE}
_ASCII_QUOTES = ('"', "?", " '", "\n'", "('")
_WIDE_QUOTES = "\u2018\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u300c\u300d\u300e\u300f\uff1f\u061f"
_LONGEST_WORD = 24  # characters of the first word of a sentence that are compared
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015"
_BEFORE_WORD = "\"'([{<*_`\u2018\u201a\u201c\u201e\u00ab\u2039\u300c\u300e\uff08\u00bf\u00a1"
_LINE_MARK = re.compile(r"[-+*#>=|~:_\u2010-\u2015\u2022\u25e6\u25aa\u2023\u25cf\u00b7]|\(?\w{1,9}[.)]\s")
# Language -> the words before a number or letter to which a text refers. Why without the first letter: it can be a
# capital.
_REFERENCE_SIGNS = {
    "en": ("tep ", "ection ", "lause ", "rticle ", "aragraph ", "hapter ", "tem ", "oint ", "ule ", "hase ", "ption "),
    "de": ("chritt ", "bschnitt ", "rtikel ", "bsatz ", "apitel ", "unkt ", "iffer ", "hase ", "ption ", "Nr. "),
    "fr": ("tape ", "ection ", "rticle ", "aragraphe ", "hapitre ", "oint ", "hase ", "ption "),
    "es": ("aso ", "ecci\u00f3n ", "rt\u00edculo ", "p\u00e1rrafo ", "ap\u00edtulo ", "unto ", "ase ", "pci\u00f3n "),
    "it": ("asso ", "ezione ", "rticolo ", "aragrafo ", "apitolo ", "unto ", "ase ", "pzione "),
    "pt": (
        "asso ",
        "e\u00e7\u00e3o ",
        "rtigo ",
        "ar\u00e1grafo ",
        "ap\u00edtulo ",
        "onto ",
        "ase ",
        "p\u00e7\u00e3o ",
    ),
}
_REFERENCE_NUMBER = re.compile(r"\(?(?:\d|[A-Za-z]\b|[ivx]+\b)")


def document_features(document: Document) -> int:
    """Return the features of a document, as a set of bits."""
    has_title = bool(document.title.strip()) and not document.heading
    return _text_features(document.text, document.language) | (TITLE if has_title else 0)


@lru_cache(maxsize=1)  # Why: a mixture of families needs the features of one document several times in a row.
def _text_features(text: str, language: str) -> int:
    pieces = sentences(text, language)
    is_prose = not any(pieces.verbatim)
    found = PROSE if is_prose and not any("\n" in piece for piece in pieces.texts) else 0
    found |= WORDS if is_prose or not all(pieces.verbatim) else 0
    found |= FLOW if SENTENCE in pieces.breaks else 0
    found |= PARAGRAPHS if pieces.breaks.count(PARAGRAPH) > 1 else 0
    is_spaced = text.isascii() or _is_spaced(text, pieces)
    found |= SPACED if is_spaced else 0
    longest = _longest_paragraph(pieces) if is_spaced else 0  # Why: lines are only wrapped at spaces.
    for width, feature in LONGER_THAN.items():
        found |= feature if longest >= 2 * width else 0
    return found | _character_features(text) | _meaning_features(text, language, pieces, is_prose)


def _character_features(text: str) -> int:
    """Return the features that depend on which characters the text contains."""
    found = NO_FENCE if "```" not in text and "~~~" not in text else 0
    # Why: most texts contain printable characters only, and this check is faster than a search.
    printable = text.replace("\n", " ").isprintable()
    if not _has_any(text, ("<", "&", "]]>")) and (printable or not _NOT_XML.search(text)):
        found |= NO_TAGS
    found |= NO_CELLS if "|" not in text else 0
    found |= NO_LATEX if not _has_any(text, "\\{}$%#_^~&") else 0
    if '"' not in text and "\\" not in text and (printable or not _ESCAPED.search(text)):
        found |= NO_ESCAPES
    return found


def _meaning_features(text: str, language: str, pieces: Sentences, is_prose: bool) -> int:
    """Return the features that show that certain marks cannot change the meaning of a sentence."""
    starts = _sentence_starts(pieces)
    columns = zip(pieces.texts, pieces.verbatim, strict=True)
    prose = text if is_prose else "\n".join(piece for piece, verbatim in columns if not verbatim)
    kinds = set() if is_prose else {block.kind for block in parse_blocks(text)}
    found = _features_of_starts(starts) | (NO_EMPHASIS if not _has_any(prose, "*_`=|+") else 0)
    has_quotes = _has_any(text, _ASCII_QUOTES) or (not text.isascii() and _has_any(text, _WIDE_QUOTES))
    if not has_quotes and not kinds & _SPEECH and not any(start[0] in _DASHES for start in starts):
        found |= NO_SPEECH
    if not kinds & _ITEMS:
        found |= NO_ITEMS | (UNNUMBERED if not _has_steps(text, language, starts) else 0)
    return found


def _has_any(text: str, signs: tuple[str, ...] | str) -> bool:
    return any(map(text.__contains__, signs))


def _sentence_starts(pieces: Sentences) -> list[str]:
    """Return the first piece of each sentence."""
    columns = zip(pieces.texts, pieces.breaks, pieces.verbatim, strict=True)
    return [text for text, kind, verbatim in columns if kind != SOFT and not verbatim]


def _features_of_starts(starts: list[str]) -> int:
    """Return the features that depend on the first characters of the sentences."""
    others = [start for start in starts if not start[0].isalpha()]
    found = WORD_STARTS if all(start.lstrip(_BEFORE_WORD)[:1].isalpha() for start in others) else 0
    return found | (NO_LINE_MARKS if not any(map(_LINE_MARK.match, others)) else 0)


def _has_steps(text: str, language: str, starts: list[str]) -> bool:
    """Return whether numbers before the sentences could be read as the numbers of steps, clauses or choices."""
    rules = rules_for(language)
    if rules is None or _has_any(text, ("?", "\uff1f", "\u061f", "[1", "(1)", "(a)")):
        return True
    if not _step_words(rules).isdisjoint(map(_first_word, starts)) or any(map(rules.instruction.search, starts)):
        return True
    return text.count(" shall ") > 1 or _refers_to_number(text, language.replace("_", "-").split("-")[0].casefold())


def _first_word(sentence: str) -> str:
    words = sentence.lstrip()[:_LONGEST_WORD].split(None, 1)
    return words[0].casefold().rstrip(",:") if words else ""


def _refers_to_number(text: str, language: str) -> bool:
    """Return whether the text has a reference such as "step 2" or "section B"."""
    for sign in _REFERENCE_SIGNS.get(language, ()):
        end = text.find(sign) + len(sign)
        while end >= len(sign):
            if _REFERENCE_NUMBER.match(text, end):
                return True
            end = text.find(sign, end) + len(sign)
    return False


@cache
def _step_words(rules: SentenceRules) -> frozenset[str]:
    """Return the words with which instructions and steps begin."""
    return rules.imperatives | rules.sequence | rules.lead


def _is_spaced(text: str, pieces: Sentences) -> bool:
    """Return whether most sentences of a paragraph are separated by a space. If no paragraph has two sentences, the
    last character decides."""
    spaced = closed = 0
    end = 0
    for start, length, kind in zip(pieces.starts, pieces.lengths, pieces.breaks, strict=True):
        if kind == SENTENCE:
            if " " in text[end:start] or (end < start and text[end - 1] < "\u2e80"):
                spaced += 1
            else:
                closed += 1
        end = start + length
    if spaced or closed:
        return spaced >= closed
    return not ("\u3000" <= text[end - 1] < "\u3040" or "\uff00" <= text[end - 1] < "\ufff0")


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
