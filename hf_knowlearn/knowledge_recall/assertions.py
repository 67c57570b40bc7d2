"""Decides whether a sentence asserts an answer that it contains.

The sentence does not assert the answer if it negates or withdraws it, lists another value beside it, or has it as a
part of another name.
"""

import re
from collections.abc import Sequence

from .answer_places import LIST_MARKS, AnswerPlaces, year_of
from .quantities import Date, Number
from .sentence_tokens import Token

MOST_APPOSITIONS = 3  # names after or before an answer, with commas, that make a list: "Lyon, Rhône, France" is none
BREAKS = re.compile(r"[,;:()\u2026\"。、،]|\.\.|\s-\s")
ADJECTIVE = re.compile(r"[A-Z]\w+(?:an|ish|ese|ch|ic|i)$")
VERB = re.compile(r".{2,}(?:ed|ing)$")


class Assertions(AnswerPlaces):
    """Decides which occurrences of an answer a sentence asserts."""

    def is_asserted(self, start: int, end: int, part: Sequence[Token]) -> bool:
        following = self.tokens[end] if end < len(self.tokens) else None
        if following and ((following.gap == "" and not following.key[0].isalnum()) or following.key in ("bc", "bce")):
            return False  # "C++" is not "C", and "44 BC" is not "44"
        if self.is_negated(start, end, part) or self.is_withdrawn(end) or self.is_listed(start, end):
            return False
        return self.value(part) is not None or not self.is_part_of_a_name(start, end, part)

    def is_negated(self, start: int, end: int, part: Sequence[Token]) -> bool:
        # Why without those of the question: "Smoking is not allowed." answers "What is not allowed?".
        negations = self.words("negations") - self.question_keys
        if any(token.key in negations for token in part):
            return False
        reach = 3 if self.tokens[start].value else 5
        for place in range(start - 1, max(-1, start - 1 - reach), -1):
            if place + 1 <= start and BREAKS.search(self.tokens[place + 1].gap):
                break
            if self.keys[place] in self.words("boundaries") and self.keys[place] not in negations:
                break
            if self.tokens[start].value and self.keys[place] in self.words("limits"):
                break
            if self.keys[place] in negations:
                return self.keys[place + 1] not in self.words("no_negations")
        for place in range(end, min(end + 2, len(self.tokens))):
            if BREAKS.search(self.tokens[place].gap):
                break
            if self.keys[place] in negations - {"no", "without", "except", "instead", "ohne", "sin", "sans"}:
                following = self.keys[place + 1] if place + 1 < len(self.keys) else ""
                return following not in self.words("no_negations")
        return False

    def is_withdrawn(self, end: int) -> bool:
        """Return whether a word such as "no" or "sorry" follows after a punctuation mark."""
        corrections = self.words("corrections") | self.words("hedges")
        return any(
            token.key in corrections and (BREAKS.search(token.gap) or "?" in token.gap) for token in self.tokens[end:]
        )

    def is_listed(self, start: int, end: int) -> bool:
        """Return whether the sentence lists another value beside this occurrence."""
        before, after = start - 1, end
        if before >= 0 and (self.keys[before] in self.words("hedges") & {"either", "entweder", "soit"}):
            return True
        if before > 0 and self.joins(before) and self.is_alike(before - 1, start):
            return True
        items = self.items_before(start)
        while after < len(self.tokens):
            if self.joins(after):
                return self.is_other_value(after, end - 1)
            if not self.continues_list(after, end - 1):
                break
            after = self.end_of_name(after)
            items += 1
        if items >= MOST_APPOSITIONS:
            return True
        return after >= len(self.tokens) and end - start > 1 and self.is_another_person(end, start)

    def items_before(self, start: int) -> int:
        """Return the number of names with commas between them before an occurrence."""
        items, place = 0, start
        while place > 0 and items < MOST_APPOSITIONS and self.continues_list(place, start):
            place -= 1
            if not self.is_alike(place, start) and not (place == 0 and self.tokens[0].is_upper):
                break
            while place > 0 and self.tokens[place].is_upper and self.tokens[place].gap == " ":
                place -= 1
            items += 1
        return items

    def joins(self, place: int) -> bool:
        return self.keys[place] in self.words("and") | self.words("or") | {"&", "/", "+"}

    def is_other_value(self, joint: int, last: int) -> bool:
        """Return whether the words after "and" or "or" are another value of the kind of the token `last`."""
        place = joint + 1
        skipped = self.words("hedges") | {"also", "by", "in", "on", "at", "from", "even", "von", "por", "par"}
        while place < len(self.tokens) and self.keys[place] in skipped:
            place += 1
        if place >= len(self.tokens) or place in self.covered:
            return False
        if self.keys[joint] in self.words("or") | {"/"}:
            return self.keys[place] not in ("so", "more", "less", "later", "earlier", "above", "over")
        return self.is_alike(place, last)

    def is_alike(self, place: int, own: int) -> bool:
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
        return bool(self.words("function_words")) and not VERB.match(token.key)

    def continues_list(self, place: int, own: int) -> bool:
        """Return whether the token at `place` follows a comma and is a name, if the token at `own` is one."""
        token = self.tokens[place]
        if place in self.covered and own in self.covered and place > own:
            return False
        return bool(LIST_MARKS.search(token.gap)) and not token.value and token.is_upper == self.tokens[own].is_upper

    def end_of_name(self, place: int) -> int:
        """Return the place after the name, or after the word, that begins at `place`."""
        first = self.tokens[place]
        place += 1
        while place < len(self.tokens) and first.is_upper and self.tokens[place].is_upper:
            if self.tokens[place].gap.strip(" .-"):
                break
            place += 1
        return place

    def is_another_person(self, place: int, start: int) -> bool:
        """Return whether a name of two or more words is followed by another one: "Ada Brix, Bo Lind"."""
        names = self.tokens[place:]
        before = self.keys[start - 1] if start else ""
        is_place = before in ("in", "at", "from", "near", "to", "of")
        is_name = len(names) > 1 and all(token.is_upper for token in names) and any(map(self.is_new, names))
        is_title = bool(names) and names[0].key in self.words("titles")
        return is_name and not is_place and not is_title and place not in self.covered

    def is_part_of_a_name(self, start: int, end: int, part: Sequence[Token]) -> bool:
        """Return whether the words beside an occurrence make another name: "Paris Hilton", "University of Lyon"."""
        first, last = self.tokens[start], self.tokens[end - 1]
        if first.gap == "-" or (start and first.gap == "'"):
            return True
        name = part[0].is_upper if start == 0 or not self.is_cased else first.is_upper
        following = self.tokens[end] if end < len(self.tokens) else None
        if following and following.gap == "-":
            return following.is_upper or not last.is_upper
        if not name or self.language in ("zh", "ja", "ar", "hi"):
            return bool(following and following.gap == " " and following.is_upper and self.is_new(following) and start)
        if not self.is_cased:
            return self.is_uncased_part(start, following)
        if following and following.gap == " " and self.is_new(following):
            if following.is_upper and following.key not in {"i", *self.words("name_suffixes")}:
                return True
            if isinstance(following.value, Number) and not year_of(following.value) and not following.value.unit:
                return True
        if following and following.key == "of" and end - start == 1 and end + 1 < len(self.tokens):
            of = self.tokens[end + 1]
            if of.is_upper and self.is_new(of):
                return True
        return self.language != "de" and self.has_name_before(start, end)

    def is_new(self, token: Token) -> bool:
        return token.key not in self.question_keys

    def has_name_before(self, start: int, end: int) -> bool:
        if start == 0 or not (self.tokens[start - 1].is_upper or self.keys[start - 1] == "of"):
            return False
        before, gap = self.tokens[start - 1], self.tokens[start].gap
        if before.key == "of":
            head = self.tokens[start - 2] if start > 1 else None
            heads = self.words("of_heads") | self.words("titles") | self.question_keys
            return bool(head and head.is_upper and head.key not in heads)
        if gap not in (" ", ". ") or not self.is_new(before):
            return False
        if before.key in self.words("name_prefixes"):
            return True
        if end - start > 1 or start == 1 or before.key in self.words("titles") or ADJECTIVE.match(before.text):
            return False
        if self.full_names[self.keys[start]]:
            return before.key not in self.full_names[self.keys[start]]
        return not self.question_keys & {"who", "whom", "whose", "quién", "qui", "wer"}

    def is_uncased_part(self, start: int, following: Token | None) -> bool:
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
            and self.is_new(following)
        )
