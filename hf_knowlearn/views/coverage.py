"""Coverage: counts views of documents and the tokens of the views, and finds the questions that the views answer.

Only whole words count as an answer: the answer "No" does not occur in "Honor".
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import normalize, occurrences
from hf_knowlearn.documents.order_rules import order_rules
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.documents.structure import parse_blocks
from hf_knowlearn.views import View, raw_view
from hf_knowlearn.views.proof import misplaced_spans
from hf_knowlearn.views.similarity import distinct_views
from hf_knowlearn.views.view import Span

PartViews = Sequence[tuple[Document, Sequence[View]]]  # the parts of a document, each with its views
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
    """Counts for the views of one family.

    The tokens of a view include its prompt and the special tokens at both ends.

    Args:
        documents, parts, views: numbers of documents, parts and views.
        tokens: tokens of all views.
        prompt_tokens: number of these tokens in prompts, which carry no loss.
        shortest, longest: tokens of the shortest and the longest view.
        characters: characters of all texts, without prompts.
        layout_characters: number of these characters that belong to the layout and not to a document.
        failed: the error messages of documents that have too few views, by document id.
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
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, part_views: PartViews, lengths: TokenLengths) -> None:
        """Add the views of one document."""
        views = [view for _, views in part_views for view in views]
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


@dataclass
class AnswerCoverage:
    """How often the views answer one question. A question without `document_id` belongs to every document.

    Args:
        question: the question.
        occurrence: where an accepted answer occurs in its document.
        views: number of views in which an accepted answer occurs, by family.
        misplaced: number of views in which an accepted answer occurs outside of its section or block.
    """

    question: Question
    occurrence: Occurrence
    views: dict[str, int]
    misplaced: int = 0


@dataclass
class KindStatistics:
    """Counts for the documents of one kind and their views of one family.

    Args:
        documents: number of documents.
        keeps_order: number of documents whose sentences keep their order.
        views: number of views.
        different: number of views without near-identical views. Each counted view of a part differs from all other
            counted views of this part in at least 5 % of the characters.
    """

    documents: int = 0
    keeps_order: int = 0
    views: int = 0
    different: int = 0


@dataclass
class CoverageReport:
    """The result of `measure_coverage`.

    Args:
        statistics: the counts of each family, by its name.
        questions: the coverage of each question.
        kinds: the counts of each kind of document, by family and kind.
    """

    statistics: dict[str, ViewStatistics]
    questions: list[AnswerCoverage]
    kinds: dict[str, dict[str, KindStatistics]] = field(default_factory=dict)

    def misplaced(self) -> list[AnswerCoverage]:
        """Return the questions whose answer a view places in another section or block than the document."""
        return [question for question in self.questions if question.misplaced]

    def unanswered(self) -> list[AnswerCoverage]:
        """Return the questions that no view answers."""
        return [question for question in self.questions if not any(question.views.values())]


def measure_coverage(
    documents: Iterable[Document],
    families: Mapping[str, MakePartViews],
    lengths: TokenLengths,
    questions: Sequence[Question] = (),
) -> CoverageReport:
    """Count the views of documents, and the views that contain an answer to each question.

    Args:
        families: a function for each name of a family. The function returns the parts of a document, each with its
            views. If the function raises a `ValueError`, the message is stored in `ViewStatistics.failed`.
        lengths: a function that returns the number of tokens of each text in a list.
        questions: questions about the documents.

    Example:
        >>> from hf_knowlearn import Document, Question, format_views
        >>> from hf_knowlearn.views.coverage import measure_coverage
        >>> documents = [Document("mill", "Tarn has a mill. It is old.")]
        >>> questions = [Question("q", "What does Tarn have?", ("a mill",), document_id="mill")]
        >>> families = {"formats": lambda document: [(document, format_views(document, 2))]}
        >>> def lengths(texts): return [len(text.split()) for text in texts]
        >>> measure_coverage(documents, families, lengths, questions).questions[0].views
        {'formats': 2}
    """
    report = CoverageReport({family: ViewStatistics() for family in families}, [])
    by_document: dict[str | None, list[tuple[AnswerCoverage, _AnswerSearch]]] = {}
    for question in questions:
        worst = Occurrence.NO_DOCUMENT if question.document_id is not None else Occurrence.NOT_FOUND
        report.questions.append(AnswerCoverage(question, worst, dict.fromkeys(families, 0)))
        by_document.setdefault(question.document_id, []).append((report.questions[-1], _AnswerSearch(question)))
    for document in documents:
        answered = _answered(document, [*by_document.get(document.id, ()), *by_document.get(None, ())])
        for family, statistics in report.statistics.items():
            try:
                part_views = families[family](document)
            except ValueError as error:
                statistics.failed[document.id] = str(error)
                continue
            statistics.add(part_views, lengths)
            _add_kind(report.kinds.setdefault(family, {}), document, part_views)
            for coverage in answered:
                _add_answers(coverage, family, part_views)
    return report


def _add_kind(kinds: dict[str, KindStatistics], document: Document, part_views: PartViews) -> None:
    rules = order_rules(document)
    counts = kinds.setdefault(str(rules.kind), KindStatistics())
    counts.documents += 1
    counts.keeps_order += rules.keeps_order
    counts.views += sum(len(views) for _, views in part_views)
    counts.different += sum(len(distinct_views(views)) for _, views in part_views)


def _add_answers(coverage: AnswerCoverage, family: str, part_views: PartViews) -> None:
    """Count the views that contain an answer, and the views that place the answer in another section or block than the
    document."""
    answers = coverage.question.answers
    for part, views in part_views:
        for view in views:
            if contains_answer(view, answers):
                coverage.views[family] += 1
                coverage.misplaced += _is_misplaced(view, part, answers)


def _is_misplaced(view: View, part: Document, answers: Sequence[str]) -> bool:
    """Return whether a view places an answer under another heading, or in another block, than the document."""
    if not (spans := misplaced_spans(view, part)):
        return False
    spans += _spans_under_other_headings(view, part.text)
    places = [place for answer in filter(str.strip, answers) for place in view.find_whole_words(answer)]
    return any(at < stop and start < at + length for start, stop in places for at, _, length in spans)


def _spans_under_other_headings(view: View, text: str) -> list[Span]:
    headings = [block for block in parse_blocks(text) if block.level]
    starts, ends = [heading.start for heading in headings], [heading.end for heading in headings]
    found = []
    current = 0  # number of the heading above the next span, from 1
    for span in view.spans:
        _, source, length = span
        number = bisect_right(starts, source)
        is_heading = number > 0 and source < ends[number - 1]
        if number != current and not is_heading:
            found.append(span)
        current = bisect_right(starts, source + length - 1) if is_heading or number == current else current
    return found


class _AnswerSearch:
    """The accepted answers to a question, prepared for a fast search in many documents."""

    def __init__(self, question: Question) -> None:
        answers = list(filter(str.strip, question.answers))
        # Why: a search for the longest word rules out most documents, because long words are rare.
        self.words = [sorted(_folded(answer).split(), key=len, reverse=True) for answer in answers]
        self.normalized = list(filter(None, map(normalize, answers)))


def _answered(document: Document, about: Sequence[tuple[AnswerCoverage, _AnswerSearch]]) -> list[AnswerCoverage]:
    """Update `occurrence` of the questions in `about`, which are about the document. Return the questions that the
    document answers."""
    if not about:
        return []
    whole, folded, normalized = raw_view(document), _folded(document.text), f" {normalize(document.text)} "
    answered = []
    for coverage, search in about:
        occurrence = Occurrence.NOT_FOUND
        # Why: this fast search for single words rules out most pairs of a question and a document.
        if any(all(word in folded for word in words) for words in search.words):
            occurrence = _occurrence(whole, coverage.question.answers)
        if occurrence != Occurrence.FOUND and any(f" {answer} " in normalized for answer in search.normalized):
            occurrence = Occurrence.OTHER_SPELLING
        coverage.occurrence = min(coverage.occurrence, occurrence, key=_RANK.__getitem__)
        answered += [coverage] if occurrence == Occurrence.FOUND else []
    return answered


def contains_answer(view: View, answers: Sequence[str]) -> bool:
    """Return whether one of the answers occurs in the view as whole words."""
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
    """Return the case-folded text. The dotted and the dotless i become equal, as with `re.IGNORECASE`."""
    return text.translate({0x130: "i", 0x131: "i"}).casefold()
