"""What counts as a right answer: one prediction against its accepted answers.

English is scored as SQuAD's official v1.1 script does (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250), other
languages by the rules of MLQA's script (Lewis et al. 2020, https://arxiv.org/abs/1910.07475). The surprising
decision: what a run is judged by (`score`) is the first line of a prediction only. A model that answers and then talks
on is right; one that lists every value it can think of is not, although `contains` would say so.
"""

import re
import reprlib
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeGuard

ARTICLES = re.compile(r"\b(a|an|the)\b")
ARTICLE_WORDS = frozenset(["a", "an", "the"])
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Rules(NamedTuple):
    """How a language other than English is normalised."""

    articles: str | None = None  # regular expression of what is dropped
    letters: str | None = None  # regular expression of characters that are words of their own


# After mlqa_evaluation_v1.py, as it stands: its Arabic rule drops "ال" inside words too, and of Chinese it knows the
# characters up to U+9FA5. MLQA takes Unicode punctuation out of English too; our English is SQuAD's.
_MLQA = {
    "ar": Rules(articles="ال"),
    "de": Rules(articles=r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "es": Rules(articles=r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": Rules(),
    "vi": Rules(articles=r"\b(của|là|cái|chiếc|những)\b"),
    "zh": Rules(letters="[\u4e00-\u9fa5]"),
}
# Ours. Japanese as MLQA does Chinese: kana (with their long-vowel and repetition marks) and Han characters are words.
# "und" is the code for an undetermined language: spaces part the words, and none is dropped.
_OURS = {
    "ja": Rules(
        letters="[\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9f]"
    ),
    "und": Rules(),
}
_OTHERS = {**_MLQA, **_OURS}
LANGUAGES = ("en", *sorted(_OTHERS))
BY_CHARACTER = frozenset(code for code, rules in _OTHERS.items() if rules.letters)  # no spaces between words


def normalize(text: str, language: str = "en") -> str:
    """Lower case, punctuation deleted, articles dropped, white space made single: in this order.

    Punctuation is deleted, not turned into a space ("Saint-Denis" is one word). English, as in SQuAD's script, loses
    ASCII punctuation only: typographic quotes and dashes stay. The other languages lose all that Unicode calls
    punctuation, and ASCII symbols ("$", "+") too; of Chinese and Japanese each character becomes a word.

    Args:
        text: what is compared.
        language: "en" as SQuAD; "ar", "de", "es", "hi", "vi", "zh" as MLQA; by rules of ours "ja", and "und" for any
            language that puts spaces between its words, of which no articles are known.

    Raises:
        ValueError: another language.
    """
    return normalizer(language)(text)


def normalizer(language: str) -> Callable[[str], str]:
    """The function that normalises texts of this language; raises as `normalize` does."""
    refuse(language_problems(language))
    return _english if language == "en" else _other(language)


def language_problems(language: object) -> list[str]:
    """What is wrong with a language's code, in words; nothing if it is known."""
    if language in LANGUAGES:
        return []
    return [
        f"language is {SHOW.repr(language)}: known are {', '.join(LANGUAGES)}; take 'und' for another language that "
        "puts spaces between its words (all Unicode punctuation is dropped, and no articles)"
    ]


def _english(text: str) -> str:
    words = text.lower().split()
    if not "".join(words).isalnum():
        words = " ".join(words).translate(NO_PUNCTUATION).split()
        if not "".join(words).isalnum():
            # A sign that isn't ASCII stays, and an article may stand beside it: “the”.
            return " ".join(ARTICLES.sub(" ", " ".join(words)).split())
    # Words of letters and digits alone: the articles are those that equal one, which is ten times faster to find.
    if not ARTICLE_WORDS.isdisjoint(words):
        words = [word for word in words if word not in ARTICLE_WORDS]
    return " ".join(words)


@cache
def _other(language: str) -> Callable[[str], str]:
    rules, punctuation = _OTHERS[language], _unicode_punctuation()
    articles = re.compile(rules.articles) if rules.articles else None
    letters = re.compile(rules.letters) if rules.letters else None

    def normalized(text: str) -> str:
        text = text.lower().translate(punctuation)
        if articles:
            text = articles.sub(" ", text)
        if letters:
            text = letters.sub(r" \g<0> ", text)
        return " ".join(text.split())

    return normalized


@cache
def _unicode_punctuation() -> dict[int, None]:
    """Takes a tenth of a second to find."""
    signs = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "P")
    return dict.fromkeys([*signs, *map(ord, string.punctuation)])


def first_line(text: str) -> str:
    """The first line that holds more than white space, stripped; "" where no line does.

    The text is stripped before it is cut, since many models begin an answer with a space or a newline. A line ends
    where `str.splitlines` ends it.
    """
    return next(iter(text.strip().splitlines()), "").rstrip()


def exact_match(prediction: str, answers: Collection[str], language: str = "en") -> bool:
    """Whether the whole prediction, normalised, equals one of the accepted answers, normalised.

    As in SQuAD's script, a prediction of nothing equals an answer that normalises to nothing.

    Raises:
        ValueError: the prediction isn't a string, the answers aren't a list of at least one string, or the language
            is not known.
    """
    said, accepted = _normalized(prediction, answers, language)
    return said in accepted


def f1(prediction: str, answers: Collection[str], language: str = "en") -> float:
    """How far the words of the whole prediction are those of the accepted answer nearest to it, in [0, 1].

    2 x shared / (words said + words accepted), a word counted as often as both sides have it: the harmonic mean of
    precision and recall, as in SQuAD's script. Order doesn't matter. Raises as `exact_match` does.
    """
    return overlap(*_normalized(prediction, answers, language))


def contains(prediction: str, answers: Collection[str], language: str = "en") -> bool:
    """Whether an accepted answer stands in the whole prediction as whole words, side by side, both normalised.

    Never true for an answer that normalises to nothing. Raises as `exact_match` does.
    """
    return holds(*_normalized(prediction, answers, language))


def overlap(said: str, accepted: Collection[str]) -> float:
    """`f1` of texts that are normalised."""
    words = said.split()
    return max(_f1_of_words(words, answer.split()) for answer in accepted)


FEW = 50  # words; among more of them counting each on its own is the slower way


def _f1_of_words(said: list[str], accepted: list[str]) -> float:
    both = set(said).intersection(accepted)
    if not both:
        return 0.0  # nothing on both sides as well, as in the v1.1 script, although exact match is 1 there
    if len(said) + len(accepted) <= FEW:
        shared = sum(min(said.count(word), accepted.count(word)) for word in both)
    else:
        shared = (Counter(said) & Counter(accepted)).total()
    return 2 * shared / (len(said) + len(accepted))


def holds(said: str, accepted: Collection[str]) -> bool:
    """`contains` of texts that are normalised."""
    spaced = f" {said} "
    return any(answer and f" {answer} " in spaced for answer in accepted)


def _normalized(prediction: str, answers: Collection[str], language: str) -> tuple[str, list[str]]:
    # A bare string as `answers` would otherwise be read as a list of its letters.
    broken = [("prediction", prediction, text_rule(prediction)), ("answers", answers, answers_rule(answers))]
    problems = [f"{name} is {SHOW.repr(value)}: {why}" for name, value, why in broken if why]
    refuse(problems + language_problems(language))
    normal = normalizer(language)
    return normal(prediction), [normal(answer) for answer in answers]


# What follows says what is wrong with one prediction or one question's answers.

SHOW = reprlib.Repr()
SHOW.maxstring = SHOW.maxother = 60
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
NOT_UNICODE = "it holds half a character (a lone surrogate), which no file can store; decode it with errors='replace'"


def is_list(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it holds several values: not a string, not a mapping."""
    # An array or tensor of a single value calls itself a collection, and has no shape to walk along.
    single = isinstance(value, str | bytes | Mapping) or getattr(value, "shape", None) == ()
    return isinstance(value, Collection) and not single


def text_rule(value: object) -> str:
    """Why it can't be a prediction, "" if it can."""
    if not isinstance(value, str):
        return 'a prediction is one string; write "" where the model said nothing'
    return NOT_UNICODE if LONE_SURROGATE.search(value) else ""


def answers_rule(value: object) -> str:
    """Why it can't be a question's accepted answers, "" if it can."""
    if not is_list(value):
        return "accepted answers are a list of strings, also where there is only one"
    if not len(value):
        return "a question needs at least one accepted answer; add it or leave the question out"
    if not all(isinstance(answer, str) for answer in value):
        return "each accepted answer is a string; leave out what is missing and write a number as text"
    return NOT_UNICODE if any(map(LONE_SURROGATE.search, value)) else ""


def refuse(problems: list[str]) -> None:
    """One error that says all that is wrong, if anything is."""
    if problems:
        raise ValueError("These predictions can't be scored:\n- " + "\n- ".join(problems))
