"""A survey as text: its tables, what can't be told, and the questions that no view answers."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from hf_knowlearn.commands.views_colours import escaped, in_line
from hf_knowlearn.commands.views_request import Request
from hf_knowlearn.views.coverage import FATES, NO_DOCUMENT, STANDS, Coverage, Survey

SHOWN = 20  # of a list


def text(request: Request, found: Survey) -> str:
    """All of it."""
    blocks = [f"{columns(table(found))}\n\n{_legend(request)}", "\n".join(untold(found))]
    if found.covered:
        blocks.append("\n".join(_coverage(request, found)))
    return "".join(f"\n{block}\n" for block in filter(None, blocks)).rstrip()


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns under a line, the first to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def table(found: Survey) -> list[list[str]]:
    """A header, and what was counted of each family."""
    header = ["", "documents", "parts", "views", "tokens", "in requests", "shortest", "longest", "layout", "cut"]
    rows = [
        [name]
        + [f"{n:,}" for n in (c.documents, c.parts, c.views, c.tokens, c.request_tokens, c.shortest, c.longest)]
        + [f"{c.layout_share:.1%}", f"{c.cut:,}", f"{c.repeated:,}"]
        for name, c in found.counts.items()
    ]
    return [[*header, "repeated"], *rows]


def _legend(request: Request) -> str:
    return f"""\
tokens: of {request.tokenizer}, with each row's beginning and end; --tokenizer NAME_OR_PATH counts with your model's.
in requests: of those, what asks for a text and is not learned. shortest, longest: tokens of a view.
layout: characters of the texts that are no words of a document (a title in a heading is layout, too).
cut, repeated: tokens of the documents' words that a telling lacks, or holds twice."""


def untold(found: Survey) -> Iterator[str]:
    """The documents that can't be told so often, by family and reason."""
    for family, counts in found.counts.items():
        by_reason: dict[str, list[str]] = {}
        for id, why in counts.untold.items():
            reason = re.sub(rf"[Dd]ocument {re.escape(repr(id))}( \(part \d+\))?", "it", why, count=1)
            reason = reason.replace("it has", "a part of it has") if "(part " in why else reason
            by_reason.setdefault(reason, []).append(id)
        for reason, ids in by_reason.items():
            total = counts.documents + len(counts.untold)
            yield f"Not told in {family}: {len(ids):,} of {total:,} documents ({_some(ids)}): {escaped(reason)}"


def _some(ids: Sequence[str]) -> str:
    more = f", ... and {len(ids) - 5:,} more" if len(ids) > 5 else ""
    return ", ".join(map(in_line, ids[:5])) + more


def _coverage(request: Request, found: Survey) -> Iterator[str]:
    count = len(found.covered)
    anywhere = any(coverage.question.document_id is None for coverage in found.covered)
    where = " (in any document, where a question names none)" * anywhere
    yield f"{count:,} questions. An accepted answer, as whole words{where}:"
    fates = Counter(coverage.fate for coverage in found.covered)
    yield from (f"{fates[fate]:>9,}  {fates[fate] / count:6.1%}  {fate}" for fate in FATES if fates[fate])
    if lost := sorted({c.question.document_id or "" for c in found.covered if c.fate == NO_DOCUMENT}):
        yield f"                   ({_some(lost)})"
    epochs = f"{found.epochs} epoch{'s' * (found.epochs > 1)}"
    yield f"\nExposures: how often a run of {epochs} reads a view with the answer, one view of a document an epoch."
    yield columns(_exposures(found)) + "\n"
    yield from _unanswered(request, found)


def _unanswered(request: Request, found: Survey) -> Iterator[str]:
    missed = found.unanswered()
    everywhere = [coverage for coverage, families in missed if len(families) == len(found.counts)]
    yield f"{len(everywhere):,} questions that no view answers" + (":" if everywhere else ".")
    yield from (f"  {_line(coverage)}" for coverage in everywhere[:SHOWN])
    if len(everywhere) > SHOWN:
        yield f"  ... and {len(everywhere) - SHOWN:,} more" + ("" if request.json else "; --json FILE writes them all")
    for family, counts in found.counts.items():
        others = [c.question for c, families in missed if family in families and len(families) < len(found.counts)]
        if others:
            untold = sum(question.document_id in counts.untold for question in others)
            why = f", {untold:,} of them because it does not tell their document" if untold else ""
            yield f"{len(others):,} more that no view of {family} answers ({_some([q.id for q in others])}){why}."


def _exposures(found: Survey) -> list[list[str]]:
    rows = [["", "answered", "share", "least", "median", "most"]]
    for family in found.counts:
        answered = sum(bool(coverage.views.get(family)) for coverage in found.covered)
        times = [f"{number:,g}" for number in found.exposures(family) or ()] or ["", "", ""]
        rows.append([family, f"{answered:,}", f"{answered / len(found.covered):.1%}", *times])
    return rows


def _line(coverage: Coverage) -> str:
    question = coverage.question
    why = f"{STANDS}, and in no view" if coverage.fate == STANDS else coverage.fate
    asked = f"{_short(question.text)} -> {_short(' | '.join(question.answers))}"
    return f"{in_line(question.id)}: {asked} [{why}]"


def _short(text: str) -> str:
    line = in_line(text)
    return line if len(line) <= 60 else f"{line[:57]}..."
