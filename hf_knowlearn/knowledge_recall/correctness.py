"""The main score, `correct`: whether a response is an accepted answer, possibly in another spelling.

The usual alternative is exact match by SQuAD's rule, which deletes all punctuation. By that rule, "35" matches "3.5"
and "C" matches "C++". It also compares code points, so two Unicode forms of "Müller" do not match. `correct` compares
the symbols that distinguish answers, unifies Unicode forms, and compares numbers and dates by value.
"""
# ruff: noqa: RUF001

import re
from collections.abc import Callable, Collection, Hashable
from functools import cache

from .quantities import groups_of_thousands, quantity
from .scoring import (
    RULES,
    Translation,
    answers_problems,
    first_line,
    is_punctuation,
    language_problems,
    raise_problems,
)
from .stated_answers import Competitors, competitor_keys, states_answer
from .unicode_forms import unicode_normal as unicode_normal
from .word_lists import number_words

DISTINGUISHING = frozenset("+#/%&@*\\_§†‡‰‱-")  # punctuation that is compared
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|[\"'])(?=\S)(.{1,300}?)(?<=\S)\1(?!\w)")
_LEADING = re.compile(r"^(?:\.{2,}|\.(?!\d)|[\s,;:!?¿¡'\"()\[\]{}。、，।،؟「『《【])+")
_TRAILING = " .,;:!?()[]{}。、，।،؟」』》】"
# Dashes that join words, and a dash at the start of a text that marks an item of a list.
_JOINING_DASH = re.compile(r"(?<=[^\W\d])-(?=\w)|(?<=\w)-(?=[^\W\d])|(?<=\s)-(?=\s)|^-(?=\s+\D)")
_RANGE = re.compile(r"(?<=\d) - (?=\d)")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=[^\W\d])")
# Marks inside numbers, times and lengths: 1.10.0, 12:30, 6'2".
_IN_NUMBER = re.compile(r"((?<=\d)[.,:](?=\d)|(?<!\w)\.(?=\d)|(?<=\d)['\"](?![^\W\d]))")


def correct(
    prediction: str,
    answers: Collection[str],
    language: str = "en",
    *,
    question: str = "",
    competitors: Collection[str] = (),
) -> bool:
    """Return whether the response is an accepted answer, or states one in its first sentence.

    Either the whole prediction or its first line is an accepted answer, possibly in another spelling. The comparison
    ignores Unicode forms, case, kinds of quotes and dashes, invisible characters, an article at the beginning, and
    sentence punctuation. It does not ignore signs, decimal points and symbols that distinguish answers ("+", "#", "/",
    "%", currencies). Numbers, dates and times are compared by value, in the notation of the language. Amounts must
    also have the same unit. An empty prediction is never correct.

    Or the first sentence contains an accepted answer as whole words and no other value of the same kind (see
    `stated_answers`).

    Args:
        question: the question. Its values do not compete with the answer. "": the rule for sentences is stricter.
        competitors: accepted answers of other questions of the same relation. A sentence that contains one of them is
            wrong, unless the question contains it too.

    Raises:
        ValueError: an argument is invalid (see `scoring.exact_match`).

    Example:
        >>> correct("June 2, 2023", ["2023-06-02"]), correct("35", ["3.5"]), correct("C", ["C++"])
        (True, False, False)
        >>> correct("It was released on 2 June 2023.", ["2023-06-02"])
        True
        >>> correct("It was released on 2 June or on 3 June 2023.", ["2023-06-02"])
        False
    """
    raise_problems(answers_problems(prediction, answers) + language_problems(language))
    others = competitor_keys(competitors, language)
    return is_correct(prediction, answers, answer_key(language), language, question, others)


def is_correct(
    prediction: str,
    answers: Collection[str],
    key: Callable[[str], Hashable],
    language: str,
    question: str = "",
    competitors: Competitors = frozenset(),
) -> bool:
    """Return the same as `correct`.

    Args:
        key: the function `answer_key(language)`, possibly with a cache.
        competitors: `stated_answers.competitor_keys` of the answers of other questions.
    """
    return (
        is_answer(prediction, answers, key)
        or (prediction != first_line(prediction) and is_answer(first_line(prediction), answers, key))
        or states_answer(prediction, answers, language, question, competitors)
    )


def is_answer(text: str, answers: Collection[str], key: Callable[[str], Hashable]) -> bool:
    """Return whether the whole text is an accepted answer."""
    value = key(text)
    return value is not None and value in map(key, answers)


@cache
def answer_key(language: str) -> Callable[[str], Hashable]:
    """Return a function that maps a text to a key. Two texts with equal keys count as the same answer.

    The key of a text without visible characters is None.
    """
    article, letters, _ = RULES[language]
    spelled = number_words(language)
    article_first = re.compile(article.replace(r"\b", "") + (r"\s+" if r"\b" in article else "")) if article else None
    spaced_letter = re.compile(rf"\s*({letters})\s*") if letters else None

    def key(text: str) -> Hashable:
        plain = unicode_normal(text)
        if spaced_letter:
            plain = spaced_letter.sub(r"\1", plain)
        # Why: most answers are words. They have no marks, and the rules for marks take most of the time.
        only_letters = plain.replace(" ", "").isalpha()
        core = plain if only_letters else _without_edges(_EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", plain)))
        if article_first and (found := article_first.match(core)):
            core = _without_edges(core[found.end() :]) or core
        if only_letters and core.split(" ", 1)[0] not in spelled:
            return core
        core = _APOSTROPHE.sub("", _RANGE.sub("-", core))
        return quantity(core, language) or _words(core, language) or plain or None

    return key


def _without_edges(text: str) -> str:
    return _LEADING.sub("", text).rstrip(_TRAILING)


def _words(text: str, language: str) -> str:
    """Return the words and the distinguishing symbols of a text, without sentence punctuation."""
    if groups := groups_of_thousands(language):
        text = groups.sub(lambda number: re.sub(r"\D", "", number[0]), text)
    text = _JOINING_DASH.sub("", text)
    # Why: the parts at odd places are marks inside numbers.
    parts = _IN_NUMBER.split(text)
    parts[::2] = [part.translate(_COMPARED) for part in parts[::2]]
    return " ".join("".join(parts).split())


_COMPARED = Translation(lambda sign: None if is_punctuation(sign) and sign not in DISTINGUISHING else sign)
