"""Scores of one prediction: exact match, F1, and whether the prediction contains an accepted answer.

English follows SQuAD's official v1.1 script (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250). Other languages
follow MLQA's script (Lewis et al. 2020, https://arxiv.org/abs/1910.07475).
"""

import re
import reprlib
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeGuard


class Translation(dict[int, str | None]):
    """A table for `str.translate`. `function` returns the replacement of a character, or None to delete it."""

    def __init__(self, function: Callable[[str], str | None]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, code: int) -> str | None:
        # Why at the first use: a table of all Unicode characters would take a fifth of a second.
        self[code] = translated = self._function(chr(code))
        return translated


def is_punctuation(sign: str) -> bool:
    """Return whether Unicode classifies the character as punctuation."""
    return unicodedata.category(sign)[0] == "P"


# MLQA also deletes ASCII symbols.
_WITHOUT_PUNCTUATION = Translation(lambda sign: None if sign in string.punctuation or is_punctuation(sign) else sign)


class Rules(NamedTuple):
    """The rules that normalise texts in a language."""

    articles: str = ""  # regular expression of the articles to delete
    letters: str = ""  # regular expression of the characters that each count as a word
    punctuation: Mapping[int, Any] = _WITHOUT_PUNCTUATION


# English follows SQuAD. "ja" and "und" are rules of this package. All others follow mlqa_evaluation_v1.py.
# The Arabic rule also deletes "ال" inside words. The Chinese rule ends at U+9FA5. In Japanese, each kana, long-vowel
# mark, repetition mark and Han character counts as a word. "und" is the code of an undetermined language.
RULES = {
    "en": Rules(articles=r"\b(a|an|the)\b", punctuation=str.maketrans("", "", string.punctuation)),
    "ar": Rules(articles="ال"),
    "de": Rules(articles=r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "es": Rules(articles=r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": Rules(),
    "ja": Rules(
        letters="[\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9f]"
    ),
    "und": Rules(),
    "vi": Rules(articles=r"\b(của|là|cái|chiếc|những)\b"),
    "zh": Rules(letters="[\u4e00-\u9fa5]"),
}
LANGUAGES = tuple(RULES)


def normalize(text: str, language: str = "en") -> str:
    """Return the text in lower case, without punctuation and articles, and with single spaces.

    Deleted punctuation leaves no space, so "Saint-Denis" becomes one word. In English, as in SQuAD's script, only
    ASCII punctuation is deleted. In other languages, all Unicode punctuation and the ASCII symbols (such as "$" and
    "+") are deleted. In Chinese and Japanese, each character becomes a word.

    Args:
        language: the language code. "en" follows SQuAD. "ar", "de", "es", "hi", "vi" and "zh" follow MLQA. "ja" and
            "und" follow rules of this package. "und" is for any other language that separates words by spaces.

    Raises:
        ValueError: the language is unknown.

    Example:
        >>> normalize("The Lyon.")
        'lyon'
    """
    return normalizer(language)(text)


def normalizer(language: str) -> Callable[[str], str]:
    """Return the function that normalises texts of this language. Raises the errors of `normalize`."""
    raise_problems(language_problems(language))
    return _normalizer(language)


def language_problems(language: object) -> list[str]:
    """Return a list with a message if the language code is unknown, otherwise an empty list."""
    if language in LANGUAGES:
        return []
    return [
        f"language is {SHOW.repr(language)}: choose from {', '.join(LANGUAGES)}. Use 'und' for another language that "
        "separates words by spaces"
    ]


@cache
def _normalizer(language: str) -> Callable[[str], str]:
    rules = RULES[language]
    articles, letters = re.compile(rules.articles or r"(?!)"), re.compile(rules.letters or r"(?!)")

    def normalized(text: str) -> str:
        text = articles.sub(" ", text.lower().translate(rules.punctuation))
        return " ".join(letters.sub(r" \g<0> ", text).split())

    return normalized


def first_line(text: str) -> str:
    """Return the first line that is not blank, without white space around it; "" if all lines are blank."""
    return next(iter(text.strip().splitlines()), "").rstrip()


def exact_match(prediction: str, answers: Collection[str], language: str = "en") -> bool:
    """Return whether the whole prediction equals one of the accepted answers after normalisation.

    By default, the metric passes only the first line of a prediction to this function. As in SQuAD's script, an empty
    prediction matches an answer that is empty after normalisation.

    Raises:
        ValueError: the prediction is not a string, the answers are not a list of at least one string, or the language
            is unknown.

    Example:
        >>> exact_match("the Lyon", ["Lyon", "Lugdunum"])
        True
    """
    return matches(*_normalized(prediction, answers, language))


def f1(prediction: str, answers: Collection[str], language: str = "en") -> float:
    """Return the overlap of words between the whole prediction and the best-matching accepted answer, in [0, 1].

    As in SQuAD's script, the overlap is 2 x shared words / (words of the prediction + words of the answer), which is
    the harmonic mean of precision and recall. The order of words does not matter. Raises the errors of `exact_match`.
    """
    return overlap(*_normalized(prediction, answers, language))


def contains(prediction: str, answers: Collection[str], language: str = "en") -> bool:
    """Return whether an accepted answer occurs, as whole words, anywhere in the prediction. Both are normalised.

    An answer that is empty after normalisation never occurs. Raises the errors of `exact_match`.
    """
    return occurs(*_normalized(prediction, answers, language))


def matches(text: str, accepted: Collection[str]) -> bool:
    """Return the same as `exact_match`, for texts that are already normalised."""
    return text in accepted


def overlap(text: str, accepted: Collection[str]) -> float:
    """Return the same as `f1`, for texts that are already normalised."""
    words = text.split()
    return max(_f1_of_words(words, answer.split()) for answer in accepted)


FEW = 50  # words; a Counter is faster for more


def _f1_of_words(words: list[str], accepted: list[str]) -> float:
    both = set(words).intersection(accepted)
    if not both:
        return 0.0  # Why also for two empty texts, which are an exact match: the v1.1 script has this rule.
    if len(words) + len(accepted) <= FEW:
        shared = sum(min(words.count(word), accepted.count(word)) for word in both)
    else:
        shared = (Counter(words) & Counter(accepted)).total()
    return 2 * shared / (len(words) + len(accepted))


def occurs(text: str, accepted: Collection[str]) -> bool:
    """Return the same as `contains`, for texts that are already normalised."""
    spaced = f" {text} "
    return any(answer and f" {answer} " in spaced for answer in accepted)


def _normalized(prediction: str, answers: Collection[str], language: str) -> tuple[str, list[str]]:
    raise_problems(answers_problems(prediction, answers) + language_problems(language))
    normal = normalizer(language)
    return normal(prediction), [normal(answer) for answer in answers]


# Problems of one prediction and of the accepted answers to one question

SHOW = reprlib.Repr()
SHOW.maxstring = SHOW.maxother = 60
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
NOT_UNICODE = "it has a lone surrogate, which UTF-8 cannot encode; decode the bytes with errors='replace'"


def is_list(value: object) -> TypeGuard[Collection[Any]]:
    """Return whether the value is a collection, but not a string or a mapping."""
    # Why: an array or tensor of a single value is a Collection without a length.
    single = isinstance(value, str | bytes | Mapping) or getattr(value, "shape", None) == ()
    return isinstance(value, Collection) and not single


def text_rule(value: object) -> str:
    """Return the reason why the value is not a valid prediction; "" if it is valid."""
    if not isinstance(value, str):
        return 'a prediction is one string; write "" for an empty response'
    return NOT_UNICODE if LONE_SURROGATE.search(value) else ""


def answers_rule(value: object) -> str:
    """Return the reason why the value is not a valid list of accepted answers; "" if it is valid."""
    if not is_list(value):
        return "give a list of strings, even for a single accepted answer"
    if not len(value):
        return "a question needs at least one accepted answer; add one, or remove the question"
    if not all(isinstance(answer, str) for answer in value):
        return "each accepted answer is a string; remove missing values and write a number as text"
    return NOT_UNICODE if any(map(LONE_SURROGATE.search, value)) else ""


def answers_problems(prediction: object, answers: object) -> list[str]:
    """Return a message for each invalid argument: the prediction, the accepted answers, or both."""
    # Why: a string as `answers` would count as a list of its letters.
    broken = [("prediction", prediction, text_rule(prediction)), ("answers", answers, answers_rule(answers))]
    return [f"{name} is {SHOW.repr(value)}: {why}" for name, value, why in broken if why]


def raise_problems(problems: list[str]) -> None:
    """Raise one ValueError that lists all problems, if there are any."""
    if problems:
        raise ValueError("These predictions cannot be scored:\n- " + "\n- ".join(problems))
