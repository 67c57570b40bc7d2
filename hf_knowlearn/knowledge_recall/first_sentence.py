"""Finds the first sentence of a response, without prefixes such as "Sure!" and "Answer:", and without Markdown."""
# ruff: noqa: RUF001

import re
from typing import NamedTuple

from .unicode_forms import cased_unicode
from .word_lists import words_of

LONGEST = 1000  # characters that are searched; the rules for sentences then take constant time for each response
MOST_ITEMS = 30  # lines of a list

_MARKUP = re.compile(
    r"\*{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)|~~|\[(?=[^\]\n]{1,200}\]\()|(?<=\w)\]\([^)\s]{0,200}\)"
)
_BULLET = re.compile(r"^(?:[-+•·]\s+|\d{1,2}[.)]\s+(?=\S)|>\s*)+")
_FIRST_BULLET = re.compile(r"^(?:[-+•·]\s+|1[.)]\s+(?=\S)|>\s*)+")
_STAR = re.compile(r"^[ \t]*\*[ \t]+", re.MULTILINE)
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,50}>")
_SIGN = re.compile(r"[.!?…]+[\"')\]]*(?=\s|$)|[。！？｡؟।॥]+[」』”\"')\]]*")
_LAST_WORD = re.compile(r"(?:^|[\s(\"'])([^\s(\"']{0,20})$")
_INITIALS = re.compile(r"(?:[^\W\d_][.-])*[^\W\d_]")
_HEAD = re.compile(r"([^:,-]{0,40})([:,]\s|\s-\s)(.+)", re.DOTALL)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_NAME_START = re.compile(r"\s+[^\W\d_]")
# Words that begin a sentence after an abbreviation: "at 8 a.m. The ferry ...".
_STARTS = frozenset("the it this that in on at he she they we you there if for from its his her their".split())
_ENDING_ABBREVIATIONS = frozenset("a.m p.m u.s u.k inc ltd co corp jr sr etc usw ee.uu".split())


class FirstSentence(NamedTuple):
    """The first sentence of a response.

    Args:
        text: the sentence in NFKC, with upper and lower case, without the sign at its end.
        is_question: whether the sentence ends with a question mark.
        rest: the text after the sentence on the same line.
        start: the words before the sentence that are no part of it, such as "Sure!" and "Yes.".
    """

    text: str
    is_question: bool = False
    rest: str = ""
    start: str = ""


def first_sentence(response: str, language: str, question: str = "") -> FirstSentence:
    """Return the first sentence of the first line. Lines of a heading, a label or the repeated question are skipped.

    The items of a list become one sentence, with "/" between them.

    Example:
        >>> first_sentence("Sure! The captain is Dr. A. Bo. She sails.", "en").text
        'The captain is Dr. A. Bo'
    """
    line = _first_text(_lines(response), language, question)
    start, sentence = "", FirstSentence("")
    for _ in range(4):
        sentence = _until_sign(line, language)
        if not sentence.rest or not _is_filler(sentence.text, language):
            break
        start, line = f"{start} {sentence.text}", sentence.rest
    text, label = _without_label(sentence.text, language)
    return sentence._replace(text=text, start=f"{start} {label}".strip())


def _lines(response: str) -> list[str]:
    """Return the first lines that are not blank, without tags and Markdown emphasis."""
    text = _STAR.sub("- ", _TAG.sub("", cased_unicode(response[: 2 * LONGEST])))
    text = _MARKUP.sub("", text)
    return [line.strip() for line in text.splitlines() if line.strip(" \t-=*_#`")][: MOST_ITEMS + 3]


def _first_text(lines: list[str], language: str, question: str) -> str:
    """Return the first line that is no heading, no label and not the question; the items of a list in one line."""
    plain_question = _words_only(question)
    for place, line in enumerate(lines):
        following = lines[place + 1 :]
        is_label = line.endswith(":") or _HEADING.match(line) or _is_filler(line, language)
        if following and (is_label or (plain_question and _words_only(line) == plain_question)):
            continue
        if not _FIRST_BULLET.match(line):
            return _HEADING.sub("", line)[:LONGEST]
        items = [line, *following]
        last = next((i for i, item in enumerate(items) if not _BULLET.match(item)), len(items))
        return " / ".join(_BULLET.sub("", item).rstrip(".;,") for item in items[:last])[:LONGEST]
    return ""


def _until_sign(line: str, language: str) -> FirstSentence:
    """Split a line after its first sentence."""
    for sign in _SIGN.finditer(line):
        if sign[0][0] == "." and len(sign[0]) == 1 and not _is_end(line, sign.start(), sign.end(), language):
            continue
        rest = line[sign.end() :].strip()
        is_question = any(mark in sign[0] for mark in "?？؟")
        return FirstSentence(_unquoted(line[: sign.start()]), is_question, rest)
    return FirstSentence(_unquoted(line))


def _unquoted(text: str) -> str:
    # Why only then: a mark at the end can be a unit, as in 5'.
    return text.strip(" \"'") if text.lstrip()[:1] in ("'", '"') else text.strip()


def _is_end(line: str, start: int, end: int, language: str) -> bool:
    """Return whether the point at this place ends a sentence. It does not after an abbreviation or an initial."""
    following = line[end:].lstrip()
    if not following:
        return True
    found = _LAST_WORD.search(line[max(0, start - 25) : start])
    word = found[1].casefold() if found else ""
    next_word = _WORD.match(following)
    starts = next_word is not None and next_word[0][0].isupper() and next_word[0].casefold() in _STARTS
    if _INITIALS.fullmatch(word):
        return starts
    if word in ("no", "nos", "nr", "núm"):
        return not following[0].isdigit()
    if word in words_of("abbreviations", language):
        return starts and word in _ENDING_ABBREVIATIONS
    if language == "de" and word.isdigit() and len(word) <= 2:
        return starts
    return not (next_word and next_word.start() == 0 and next_word[0][0].islower())


def _is_filler(text: str, language: str) -> bool:
    """Return whether a text has only words such as "Sure" and "Answer"."""
    words = _words_only(text).split()
    fillers = words_of("fillers", language)
    return bool(fillers) and len(words) <= 8 and all(word in fillers for word in words)


def _without_label(text: str, language: str) -> tuple[str, str]:
    """Return a text without a label ("Answer:") or a filler ("Sure,") at its beginning, and the removed words."""
    removed = ""
    for _ in range(3):
        if not (found := _HEAD.match(text)):
            break
        head, sign, rest = found.groups()
        if not (_is_filler(head, language) or (sign[0] == ":" and len(head.split()) <= 3)):
            break
        removed, text = f"{removed} {head}", _unquoted(rest)
    return text, removed.strip()


def _words_only(text: str) -> str:
    return " ".join(word.casefold().replace("'", "") for word in _WORD.findall(cased_unicode(text)))
