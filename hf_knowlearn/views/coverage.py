"""The survey: what a training run would read of each document, in numbers, and which questions that answers.

Documents are told and cut by the function that a run itself calls (`plan.tell`). The surprising decision: an answer
stands somewhere only as whole words, because "No" stands in "Honor" and nobody learns it there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import normalize, occurrences
from hf_knowlearn.views import View, raw_view

Told = list[Sequence[View]]  # the views of a document, or of each of its parts: in the order they are read
Tell = Callable[[Document], Told]
Lengths = Callable[[list[str]], list[int]]

# Where an answer stands, from the best to the worst.
STANDS = "stands in its document"
SPELLED = "stands there with other punctuation, or without articles"
INSIDE = "stands there only inside a longer word"
NOWHERE = "does not stand there"
NO_DOCUMENT = "is of a document that is not here"
FATES = (STANDS, SPELLED, INSIDE, NOWHERE, NO_DOCUMENT)


@dataclass
class Counts:
    """What the views of a family hold. Tokens are those of a whole row: request, text, beginning and end.

    `layout` and `characters` are of the texts. `cut` and `repeated` are tokens of the documents' words that a telling
    lacks or holds twice.
    """

    documents: int = 0
    parts: int = 0
    views: int = 0
    tokens: int = 0
    request_tokens: int = 0
    shortest: int = 0
    longest: int = 0
    characters: int = 0
    layout: int = 0
    cut: int = 0
    repeated: int = 0
    untold: dict[str, str] = field(default_factory=dict)  # document -> why

    def add(self, document: Document, told: Told, lengths: Lengths) -> None:
        """Count one document."""
        views = [view for of_part in told for view in of_part]
        tokens = lengths([view.prompt + view.text for view in views])
        self.documents += 1
        self.parts += len(told)
        self.views += len(views)
        self.tokens += sum(tokens)
        requests = [view.text for view in views if view.prompt]
        if requests:
            self.request_tokens += sum(n for n, view in zip(tokens, views, strict=True) if view.prompt)
            self.request_tokens -= sum(lengths(requests))
        self.shortest = min([*tokens, *([self.shortest] if self.shortest else [])])
        self.longest = max(*tokens, self.longest)
        self.characters += sum(len(view.text) for view in views)
        self.layout += sum(len(view.text) - sum(length for _, _, length in view.spans) for view in views)
        for telling in zip(*told, strict=True):
            missing, twice = _unlike(document.text, telling)
            for name, texts in (("cut", missing), ("repeated", twice)):
                if texts:
                    ends = lengths([""])[0]  # what every text has
                    setattr(self, name, getattr(self, name) + sum(n - ends for n in lengths(texts)))

    @property
    def layout_share(self) -> float:
        """Of the characters of the texts, those that are no words of a document."""
        return self.layout / self.characters if self.characters else 0.0


def _unlike(text: str, telling: Sequence[View]) -> tuple[list[str], list[str]]:
    """What of a document's words is missing from a telling of all its parts, and what is there twice."""
    missing: list[str] = []
    twice: list[str] = []
    position = 0
    for view in telling:
        spans = sorted(view.spans, key=lambda span: span[1])
        first, source, length = spans[0]
        # A view doesn't know where its part begins: behind the one before, after white space at most.
        base = max(text.find(view.text[first : first + length], position), position) - source
        for _, source, length in spans:
            start, end = base + source, base + source + length
            if gap := text[position:start].strip():
                missing.append(gap)
            if start < position:
                twice.append(text[start : min(position, end)])
            position = max(position, end)
    if gap := text[position:].strip():
        missing.append(gap)
    return missing, twice


@dataclass
class Coverage:
    """A question: whether an accepted answer stands in its document, and in how many views it would be read.

    Without a `document_id` its document is any. `exposures` are the times that a run reads a view with the answer.
    """

    question: Question
    fate: str
    views: dict[str, int] = field(default_factory=dict)  # family -> number
    exposures: dict[str, int] = field(default_factory=dict)

    def better(self, fate: str) -> None:
        """Take note of what was found in one more document."""
        self.fate = min(self.fate, fate, key=FATES.index)

    def count(self, family: str, told: Told, epochs: int) -> None:
        """Count the views of one document in which the answer stands."""
        for of_part in told:
            read = [stands(view, self.question.answers) for view in of_part]
            self.views[family] = self.views.get(family, 0) + sum(read)
            # A view an epoch, as `plan` reads them.
            shown = sum(read[epoch % len(read)] for epoch in range(epochs))
            self.exposures[family] = self.exposures.get(family, 0) + shown

    def unanswered_in(self, families: Sequence[str]) -> list[str]:
        """The families in none of whose views the answer stands."""
        return [family for family in families if not self.views.get(family)]


@dataclass
class Survey:
    """Counts by family, and the coverage of the questions."""

    counts: dict[str, Counts]
    epochs: int
    covered: list[Coverage]

    def unanswered(self) -> list[tuple[Coverage, list[str]]]:
        """The questions that no view of some family answers, with those families."""
        missed = [(coverage, coverage.unanswered_in(list(self.counts))) for coverage in self.covered]
        return [(coverage, families) for coverage, families in missed if families]

    def exposures(self, family: str) -> tuple[float, float, float] | None:
        """The least, the median and the most exposures of the questions that the family's views answer."""
        times = [coverage.exposures[family] for coverage in self.covered if coverage.views.get(family)]
        return (min(times), median(times), max(times)) if times else None

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain values."""
        families = {
            name: {**asdict(counts), "layout_share": counts.layout_share} for name, counts in self.counts.items()
        }
        if not self.covered:
            return {"families": families}
        rows = [
            {
                "id": c.question.id,
                "question": c.question.text,
                "answers": list(c.question.answers),
                "document_id": c.question.document_id,
                "answer": c.fate,
                "views": c.views,
                "exposures": c.exposures,
            }
            for c in self.covered
        ]
        return {"families": families, "epochs": self.epochs, "questions": rows}


def measure_coverage(
    documents: Sequence[Document],
    tell: Mapping[str, Tell],
    lengths: Lengths,
    questions: Sequence[Question] = (),
    epochs: int = 1,
    keep: Callable[[str, Told], None] | None = None,
) -> Iterator[Survey]:
    """The survey after each document; the last one is of them all.

    Args:
        tell: how each family tells a document. One that it can't tell is counted as that, with the reason.
        lengths: tokens of each of some texts.
        epochs: how often a run reads each document (each part of it), in its next view every time.
        keep: called with each family and the views of a document in it.
    """
    there = {None, *(document.id for document in documents)}
    fates = [NOWHERE if question.document_id in there else NO_DOCUMENT for question in questions]
    covered = [Coverage(q, fate, _none(tell), _none(tell)) for q, fate in zip(questions, fates, strict=True)]
    by_document: dict[str | None, list[Coverage]] = {}
    for coverage in covered:
        by_document.setdefault(coverage.question.document_id, []).append(coverage)
    wanted = {coverage.question.id: _Wanted.of(coverage.question) for coverage in covered}
    found = Survey({family: Counts() for family in tell}, epochs, covered)
    for document in documents:
        asked = [*by_document.get(document.id, ()), *by_document.get(None, ())]
        standing = _standing(document, asked, wanted)
        for family, counts in found.counts.items():
            try:
                told = tell[family](document)
            except ValueError as error:
                counts.untold[document.id] = str(error)
                continue
            counts.add(document, told, lengths)
            if keep:
                keep(family, told)
            for coverage in standing:
                coverage.count(family, told, epochs)
        yield found


def _none(tell: Mapping[str, Tell]) -> dict[str, int]:
    return dict.fromkeys(tell, 0)


@dataclass(frozen=True)
class _Wanted:
    """A question's answers, made ready to be looked for in many documents."""

    folded: list[list[str]]  # the words of each answer, the longest first because it is the rarest
    normalized: list[str]

    @classmethod
    def of(cls, question: Question) -> "_Wanted":
        answers = list(filter(str.strip, question.answers))
        folded = [sorted(_folded(answer).split(), key=len, reverse=True) for answer in answers]
        return cls(folded, list(filter(None, map(normalize, answers))))


def _standing(document: Document, asked: Sequence[Coverage], wanted: Mapping[str, _Wanted]) -> list[Coverage]:
    """Those whose answer stands in the document; the fate of all of them is noted."""
    if not asked:
        return []
    whole, folded, scored = raw_view(document), _folded(document.text), f" {normalize(document.text)} "
    standing = []
    for coverage in asked:
        words, fate = wanted[coverage.question.id], NOWHERE
        # A substring is found in no time, where questions without a document are looked for in each.
        if any(all(word in folded for word in answer) for answer in words.folded):
            fate = _fate(whole, coverage.question.answers)
        if fate != STANDS and any(f" {answer} " in scored for answer in words.normalized):
            fate = SPELLED
        coverage.better(fate)
        standing += [coverage] if fate == STANDS else []
    return standing


def stands(view: View, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in the view as whole words."""
    return _fate(view, answers) == STANDS


def _fate(view: View, answers: Sequence[str]) -> str:
    found = False
    for answer in filter(str.strip, answers):
        whole, occurs = occurrences(view.text, answer, view.find)
        if whole:
            return STANDS
        found = found or occurs
    return INSIDE if found else NOWHERE


def _folded(text: str) -> str:
    """Two letters that `re` takes for one when it ignores case are one in here, so that no answer is passed over."""
    return text.translate({0x130: "i", 0x131: "i"}).casefold()
