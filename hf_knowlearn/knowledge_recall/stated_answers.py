"""Decides whether the first sentence of a response states an accepted answer and no other value of the same kind.

A sentence states an answer if it contains the answer as whole words, and none of these rules applies:

- The sentence is a question, negates the answer, or withdraws it ("Lyon, no, Nice").
- The answer is a part of another name ("Paris Hilton", "North Korea", "University of Lyon").
- The sentence has another date, time or number of the same unit, or lists another value ("Lyon or Nice").
- The sentence contains the accepted answer of another question of the same relation.

Values of the question do not compete. If the question contains the answer, no sentence states it.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from .answer_places import answer_parts, singular, year_of
from .assertions import BREAKS, VERB, Assertions
from .first_sentence import LONGEST, first_sentence
from .quantities import Date, Quantity, Time
from .sentence_tokens import CACHED_TEXTS, Token, tokens_of
from .unicode_forms import cased_unicode
from .word_lists import number_words, words_of

LONGEST_NAME = 8  # words of a competitor
_CORRECTION = re.compile(r"\W*([^\W\d_]+)")
_LETTERS = re.compile(r"[a-z]+")
_ADJECTIVES = frozenset(("true", "false", "correct", "incorrect"))  # they mean yes or no, or are answers of their own
_UNSURE = re.compile(
    r" (?:(?:do not|dont|cannot|can not|cant|could not|couldnt) (?:know|determine|say|tell|find|answer|provide)"
    r"|not (?:mentioned|specified|stated|known|provided|given|clear|sure|certain|available|explicitly)"
    r"|(?:does not|doesnt|did not|didnt) (?:mention|specify|state|say|provide|contain)|unknown|unclear|no information"
    r"|im not sure|weiss nicht|nicht bekannt|unbekannt|no sé|desconocido|ne sais pas|inconnu) "
)

Competitors = frozenset[tuple[str, ...]]


def competitor_keys(answers: Iterable[str], language: str) -> Competitors:
    """Return the forms of answers that `states_answer` compares with a sentence."""
    found = set()
    for answer in dict.fromkeys(answers):
        tokens = _tokens(answer, language)
        for part in (tokens, *answer_parts(tokens, language)):
            found.add(tuple(token.key for token in part))
    common = {(word,) for word in words_of("function_words", language)}
    return frozenset(key for key in found - common if 0 < len(key) <= LONGEST_NAME)


def states_answer(
    response: str, answers: Collection[str], language: str, question: str = "", competitors: Competitors = frozenset()
) -> bool:
    """Return whether the first sentence of a response states an accepted answer, by the rules of this module.

    Args:
        question: the question. Its values do not compete. "": the rules are stricter.
        competitors: `competitor_keys` of the accepted answers of the other questions of the relation.

    Example:
        >>> states_answer("She was born in Lyon, France.", ["Lyon"], "en")
        True
        >>> states_answer("She was born in Lyon or Nice.", ["Lyon"], "en")
        False
    """
    if not any(_may_contain(response, answer, language) for answer in answers):
        return False
    found = first_sentence(response, language, question)
    yes_or_no = {_yes_or_no(answer, language) for answer in answers} - {""}
    if yes_or_no and _starts_with(f"{found.start} {found.text}", yes_or_no, language):
        return True
    if yes_or_no and not any(answer.strip(" .!").casefold() in _ADJECTIVES for answer in answers):
        return False
    withdrawn = _CORRECTION.match(found.rest)
    if not found.text or found.is_question or len(found.text) >= LONGEST:
        return False
    if withdrawn and withdrawn[1].casefold() in words_of("corrections", language):
        return False
    accepted = [_tokens(answer, language) for answer in answers if len(answer) < LONGEST]
    sentence = _Sentence(tokens_of(found.text, language), _tokens(question[:LONGEST], language), language)
    if sentence.is_unsure():
        return False
    return any(sentence.states(answer, accepted, competitors) for answer in accepted if answer)


def _tokens(text: str, language: str) -> tuple[Token, ...]:
    return tokens_of(" ".join(cased_unicode(text).split()), language)


def _may_contain(response: str, answer: str, language: str) -> bool:
    """Return False if a response does not contain an answer. Why: this check is fast, and most wrong ones fail it."""
    word = _longest_word(answer, language)
    return word in response.casefold() or not response.isascii()


@lru_cache(CACHED_TEXTS)
def _longest_word(answer: str, language: str) -> str:
    """Return the longest word of an answer in letters; "" if a response can state the answer without this word."""
    words = _LETTERS.findall(answer.casefold())
    is_plain = (
        answer.isascii() and not any(map(str.isdigit, answer)) and number_words(language).keys().isdisjoint(words)
    )
    return max(words, key=len, default="") if is_plain and not _yes_or_no(answer, language) else ""


# Yes and no


def _yes_or_no(answer: str, language: str) -> str:
    word = answer.strip(" .!").casefold()
    return next((kind for kind in ("yes", "no") if word in words_of(kind, language)), "")


def _starts_with(text: str, kinds: Collection[str], language: str) -> bool:
    """Return whether a text begins with a word for yes or no, and not with one of the other kind after it."""
    tokens = _tokens(text, language)[:3]
    first = [next((kind for kind in ("yes", "no") if token.key in words_of(kind, language)), "") for token in tokens]
    is_alone = (
        len(tokens) < 2 or bool(BREAKS.search(tokens[1].gap)) or tokens[1].text.casefold() not in ("one", "body")
    )
    return bool(first) and first[0] in kinds and is_alone and not {"yes", "no"} <= {*first}


# Names and quantities


class _Sentence(Assertions):
    """Decides whether a sentence states an answer and no other value."""

    def is_unsure(self) -> bool:
        found = _UNSURE.search(f" {' '.join(self.keys)} ")
        # Why the question: a title can have these words ("You Don't Know Me").
        return found is not None and not self.question_keys.issuperset(found[0].split())

    def states(self, answer: Sequence[Token], accepted: Sequence[Sequence[Token]], competitors: Competitors) -> bool:
        """Return whether the sentence states this answer and no other value."""
        self.dates = {date for other in accepted for token in other if isinstance(date := token.value, Date)}
        for other in accepted:
            for token in other[1:]:
                self.full_names[token.key] |= {word.key for word in other} - {token.key}
        parts = answer_parts(answer, self.language)
        places = [self.places(part, self.tokens) for part in parts]
        if not all(places) or self.is_echo(parts):
            return False
        everywhere = [
            self.places(part, self.tokens) for other in accepted for part in answer_parts(other, self.language)
        ]
        self.covered = {place for own in everywhere for start, end in own for place in range(start, end)}
        for part, own in zip(parts, places, strict=True):
            if not any(self.is_asserted(start, end, part) for start, end in own):
                return False
        return not (
            any(self.has_other_value(part, own[0]) for part, own in zip(parts, places, strict=True))
            or self.has_other_agent(parts)
            or self.has_competitor(competitors, accepted)
        )

    def is_echo(self, parts: Sequence[Sequence[Token]]) -> bool:
        """Return whether the question contains the answer. A question with "or" offers the answer and another one."""
        if self.question_keys & self.words("or"):
            return False
        return all(self.places(part, self.question) for part in parts)

    def has_other_value(self, part: Sequence[Token], place: tuple[int, int]) -> bool:
        wanted, own = part[0].value, place[0]
        if wanted is None:
            return self.has_other_label(part)
        for other, token in enumerate(self.tokens):
            found = token.value
            if found is None or other in self.covered or found in self.question_values:
                continue
            if self.is_negated(other, other + 1, [token]) or self.keys[other - 1 : other] == ["no"]:
                continue
            if self.competes(found, wanted, other, own) and not self.is_of_another_verb(other, own):
                return True
        return False

    def is_of_another_verb(self, other: int, own: int) -> bool:
        """Return whether a value belongs to a verb that is not in the question: "built in 1998 and sold in 2007"."""
        verb, start = self.clause_verb(max(other, own))
        if not verb or start <= min(other, own):
            return False
        is_of_question = any(key[:4] == verb[:4] for key in self.question_keys)
        return is_of_question if own > other else not is_of_question

    def clause_verb(self, place: int) -> tuple[str, int]:
        """Return the first word of the clause of a token, if it is a verb, and its place; otherwise ""."""
        starts = self.words("and") | self.words("boundaries")
        while place > 0 and self.keys[place - 1] not in starts and not BREAKS.search(self.tokens[place].gap):
            place -= 1
        while place < len(self.tokens) - 1 and self.keys[place] in self.words("auxiliaries") | starts:
            place += 1
        key = self.keys[place]
        return (key if VERB.match(key) or key in self.words("verbs") else ""), place

    def has_other_label(self, part: Sequence[Token]) -> bool:
        """Return whether "Pier 5" or "or 5" competes with "Pier 3"."""
        numbers = [i for i, token in enumerate(part) if token.value and i]
        words = {part[i - 1].key for i in numbers}
        return any(
            token.value is not None
            and i
            and i not in self.covered
            and self.keys[i - 1] in words
            and token.value not in self.question_values
            for i, token in enumerate(self.tokens)
        )

    def competes(self, found: Quantity, wanted: Quantity, other: int, own: int) -> bool:
        year = year_of(wanted)
        if isinstance(wanted, Time) or isinstance(found, Time):
            return isinstance(wanted, Time) and isinstance(found, Time)
        if isinstance(found, Date):
            if isinstance(wanted, Date):
                return any(a and b and a != b for a, b in zip(found[1:], wanted[1:], strict=True))
            return bool(year) and found.year != 0
        if isinstance(wanted, Date):
            return year_of(found) != 0 and wanted.day == 0
        if year:
            return year_of(found) != 0
        if found.unit != wanted.unit or self.is_label(other) or self.tokens[other].text.casefold() in ("one", "1"):
            return False
        if year_of(found) and not self.nouns(other):
            return False
        nouns, own_nouns = self.nouns(other), self.nouns(own)
        if found.unit or not nouns or not own_nouns or nouns & own_nouns:
            return True
        plural = {singular(key) for key in self.question_keys}
        return bool(nouns & plural) and not own_nouns & plural

    def is_label(self, place: int) -> bool:
        """Return whether a number belongs to the name before it: "Pier 3", "No. 5"."""
        before = self.tokens[place - 1] if place else None
        return bool(before and before.is_upper and place > 1 and self.tokens[place].gap in (" ", ". "))

    def nouns(self, place: int) -> set[str]:
        """Return the nouns after a number, at most three words, in the singular."""
        found = set()
        for token in self.tokens[place + 1 : place + 4]:
            stops = self.words("function_words") | self.words("and") | self.words("or")
            if token.gap not in (" ", "-") or token.value or token.key in stops or not token.key.isalpha():
                break
            found.add(singular(token.key))
        return found

    def has_other_agent(self, parts: Sequence[Sequence[Token]]) -> bool:
        """Return whether a verb of the question has another agent: "directed by Bo" if "Ada" directed."""
        if not any(part[0].is_upper for part in parts):
            return False
        for place, key in enumerate(self.keys[1:-1], 1):
            if key not in ("by", "von", "por", "par") or self.keys[place - 1] not in self.question_keys:
                continue
            agent = self.tokens[place + 1]
            if self.is_negated(place + 1, place + 2, [agent]) or not self.covered.isdisjoint(self.agent(place + 1)):
                continue
            if agent.is_upper and self.is_new(agent):
                return True
        return False

    def agent(self, place: int) -> list[int]:
        found = [place]
        for i in range(place + 1, len(self.tokens)):
            if BREAKS.search(self.tokens[i].gap) or self.joins(i) or self.keys[i] == "by":
                break
            found.append(i)
        return found

    def has_competitor(self, competitors: Competitors, accepted: Sequence[Sequence[Token]]) -> bool:
        """Return whether the sentence contains the accepted answer of another question of the relation."""
        own = [{token.key for token in answer} for answer in accepted]
        is_name = all(token.is_upper for answer in accepted for token in answer[:1])
        for start in range(len(self.keys) if competitors else 0):
            if start in self.covered or self.tokens[start].value:
                continue
            for end in range(start + 1, min(start + LONGEST_NAME, len(self.keys)) + 1):
                key = tuple(self.keys[start:end])
                if key not in competitors or not self.covered.isdisjoint(range(start, end)):
                    continue
                if is_name and self.is_cased and not any(token.is_upper for token in self.tokens[start:end]):
                    continue  # "a birch tree" is not the person Birch
                is_known = self.question_keys.issuperset(key) or any(words.issuperset(key) for words in own)
                if not is_known and not self.is_negated(start, end, self.tokens[start:end]):
                    return True
        return False
