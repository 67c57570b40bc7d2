"""Leaks: training rows that hold an evaluation question, or ask the same in other words, so that recall would be void.

A question's overlap with a passage is the share of its different words (n-grams of one word; in scripts without
spaces, of one character) that stand in it. Only passages that share one of a question's rarest words are compared,
which loses none (prefix filtering, Bayardo et al. 2007, https://doi.org/10.1145/1242572.1242591). The surprising
decision: other words are looked for only where a row asks, before a question mark. What tells a paraphrase from a
document that states the fact is not how many words it shares with the question, but that it asks.
"""

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_knowlearn.documents import Question
from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.duplicates import WORD

VERBATIM, PARAPHRASE = "verbatim", "paraphrase"
FIELDS = ("prompt", "completion", "text")
MORE = 8  # words that a paraphrase may have beside the question's: "Question: Can you tell me ..."
FEW = 3  # different words: a question of fewer ("And why?") is no leak wherever its words stand
_STOPS = re.compile("[\n?\uff1f\u061f\u037e]")  # a line's end, and question marks: Latin, full-width, Arabic, Greek
_SHOWN = 5


@dataclass(frozen=True)
class ContaminatedRow:
    """A training row that gives an evaluation question away.

    Args:
        row: its place among the rows.
        kind: "verbatim" (the question's words stand in the row, in a row) or "paraphrase" (before a question mark, in
            whatever order).
        overlap: the share of the question's different words that stand in the passage, in [0, 1].
        text: the passage, as it stands in the row.
    """

    row: int
    question_id: str
    kind: str
    overlap: float
    text: str


def find_contamination(
    rows: Iterable[Mapping[str, Any] | str], questions: Sequence[Question], *, threshold: float = 1.0
) -> list[ContaminatedRow]:
    """Where training rows hold an evaluation question or a paraphrase, by row; one for each row and question.

    Case, punctuation and white space don't count. A paraphrase in words of its own ("Who made" for "Who directed") is
    not found.

    Args:
        rows: texts, or rows with `prompt` and `completion`, or with `text`.
        threshold: the least overlap of a paraphrase, in (0, 1]. At less than 1, questions about something else come
            in, since half of a short question is the name of what it is about.

    Raises:
        ValueError: rows of another form, or a threshold out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r}: give a share of words above 0 and up to 1.")
    index = _Index(questions, threshold)
    return [leak for number, text in enumerate(_texts(rows)) for leak in index.leaks(number, text)]


def _texts(rows: Iterable[Mapping[str, Any] | str]) -> Iterator[str]:
    wrong = []
    for number, row in enumerate(rows):
        parts = [row] if isinstance(row, str) else [row[name] for name in FIELDS if name in row]
        if not parts or not all(isinstance(part, str) for part in parts):
            wrong.append(f"row {number}: {show(row)}")
        yield "".join(map(str, parts))
    if wrong:
        more = f"\n... and {len(wrong) - _SHOWN} more." if len(wrong) > _SHOWN else ""
        raise ValueError(
            "These rows are neither texts nor have texts as `prompt` and `completion` or as `text`:\n"
            + "\n".join(wrong[:_SHOWN])
            + more
        )


class _Index:
    """The questions by their rarest words, of which every passage that is near enough has one."""

    def __init__(self, questions: Sequence[Question], threshold: float) -> None:
        self.threshold = threshold
        self.ids = [question.id for question in questions]
        self.words = [[word.casefold() for word in WORD.findall(question.text)] for question in questions]
        self.different = list(map(frozenset, self.words))
        counts = Counter(word for words in self.different for word in words)
        self.by_word: dict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(self.different):
            spare = len(words) - math.ceil(threshold * len(words) - 1e-9)  # may be missing
            for word in sorted(words, key=lambda word: (counts[word], word))[: spare + 1]:
                self.by_word[word].append(number)

    def leaks(self, row: int, text: str) -> list[ContaminatedRow]:
        words = _Words(text)
        found: dict[int, ContaminatedRow] = {}
        for number in self._near(words.words):
            if len(self.different[number]) >= FEW and (place := words.find(self.words[number])) is not None:
                passage = words.between(place, place + len(self.words[number]))
                found[number] = ContaminatedRow(row, self.ids[number], VERBATIM, 1.0, passage)
        for start, end in words.asking():
            for number in self._near(words.words[start:end]):
                wanted = self.different[number]
                first = max(start, end - len(wanted) - MORE)
                there = set(words.words[first:end])
                overlap = len(wanted & there) / len(wanted)
                least = found[number].overlap if number in found else 0
                if overlap > max(least, self.threshold - 1e-9) and (len(wanted) >= FEW or wanted == there):
                    found[number] = ContaminatedRow(
                        row, self.ids[number], PARAPHRASE, overlap, words.between(first, end)
                    )
        return [found[number] for number in sorted(found)]

    def _near(self, words: Iterable[str]) -> set[int]:
        return {number for word in set(words) if word in self.by_word for number in self.by_word[word]}


class _Words:
    """The words of a text, and where they stand in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans = [match.span() for match in WORD.finditer(text)]
        self.words = [text[start:end].casefold() for start, end in self.spans]
        self.joined = f" {' '.join(self.words)} "

    def find(self, words: Sequence[str]) -> int | None:
        """The number of the first of these words, where they stand one after the other."""
        place = self.joined.find(f" {' '.join(words)} ")
        return None if place < 0 else self.joined.count(" ", 0, place)

    def between(self, start: int, end: int) -> str:
        return self.text[self.spans[start][0] : self.spans[end - 1][1]]

    def asking(self) -> Iterator[tuple[int, int]]:
        """The words before each question mark, from the line's beginning or the last question's end."""
        start = 0
        for stop in _STOPS.finditer(self.text):
            end = bisect_left(self.spans, (stop.start(), 0))
            if start < end and stop[0] != "\n":
                yield start, end
            if stop[0] == "\n" or self.text[stop.end() : stop.end() + 1].isspace():  # not a mark inside quotes
                start = end
