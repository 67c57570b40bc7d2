"""Rules that find references between sentences, instructions and narration, by language.

The words of the rules are in `language_rules.toml`. In doubt, a rule reports a reference, so that the sentence keeps
its place.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

_TABLE = tomllib.loads(Path(__file__).with_name("language_rules.toml").read_text(encoding="utf-8"))
LANGUAGES = tuple(_TABLE)
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*\.?", re.UNICODE)
_OPENING_CLAUSE = re.compile(r"^[^,.;:]{1,80},\s+")
_CLEFT = re.compile(
    r"^(?:it (?:is|was)\b.*\b(?:that|who|where)\b|c'(?:est|\u00e9tait)\b.*\b(?:que|qui|o\u00f9)\b"
    r"|es (?:ist|war)\b.*, d(?:er|ie|as)\b)",
    re.IGNORECASE,
)
_MARKS = " \t\n\"'\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb([*_#>-\u2013\u2014\u2022"
_QUOTED = re.compile(
    '"[^"\n]+"|\u201c[^\u201d\n]+\u201d|\u201e[^\u201c\u201d\n]+[\u201c\u201d]|\u00ab[^\u00bb\n]+\u00bb|\u00bb[^\u00ab\n]+\u00ab|`[^`\n]+`'
)
_WITH_CASE = ("past", "past_ending", "instruction")  # these patterns distinguish capital letters
_CAPITAL = re.compile(r"(?<!\\)[^\W\d_a-z]")


def without_quotations(sentence: str) -> str:
    """Replace each quotation in a sentence by "Title". Why: the words of a title such as "Now and Then" are no
    references."""
    shown = _QUOTED.sub("Title", sentence)
    return shown if len(shown) > 12 else sentence


@dataclass(frozen=True, eq=False)
class SentenceRules:
    """The rules of one language. `language_rules.toml` describes the fields."""

    opening: frozenset[str]
    anywhere: frozenset[str]
    phrases: re.Pattern[str]
    forward: re.Pattern[str]
    person: frozenset[str]
    thing: frozenset[str]
    determiners: frozenset[str]
    prepositions: frozenset[str]
    function: frozenset[str]
    ordinals: frozenset[str]
    sequence: frozenset[str]
    lead: frozenset[str]
    imperatives: frozenset[str]
    instruction: re.Pattern[str]
    process: re.Pattern[str]
    procedure: re.Pattern[str]
    narrative: frozenset[str]
    past: re.Pattern[str]
    past_verbs: frozenset[str]
    not_past: frozenset[str]
    past_ending: re.Pattern[str]
    narrative_time: re.Pattern[str]
    first_person: frozenset[str]
    legal: re.Pattern[str]
    greeting: re.Pattern[str]
    closing: re.Pattern[str]

    def refers_back(self, sentence: str) -> bool:
        """Return whether the sentence refers to the text before it.

        Example:
            >>> rules = rules_for("en")
            >>> [rules.refers_back(text) for text in ("It is old.", "Tarn has a mill.", "In 1990 it burned down.")]
            [True, False, True]
        """
        return _refers_back(self, sentence)

    def refers_forward(self, sentence: str) -> bool:
        """Return whether the sentence refers to the text after it."""
        return self.forward.search(sentence.lower()) is not None

    def is_instruction(self, sentence: str) -> bool:
        """Return whether the sentence tells the reader to do something.

        Example:
            >>> [rules_for("en").is_instruction(text) for text in ("If it is hot, open the lid.", "The lid is open.")]
            [True, False]
        """
        stripped = sentence.strip(_MARKS)
        clauses = [stripped]
        while (match := _OPENING_CLAUSE.match(clauses[-1])) and len(clauses) < 4:
            clauses.append(clauses[-1][match.end() :])
        # Why: after a comma, a word with a capital letter is a name ("At Dumsom College, Simmer Rimpom was a
        # student").
        possible = [clause for i, clause in enumerate(clauses) if not i or not clause[:1].isupper()]
        return any(map(self._begins_with_imperative, possible)) or self.instruction.search(stripped) is not None

    def describes_step(self, sentence: str) -> bool:
        """Return whether the sentence describes a step of a process in the passive, such as "The lid is removed"."""
        return self.process.search(sentence.lower()) is not None

    def orders_steps(self, sentence: str) -> bool:
        """Return whether the sentence begins with a word that orders steps, such as "then", but not with a name such
        as "First Bank"."""
        sentence = without_quotations(sentence)
        words = words_of(sentence)
        for i, lower in enumerate(_lower_words(sentence)[:2]):
            is_name = (
                lower in self.ordinals and words[i][0].isupper() and words[i + 1 : i + 2] and words[i + 1][0].isupper()
            )
            if lower in self.sequence and not is_name:
                return True
        return False

    def narrates(self, sentence: str) -> bool:
        """Return whether the sentence has a verb of a story, such as "smiled"."""
        sentence = without_quotations(sentence)
        if self.past.search(sentence):
            return True
        return not self.narrative.isdisjoint(word.rstrip(".") for word in words_of(sentence))

    def acts_in_past(self, sentence: str) -> bool:
        """Return whether the sentence has an active verb in the past tense, such as "reached"."""
        sentence = without_quotations(sentence)
        if not self.past_verbs.isdisjoint(words_of(sentence)):
            return True
        found = (verb for match in self.past_ending.finditer(sentence) for verb in match.groups() if verb)
        return any(verb not in self.not_past for verb in found)

    def can_name(self, word: str) -> bool:
        """Return whether a word can name a person or a thing. The word is in lower case."""
        return len(word) > 3 and word not in self.determiners and self._can_be_noun(word)

    def is_in_first_person(self, sentence: str) -> bool:
        """Return whether the sentence has a word of the first person, such as "my"."""
        return not self.first_person.isdisjoint(_lower_words(sentence))

    def _begins_with_imperative(self, clause: str) -> bool:
        words = _lower_words(clause)[:5]
        while words and words[0] in self.lead:
            words = words[1:]
        if not words or words[0].split("-")[0] not in self.imperatives:
            return False
        return len(words) < 2 or words[1] not in ("is", "are", "was", "were", "has", "of")

    def _is_ordinal(self, words: Sequence[str]) -> bool:
        """Return whether the sentence begins with "first" or "the second", but not with a name, as in "First Bank"."""
        lower = [word.casefold().rstrip(".") for word in words[:3]]
        at = 1 if lower[0] in self.determiners else 0
        if len(lower) <= at or lower[at] not in self.ordinals:
            return False
        return len(words) <= at + 1 or not words[at + 1][0].isupper()

    def _can_be_noun(self, word: str) -> bool:
        return word not in self.prepositions and word not in self.function and not word[0].isdigit()

    def _has_open_pronoun(self, words: Sequence[str], sentence: str) -> bool:
        """Return whether a pronoun of the sentence refers to no noun before it in the same sentence."""
        clause = _OPENING_CLAUSE.match(sentence)
        opens_with_clause = words[0].casefold() in self.prepositions | self.function
        skipped = len(words_of(clause.group())) if clause and opens_with_clause else 0
        noun = ""
        previous = ""
        for number, lower in enumerate(_lower_words(sentence)):
            if lower in self.person or lower in self.thing:
                if not noun:
                    return True
            elif lower in self.determiners:
                continue  # Why: the noun after a determiner follows the preposition before it.
            elif previous not in self.prepositions and number >= skipped and self._can_be_noun(lower):
                noun = noun or lower
            previous = lower
        return False


@lru_cache(maxsize=512)  # Why: the same sentence is examined as the first of its paragraph and within it.
def _refers_back(rules: SentenceRules, sentence: str) -> bool:
    sentence = without_quotations(sentence)
    words = words_of(sentence)
    if not words:
        return True
    if _CLEFT.match(sentence):
        return False
    if sentence[0].islower():  # it continues a formula, a list or another sentence
        return True
    first = words[0].rstrip(".").casefold()
    if first.split("'")[0].split("\u2019")[0] in rules.opening and first not in rules.determiners:
        return True
    if first in rules.opening and len(words) > 1 and not _can_follow_determiner(words[1], first, rules):
        return True
    # Why: a capitalised word within a sentence is part of a name ("the magazine Now and Then").
    found = rules.anywhere.intersection(_lower_words(sentence))
    if found and any(
        not i or not words[i][0].isupper() for i, word in enumerate(_lower_words(sentence)) if word in found
    ):
        return True
    if rules._is_ordinal(words):
        return True
    return rules.phrases.search(sentence.lower()) is not None or rules._has_open_pronoun(words, sentence)


def _can_follow_determiner(word: str, first: str, rules: SentenceRules) -> bool:
    """Return whether `first` is a determiner before `word`. Why: the German word "die" can be a determiner or a
    pronoun."""
    lower = word.casefold().rstrip(".")
    return lower not in rules.function and lower not in rules.prepositions and lower not in rules.determiners


@lru_cache(maxsize=512)  # Why: each rule looks at the words of the same sentences.
def words_of(sentence: str) -> tuple[str, ...]:
    """Return the words of a sentence, without punctuation."""
    return tuple(_WORD.findall(sentence))


@lru_cache(maxsize=512)
def _lower_words(sentence: str) -> tuple[str, ...]:
    return tuple(word.casefold().rstrip(".") for word in words_of(sentence))


def rules_for(language: str) -> SentenceRules | None:
    """Return the rules for a language code such as "en" or "pt-BR". None if there are no rules for the language."""
    return _rules(language.replace("_", "-").split("-")[0].casefold())


@cache
def _rules(language: str) -> SentenceRules | None:
    if language not in _TABLE:
        return None
    values: dict[str, Any] = {
        name: _pattern(words, name in _WITH_CASE) if isinstance(words, list) else frozenset(words.casefold().split())
        for name, words in _TABLE[language].items()
    }
    return SentenceRules(**values)


def _pattern(patterns: Iterable[str], with_case: bool) -> re.Pattern[str]:
    """Return one regular expression for all patterns. If not `with_case`, the expression is for texts in lower case,
    which is faster than `re.IGNORECASE`."""
    joined = "|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)"
    if with_case:
        return re.compile(joined, re.IGNORECASE)
    return re.compile(_CAPITAL.sub(lambda match: match.group().lower(), joined))
