"""Scores of many predictions: means with standard errors, over all questions, by fact and by relation.

Predictions about the same document are correlated. If the documents are given, standard errors are clustered by
document, as in Miller 2024 (https://arxiv.org/abs/2411.00640). With G documents and n questions, the error is

    sqrt(G / (G - 1) * sum over documents of (sum of the document's residuals)^2) / n

The factor G / (G - 1) corrects the error for small G.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .correctness import answer_key, is_answer, is_correct
from .scoring import LANGUAGES, RULES, first_line, matches, normalizer, occurs, overlap
from .stated_answers import Competitors, competitor_keys
from .validation import has_samples, option_problems, validated_columns

# Responses that count as "I don't know". A first line and these texts are normalised before they are compared.
ABSTENTIONS = (
    "I don't know",
    "I do not know",
    "I don't know the answer",
    "I do not know the answer",
    "Sorry, I don't know",
    "I'm not sure",
    "I am not sure",
    "not sure",
    "I have no idea",
    "no idea",
    "I can't answer",
    "I cannot answer",
    "no answer",
    "not known",
    "unknown",
    "unanswerable",
    "N/A",
)
CACHED = 20_000  # maximum number of cached normalised texts; accepted answers and short predictions occur often

WORDS = "mean_answer_words"
OF_A_ROW = ("correct", "exact_match", "f1", "contains", WORDS, "abstention", "wrong")
MEANS = ("f1", "sample_accuracy")  # means; all other scores are shares of rows

Normal = Callable[[str], str]
Context = tuple[str, Competitors]  # the question, and the accepted answers of its relation


def score(
    predictions: Collection[Any],
    references: Collection[Any],
    *,
    questions: Collection[str] | None = None,
    fact_ids: Collection[str] | None = None,
    relations: Collection[str] | None = None,
    documents: Collection[str] | None = None,
    language: str = "en",
    abstentions: Collection[str] | None = None,
    whole: bool = False,
) -> dict[str, Any]:
    """Compute the scores of a model's predictions. Row i of every argument belongs to question i.

    Standard errors are clustered by `documents`. Without `documents`, questions count as independent. The error of a
    share p of n questions is then sqrt(p (1 - p) / n). The error of the means `f1` and `sample_accuracy` is their
    sample standard deviation / sqrt(n). An error is 0 if all rows have the same score, and nan for a single document.

    Args:
        predictions: the model's response to each question. Or, for every question, a list of sampled responses: then
            only `sample_accuracy` uses all of them, and the other scores use the first one.
        references: the accepted answers to each question, a list of strings. The best match counts.
        questions: the text of each question. In a response that is a sentence, the values of the question do not
            compete with the answer (see `stated_answers`). None: the rule for sentences is stricter.
        fact_ids: the id of the fact that each question asks for. Questions about the same fact in different wordings
            have the same id.
        relations: the relation that each question is about, such as "born in". A sentence is not correct if it also
            contains the accepted answer of another question of the same relation.
        documents: the id of the document that each question is about.
        language: the language code of the answers (see `scoring.normalize`).
        abstentions: responses that count as "I don't know". They are normalised and compared with the whole first
            line. An empty prediction is always an abstention. None: `ABSTENTIONS` in English, no texts in other
            languages.
        whole: score the whole prediction, as SQuAD's script does, instead of its first line and its first sentence.

    Returns:
        correct: share of predictions whose first line is an accepted answer, or whose first sentence states one (see
            `correctness.correct`). This is the main score.
        exact_match: share of predictions whose first line equals an accepted answer by SQuAD's rule.
        f1: mean F1 of the first lines.
        contains: share of whole predictions that contain an accepted answer as whole words. A prediction that lists
            every possible value also gets 1, so compare this share with mean_answer_words.
        mean_answer_words: mean number of words of a whole prediction. In Chinese and Japanese, characters count.
        abstention: share of predictions that are empty or an abstention, and not correct.
        wrong: share of all other predictions. correct, abstention and wrong add up to 1.
        sample_accuracy: mean over questions of the share of correct samples. Only with sampled responses.
        consistency_all: share of facts that are correct in all of their wordings. Only with fact_ids. A fact belongs
            to the document of its first question.
        consistency_most: share of facts that are correct in more than half of their wordings. Only with fact_ids.
        n, n_documents, n_facts: numbers of questions, documents and facts.
        by_relation: for each relation, the scores of its questions, from correct to n_documents. Only with relations.
        NAME_se: the standard error of the score NAME. mean_answer_words has none. All other scores are in [0, 1].

    Raises:
        ValueError: an argument is invalid (see `validation.validated_columns`). The message lists all problems.

    Example:
        >>> score(["Lyon.", "She was born in Lyon or Nice."], [["Lyon"], ["Lyon"]])["correct"]
        0.5
    """
    columns: dict[str, Any] = {"predictions": predictions, "references": references}
    ids = {"questions": questions, "fact_ids": fact_ids, "relations": relations, "documents": documents}
    columns.update((name, column) for name, column in ids.items() if column is not None)
    normal = lru_cache(CACHED)(normalizer(language)) if language in LANGUAGES else str.strip
    found = validated_columns(columns, normal, option_problems(language, abstentions))
    scorer = _Scorer(normal, language, abstentions, whole)
    context = _contexts(found, language)
    of_rows = _scores_of_rows(scorer, found["predictions"], found["references"], context)
    clusters = found.get("documents")
    figures: dict[str, Any] = _means(of_rows, clusters)
    if "fact_ids" in found:
        figures |= _consistency(of_rows["correct"], found["fact_ids"], clusters)
    if "relations" in found:
        figures["by_relation"] = _by_relation(of_rows, found["relations"], clusters)
    return figures


# Scores of rows


def _contexts(columns: Mapping[str, list[Any]], language: str) -> list[Context]:
    """Return the question of each row, and the accepted answers of its relation."""
    references = columns["references"]
    of_relation = defaultdict[str, list[str]](list)
    relations = columns.get("relations")
    for relation, answers in zip(relations or (), references if relations else (), strict=True):
        of_relation[relation] += answers
    competitors = {relation: competitor_keys(answers, language) for relation, answers in of_relation.items()}
    questions = columns.get("questions") or [""] * len(references)
    names = relations or [""] * len(references)
    return [(question, competitors.get(name, frozenset())) for question, name in zip(questions, names, strict=True)]


class _Scorer:
    """Computes the scores of one prediction, in a fixed language."""

    def __init__(self, normal: Normal, language: str, abstentions: Collection[str] | None, whole: bool) -> None:
        self._normal, self._whole, self._language = normal, whole, language
        self._key = lru_cache(CACHED)(answer_key(language))
        self._by_character = bool(RULES[language].letters)
        if abstentions is None:
            abstentions = ABSTENTIONS if language == "en" else ()
        curly = [text.replace("'", "’") for text in abstentions]  # Why: normalisation keeps ’ in English.
        self._abstentions = frozenset(map(normal, ["", *abstentions, *curly]))

    def row(self, prediction: str, answers: Sequence[str], context: Context) -> tuple[float, ...]:
        """Return the scores of one prediction, in the order of `OF_A_ROW`."""
        accepted = {*map(self._normal, answers)}
        everything = self._normal(prediction)
        one_line = self._whole or len(prediction.splitlines()) < 2
        scored = prediction if one_line else first_line(prediction)
        line = everything if one_line else self._normal(scored)
        words = len((everything if self._by_character else prediction).split())
        right, abstains = self._is_correct(prediction, answers, context), line in self._abstentions
        scores = right, matches(line, accepted), overlap(line, accepted), occurs(everything, accepted)
        return *scores, words, abstains and not right, not abstains and not right

    def share(self, samples: Sequence[str], answers: Sequence[str], context: Context) -> float:
        """Return the share of the sampled responses to one question that are correct."""
        return sum(self._is_correct(sample, answers, context) for sample in samples) / len(samples)

    def _is_correct(self, prediction: str, answers: Sequence[str], context: Context) -> bool:
        if self._whole:
            return is_answer(prediction, answers, self._key)
        return is_correct(prediction, answers, self._key, self._language, *context)


def _scores_of_rows(
    scorer: _Scorer, predictions: Sequence[Any], references: Sequence[Sequence[str]], contexts: Sequence[Context]
) -> dict[str, Sequence[float]]:
    """Return the scores of all rows, one sequence for each name of a score."""
    sampled = has_samples(predictions)
    scored = [samples[0] for samples in predictions] if sampled else predictions
    rows = map(scorer.row, scored, references, contexts)
    found: dict[str, Sequence[float]] = dict(zip(OF_A_ROW, zip(*rows, strict=True), strict=True))
    if sampled:
        found["sample_accuracy"] = list(map(scorer.share, predictions, references, contexts))
    return found


# Scores of a run


def _means(of_rows: Mapping[str, Sequence[float]], documents: Sequence[str] | None) -> dict[str, float]:
    """Return the mean of each score with its standard error, and the numbers of rows and documents."""
    figures = _shares(of_rows, documents)
    figures["n"] = len(of_rows["correct"])
    if documents is not None:
        figures["n_documents"] = len({*documents})
    return figures


def _shares(of_rows: Mapping[str, Sequence[float]], documents: Sequence[str] | None) -> dict[str, float]:
    figures = {}
    for name, values in of_rows.items():
        figures[name] = math.fsum(values) / len(values)
        if name != WORDS:
            figures[f"{name}_se"] = _standard_error(name, values, documents)
    return figures


def _standard_error(name: str, values: Sequence[float], documents: Sequence[str] | None) -> float:
    n, mean = len(values), math.fsum(values) / len(values)
    if documents is None and name not in MEANS:
        return math.sqrt(max(0.0, mean * (1 - mean)) / n)
    # Why differences from the first row: the error of equal rows is then exactly 0.
    apart = [value - values[0] for value in values]
    total = math.fsum(apart)
    if documents is None:
        variance = (math.fsum(value * value for value in apart) - total**2 / n) / max(1, n - 1)
        return math.sqrt(max(0.0, variance) / n)
    sizes, sums = Counter(documents), defaultdict[str, float](float)
    for document, value in zip(documents, apart, strict=True):
        sums[document] += value
    if len(sizes) < 2:
        return math.nan
    residuals = math.fsum((sums[document] - total / n * size) ** 2 for document, size in sizes.items())
    return math.sqrt(len(sizes) / (len(sizes) - 1) * residuals) / n


def _consistency(
    matches: Sequence[float], fact_ids: Sequence[str], documents: Sequence[str] | None
) -> dict[str, float]:
    """Return the shares of facts that are correct in all of their wordings, and in more than half of them."""
    wordings = Counter(fact_ids)
    right = Counter(fact for fact, match in zip(fact_ids, matches, strict=True) if match)
    of_facts = {
        "consistency_all": [right[fact] == number for fact, number in wordings.items()],
        "consistency_most": [2 * right[fact] > number for fact, number in wordings.items()],
    }
    clusters = None
    if documents is not None:  # a fact belongs to the document of its first question
        first = dict(zip(reversed(fact_ids), reversed(documents), strict=True))
        clusters = [first[fact] for fact in wordings]
    return {**_shares(of_facts, clusters), "n_facts": len(wordings)}


def _by_relation(
    of_rows: Mapping[str, Sequence[float]], relations: Sequence[str], documents: Sequence[str] | None
) -> dict[str, dict[str, float]]:
    places = defaultdict[str, list[int]](list)
    for i, relation in enumerate(relations):
        places[relation].append(i)
    return {
        relation: _means(
            {name: [values[i] for i in own] for name, values in of_rows.items()},
            None if documents is None else [documents[i] for i in own],
        )
        for relation, own in sorted(places.items())
    }
