"""Scores of a whole run: shares of correct predictions with standard errors, by fact and by relation.

With documents, standard errors are clustered by document, because predictions about one document are correlated:
sqrt(G / (G - 1) x the sum over the G documents of (the sum of its residuals)^2) / n, as in Miller 2024
(https://arxiv.org/abs/2411.00640), with the usual factor for few clusters. Rows are processed in batches, and memory
occurs sums only: one entry for each document, fact and relation.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from .scoring import BY_CHARACTER, SHOW, first_line, language_problems, normalizer, occurs, overlap, raise_problems
from .validation import has_samples, is_valid, option_problems, shape_problems, validated_columns

# First lines, normalised, that state that the model does not know the answer.
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
BATCH = 1000  # rows
SHORT, CACHED = 100, 20_000  # characters of a text whose normal form is cached; number of cached texts, about 5 MB

Columns = Mapping[str, Collection[Any]]
Row = tuple[float, ...]


def score(
    predictions: Collection[Any],
    references: Collection[Any],
    *,
    fact_ids: Collection[str] | None = None,
    relations: Collection[str] | None = None,
    documents: Collection[str] | None = None,
    language: str = "en",
    abstentions: Collection[str] | None = None,
    whole: bool = False,
) -> dict[str, Any]:
    """The scores of a run. Row i of every column is about question i.

    If a question has several sampled predictions, the first one is scored and `sample_accuracy` uses all. Standard
    errors are clustered by `documents`. Without documents, questions count as independent: the binomial
    sqrt(p (1 - p) / n) for shares of questions, sample standard deviation / sqrt(n) for the means f1 and
    sample_accuracy. An error is 0 if all rows have the same score, and nan for a single document.

    Args:
        predictions: the model's response to each question; or, for every question, a list of sampled responses.
        references: the accepted answers to each question, a list of strings. The best one counts.
        fact_ids: the fact of each question. Questions about one fact in different wordings have the same.
        relations: the kind of each question, such as "born in".
        documents: the document of each question.
        language: see `scoring.normalize`.
        abstentions: ways to state "I don't know". They are normalised and compared with the whole first line. An empty
            prediction is always an abstention. Default: `ABSTENTIONS` in English, none in other languages.
        whole: score whole predictions, as SQuAD's script does, instead of first lines.

    Returns:
        exact_match: share of predictions whose first line equals an accepted answer; the headline.
        f1: mean F1 of the first lines.
        contains: share of whole predictions that contain an accepted answer as whole words. A prediction that lists
            every value gets 1, so compare it with mean_answer_words.
        mean_answer_words: words of a whole prediction (Chinese and Japanese: characters).
        abstention: share of predictions that are not an exact match and are empty or an abstention.
        wrong: share of all other predictions. exact_match, abstention and wrong add up to 1.
        sample_accuracy: mean share of the samples of a question that match. Only with samples.
        consistency_all, consistency_most: share of the n_facts facts that match in all of their wordings, and in more
            than half. Only with fact_ids. The document of a fact is that of its first question.
        n, n_documents, n_facts: numbers of questions, documents and facts.
        by_relation: relation -> the scores of its questions, from exact_match to n_documents. Only with relations.
        NAME_se: the standard error of each share and mean. Shares and means are in [0, 1].

    Raises:
        ValueError: as `validated_columns`; or the language, the abstentions or an id are invalid.

    Example:
        >>> score(["Lyon.", "She was born in Lyon"], [["Lyon"], ["Lyon"]])["contains"]
        1.0
    """
    given = {"fact_ids": fact_ids, "relations": relations, "documents": documents}
    columns: dict[str, Any] = {"predictions": predictions, "references": references}
    columns.update((name, column) for name, column in given.items() if column is not None)
    problems = option_problems(language, abstentions)
    if problems or shape_problems(columns):
        validated_columns(columns, str.strip if language_problems(language) else normalizer(language), problems)
    run = _Run(_Scorer(language, abstentions, whole), columns)
    for batch in _batches(columns):
        if not run.add(batch):
            # A row is invalid, or has an unusual type: check every row with the rules that describe the problem.
            plain = validated_columns(columns, normalizer(language))
            return score(**plain, language=language, abstentions=abstentions, whole=whole)
    return run.figures()


def score_by_id(
    predictions: Mapping[str, Any],
    references: Mapping[str, Collection[str]],
    *,
    language: str = "en",
    abstentions: Collection[str] | None = None,
    whole: bool = True,
) -> dict[str, Any]:
    """`score` of predictions and accepted answers by question id, as SQuAD's v1.1 script counts them.

    It scores whole predictions, as that script does; `whole=False` scores first lines, as `score` does. A question
    without a prediction counts as an abstention. A prediction without a question does not count. Their ids are in the
    result as `missing` and `extra`.

    Raises:
        ValueError: as `score`, with ids in place of row numbers; or no prediction has the id of a question.
    """
    given: list[tuple[str, object, str]] = [
        ("predictions", predictions, "prediction"),
        ("references", references, "a list of accepted answers"),
    ]
    problems = [
        f"{name} is {SHOW.repr(value)}: give a mapping from question id to {what}"
        for name, value, what in given
        if not isinstance(value, Mapping) or not value
    ]
    raise_problems(option_problems(language, abstentions) + problems)
    present = [name for name in references if name in predictions]
    missing = [name for name in references if name not in predictions]
    extra = [name for name in predictions if name not in references]
    if not present:
        raise_problems(
            [
                f"no prediction is about any of these questions: predictions has ids such as {SHOW.repr(extra[0])}, "
                f"references such as {SHOW.repr(missing[0])}; use the same ids, of the same type, in both"
            ]
        )
    names = present + missing
    columns = validated_columns(
        {"predictions": [predictions[name] for name in present], "references": [references[name] for name in names]},
        normalizer(language),
        ids={"predictions": present, "references": names},
    )
    columns["references"] = columns["references"][: len(present)]
    run = _Run(_Scorer(language, abstentions, whole), columns)
    for batch in _batches(columns):
        run.add(batch)
    run.add_missing(len(missing))
    return {**run.figures(), "missing": missing, "extra": extra}


# Scores of rows


class _Scorer:
    """Scores single predictions in one language. Short texts are normalised once."""

    def __init__(self, language: str, abstentions: Collection[str] | None, whole: bool) -> None:
        self._normalize = normalizer(language)
        self._known: dict[str, str] = {}
        self._whole = whole
        self._by_character = language in BY_CHARACTER
        if abstentions is None:
            abstentions = ABSTENTIONS if language == "en" else ()
        curly = [text.replace("'", "’") for text in abstentions]  # Why: SQuAD's normalisation does not delete it.
        self._abstentions = frozenset(map(self._normalize, ["", *abstentions, *curly]))

    def normal(self, text: str) -> str:
        if len(text) > SHORT:
            return self._normalize(text)
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= CACHED:
                self._known.clear()
            known = self._known[text] = self._normalize(text)
        return known

    def row(self, prediction: str, accepted: list[str]) -> Row:
        """Exact match, F1, contains, abstention, wrong, and the number of words."""
        everything = self.normal(prediction)
        one_line = self._whole or len(prediction.splitlines()) < 2
        line = everything if one_line else self.normal(first_line(prediction))
        words = len((everything if self._by_character else prediction).split())
        if line in accepted:
            same = bool(line)  # two empty texts are an exact match with F1 0
            return 1, float(same), (same or occurs(everything, accepted)), 0, 0, words
        abstains = line in self._abstentions
        return 0, overlap(line, accepted), occurs(everything, accepted), abstains, not abstains, words

    def matches(self, prediction: str, accepted: list[str]) -> bool:
        return self.normal(prediction if self._whole else first_line(prediction)) in accepted


class _Run:
    """The sums over all rows, over those of each relation, and the counts of each fact."""

    def __init__(self, judge: _Scorer, columns: Columns) -> None:
        self._scorer = judge
        self._sampled = has_samples(columns["predictions"])
        self._clustered = "documents" in columns
        self._all = self._tally()
        self._relations: dict[str, _Tally] | None = {} if "relations" in columns else None
        self._facts: dict[str, list[Any]] | None = {} if "fact_ids" in columns else None

    def _tally(self) -> "_Tally":
        means = ["sample_accuracy"] if self._sampled else []
        return _Tally(["exact_match", "f1", "contains", "abstention", "wrong", *means], self._clustered)

    def add(self, batch: Mapping[str, list[Any]]) -> bool:
        """Add these rows. Returns False, without adding any, if they are not valid."""
        if not is_valid(batch, self._sampled):
            return False
        normal, row, matches = self._scorer.normal, self._scorer.row, self._scorer.matches
        accepted = [[normal(answer) for answer in answers] for answers in batch["references"]]
        if not all(map(any, accepted)):
            return False
        predictions: list[Any] = batch["predictions"]
        answers = [samples[0] for samples in predictions] if self._sampled else predictions
        rows = list(map(row, answers, accepted))
        if self._sampled:
            shares = [
                sum(matches(text, own) for text in texts) / len(texts)
                for texts, own in zip(predictions, accepted, strict=True)
            ]
            rows = [(*scores[:-1], share, scores[-1]) for scores, share in zip(rows, shares, strict=True)]
        self._count(rows, batch)
        return True

    def add_missing(self, number: int) -> None:
        """Add this number of questions without a prediction, as abstentions."""
        empty = (0.0, 0.0, 0.0, 1.0, 0.0, *([0.0] if self._sampled else []), 0.0)
        if number:
            self._all.add([empty] * number, None)

    def _count(self, rows: list[Row], batch: Mapping[str, list[Any]]) -> None:
        documents = batch.get("documents")
        self._all.add(rows, documents)
        if self._relations is not None:
            for relation, numbers in _places(batch["relations"]).items():
                if relation not in self._relations:
                    self._relations[relation] = self._tally()
                of = [documents[i] for i in numbers] if documents else None
                self._relations[relation].add([rows[i] for i in numbers], of)
        if self._facts is not None:
            for i, fact in enumerate(batch["fact_ids"]):
                found = self._facts.get(fact)
                if found is None:
                    found = self._facts[fact] = [0, 0, documents[i] if documents else None]
                found[0] += 1
                found[1] += rows[i][0]

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = self._all.figures()
        if self._facts is not None:
            figures.update(self._consistency(self._facts))
        if self._relations is not None:
            figures["by_relation"] = {name: tally.figures() for name, tally in sorted(self._relations.items())}
        return figures

    def _consistency(self, facts: Mapping[str, list[Any]]) -> dict[str, float]:
        tally = _Tally(["consistency_all", "consistency_most"], self._clustered)
        for batch in _lists(facts.values()):
            rows = [(matches == wordings, 2 * matches > wordings, 0.0) for wordings, matches, _ in batch]
            tally.add(rows, [document for *_, document in batch] if self._clustered else None)
        return {**tally.shares(), "n_facts": len(facts)}


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    return places


class _Tally:
    """Sums over rows and over the rows of each document. Means and standard errors follow from them."""

    MEANS = ("f1", "sample_accuracy")  # the others are shares of rows

    def __init__(self, names: Sequence[str], clustered: bool) -> None:
        self._names = names
        self._n = 0
        self._words = 0.0
        self._sums = [0.0] * len(names)
        # Why: sums of differences from the first row. Equal rows then have a variance of exactly 0.
        self._first: Row = ()
        self._apart = [0.0] * len(names)
        self._squares = [0.0] * len(names)
        self._documents: dict[str, list[float]] | None = {} if clustered else None  # number of rows, and sums

    def add(self, rows: Sequence[Row], documents: Sequence[str] | None) -> None:
        """Add rows. The last value of a row is its number of words."""
        *columns, words = zip(*rows, strict=True)
        self._n += len(rows)
        self._words += sum(words)
        self._first = self._first or rows[0]
        for k, column in enumerate(columns):
            self._sums[k] += math.fsum(column)
            if self._documents is not None or self._names[k] in self.MEANS:
                apart = [value - self._first[k] for value in column]
                self._apart[k] += math.fsum(apart)
                self._squares[k] += math.fsum(value * value for value in apart)
        if self._documents is not None and documents is not None:
            for document, row in zip(documents, rows, strict=True):
                sums = self._documents.get(document)
                if sums is None:
                    sums = self._documents[document] = [0.0] * (1 + len(self._names))
                sums[0] += 1
                for k in range(len(self._names)):
                    sums[k + 1] += row[k] - self._first[k]

    def shares(self) -> dict[str, float]:
        """Each mean with its standard error."""
        shares = {}
        for k, name in enumerate(self._names):
            shares[name] = self._sums[k] / self._n
            shares[f"{name}_se"] = self._error(k)
        return shares

    def figures(self) -> dict[str, float]:
        """The means with their standard errors, the words, and the numbers of rows and documents."""
        figures: dict[str, float] = {}
        for name, value in self.shares().items():
            figures[name] = value
            if name == "contains_se":
                figures["mean_answer_words"] = self._words / self._n
        figures["n"] = self._n
        if self._documents is not None:
            figures["n_documents"] = len(self._documents)
        return figures

    def _error(self, k: int) -> float:
        n, mean = self._n, self._sums[k] / self._n
        if self._documents is not None:
            clusters = len(self._documents)
            if clusters < 2:
                return math.nan
            apart = self._apart[k] / n
            residuals = math.fsum((sums[k + 1] - apart * sums[0]) ** 2 for sums in self._documents.values())
            return math.sqrt(clusters / (clusters - 1) * residuals) / n
        if self._names[k] in self.MEANS:
            variance = (self._squares[k] - self._apart[k] ** 2 / n) / max(1, n - 1)
            return math.sqrt(max(0.0, variance) / n)
        return math.sqrt(max(0.0, mean * (1 - mean)) / n)


# Batches of rows


def _batches(columns: Columns) -> Iterator[dict[str, list[Any]]]:
    """Rows in batches, by column. A column on disk is never in memory as a whole."""
    for rows in zip(*map(_lists, columns.values()), strict=True):
        yield dict(zip(columns, rows, strict=True))


def _lists(column: Collection[Any]) -> Iterator[list[Any]]:
    if isinstance(column, Sequence) and not isinstance(column, deque):
        # Why: a column of a dataset is fast to slice and slow to iterate.
        yield from (list(column[start : start + BATCH]) for start in range(0, len(column), BATCH))
        return
    rows = iter(column)
    while batch := list(islice(rows, BATCH)):
        yield batch
