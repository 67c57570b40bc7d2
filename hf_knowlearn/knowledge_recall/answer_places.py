"""Finds the places where a sentence contains an accepted answer, by words or by value."""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from .quantities import Date, Number, Quantity
from .sentence_tokens import Token
from .word_lists import UNITS, words_of

LIST_MARKS = re.compile(r"[,;/、،]")

Places = list[tuple[int, int]]  # the first token of an occurrence, and the token after the last one


class AnswerPlaces:
    """Finds answers among the tokens of a sentence that answers a question."""

    def __init__(self, tokens: Sequence[Token], question: Sequence[Token], language: str) -> None:
        self.tokens, self.question, self.language = tokens, question, language
        self.keys = [token.key for token in tokens]
        self.question_keys = {token.key for token in question}
        self.question_values = {token.value for token in question if token.value}
        kinds = {token.text.islower() for token in tokens if token.is_upper or token.text.islower()}
        self.is_cased = len(kinds) == 2 or any(token.text.istitle() for token in tokens)
        self.covered: set[int] = set()
        self.full_names: defaultdict[str, set[str]] = defaultdict(set)  # word -> other words of accepted answers
        self.dates: set[Date] = set()

    def words(self, kind: str) -> frozenset[str]:
        return words_of(kind, self.language)

    def places(self, part: Sequence[Token], tokens: Sequence[Token]) -> Places:
        """Return the first token, and the token after the last one, of each occurrence of a part of an answer."""
        if value := self.value(part):
            return [(i, i + 1) for i, token in enumerate(tokens) if token.value and self.fits(token.value, value)]
        wanted = [token.key for token in part]
        keys = [token.key for token in tokens]
        size = len(wanted)
        places = [
            (i, i + size) for i in range(len(keys) - size + 1) if keys[i] == wanted[0] and keys[i : i + size] == wanted
        ]
        return places or self.with_middle_name(part, tokens)

    def value(self, part: Sequence[Token]) -> Quantity | None:
        """Return the value of an answer that is a quantity, also if the question has the noun ("350 passengers")."""
        if len(part) == 1 or all(token.key in self.question_keys for token in part[1:]):
            return part[0].value
        return None

    def with_middle_name(self, part: Sequence[Token], tokens: Sequence[Token]) -> Places:
        """Return the places of a first and a last name with one or two names or initials between them."""
        names = [token for token in part if len(token.key) > 1]
        if len(names) != 2 or not all(token.is_upper for token in part):
            return []
        first, last = names
        found = []
        for start, token in enumerate(tokens):
            if token.key != first.key:
                continue
            for end in range(start + 2, min(start + 5, len(tokens) + 1)):
                between = tokens[start + 1 : end]
                if between[-1].key == last.key and all(t.is_upper and t.gap in (" ", ". ") for t in between):
                    found.append((start, end))
                    break
        return found

    def fits(self, found: Quantity, wanted: Quantity) -> bool:
        """Return whether a value of the sentence is the accepted value, or a more precise one."""
        if isinstance(wanted, Date) and isinstance(found, Date):
            year = found.year or next((date.year for date in self.question_values if isinstance(date, Date)), 0)
            year = year or next((year_of(value) for value in self.question_values if year_of(value)), 0)
            same_day = {date.year for date in self.dates if date.year and date[2:] == wanted[2:]}
            if found.year and same_day and found.year not in same_day:
                return False
            pairs = ((year, wanted.year), (found.month, wanted.month), (found.day, wanted.day))
            return all(not needed or has == needed for has, needed in pairs)
        if isinstance(wanted, Number) and isinstance(found, Date):
            return year_of(wanted) != 0 and found.year == year_of(wanted)
        if isinstance(wanted, Number) and isinstance(found, Number):
            if found.value != wanted.value:
                return False
            units = {found.unit, wanted.unit}
            return len(units) == 1 or ("" in units and any(unit in self.question_units() for unit in units - {""}))
        return found == wanted

    def question_units(self) -> set[str]:
        return _units_in(frozenset(self.question_keys))


def answer_parts(answer: Sequence[Token], language: str) -> list[Sequence[Token]]:
    """Return the items of an answer that is a list ("Ada Brix and Bo Lind"), without prepositions before an item."""
    joints = words_of("and", language) | {"&", "/"}
    if sum(token.value is not None for token in answer) > 1 and all(t.value or t.key in _RANGE_WORDS for t in answer):
        return [[token] for token in answer if token.value]
    parts: list[list[Token]] = [[]]
    for token in answer:
        if token.key in joints:
            parts.append([])
        elif LIST_MARKS.search(token.gap):
            parts.append([token])
        else:
            parts[-1].append(token)
    found = [_without_preposition(part) for part in parts if part]
    return found or [answer]


_RANGE_WORDS = frozenset("from to until till between and through bis von zwischen und de a hasta y entre à et".split())
_PREPOSITIONS = frozenset("in on at by for from to with of am im um en".split())


def _without_preposition(part: Sequence[Token]) -> Sequence[Token]:
    return part[1:] if len(part) > 1 and part[0].key in _PREPOSITIONS else part


def year_of(value: Quantity) -> int:
    """Return the year if a value can be one, otherwise 0."""
    if isinstance(value, Number) and not value.unit and 1000 <= value.value < 2200 and value.value % 1 == 0:
        return int(value.value)
    return 0


def singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word


@cache
def _units_in(keys: frozenset[str]) -> set[str]:
    return {UNITS.get(key, key) for key in keys}
