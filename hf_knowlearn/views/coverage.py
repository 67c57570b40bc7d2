"""Coverage: what the views of documents hold in numbers, and which questions they answer.

An answer occurs in a text only as whole words: "No" does not occur in "Honor".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import normalize, occurrences
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.views import View, raw_view

PartViews = Sequence[Sequence[View]]  # the views of each part of a document
MakePartViews = Callable[[Document], PartViews]


class Occurrence(StrEnum):
    """Where an accepted answer occurs in the document of its question, from the best case to the worst."""

    FOUND = "occurs in its document"
    OTHER_SPELLING = "occurs with other punctuation or articles"
    INSIDE_WORD = "occurs only inside a longer word"
    NOT_FOUND = "does not occur"
    NO_DOCUMENT = "its document is not among the documents"


_RANK = {occurrence: rank for rank, occurrence in enumerate(Occurrence)}


@dataclass
class ViewStatistics:
    """Numbers of the views of one family.

    Tokens are those of whole rows: prompt, text, and special tokens at both ends.

    Args:
        documents, parts, views: how many there are.
        tokens: tokens of all views.
        prompt_tokens: how many of these belong to prompts, which carry no loss.
        shortest, longest: tokens of the shortest and the longest view.
        characters: characters of all texts, without prompts.
        layout_characters: how many of these are not words of a document.
        missing_tokens: tokens of the documents' words that a view of the whole document lacks.
        repeated_tokens: tokens of the documents' words that it has twice.
        failed: id of each document without enough views -> the error message.
    """

    documents: int = 0
    parts: int = 0
    views: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    shortest: int = 0
    longest: int = 0
    characters: int = 0
    layout_characters: int = 0
    missing_tokens: int = 0
    repeated_tokens: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, document: Document, part_views: PartViews, lengths: TokenLengths) -> None:
        """Add the views of one document."""
        views = [view for views in part_views for view in views]
        tokens = lengths([view.prompt + view.text for view in views])
        with_prompt = [(number, view.text) for number, view in zip(tokens, views, strict=True) if view.prompt]
        self.documents += 1
        self.parts += len(part_views)
        self.views += len(views)
        self.tokens += sum(tokens)
        if with_prompt:
            self.prompt_tokens += sum(number for number, _ in with_prompt)
            self.prompt_tokens -= sum(lengths([text for _, text in with_prompt]))
        self.shortest = min([*tokens, self.shortest or max(tokens)])
        self.longest = max(*tokens, self.longest)
        self.characters += sum(len(view.text) for view in views)
        self.layout_characters += sum(len(view.text) - sum(length for *_, length in view.spans) for view in views)
        for views_of_all_parts in zip(*part_views, strict=True):
            missing, repeated = _differences(document.text, views_of_all_parts)
            self.missing_tokens += _tokens(missing, lengths)
            self.repeated_tokens += _tokens(repeated, lengths)

    @property
    def layout_share(self) -> float:
        """The share of the texts' characters that are not words of a document."""
        return self.layout_characters / self.characters if self.characters else 0.0


def _tokens(texts: list[str], lengths: TokenLengths) -> int:
    """Tokens of the texts without special tokens."""
    return sum(lengths(texts)) - len(texts) * lengths([""])[0] if texts else 0


def _differences(text: str, views: Sequence[View]) -> tuple[list[str], list[str]]:
    """The words of a document that one view of each of its parts lacks, and those that it has twice."""
    missing: list[str] = []
    repeated: list[str] = []
    position = 0
    for view in views:
        spans = sorted(view.spans, key=lambda span: span[1])
        first, source, length = spans[0]
        # Why: a view does not know the start of its part. It is after the part before, and after white space at most.
        base = max(text.find(view.text[first : first + length], position), position) - source
        for _, source, length in spans:
            start, end = base + source, base + source + length
            if gap := text[position:start].strip():
                missing.append(gap)
            if start < position:
                repeated.append(text[start : min(position, end)])
            position = max(position, end)
    if gap := text[position:].strip():
        missing.append(gap)
    return missing, repeated


@dataclass
class AnswerCoverage:
    """How often the views answer one question. A question without `document_id` belongs to every document.

    Args:
        question: the question.
        occurrence: where an accepted answer occurs in its document.
        views: family -> number of views in which an accepted answer occurs.
        exposures: family -> number of times that a run trains on such a view.
    """

    question: Question
    occurrence: Occurrence
    views: dict[str, int] = field(default_factory=dict)
    exposures: dict[str, int] = field(default_factory=dict)

    def add(self, family: str, part_views: PartViews, epochs: int) -> None:
        """Add the views of one document."""
        for views in part_views:
            answers = [contains_answer(view, self.question.answers) for view in views]
            self.views[family] += sum(answers)
            # Why: in each epoch a run trains on the next view of every part.
            self.exposures[family] += sum(answers[epoch % len(answers)] for epoch in range(epochs))

    def as_dict(self) -> dict[str, Any]:
        """The coverage in plain values."""
        q = self.question
        values = {"id": q.id, "question": q.text, "answers": list(q.answers), "document_id": q.document_id}
        return {**values, "occurrence": self.occurrence, "views": self.views, "exposures": self.exposures}


@dataclass
class CoverageReport:
    """The result of `measure_coverage`.

    Args:
        statistics: family -> numbers of its views.
        epochs: epochs of the run.
        questions: the coverage of each question.
    """

    statistics: dict[str, ViewStatistics]
    epochs: int
    questions: list[AnswerCoverage]

    def unanswered(self) -> list[tuple[AnswerCoverage, list[str]]]:
        """The questions that no view of some family answers, each with these families."""
        found = [(q, [family for family in self.statistics if not q.views[family]]) for q in self.questions]
        return [(question, families) for question, families in found if families]

    def exposures(self, family: str) -> tuple[float, float, float] | None:
        """Least, median and most exposures of the questions that the family answers; None if it answers none."""
        counts = [question.exposures[family] for question in self.questions if question.views[family]]
        return (min(counts), median(counts), max(counts)) if counts else None

    def as_dict(self) -> dict[str, Any]:
        """The report in plain values."""
        families = {name: {**asdict(s), "layout_share": s.layout_share} for name, s in self.statistics.items()}
        if not self.questions:
            return {"families": families}
        return {"families": families, "epochs": self.epochs, "questions": [q.as_dict() for q in self.questions]}


def measure_coverage(
    documents: Sequence[Document],
    families: Mapping[str, MakePartViews],
    lengths: TokenLengths,
    questions: Sequence[Question] = (),
    epochs: int = 1,
) -> Iterator[CoverageReport]:
    """Yield the report of the documents so far, after each document.

    Args:
        families: name of each family -> function that returns the views of a document. A `ValueError` of the function
            is recorded in `ViewStatistics.failed`.
        lengths: returns the number of tokens of each of some texts.
        questions: questions about the documents.
        epochs: epochs of the run. In each epoch it trains on the next view of every part of a document.

    Example:
        >>> from hf_knowlearn import Document, Question, format_views
        >>> from hf_knowlearn.views.coverage import measure_coverage
        >>> documents = [Document("mill", "Tarn has a mill. It is old.")]
        >>> questions = [Question("q", "What does Tarn have?", ("a mill",), document_id="mill")]
        >>> families = {"formats": lambda document: [format_views(document, 2)]}
        >>> def lengths(texts): return [len(text.split()) for text in texts]
        >>> (report,) = measure_coverage(documents, families, lengths, questions, epochs=4)
        >>> report.questions[0].exposures
        {'formats': 4}
    """
    ids = {None, *(document.id for document in documents)}
    covered = []
    by_document: dict[str | None, list[AnswerCoverage]] = {}
    for question in questions:
        occurrence = Occurrence.NOT_FOUND if question.document_id in ids else Occurrence.NO_DOCUMENT
        coverage = AnswerCoverage(question, occurrence, dict.fromkeys(families, 0), dict.fromkeys(families, 0))
        covered.append(coverage)
        by_document.setdefault(question.document_id, []).append(coverage)
    searches = {question.id: _AnswerSearch(question) for question in questions}
    report = CoverageReport({family: ViewStatistics() for family in families}, epochs, covered)
    for document in documents:
        about = [*by_document.get(document.id, ()), *by_document.get(None, ())]
        answered = _answered(document, about, searches)
        for family, statistics in report.statistics.items():
            try:
                part_views = families[family](document)
            except ValueError as error:
                statistics.failed[document.id] = str(error)
                continue
            statistics.add(document, part_views, lengths)
            for coverage in answered:
                coverage.add(family, part_views, epochs)
        yield report


class _AnswerSearch:
    """The accepted answers of a question, prepared for a fast search in many documents."""

    def __init__(self, question: Question) -> None:
        answers = list(filter(str.strip, question.answers))
        # Why: the longest word is the rarest, so most documents are ruled out by it.
        self.words = [sorted(_folded(answer).split(), key=len, reverse=True) for answer in answers]
        self.normalized = list(filter(None, map(normalize, answers)))


def _answered(
    document: Document, about: Sequence[AnswerCoverage], searches: Mapping[str, _AnswerSearch]
) -> list[AnswerCoverage]:
    """The questions with an answer in the document; updates `occurrence` of all questions `about` it."""
    if not about:
        return []
    whole, folded, normalized = raw_view(document), _folded(document.text), f" {normalize(document.text)} "
    answered = []
    for coverage in about:
        search, occurrence = searches[coverage.question.id], Occurrence.NOT_FOUND
        # Why: the search for words is fast, and rules out most pairs of a question and a document.
        if any(all(word in folded for word in words) for words in search.words):
            occurrence = _occurrence(whole, coverage.question.answers)
        if occurrence != Occurrence.FOUND and any(f" {answer} " in normalized for answer in search.normalized):
            occurrence = Occurrence.OTHER_SPELLING
        coverage.occurrence = min(coverage.occurrence, occurrence, key=_RANK.__getitem__)
        answered += [coverage] if occurrence == Occurrence.FOUND else []
    return answered


def contains_answer(view: View, answers: Sequence[str]) -> bool:
    """Whether one of the answers occurs in the view as whole words."""
    return _occurrence(view, answers) == Occurrence.FOUND


def _occurrence(view: View, answers: Sequence[str]) -> Occurrence:
    is_inside = False
    for answer in filter(str.strip, answers):
        whole, occurs = occurrences(view.text, answer, view.find)
        if whole:
            return Occurrence.FOUND
        is_inside = is_inside or occurs
    return Occurrence.INSIDE_WORD if is_inside else Occurrence.NOT_FOUND


def _folded(text: str) -> str:
    """`text` case-folded, with both kinds of i that `re.IGNORECASE` treats as equal made equal."""
    return text.translate({0x130: "i", 0x131: "i"}).casefold()
