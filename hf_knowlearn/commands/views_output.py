"""Formats the output of `knowlearn views`: views in colour, and tables of counts."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document
from hf_knowlearn.views import View
from hf_knowlearn.views.coverage import AnswerCoverage, CoverageReport, Occurrence

# All control characters of Unicode except tab and line feed, and the characters that separate or reorder a line.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
WIDE_SPACE = re.compile(r"((?: {2,}|[\t\u2003])+)")
STYLES = {"words": "bold", "layout": "dim", "space": "dim reverse", "heading": "cyan"}
LEGEND = {"words": "the document's words", "layout": "layout", "space": "wide white space of the layout"}

WIDEST = 1000  # characters of a table; Why: rich cuts the cells of a table that is wider than the terminal

Piece = tuple[str, str]  # (key of STYLES, text)


def escaped(text: str) -> str:
    """Replace control characters by Python escapes, because a terminal would execute them."""
    return CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def in_line(text: str) -> str:
    """Return the escaped text on one line."""
    return " ".join(escaped(text).split())


def render_row(view: View, tokens: int, with_loss: int, end: str) -> str:
    """Return the heading and the text of a training row. The text with loss ends with the end token.

    Args:
        tokens: number of tokens of the row.
        with_loss: number of these tokens that carry loss.
        end: the end token. It is shown unless the text ends with it, as in a chat template.
    """
    part = f"part {view.part}, " if view.part else ""
    counts = f"{number_of(tokens, 'token')}, {with_loss:,} with loss"
    heading = f"--- {part}view {view.index}: {view.family}/{view.format}, {counts} ".ljust(80, "-")
    prompt = [("heading", "\n[no loss] "), ("layout", view.prompt), ("heading", "\n[loss] ")] if view.prompt else []
    start = prompt or [("layout", "\n")]
    added = "" if view.text.endswith(end) else end
    return "\n" + _styled([("heading", heading), *start, *text_pieces(view), ("heading", added)])


def text_pieces(view: View) -> Iterator[Piece]:
    """Split the text of a view into pieces of three kinds: words of the document, layout, and wide white space of the
    layout."""
    position = 0
    for start, _, length in [*view.spans, (len(view.text), 0, 0)]:
        for i, text in enumerate(WIDE_SPACE.split(view.text[position:start])):
            yield "space" if i % 2 else "layout", text
        position = start + length
        yield "words", view.text[start:position]


def _styled(pieces: Iterable[Piece]) -> str:
    """Join the pieces. Add terminal colours if standard output supports them."""
    segments = []
    for kind, text in pieces:
        for line in re.split("(\n)", escaped(text)):  # Why: pagers end a style at the end of each line.
            segments.append(Segment(line, None if line == "\n" else Style.parse(STYLES[kind])))
    return _rendered(Segments(segments))


def _rendered(renderable: RenderableType, width: int | None = None) -> str:
    """Render with the colours of the terminal. Lines have at most `width` characters. None: those of the terminal."""
    console = Console(markup=False, emoji=False, highlight=False, width=width)
    with console.capture() as capture:
        console.print(renderable, crop=False)
    return capture.get()


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a table. The first row is the header. All columns except the first are right-aligned."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    return "\n".join(line.rstrip() for line in _rendered(table, WIDEST).split("\n")).strip("\n")


def describe_document(document: Document, count: int, tokenizer: str) -> str:
    """Return the lines above the views of a document, which is the first of `count` documents."""
    title = f" ({in_line(document.title)})" if document.title else ""
    size = f"{number_of(len(document.text), 'character')}, language {in_line(document.language)}"
    number, more = (f" 1 of {count:,}", " Choose another document with --document ID.") if count > 1 else ("", "")
    lines = [f"Document{number}: {in_line(document.id)}{title}, {size}.{more}", _counted_by(tokenizer)]
    if Console().color_system:
        lines.append(_styled([piece for kind, name in LEGEND.items() for piece in ((kind, name), ("layout", "  "))]))
    return "\n".join(lines)


def _counted_by(tokenizer: str) -> str:
    return f"Tokens are counted by {tokenizer}. Choose another tokenizer with --model NAME_OR_PATH."


def describe_report(report: CoverageReport, tokenizer: str) -> Iterator[str]:
    """Yield the tables of a report, the documents without enough views, and the questions that no view answers."""
    yield _table(statistics_rows(report))
    yield f"\n{_counted_by(tokenizer)}"
    for family in report.kinds:
        yield f"\n{family}, for each kind of document:"
        yield f"\n{_table(_kind_rows(report, family))}"
    yield from (f"\n{line}" for line in failed_documents(report))
    if report.questions:
        yield f"\n{_table(_occurrence_rows(report))}"
        yield "\nNumber of views with the answer, over the questions that a family answers:"
        yield f"\n{_table(_answered_rows(report))}"
        misplaced = report.misplaced()
        yield f"\nQuestions whose answer a view places in another section or block: {len(misplaced):,}"
        remarks = [f"in {number_of(each.misplaced, 'view')}" for each in misplaced]
        yield from (f"  {_question_line(*each)}" for each in zip(misplaced, remarks, strict=True))
        unanswered = report.unanswered()
        yield f"\nQuestions that no view answers: {len(unanswered):,}"
        yield from (f"  {_question_line(each, _reason(each))}" for each in unanswered)


def statistics_rows(report: CoverageReport) -> list[list[str]]:
    """Return the rows of a table with one column for each family. The first row is the header."""
    statistics = list(report.statistics.values())
    rows = {
        "documents": [s.documents for s in statistics],
        "parts": [s.parts for s in statistics],
        "views": [s.views for s in statistics],
        "tokens": [s.tokens for s in statistics],
        "tokens of prompts": [s.prompt_tokens for s in statistics],
        "tokens of the shortest view": [s.shortest for s in statistics],
        "tokens of the longest view": [s.longest for s in statistics],
    }
    shares = [f"{s.layout_characters / max(s.characters, 1):.1%}" for s in statistics]
    numbers = [[name, *(f"{value:,}" for value in values)] for name, values in rows.items()]
    return [["", *report.statistics], *numbers, ["layout, share of characters", *shares]]


def _kind_rows(report: CoverageReport, family: str) -> list[list[str]]:
    """Return a header, and a row for each kind of document with the mean number of views and of different views."""
    rows = [["kind", "documents", "keep their order", "views each", "different"]]
    for kind, counts in sorted(report.kinds[family].items(), key=lambda item: -item[1].documents):
        numbers = [f"{counts.documents:,}", f"{counts.keeps_order:,}"]
        means = [f"{number / counts.documents:.1f}" for number in (counts.views, counts.different)]
        rows.append([kind, *numbers, *means])
    return rows


def failed_documents(report: CoverageReport) -> Iterator[str]:
    """For each family with too few views of documents, yield the number of these documents and the first errors."""
    for family, statistics in report.statistics.items():
        if failed := statistics.failed:
            total = statistics.documents + len(failed)
            messages = [f"  {in_line(message)}" for message in list(failed.values())[:5]]
            more = [f"  ... and {len(failed) - 5:,} more"] if len(failed) > 5 else []
            yield "\n".join(
                [f"{family}: {len(failed):,} of {number_of(total, 'document')} without enough views", *messages, *more]
            )


def _occurrence_rows(report: CoverageReport) -> list[list[str]]:
    total = len(report.questions)
    counts = Counter(coverage.occurrence for coverage in report.questions)
    rows = [[name, f"{counts[name]:,}", f"{counts[name] / total:.1%}"] for name in Occurrence if counts[name]]
    return [["An accepted answer, as whole words", "questions", "share"], *rows]


def _answered_rows(report: CoverageReport) -> list[list[str]]:
    rows = [["", "answered", "share", "least", "median", "most"]]
    for family in report.statistics:
        counts = [coverage.views[family] for coverage in report.questions if coverage.views[family]]
        spread = [f"{number(counts):,g}" for number in (min, median, max)] if counts else ["", "", ""]
        rows.append([family, f"{len(counts):,}", f"{len(counts) / len(report.questions):.1%}", *spread])
    return rows


def _reason(coverage: AnswerCoverage) -> str:
    """Return the reason why no view answers the question."""
    if coverage.occurrence == Occurrence.FOUND:
        return f"{coverage.occurrence}, but in no view"
    if coverage.occurrence == Occurrence.NO_DOCUMENT:
        return f"{coverage.occurrence}: {in_line(coverage.question.document_id or '')}"
    return str(coverage.occurrence)


def _question_line(coverage: AnswerCoverage, remark: str) -> str:
    question = coverage.question
    return f"{in_line(question.id)}: {_short(question.text)} -> {_short(' | '.join(question.answers))} [{remark}]"


def _short(text: str) -> str:
    line = in_line(text)
    return line if len(line) <= 60 else f"{line[:57]}..."
