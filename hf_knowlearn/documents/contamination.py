"""Contamination check: finds training rows that contain an evaluation question, verbatim or as a paraphrase.

The overlap of a question and a passage is the share of the question's distinct words that occur in the passage. In
scripts without spaces between words, each character counts as a word. For speed, a question is compared only with
passages that contain one of its rarest words. This misses no match (prefix filtering, Bayardo et al. 2007,
https://doi.org/10.1145/1242572.1242591).
"""

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_knowlearn.documents import Question
from hf_knowlearn.documents.answer_search import WORD
from hf_knowlearn.documents.document import show

VERBATIM, PARAPHRASE = "verbatim", "paraphrase"
FIELDS = ("prompt", "completion", "text")
MAX_EXTRA_WORDS = 8  # words of a paraphrase beyond those of the question, as in "Question: Can you tell me ..."
MIN_WORDS = 3  # distinct words; a shorter question ("And why?") matches only a question with exactly its words
_STOPS = re.compile("[\n?\uff1f\u061f\u037e]")  # line breaks and question marks: Latin, full-width, Arabic, Greek
_MAX_SHOWN = 5


@dataclass(frozen=True)
class ContaminatedRow:
    """A training row that contains an evaluation question.

    Args:
        row: index of the row.
        question_id: id of the question.
        kind: "verbatim" if the row contains the words of the question in order and without other words between them.
            "paraphrase" if the words occur before a question mark in any order.
        overlap: share of the question's distinct words that occur in the passage, in [0, 1].
        text: the passage of the row that matches the question.
    """

    row: int
    question_id: str
    kind: str
    overlap: float
    text: str


def find_contamination(
    rows: Iterable[Mapping[str, Any] | str], questions: Sequence[Question], *, threshold: float = 1.0
) -> list[ContaminatedRow]:
    """Find the training rows that contain evaluation questions, verbatim or as a paraphrase.

    Case, punctuation and white space are ignored. Only text before a question mark can be a paraphrase, because a
    document that states the fact has as many words in common with the question. A paraphrase with other words ("Who
    made" instead of "Who directed") is not found.

    Args:
        rows: strings, or mappings with `prompt` and `completion`, or with `text`.
        questions: the evaluation questions.
        threshold: smallest overlap of a paraphrase, in (0, 1]. With a value below 1, questions about other facts of
            the same subject can match too, because the subject's name is often half of a question.

    Returns:
        At most one match per row and question, in the order of the rows.

    Raises:
        ValueError: `threshold` is out of range, or a row is neither a string nor one of these mappings.

    Example:
        >>> question = Question("q1", "When does the ferry leave?", ("six",))
        >>> find_contamination(["The ferry leaves at six.", "Tell me, when does the ferry leave?"], [question])
        [ContaminatedRow(row=1, question_id='q1', kind='verbatim', overlap=1.0, text='when does the ferry leave')]
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold!r}.")
    index = _QuestionIndex(questions, threshold)
    return [match for number, text in enumerate(_texts(rows)) for match in index.matches(number, text)]


def _texts(rows: Iterable[Mapping[str, Any] | str]) -> Iterator[str]:
    problems = []
    for number, row in enumerate(rows):
        parts = [row] if isinstance(row, str) else [row[name] for name in FIELDS if name in row]
        if not parts or not all(isinstance(part, str) for part in parts):
            problems.append(f"row {number}: {show(row)}")
        yield "".join(map(str, parts))
    if problems:
        lines = problems[:_MAX_SHOWN]
        if len(problems) > _MAX_SHOWN:
            lines.append(f"... and {len(problems) - _MAX_SHOWN} more.")
        rule = "Each row must be a string, or have strings as `prompt` and `completion` or as `text`. Wrong rows:"
        raise ValueError("\n".join([rule, *lines]))


class _QuestionIndex:
    """Finds the questions that a passage contains, by the rarest words of the questions. A passage whose overlap with
    a question reaches the threshold contains at least one of the rarest words of this question."""

    def __init__(self, questions: Sequence[Question], threshold: float) -> None:
        self.threshold = threshold
        self.ids = [question.id for question in questions]
        self.words = [[word.casefold() for word in WORD.findall(question.text)] for question in questions]
        self.distinct = list(map(frozenset, self.words))
        counts = Counter(word for words in self.distinct for word in words)
        self.by_word: dict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(self.distinct):
            may_miss = len(words) - math.ceil(threshold * len(words) - 1e-9)
            for word in sorted(words, key=lambda word: (counts[word], word))[: may_miss + 1]:
                self.by_word[word].append(number)

    def matches(self, row: int, text: str) -> list[ContaminatedRow]:
        words = _Words(text)
        found: dict[int, ContaminatedRow] = {}
        for number in self._candidates(words.words):
            if len(self.distinct[number]) >= MIN_WORDS and (place := words.find(self.words[number])) is not None:
                passage = words.passage(place, place + len(self.words[number]))
                found[number] = ContaminatedRow(row, self.ids[number], VERBATIM, 1.0, passage)
        for start, end in words.questions():
            for number in self._candidates(words.words[start:end]):
                wanted = self.distinct[number]
                first = max(start, end - len(wanted) - MAX_EXTRA_WORDS)
                present = set(words.words[first:end])
                overlap = len(wanted & present) / len(wanted)
                best = found[number].overlap if number in found else 0
                is_long_enough = len(wanted) >= MIN_WORDS or wanted == present
                if overlap > max(best, self.threshold - 1e-9) and is_long_enough:
                    passage = words.passage(first, end)
                    found[number] = ContaminatedRow(row, self.ids[number], PARAPHRASE, overlap, passage)
        return [found[number] for number in sorted(found)]

    def _candidates(self, words: Iterable[str]) -> set[int]:
        return {number for word in set(words) if word in self.by_word for number in self.by_word[word]}


class _Words:
    """The words of a text and their places in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans = [match.span() for match in WORD.finditer(text)]
        self.words = [text[start:end].casefold() for start, end in self.spans]
        self.joined = f" {' '.join(self.words)} "

    def find(self, words: Sequence[str]) -> int | None:
        """Return the index of the first word of the first place where `words` occur in order, without other words
        between them. None: there is no such place."""
        place = self.joined.find(f" {' '.join(words)} ")
        return None if place < 0 else self.joined.count(" ", 0, place)

    def passage(self, start: int, end: int) -> str:
        return self.text[self.spans[start][0] : self.spans[end - 1][1]]

    def questions(self) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of the words of each passage before a question mark. A passage begins after the previous
        question or line break."""
        start = 0
        for stop in _STOPS.finditer(self.text):
            end = bisect_left(self.spans, (stop.start(), 0))
            if start < end and stop[0] != "\n":
                yield start, end
            # Why: a question mark without white space after it is inside quotation marks, as in "Who Are You?".
            if stop[0] == "\n" or self.text[stop.end() : stop.end() + 1].isspace():
                start = end
