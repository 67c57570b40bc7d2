"""The figures of a whole run: shares of right answers with standard errors, by fact and by relation.

Where documents are given, standard errors are clustered by them, since questions about one document stand or fall
together: sqrt(G / (G - 1) x the sum over the G documents of (the sum of its residuals)^2) / n, as in Miller 2024
(https://arxiv.org/abs/2411.00640), with the usual factor for few clusters. The surprising decision: rows are read in
batches and only sums are kept, so a million of them from disk take no more memory than a thousand; what grows is one
entry for each document, fact and relation.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from .checking import checked_columns, has_samples, option_problems, shape_problems, sound
from .scoring import BY_CHARACTER, SHOW, first_line, holds, language_problems, normalizer, overlap, refuse

# What a model says that doesn't know, in English; as the whole first line, normalised.
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
BATCH = 1000  # rows read at a time
SHORT, CACHED = 100, 20_000  # characters of a text that is normalised once; how many of them are kept: some 5 MB

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
    """The figures of a run; row i of every column is about question i.

    Where a question has several sampled predictions, the first is its answer, and `sample_accuracy` judges them all.
    Standard errors are clustered by `documents` (see above). Without them questions are taken as independent: the
    binomial sqrt(p (1 - p) / n) for shares of questions, sample standard deviation / sqrt(n) for the means f1 and
    sample_accuracy. They are 0 where all rows score alike, as a single row does: no variation was seen, which is not
    certainty. Of a single document they are not known, and nan.

    Args:
        predictions: for each question what the model said, a string; or, for every question, a list of at least one
            sampled string.
        references: for each question its accepted answers, a list of strings; the best of them counts.
        fact_ids: for each question the fact it asks for, where several ask for one fact in different wordings.
        relations: for each question its kind, such as "born in".
        documents: for each question the document it is about.
        language: how texts are normalised, see `scoring.normalize`.
        abstentions: ways to say "I don't know", normalised as answers are and compared with the whole first line;
            saying nothing always is one. Default: `ABSTENTIONS` in English, none in other languages.
        whole: judge the whole prediction, as SQuAD's script does, and not its first line.

    Returns:
        exact_match: share of predictions whose first line equals an accepted answer; the headline.
        f1: mean F1 of the first lines.
        recall: share of whole predictions that contain an accepted answer as whole words. Whoever lists everything
            gets 1, so it is read beside mean_answer_words and never alone. `contains` is its old name, the same value.
        mean_answer_words: words of a whole prediction, cut at white space (Chinese and Japanese: characters).
        abstention: share of predictions that aren't right and say nothing, or that the model doesn't know.
        wrong: share of predictions that are neither right nor abstentions; the three add up to 1.
        sample_accuracy: mean share of a question's samples that are right. Only where samples are given.
        consistency_all, consistency_most: share of the n_facts facts answered right in all of their wordings, and in
            more than half. Only with fact_ids. The document of a fact is that of its first question.
        n, n_documents, n_facts: how many there were.
        by_relation: relation -> the figures of its questions, those above from exact_match to n_documents. Only with
            relations.
        NAME_se: the standard error of each share and mean. Shares and means lie in [0, 1].

    Raises:
        ValueError: as `checked` does; or a language, abstentions or an id that can't be used.
    """
    given = {"fact_ids": fact_ids, "relations": relations, "documents": documents}
    columns: dict[str, Any] = {"predictions": predictions, "references": references}
    columns.update((name, column) for name, column in given.items() if column is not None)
    problems = option_problems(language, abstentions)
    if problems or shape_problems(columns):
        checked_columns(columns, str.strip if language_problems(language) else normalizer(language), problems)
    run = _Run(_Judge(language, abstentions, whole), columns)
    for batch in _batches(columns):
        if not run.add(batch):
            # Something is wrong, or of an unusual type: look at every row, by rules that can say what and where.
            plain = checked_columns(columns, normalizer(language))
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

    It reads whole predictions, as that script does; `whole=False` reads first lines, as `score` does. A question
    without a prediction counts as one on which the model abstained, 0 in every figure of right answers. A prediction
    without a question counts as nothing. Their ids are in the result as `missing` and `extra`.

    Raises:
        ValueError: as `score` does, naming ids for rows; or no prediction is about any of these questions.
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
    refuse(option_problems(language, abstentions) + problems)
    asked = [name for name in references if name in predictions]
    missing = [name for name in references if name not in predictions]
    extra = [name for name in predictions if name not in references]
    if not asked:
        refuse(
            [
                f"no prediction is about any of these questions: predictions has ids such as {SHOW.repr(extra[0])}, "
                f"references such as {SHOW.repr(missing[0])}; use the same ids, of the same type, in both"
            ]
        )
    names = asked + missing
    columns = checked_columns(
        {"predictions": [predictions[name] for name in asked], "references": [references[name] for name in names]},
        normalizer(language),
        ids={"predictions": asked, "references": names},
    )
    columns["references"] = columns["references"][: len(asked)]
    run = _Run(_Judge(language, abstentions, whole), columns)
    for batch in _batches(columns):
        run.add(batch)
    run.add_missing(len(missing))
    return {**run.figures(), "missing": missing, "extra": extra}


# Judging


class _Judge:
    """Judges predictions in one language; texts that come again are normalised once."""

    def __init__(self, language: str, abstentions: Collection[str] | None, whole: bool) -> None:
        self._normalize = normalizer(language)
        self._known: dict[str, str] = {}
        self._whole = whole
        self._by_character = language in BY_CHARACTER
        if abstentions is None:
            abstentions = ABSTENTIONS if language == "en" else ()
        curly = [text.replace("'", "’") for text in abstentions]  # SQuAD's normalisation leaves it in
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
        """Right, F1, holds an answer, abstains, wrong; and how many words it says."""
        everything = self.normal(prediction)
        one_line = self._whole or len(prediction.splitlines()) < 2
        said = everything if one_line else self.normal(first_line(prediction))
        words = len((everything if self._by_character else prediction).split())
        if said in accepted:
            same = bool(said)  # nothing on both sides: an exact match, with F1 0 and nothing held
            return 1, float(same), (same or holds(everything, accepted)), 0, 0, words
        abstains = said in self._abstentions
        return 0, overlap(said, accepted), holds(everything, accepted), abstains, not abstains, words

    def right(self, prediction: str, accepted: list[str]) -> bool:
        return self.normal(prediction if self._whole else first_line(prediction)) in accepted


class _Run:
    """Everything that is counted while rows go by."""

    def __init__(self, judge: _Judge, columns: Columns) -> None:
        self._judge = judge
        self._sampled = has_samples(columns["predictions"])
        self._clustered = "documents" in columns
        self._all = self._tally()
        self._relations: dict[str, _Tally] | None = {} if "relations" in columns else None
        self._facts: dict[str, list[Any]] | None = {} if "fact_ids" in columns else None

    def _tally(self) -> "_Tally":
        means = ["sample_accuracy"] if self._sampled else []
        return _Tally(["exact_match", "f1", "recall", "abstention", "wrong", *means], self._clustered)

    def add(self, batch: Mapping[str, list[Any]]) -> bool:
        """Count these rows; False, and nothing is counted, if they aren't plainly sound."""
        if not sound(batch, self._sampled):
            return False
        normal, row, right = self._judge.normal, self._judge.row, self._judge.right
        accepted = [[normal(answer) for answer in answers] for answers in batch["references"]]
        if not all(map(any, accepted)):
            return False
        said: list[Any] = batch["predictions"]
        answers = [samples[0] for samples in said] if self._sampled else said
        rows = list(map(row, answers, accepted))
        if self._sampled:
            shares = [
                sum(right(text, a) for text in texts) / len(texts) for texts, a in zip(said, accepted, strict=True)
            ]
            rows = [(*judged[:-1], share, judged[-1]) for judged, share in zip(rows, shares, strict=True)]
        self._count(rows, batch)
        return True

    def add_missing(self, number: int) -> None:
        """Count so many questions to which there was no prediction: neither right nor wrong."""
        silence = (0.0, 0.0, 0.0, 1.0, 0.0, *([0.0] if self._sampled else []), 0.0)
        if number:
            self._all.add([silence] * number, None)

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
            rows = [(right == asked, 2 * right > asked, 0.0) for asked, right, _ in batch]
            tally.add(rows, [document for *_, document in batch] if self._clustered else None)
        return {**tally.shares(), "n_facts": len(facts)}


def _places(names: Iterable[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    return places


class _Tally:
    """Sums over rows, and over the rows of each document, from which means and standard errors follow."""

    MEANS = ("f1", "sample_accuracy")  # the others are shares of rows

    def __init__(self, names: Sequence[str], clustered: bool) -> None:
        self._names = names
        self._n = 0
        self._words = 0.0
        self._sums = [0.0] * len(names)
        # Of differences to the first row, so that rows which are all alike have a variance of 0 to the last bit.
        self._first: Row = ()
        self._apart = [0.0] * len(names)
        self._squares = [0.0] * len(names)
        self._documents: dict[str, list[float]] | None = {} if clustered else None  # its rows, and their sums

    def add(self, rows: Sequence[Row], documents: Sequence[str] | None) -> None:
        """Count rows, which end in their number of words."""
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
        """The means with their standard errors, words, and how many rows and documents there were."""
        figures: dict[str, float] = {}
        for name, value in self.shares().items():
            figures[name] = value
            if name == "recall_se":
                figures["contains"] = figures["recall"]
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


# Reading


def _batches(columns: Columns) -> Iterator[dict[str, list[Any]]]:
    """Rows in batches, by column. Never the whole of a column that lies on disk."""
    for rows in zip(*map(_lists, columns.values()), strict=True):
        yield dict(zip(columns, rows, strict=True))


def _lists(column: Collection[Any]) -> Iterator[list[Any]]:
    if isinstance(column, Sequence) and not isinstance(column, deque):
        # A dataset's column reads a thousand rows at once faster than one by one.
        yield from (list(column[start : start + BATCH]) for start in range(0, len(column), BATCH))
        return
    rows = iter(column)
    while batch := list(islice(rows, BATCH)):
        yield batch
