"""Output of `knowlearn views`: views in colour, and the tables of a coverage report."""

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table

from hf_knowlearn.documents import Document
from hf_knowlearn.views import View
from hf_knowlearn.views.coverage import AnswerCoverage, CoverageReport, Occurrence

MOST_SHOWN = 20  # unanswered questions in the list
# All control characters of Unicode except tab and line feed, and the characters that separate or reorder a line.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
WIDE_SPACE = re.compile(r"((?: {2,}|[\t\u2003])+)")
STYLES = {"words": "bold", "layout": "dim", "space": "dim reverse", "heading": "cyan"}
LEGEND = {"words": "the document's words", "layout": "layout", "space": "wide white space of the layout"}

Piece = tuple[str, str]  # (key of STYLES, text)


def escaped(text: str) -> str:
    """`text` with control characters as Python escapes, because a terminal would obey them."""
    return CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def in_line(text: str) -> str:
    """`text`, escaped and on one line."""
    return " ".join(escaped(text).split())


def render_view(view: View, tokens: int, excerpt: int) -> str:
    """A heading, the prompt and the text of a view; at most `excerpt` characters of each (0: all)."""
    title = f"view {view.index}: {view.family}/{view.format}, {tokens:,} tokens"
    heading = ("heading", f"--- {title} ".ljust(80, "-"))
    return "\n" + _styled([heading, ("layout", "\n"), *view_pieces(view, excerpt)])


def view_pieces(view: View, excerpt: int) -> list[Piece]:
    """The prompt and the text of a view in pieces, at most `excerpt` characters of each (0: all)."""
    prompt = _excerpt([("layout", view.prompt)], excerpt)
    is_cut = 0 < excerpt < len(view.prompt)
    return [*prompt, *([("layout", "\n")] if is_cut else []), *_excerpt(list(text_pieces(view)), excerpt)]


def _excerpt(pieces: Sequence[Piece], most: int) -> list[Piece]:
    length = sum(len(text) for _, text in pieces)
    left = most or length
    shown = []
    for kind, text in pieces:
        shown.append((kind, text[:left]))
        left -= min(left, len(text))
    if 0 < most < length:
        shown.append(("heading", f"\n... and {length - most:,} more characters (--excerpt 0 shows all)."))
    return shown


def text_pieces(view: View) -> Iterator[Piece]:
    """The text of a view in pieces: words, layout, and white space of the layout that is otherwise invisible."""
    position = 0
    for start, _, length in [*view.spans, (len(view.text), 0, 0)]:
        for i, text in enumerate(WIDE_SPACE.split(view.text[position:start])):
            yield "space" if i % 2 else "layout", text
        position = start + length
        yield "words", view.text[start:position]


def _styled(pieces: Iterable[Piece]) -> str:
    """The pieces with terminal colours if standard output has colours."""
    segments = []
    for kind, text in pieces:
        for line in re.split("(\n)", escaped(text)):  # Why: pagers end a style at the end of its line.
            segments.append(Segment(line, None if line == "\n" else Style.parse(STYLES[kind])))
    return _rendered(Segments(segments))


def _rendered(renderable: RenderableType) -> str:
    console = Console(markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(renderable, crop=False)
    return capture.get()


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table of rows, the header first. The first column is left-aligned, the others right-aligned."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    return "\n".join(line.rstrip() for line in _rendered(table).split("\n")).strip("\n")


def describe_document(arguments: argparse.Namespace, document: Document, count: int, parts: Mapping[str, int]) -> str:
    """The lines above the views of a document; `parts`: its number of parts in each family."""
    title = f" ({in_line(document.title)})" if document.title else ""
    size = f"{len(document.text):,} characters, language {in_line(document.language)}"
    number, more = (f" 1 of {count:,}", " Choose another with --document ID.") if count > 1 else ("", "")
    lines = [f"Document{number}: {in_line(document.id)}{title}, {size}.{more}"]
    if arguments.max_length is not None or arguments.part_tokens is not None:
        split = ", ".join(f"{number:,} in {family}" for family, number in parts.items())
        lines.append(f"Parts: {split}. Below is part {arguments.part or 0}. Choose another with --part NUMBER.")
    lines.append(f"Tokens are counted by {arguments.tokenizer}. Choose your model's with --tokenizer NAME_OR_PATH.")
    if controls := len(CONTROL.findall(document.text)):
        lines.append(f"The document has {controls:,} control characters, which are shown as Python escapes (\\x1b).")
    if Console().color_system:
        lines.append(_styled([piece for kind, name in LEGEND.items() for piece in ((kind, name), ("layout", "  "))]))
    return "\n".join(lines)


def describe_report(arguments: argparse.Namespace, report: CoverageReport) -> Iterator[str]:
    """The tables of a report, the documents without enough views, and the unanswered questions."""
    yield _table(statistics_rows(report))
    yield f"\nTokens are counted by {arguments.tokenizer}. Choose your model's with --tokenizer NAME_OR_PATH."
    yield from (f"\n{line}" for line in failed_documents(report))
    if report.questions:
        yield f"\n{_table(_occurrence_rows(report))}"
        if unknown := sorted({_document(c) for c in report.questions if c.occurrence == Occurrence.NO_DOCUMENT}):
            yield f"Documents that are missing: {_some(unknown)}."
        yield f"\nExposures in {report.epochs} epochs: how often a run trains on a view with the answer."
        yield f"\n{_table(_exposure_rows(report))}"
        yield from _unanswered(arguments, report)


def statistics_rows(report: CoverageReport) -> list[list[str]]:
    """A header with the families, and one row for each number."""
    statistics = list(report.statistics.values())
    rows = {
        "documents": [s.documents for s in statistics],
        "parts": [s.parts for s in statistics],
        "views": [s.views for s in statistics],
        "tokens": [s.tokens for s in statistics],
        "tokens of prompts": [s.prompt_tokens for s in statistics],
        "tokens of the shortest view": [s.shortest for s in statistics],
        "tokens of the longest view": [s.longest for s in statistics],
        "missing tokens of documents": [s.missing_tokens for s in statistics],
        "repeated tokens of documents": [s.repeated_tokens for s in statistics],
    }
    shares = ["layout, share of characters", *(f"{s.layout_share:.1%}" for s in statistics)]
    numbers = [[name, *(f"{value:,}" for value in values)] for name, values in rows.items()]
    return [["", *report.statistics], *numbers, shares]


def failed_documents(report: CoverageReport) -> Iterator[str]:
    """For each family, how many documents have too few views, with the first messages."""
    for family, statistics in report.statistics.items():
        if failed := statistics.failed:
            total = statistics.documents + len(failed)
            messages = [f"  {in_line(message)}" for message in list(failed.values())[:5]]
            more = [f"  ... and {len(failed) - 5:,} more"] if len(failed) > 5 else []
            yield "\n".join([f"{family}: no views of {len(failed):,} of {total:,} documents", *messages, *more])


def _some(names: Sequence[str]) -> str:
    more = f", ... and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(in_line, names[:5])) + more


def _document(coverage: AnswerCoverage) -> str:
    return coverage.question.document_id or ""


def _occurrence_rows(report: CoverageReport) -> list[list[str]]:
    total = len(report.questions)
    counts = Counter(coverage.occurrence for coverage in report.questions)
    rows = [[name, f"{counts[name]:,}", f"{counts[name] / total:.1%}"] for name in Occurrence if counts[name]]
    return [["An accepted answer, as whole words", "questions", "share"], *rows]


def _exposure_rows(report: CoverageReport) -> list[list[str]]:
    rows = [["", "answered", "share", "least", "median", "most"]]
    for family in report.statistics:
        answered = sum(bool(coverage.views[family]) for coverage in report.questions)
        counts = [f"{number:,g}" for number in report.exposures(family) or ()] or ["", "", ""]
        rows.append([family, f"{answered:,}", f"{answered / len(report.questions):.1%}", *counts])
    return rows


def _unanswered(arguments: argparse.Namespace, report: CoverageReport) -> Iterator[str]:
    """The questions that no view answers, and the number of those that only some families answer."""
    unanswered = report.unanswered()
    by_none = [coverage for coverage, families in unanswered if len(families) == len(report.statistics)]
    yield f"\n{len(by_none):,} questions that no view answers" + (":" if by_none else ".")
    yield from (f"  {_question_line(coverage)}" for coverage in by_none[:MOST_SHOWN])
    if len(by_none) > MOST_SHOWN:
        hint = "" if arguments.json else " (--json FILE writes all)"
        yield f"  ... and {len(by_none) - MOST_SHOWN:,} more{hint}"
    for family in report.statistics:
        others = [c for c, families in unanswered if family in families and len(families) < len(report.statistics)]
        if others:
            failed = sum(_document(coverage) in report.statistics[family].failed for coverage in others)
            why = f", {failed:,} of them because it has no views of their document" if failed else ""
            ids = _some([coverage.question.id for coverage in others])
            yield f"{len(others):,} more questions that no view of {family} answers ({ids}){why}."


def _question_line(coverage: AnswerCoverage) -> str:
    question, occurrence = coverage.question, coverage.occurrence
    why = f"{occurrence}, but in no view" if occurrence == Occurrence.FOUND else occurrence
    return f"{in_line(question.id)}: {_short(question.text)} -> {_short(' | '.join(question.answers))} [{why}]"


def _short(text: str) -> str:
    line = in_line(text)
    return line if len(line) <= 60 else f"{line[:57]}..."
