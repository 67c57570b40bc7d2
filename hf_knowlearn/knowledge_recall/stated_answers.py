"""Decides whether the first sentence of a response states an accepted answer and no other value of the same kind.

A sentence states an answer if it contains the answer as whole words, and none of these rules applies:

- The sentence is a question, negates the answer, or withdraws it ("Lyon, no, Nice").
- The answer is a part of another name ("Paris Hilton", "North Korea", "University of Lyon").
- The sentence has another date, time or number of the same unit, or lists another value ("Lyon or Nice").
- The sentence contains the accepted answer of another question of the same relation.

Values of the question do not compete. If the question contains the answer, no sentence states it.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache

from .first_sentence import LONGEST, first_sentence
from .quantities import Date, Number, Quantity, Time
from .sentence_tokens import CACHED_TEXTS, Token, tokens_of
from .unicode_forms import cased_unicode
from .word_lists import UNITS, number_words, words_of

LONGEST_NAME = 8  # words of a competitor
MOST_APPOSITIONS = 3  # names after or before an answer, with commas, that make a list: "Lyon, Rhône, France" is none
_LIST_MARKS = re.compile(r"[,;/、،]")
_BREAKS = re.compile(r"[,;:()\u2026\"。、،]|\.\.|\s-\s")
_CORRECTION = re.compile(r"\W*([^\W\d_]+)")
_LETTERS = re.compile(r"[a-z]+")
_ADJECTIVE = re.compile(r"[A-Z]\w+(?:an|ish|ese|ch|ic|i)$")
_VERB = re.compile(r".{2,}(?:ed|ing)$")
_UNSURE = re.compile(
    r" (?:(?:do not|dont|cannot|can not|cant|could not|couldnt) (?:know|determine|say|tell|find|answer|provide)"
    r"|not (?:mentioned|specified|stated|known|provided|given|clear|sure|certain|available|explicitly)"
    r"|(?:does not|doesnt|did not|didnt) (?:mention|specify|state|say|provide|contain)|unknown|unclear|no information"
    r"|im not sure|weiss nicht|nicht bekannt|unbekannt|no sé|desconocido|ne sais pas|inconnu) "
)

Places = list[tuple[int, int]]
Competitors = frozenset[tuple[str, ...]]


def competitor_keys(answers: Iterable[str], language: str) -> Competitors:
    """Return the forms of answers that `states_answer` compares with a sentence."""
    found = set()
    for answer in dict.fromkeys(answers):
        tokens = _tokens(answer, language)
        for part in (tokens, *_parts(tokens, language)):
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
    if yes_or_no:
        return _starts_with(f"{found.start} {found.text}", yes_or_no, language)
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
        len(tokens) == 1 or bool(_BREAKS.search(tokens[1].gap)) or tokens[1].text.casefold() not in ("one", "body")
    )
    return bool(first) and first[0] in kinds and is_alone and not {"yes", "no"} <= {*first}


# Names and quantities


class _Sentence:
    """The tokens of a sentence, and the question that it answers."""

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
        parts = _parts(answer, self.language)
        places = [self._places(part, self.tokens) for part in parts]
        if not all(places) or self._is_echo(parts):
            return False
        everywhere = [self._places(part, self.tokens) for other in accepted for part in _parts(other, self.language)]
        self.covered = {place for own in everywhere for start, end in own for place in range(start, end)}
        for part, own in zip(parts, places, strict=True):
            if not any(self._is_asserted(start, end, part) for start, end in own):
                return False
        return not (
            any(self._has_other_value(part, own[0]) for part, own in zip(parts, places, strict=True))
            or self._has_other_agent(parts)
            or self._has_competitor(competitors, accepted)
        )

    def _is_echo(self, parts: Sequence[Sequence[Token]]) -> bool:
        """Return whether the question contains the answer. A question with "or" offers the answer and another one."""
        if self.question_keys & self.words("or"):
            return False
        return all(self._places(part, self.question) for part in parts)

    # Where an answer occurs

    def _places(self, part: Sequence[Token], tokens: Sequence[Token]) -> Places:
        """Return the first token, and the token after the last one, of each occurrence of a part of an answer."""
        if value := self._value(part):
            return [(i, i + 1) for i, token in enumerate(tokens) if token.value and self._fits(token.value, value)]
        wanted = [token.key for token in part]
        keys = [token.key for token in tokens]
        size = len(wanted)
        places = [
            (i, i + size) for i in range(len(keys) - size + 1) if keys[i] == wanted[0] and keys[i : i + size] == wanted
        ]
        return places or self._with_middle_name(part, tokens)

    def _value(self, part: Sequence[Token]) -> Quantity | None:
        """Return the value of an answer that is a quantity, also if the question has the noun ("350 passengers")."""
        if len(part) == 1 or all(token.key in self.question_keys for token in part[1:]):
            return part[0].value
        return None

    def _with_middle_name(self, part: Sequence[Token], tokens: Sequence[Token]) -> Places:
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

    def _fits(self, found: Quantity, wanted: Quantity) -> bool:
        """Return whether a value of the sentence is the accepted value, or a more precise one."""
        if isinstance(wanted, Date) and isinstance(found, Date):
            year = found.year or next((date.year for date in self.question_values if isinstance(date, Date)), 0)
            year = year or next((_year(value) for value in self.question_values if _year(value)), 0)
            same_day = {date.year for date in self.dates if date.year and date[2:] == wanted[2:]}
            if found.year and same_day and found.year not in same_day:
                return False
            pairs = ((year, wanted.year), (found.month, wanted.month), (found.day, wanted.day))
            return all(not needed or has == needed for has, needed in pairs)
        if isinstance(wanted, Number) and isinstance(found, Date):
            return _year(wanted) != 0 and found.year == _year(wanted)
        if isinstance(wanted, Number) and isinstance(found, Number):
            if found.value != wanted.value:
                return False
            units = {found.unit, wanted.unit}
            return len(units) == 1 or ("" in units and any(unit in self._question_units() for unit in units - {""}))
        return found == wanted

    def _question_units(self) -> set[str]:
        return _units_in(frozenset(self.question_keys))

    # Whether the sentence asserts an occurrence

    def _is_asserted(self, start: int, end: int, part: Sequence[Token]) -> bool:
        following = self.tokens[end] if end < len(self.tokens) else None
        if following and ((following.gap == "" and not following.key[0].isalnum()) or following.key in ("bc", "bce")):
            return False  # "C++" is not "C", and "44 BC" is not "44"
        if self._is_negated(start, end, part) or self._is_withdrawn(end) or self._is_listed(start, end):
            return False
        return self._value(part) is not None or not self._is_part_of_a_name(start, end, part)

    def _is_negated(self, start: int, end: int, part: Sequence[Token]) -> bool:
        # Why without those of the question: "Smoking is not allowed." answers "What is not allowed?".
        negations = self.words("negations") - self.question_keys
        if any(token.key in negations for token in part):
            return False
        reach = 3 if self.tokens[start].value else 5
        for place in range(start - 1, max(-1, start - 1 - reach), -1):
            if place + 1 <= start and _BREAKS.search(self.tokens[place + 1].gap):
                break
            if self.keys[place] in self.words("boundaries") and self.keys[place] not in negations:
                break
            if self.tokens[start].value and self.keys[place] in self.words("limits"):
                break
            if self.keys[place] in negations:
                return self.keys[place + 1] not in self.words("no_negations")
        for place in range(end, min(end + 2, len(self.tokens))):
            if _BREAKS.search(self.tokens[place].gap):
                break
            if self.keys[place] in negations - {"no", "without", "except", "instead", "ohne", "sin", "sans"}:
                following = self.keys[place + 1] if place + 1 < len(self.keys) else ""
                return following not in self.words("no_negations")
        return False

    def _is_withdrawn(self, end: int) -> bool:
        """Return whether a word such as "no" or "sorry" follows after a punctuation mark."""
        corrections = self.words("corrections") | self.words("hedges")
        return any(
            token.key in corrections and (_BREAKS.search(token.gap) or "?" in token.gap) for token in self.tokens[end:]
        )

    def _is_listed(self, start: int, end: int) -> bool:
        """Return whether the sentence lists another value beside this occurrence."""
        before, after = start - 1, end
        if before >= 0 and (self.keys[before] in self.words("hedges") & {"either", "entweder", "soit"}):
            return True
        if before > 0 and self._joins(before) and self._is_alike(before - 1, start):
            return True
        items = self._items_before(start)
        while after < len(self.tokens):
            if self._joins(after):
                return self._is_other_value(after, end - 1)
            if not self._continues_list(after, end - 1):
                break
            after = self._end_of_name(after)
            items += 1
        if items >= MOST_APPOSITIONS:
            return True
        return after >= len(self.tokens) and end - start > 1 and self._is_another_person(end, start)

    def _items_before(self, start: int) -> int:
        """Return the number of names with commas between them before an occurrence."""
        items, place = 0, start
        while place > 0 and items < MOST_APPOSITIONS and self._continues_list(place, start):
            place -= 1
            if not self._is_alike(place, start) and not (place == 0 and self.tokens[0].is_upper):
                break
            while place > 0 and self.tokens[place].is_upper and self.tokens[place].gap == " ":
                place -= 1
            items += 1
        return items

    def _joins(self, place: int) -> bool:
        return self.keys[place] in self.words("and") | self.words("or") | {"&", "/", "+"}

    def _is_other_value(self, joint: int, last: int) -> bool:
        """Return whether the words after "and" or "or" are another value of the kind of the token `last`."""
        place = joint + 1
        skipped = self.words("hedges") | {"also", "by", "in", "on", "at", "from", "even", "von", "por", "par"}
        while place < len(self.tokens) and self.keys[place] in skipped:
            place += 1
        if place >= len(self.tokens) or place in self.covered:
            return False
        if self.keys[joint] in self.words("or") | {"/"}:
            return self.keys[place] not in ("so", "more", "less", "later", "earlier", "above", "over")
        return self._is_alike(place, last)

    def _is_alike(self, place: int, own: int) -> bool:
        """Return whether the token at `place` can be a value of the kind of the token at `own`."""
        token, value = self.tokens[place], self.tokens[own]
        if place in self.covered or (token.key in self.question_keys and not self.question_keys & self.words("or")):
            return False
        if value.value:
            # Why: "on 2 and 5 June". All other quantities are compared by their value.
            return isinstance(value.value, Date) and isinstance(token.value, Number) and not token.value.unit
        if value.is_upper and self.is_cased:
            return token.is_upper and place > 0
        if token.value or token.is_upper or token.key in self.words("function_words"):
            return False
        return bool(self.words("function_words")) and not _VERB.match(token.key)

    def _continues_list(self, place: int, own: int) -> bool:
        """Return whether the token at `place` follows a comma and is a name, if the token at `own` is one."""
        token = self.tokens[place]
        if place in self.covered and own in self.covered and place > own:
            return False
        return bool(_LIST_MARKS.search(token.gap)) and not token.value and token.is_upper == self.tokens[own].is_upper

    def _end_of_name(self, place: int) -> int:
        """Return the place after the name, or after the word, that begins at `place`."""
        first = self.tokens[place]
        place += 1
        while place < len(self.tokens) and first.is_upper and self.tokens[place].is_upper:
            if self.tokens[place].gap.strip(" .-"):
                break
            place += 1
        return place

    def _is_another_person(self, place: int, start: int) -> bool:
        """Return whether a name of two or more words is followed by another one: "Ada Brix, Bo Lind"."""
        names = self.tokens[place:]
        before = self.keys[start - 1] if start else ""
        is_place = before in ("in", "at", "from", "near", "to", "of")
        is_name = len(names) > 1 and all(token.is_upper for token in names) and any(map(self._is_new, names))
        is_title = bool(names) and names[0].key in self.words("titles")
        return is_name and not is_place and not is_title and place not in self.covered

    def _is_part_of_a_name(self, start: int, end: int, part: Sequence[Token]) -> bool:
        """Return whether the words beside an occurrence make another name: "Paris Hilton", "University of Lyon"."""
        first, last = self.tokens[start], self.tokens[end - 1]
        if first.gap == "-" or (start and first.gap == "'"):
            return True
        name = part[0].is_upper if start == 0 or not self.is_cased else first.is_upper
        following = self.tokens[end] if end < len(self.tokens) else None
        if following and following.gap == "-":
            return following.is_upper or not last.is_upper
        if not name or self.language in ("zh", "ja", "ar", "hi"):
            return bool(
                following and following.gap == " " and following.is_upper and self._is_new(following) and start
            )
        if not self.is_cased:
            return self._is_uncased_part(start, following)
        if following and following.gap == " " and self._is_new(following):
            if following.is_upper and following.key not in {"i", *self.words("name_suffixes")}:
                return True
            if isinstance(following.value, Number) and not _year(following.value) and not following.value.unit:
                return True
        if following and following.key == "of" and end - start == 1 and end + 1 < len(self.tokens):
            of = self.tokens[end + 1]
            if of.is_upper and self._is_new(of):
                return True
        return self.language != "de" and self._has_name_before(start, end)

    def _is_new(self, token: Token) -> bool:
        return token.key not in self.question_keys

    def _has_name_before(self, start: int, end: int) -> bool:
        if start == 0 or not (self.tokens[start - 1].is_upper or self.keys[start - 1] == "of"):
            return False
        before, gap = self.tokens[start - 1], self.tokens[start].gap
        if before.key == "of":
            head = self.tokens[start - 2] if start > 1 else None
            heads = self.words("of_heads") | self.words("titles") | self.question_keys
            return bool(head and head.is_upper and head.key not in heads)
        if gap not in (" ", ". ") or not self._is_new(before):
            return False
        if before.key in self.words("name_prefixes"):
            return True
        if end - start > 1 or start == 1 or before.key in self.words("titles") or _ADJECTIVE.match(before.text):
            return False
        if self.full_names[self.keys[start]]:
            return before.key not in self.full_names[self.keys[start]]
        return not self.question_keys & {"who", "whom", "whose", "quién", "qui", "wer"}

    def _is_uncased_part(self, start: int, following: Token | None) -> bool:
        """Return whether the next word can belong to the name, in a sentence without upper and lower case."""
        words = self.words("function_words")
        if start and self.keys[start - 1] in self.words("name_prefixes"):
            return True
        return bool(
            words
            and following
            and following.gap == " "
            and following.value is None
            and following.key not in words
            and self._is_new(following)
        )

    # Other values in the sentence

    def _has_other_value(self, part: Sequence[Token], place: tuple[int, int]) -> bool:
        wanted = self._value(part)
        own = place[0]
        if wanted is None:
            return self._has_other_label(part, place)
        for other, token in enumerate(self.tokens):
            found = token.value
            if found is None or other in self.covered or found in self.question_values:
                continue
            if self._is_negated(other, other + 1, [token]) or self.keys[other - 1 : other] == ["no"]:
                continue
            if self._competes(found, wanted, other, own) and not self._is_of_another_verb(other, own):
                return True
        return False

    def _is_of_another_verb(self, other: int, own: int) -> bool:
        """Return whether a value belongs to a verb that is not in the question: "built in 1998 and sold in 2007"."""
        verb, start = self._clause_verb(max(other, own))
        if not verb or start <= min(other, own):
            return False
        is_of_question = any(key[:4] == verb[:4] for key in self.question_keys)
        return is_of_question if own > other else not is_of_question

    def _clause_verb(self, place: int) -> tuple[str, int]:
        """Return the first word of the clause of a token, if it is a verb, and its place; otherwise ""."""
        starts = self.words("and") | self.words("boundaries")
        while place > 0 and self.keys[place - 1] not in starts and not _BREAKS.search(self.tokens[place].gap):
            place -= 1
        while place < len(self.tokens) - 1 and self.keys[place] in self.words("auxiliaries") | starts:
            place += 1
        key = self.keys[place]
        return (key if _VERB.match(key) or key in self.words("verbs") else ""), place

    def _has_other_label(self, part: Sequence[Token], place: tuple[int, int]) -> bool:
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

    def _competes(self, found: Quantity, wanted: Quantity, other: int, own: int) -> bool:
        year = _year(wanted)
        if isinstance(wanted, Time) or isinstance(found, Time):
            return isinstance(wanted, Time) and isinstance(found, Time)
        if isinstance(found, Date):
            if isinstance(wanted, Date):
                return any(a and b and a != b for a, b in zip(found[1:], wanted[1:], strict=True))
            return bool(year) and found.year != 0
        if isinstance(wanted, Date):
            return _year(found) != 0 and wanted.day == 0
        if year:
            return _year(found) != 0
        if found.unit != wanted.unit or self._is_label(other) or self.tokens[other].text.casefold() in ("one", "1"):
            return False
        if _year(found) and not self._nouns(other):
            return False
        nouns, own_nouns = self._nouns(other), self._nouns(own)
        if found.unit or not nouns or not own_nouns or nouns & own_nouns:
            return True
        plural = {_singular(key) for key in self.question_keys}
        return bool(nouns & plural) and not own_nouns & plural

    def _is_label(self, place: int) -> bool:
        """Return whether a number belongs to the name before it: "Pier 3", "No. 5"."""
        before = self.tokens[place - 1] if place else None
        return bool(before and before.is_upper and place > 1 and self.tokens[place].gap in (" ", ". "))

    def _nouns(self, place: int) -> set[str]:
        """Return the nouns after a number, at most three words, in the singular."""
        found = set()
        for token in self.tokens[place + 1 : place + 4]:
            stops = self.words("function_words") | self.words("and") | self.words("or")
            if token.gap not in (" ", "-") or token.value or token.key in stops or not token.key.isalpha():
                break
            found.add(_singular(token.key))
        return found

    def _has_other_agent(self, parts: Sequence[Sequence[Token]]) -> bool:
        """Return whether a verb of the question has another agent: "directed by Bo" if "Ada" directed."""
        if not any(part[0].is_upper for part in parts):
            return False
        for place, key in enumerate(self.keys[1:-1], 1):
            if key not in ("by", "von", "por", "par") or self.keys[place - 1] not in self.question_keys:
                continue
            agent = self.tokens[place + 1]
            if self._is_negated(place + 1, place + 2, [agent]) or not self.covered.isdisjoint(self._agent(place + 1)):
                continue
            if agent.is_upper and self._is_new(agent):
                return True
        return False

    def _agent(self, place: int) -> list[int]:
        found = [place]
        for i in range(place + 1, len(self.tokens)):
            if _BREAKS.search(self.tokens[i].gap) or self._joins(i) or self.keys[i] == "by":
                break
            found.append(i)
        return found

    def _has_competitor(self, competitors: Competitors, accepted: Sequence[Sequence[Token]]) -> bool:
        """Return whether the sentence contains the accepted answer of another question of the relation."""
        own = [{token.key for token in answer} for answer in accepted]
        is_name = all(token.is_upper for answer in accepted for token in answer[:1])
        longest = max(map(len, competitors), default=0)
        for start in range(len(self.keys)):
            if start in self.covered or self.tokens[start].value:
                continue
            for end in range(start + 1, min(start + longest, len(self.keys)) + 1):
                key = tuple(self.keys[start:end])
                if key not in competitors or not self.covered.isdisjoint(range(start, end)):
                    continue
                if is_name and self.is_cased and not any(token.is_upper for token in self.tokens[start:end]):
                    continue  # "a birch tree" is not the person Birch
                is_known = self.question_keys.issuperset(key) or any(words.issuperset(key) for words in own)
                if not is_known and not self._is_negated(start, end, self.tokens[start:end]):
                    return True
        return False


def _parts(answer: Sequence[Token], language: str) -> list[Sequence[Token]]:
    """Return the items of an answer that is a list ("Ada Brix and Bo Lind"), without prepositions before an item."""
    joints = words_of("and", language) | {"&", "/"}
    if sum(token.value is not None for token in answer) > 1 and all(t.value or t.key in _RANGE_WORDS for t in answer):
        return [[token] for token in answer if token.value]
    parts: list[list[Token]] = [[]]
    for token in answer:
        if token.key in joints:
            parts.append([])
        elif _LIST_MARKS.search(token.gap):
            parts.append([token])
        else:
            parts[-1].append(token)
    found = [_without_preposition(part) for part in parts if part]
    return found or [answer]


_RANGE_WORDS = frozenset("from to until till between and through bis von zwischen und de a hasta y entre à et".split())
_PREPOSITIONS = frozenset("in on at by for from to with of am im um en".split())


def _without_preposition(part: Sequence[Token]) -> Sequence[Token]:
    return part[1:] if len(part) > 1 and part[0].key in _PREPOSITIONS else part


def _year(value: Quantity) -> int:
    """Return the year if a value can be one, otherwise 0."""
    if isinstance(value, Number) and not value.unit and 1000 <= value.value < 2200 and value.value % 1 == 0:
        return int(value.value)
    return 0


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word


@cache
def _units_in(keys: frozenset[str]) -> set[str]:
    return {UNITS.get(key, key) for key in keys}
