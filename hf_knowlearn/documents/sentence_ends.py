"""Corrects the ends of sentences that sentencex finds. The words of the rules are in `sentence_ends.toml`.

Why an uncertain end does not count as an end: a wrong end splits a fact, such as "am 4. Mai". A missed end only joins
two sentences.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = tomllib.loads(Path(__file__).with_name("sentence_ends.toml").read_text(encoding="utf-8"))
_LONGEST = 12  # characters of a word of initials, such as "J.R.R.", or of an abbreviation
_MARKS = "([\"'\u2018\u201c\u201e\u00ab"
_DASHES = "\u2014\u2013"
_WORD = re.compile(r"\w+")
_NUMERAL = re.compile(r"\d|[IVXLC]+\b")
# What may follow a time: a day or a time zone ("at 5 p.m. Monday", "at 5 p.m. EST").
_AFTER_TIME = re.compile(r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|[A-Z]{2,4}\b")


@dataclass(frozen=True)
class EndRules:
    """The rules of one language. `sentence_ends.toml` describes the fields."""

    abbreviations: frozenset[str]
    numbered: frozenset[str]
    starts: frozenset[str]
    continues: str
    missed: re.Pattern[str] | None

    def is_within_sentence(self, text: str, end: int, start: int) -> bool:
        """Return whether the gap between `end` and `start` is inside a name, a date or another phrase.

        This is so if the full stop before `end` may belong to an abbreviation, an initial, a title or an ordinal, or
        if an initial follows ("D. Silva"). Why: sentencex splits "M.S. Sripathy", "Ko. Ananda" and "Smt. Uma". The
        rule also joins a sentence that ends in "the U.S." to the next one.
        """
        if text[end - 1] == ".":
            words = text[max(0, end - _LONGEST) : end - 1].split()
            if words and self._continues(words[-1], text, start):
                return True
        if text[start] in _DASHES:  # Why: an attribution follows, as in "— Ты идёшь? — спросила она."
            return text[start + 1 : start + 3].lstrip()[:1].islower()
        return text[start].isupper() and text[start + 1 : start + 2] == "." and "\n" not in text[end:start]

    def _continues(self, word: str, text: str, start: int) -> bool:
        """Return whether the word before a full stop and the text at `start` belong to one sentence."""
        if word in self.abbreviations or (word in self.numbered and _NUMERAL.match(text, start)):
            return True
        if len(word) > 3 and word.isalpha():  # Why: most words, and this is the fastest test.
            return False
        if text[start].islower():  # Why: an unknown abbreviation is shorter than most last words of a sentence.
            return True
        if word.isdigit():
            return bool(self.starts) and len(word) < 3 and self._is_after_ordinal(text, start)
        word = word.lstrip(_MARKS).rpartition("-")[2]  # Why: "J.-C. Martin" and "Dipl.-Ing. Maier" are names.
        if word in self.abbreviations or _are_initials(word):
            return True
        return word in ("p.m", "a.m") and _AFTER_TIME.match(text, start) is not None

    def _is_after_ordinal(self, text: str, start: int) -> bool:
        word = _WORD.match(text, start)
        return word is not None and word.group().casefold() not in self.starts


def _are_initials(word: str) -> bool:
    """Return whether `word` consists of initials, such as "J.R.R". The full stop at its end is already removed.

    Two letters such as "Ko", and a single letter that is not ASCII, also count as initials."""
    return bool(word) and all(
        len(part) < 3 and part.isalpha() and (part[0].isupper() or (len(part) == 1 and not part.isascii()))
        for part in word.split(".")
    )


@cache
def end_rules(language: str) -> EndRules:
    """Return the rules of a language, such as "de". All languages have some rules.

    Example:
        >>> rules = end_rules("de")
        >>> rules.is_within_sentence("Am 4. Mai", 5, 6), rules.is_within_sentence("Im Mai. Er kam.", 7, 8)
        (True, False)
    """
    values = _TABLE.get(language, {})
    abbreviations = f"{_TABLE['all']['abbreviations']} {values.get('abbreviations', '')}"
    return EndRules(
        frozenset(abbreviations.split()),
        frozenset(values.get("numbered", "").split()),
        frozenset(values.get("starts", "").split()),
        values.get("continues", ""),
        re.compile(values["missed"]) if "missed" in values else None,
    )
