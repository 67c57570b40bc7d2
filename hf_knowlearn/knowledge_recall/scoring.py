"""What counts as a right answer: one prediction against its accepted answers, then a whole run of them.

Normalisation, exact match and F1 are those of SQuAD's official v1.1 script (Rajpurkar et al. 2016,
https://arxiv.org/abs/1606.05250). The surprising decision: for its headline, `score` reads only the first line of a
prediction. A model that answers and then talks on is right; one that lists every value it can think of is not,
although `contains` would say so.
"""

import math
import re
import reprlib
import string
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Any, TypeGuard, cast

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Lower case, ASCII punctuation deleted, English articles dropped, white space made single: in this order.

    Punctuation is deleted, not turned into a space ("Saint-Denis" is one word); typographic quotes and dashes stay.
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def first_line(text: str) -> str:
    """The first line that holds more than white space, stripped; "" where no line does.

    The text is stripped before it is cut, since many models begin an answer with a space or a newline. A line ends
    where `str.splitlines` ends it.
    """
    return next(iter(text.strip().splitlines()), "").rstrip()


def exact_match(prediction: str, answers: Collection[str]) -> bool:
    """Whether the whole prediction, normalised, equals one of the accepted answers, normalised.

    As in SQuAD's script, a prediction of nothing equals an answer that normalises to nothing.

    Raises:
        ValueError: the prediction isn't a string, or the answers aren't a list of at least one string.
    """
    return _equals(*_normalized(prediction, answers))


def f1(prediction: str, answers: Collection[str]) -> float:
    """How far the words of the whole prediction are those of the accepted answer nearest to it, in [0, 1].

    2 x shared / (words said + words accepted), a word counted as often as both sides have it: the harmonic mean of
    precision and recall, as in SQuAD's script. Order doesn't matter. Raises as `exact_match` does.
    """
    return _overlap(*_normalized(prediction, answers))


def contains(prediction: str, answers: Collection[str]) -> bool:
    """Whether an accepted answer stands in the whole prediction as whole words, side by side, both normalised.

    Never true for an answer that normalises to nothing. Raises as `exact_match` does.
    """
    return _holds(*_normalized(prediction, answers))


def score(predictions: Sequence[str], references: Sequence[Collection[str]]) -> dict[str, float]:
    """The scores of a run; row i of `references` holds the accepted answers of row i of `predictions`.

    Both standard errors are 0 where all rows score alike, as a single row does: no variation was seen, which is not
    certainty.

    Returns:
        exact_match: share of predictions whose first line equals an accepted answer, in [0, 1]; the headline.
        exact_match_se: its binomial standard error, sqrt(p (1 - p) / n).
        f1: mean F1 of the first lines, in [0, 1].
        f1_se: its standard error, sample standard deviation / sqrt(n).
        contains: share of whole predictions that contain an accepted answer, in [0, 1]. Whoever lists everything gets
            1, so it is read beside the next figure and never alone.
        mean_answer_words: words of a whole prediction, cut at white space, on average.
        n: predictions scored.

    Raises:
        ValueError: as `checked` does.
    """
    said, accepted = checked(predictions, references)
    rows = [_judged(prediction, answers) for prediction, answers in zip(said, accepted, strict=True)]
    exact, overlap, held, words = zip(*rows, strict=True)
    n = len(rows)
    right, near = sum(exact) / n, math.fsum(overlap) / n
    variance = math.fsum((value - near) ** 2 for value in overlap) / max(1, n - 1)
    return {
        "exact_match": right,
        "exact_match_se": math.sqrt(right * (1 - right) / n),
        "f1": near,
        "f1_se": math.sqrt(variance / n),
        "contains": sum(held) / n,
        "mean_answer_words": sum(words) / n,
        "n": n,
    }


def _judged(prediction: str, answers: list[str]) -> tuple[bool, float, bool, int]:
    line, whole = normalize(first_line(prediction)), normalize(prediction)
    accepted = [normalize(answer) for answer in answers]  # once for the three
    return _equals(line, accepted), _overlap(line, accepted), _holds(whole, accepted), len(prediction.split())


def _equals(said: str, accepted: list[str]) -> bool:
    return said in accepted


def _overlap(said: str, accepted: list[str]) -> float:
    words = said.split()
    return max(_f1_of_words(words, answer.split()) for answer in accepted)


def _f1_of_words(said: list[str], accepted: list[str]) -> float:
    shared = (Counter(said) & Counter(accepted)).total()
    # Nothing on both sides is 0 in the v1.1 script, although exact match is 1 there.
    return 2 * shared / max(1, len(said) + len(accepted))


def _holds(said: str, accepted: list[str]) -> bool:
    return any(answer and f" {answer} " in f" {said} " for answer in accepted)


def _normalized(prediction: str, answers: Collection[str]) -> tuple[str, list[str]]:
    # A bare string as `answers` would otherwise be read as a list of its letters.
    broken = [("prediction", prediction, _prediction_rule(prediction)), ("answers", answers, _answers_rule(answers))]
    _refuse([f"{name} is {SHOW.repr(value)}: {why}" for name, value, why in broken if why])
    return normalize(prediction), [normalize(answer) for answer in answers]


# What follows reads what a user passed in and says what is wrong with it, all at once.

ROWS_NAMED = 5  # of each kind of problem; the others are counted
SHOW = reprlib.Repr()
SHOW.maxstring = SHOW.maxother = 60
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
NOT_UNICODE = "it holds half a character (a lone surrogate), which no file can store; decode it with errors='replace'"


def checked(predictions: object, references: object) -> tuple[list[str], list[list[str]]]:
    """The two columns as lists, or one error that names all that is wrong with them.

    Raises:
        ValueError: a column isn't a list, or is empty; their lengths differ; a prediction isn't a string; accepted
            answers aren't a list of at least one string, or all of them normalise to nothing; a text has half a
            character.
    """
    said, accepted = _listed(predictions), _listed(references)
    problems = []
    if not said:
        problems.append(f"predictions is {SHOW.repr(predictions)}: give a list of strings, one per question")
    if not accepted:
        problems.append(f"references is {SHOW.repr(references)}: give a list of lists of strings, one per question")
    if said and accepted and len(said) != len(accepted):
        problems.append(
            f"{len(said)} predictions, but {len(accepted)} references: row i of one belongs to row i of the other; "
            'where the model gave no answer, write "" as its prediction'
        )
    problems += _row_problems("predictions", said, _prediction_rule)
    problems += _row_problems("references", accepted, _reference_rule)
    _refuse(problems)
    return said, [list(answers) for answers in accepted]


def _listed(column: object) -> list[Any]:
    # The order of a set is not the user's, and a mapping gives its keys.
    return list(column) if _is_list(column) and not isinstance(column, Set) else []


def _is_list(value: object) -> TypeGuard[Collection[Any]]:
    # An array or tensor of a single value calls itself a collection, and has no shape to walk along.
    single = isinstance(value, str | bytes | Mapping) or getattr(value, "shape", None) == ()
    return isinstance(value, Collection) and not single


def _row_problems(name: str, rows: list[Any], rule: Callable[[object], str]) -> list[str]:
    """One line for each way in which rows break the rule, with the first of those rows as the user wrote them."""
    broken: dict[str, list[int]] = {}
    for row, value in enumerate(rows):
        if why := rule(value):
            broken.setdefault(why, []).append(row)
    return [f"{_written_out(name, rows, numbers)}: {why}" for why, numbers in broken.items()]


def _written_out(name: str, rows: list[Any], numbers: list[int]) -> str:
    shown = ", ".join(f"{name}[{row}] is {SHOW.repr(rows[row])}" for row in numbers[:ROWS_NAMED])
    more = len(numbers) - ROWS_NAMED
    return f"{shown} and {more} more up to row {numbers[-1]}" if more > 0 else shown


def _prediction_rule(value: object) -> str:
    if not isinstance(value, str):
        return 'a prediction is one string; write "" where the model said nothing'
    return NOT_UNICODE if LONE_SURROGATE.search(value) else ""


def _answers_rule(value: object) -> str:
    if not _is_list(value):
        return "accepted answers are a list of strings, also where there is only one"
    if not len(value):
        return "a question needs at least one accepted answer; add it or leave the question out"
    if not all(isinstance(answer, str) for answer in value):
        return "each accepted answer is a string; leave out what is missing and write a number as text"
    return NOT_UNICODE if any(map(LONE_SURROGATE.search, value)) else ""


def _reference_rule(value: object) -> str:
    if why := _answers_rule(value):
        return why
    if any(map(normalize, cast("Collection[str]", value))):
        return ""
    return (
        "without case, punctuation and the articles a, an, the nothing is left of any accepted answer, so saying "
        "nothing would be right; add an answer with another word in it or leave the question out"
    )


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ValueError("These predictions can't be scored:\n- " + "\n- ".join(problems))
