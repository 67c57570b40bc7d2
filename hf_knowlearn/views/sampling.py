"""Functions that all families of views use: they check arguments, derive the random number of a document, and report
that a document has too few views."""

import hashlib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from hf_knowlearn.documents import Document
from hf_knowlearn.views.groups import GROUPS
from hf_knowlearn.views.view import View


class TooFewViewsError(ValueError):
    """Raised if a document has fewer distinct views than requested.

    Args:
        message: the text of the error.
        available: number of distinct views of the document.
    """

    def __init__(self, message: str, available: int = 0) -> None:
        super().__init__(message)
        self.available = available


def too_few_views(
    document: Document, num_views: int, first: int, available: int, what: str, fix: str
) -> TooFewViewsError:
    """Return the error for a document that has only `available` distinct views. `what` describes the views in words,
    and `fix` describes what the user can do."""
    requested = f"num_views={num_views}" + (f" from view {first} on" if first else "")
    part = f" (part {document.part})" if document.part else ""
    correction = f"Request at most {available}, or {fix}." if available else f"{fix.capitalize()}."
    message = f"{requested}, but document {document.id!r}{part} has only {available} distinct {what}. {correction}"
    return TooFewViewsError(message, available)


def take_views(
    sequence: Iterator[View], document: Document, num_views: int, first: int, *, what: str, fix: str
) -> list[View]:
    """Return views `first` to `first + num_views - 1` of a document's sequence of views.

    Raises:
        TooFewViewsError: the sequence has fewer views. For `what` and `fix`, see `too_few_views`.
    """
    views = list(islice(sequence, first + num_views))
    if len(views) < first + num_views:
        raise too_few_views(document, num_views, first, len(views), what, fix)
    return [with_heading(view, document) for view in views[first:]] if document.heading else views[first:]


def with_heading(view: View, part: Document) -> View:
    """Return the view with the heading of its part. The title and the section path come at the beginning of the text,
    and the header row of a table comes directly above the first row of this table."""
    if not part.heading:
        return view
    path, blank_line, header = part.heading.rpartition("\n\n")
    first = view.spans[0][0]
    line_start = view.text[view.text.rfind("\n", 0, first) + 1 : first]  # the layout before each row
    start = path + blank_line + view.text[:first] + header.replace("\n", f"\n{line_start}")
    added = len(start) - first
    spans = tuple((at + added, source, size) for at, source, size in view.spans)
    return replace(view, text=start + view.text[first:], spans=spans)


def select_groups(
    num_views: int, groups: Sequence[str] | None, hold_out: str | None, first: int = 0
) -> tuple[str, ...]:
    """Check the arguments of a function that makes views. Return the groups of formats to sample from, in the order of
    `GROUPS`.

    Raises:
        ValueError: an argument is out of range, or a group is unknown. The message lists all problems.
    """
    problems = []
    if num_views < 1:
        problems.append(f"num_views={num_views}: give 1 or more.")
    if first < 0:
        problems.append(f"first={first}: views are numbered from 0, so give 0 or more.")
    if isinstance(groups, str):
        problems.append(f"groups={groups!r} is one string: give a list of groups, such as [{groups!r}].")
        groups = ()
    named = [*(groups or ()), *(() if hold_out is None else (hold_out,))]
    if unknown := [name for name in named if name not in GROUPS]:
        problems.append(f"Unknown groups of formats {unknown}. Choose from {', '.join(GROUPS)}.")
    if problems:
        raise ValueError(" ".join(problems))
    return tuple(name for name in GROUPS if name != hold_out and (groups is None or name in groups))


def sampling_number(seed: int, document: Document, family: str) -> int:
    """Return a 64-bit hash of the arguments. Equal arguments give equal hashes on every machine."""
    # Why `ascii`: the characters that `repr` escapes depend on the Unicode version. Why `index`: it accepts integers
    # of numpy.
    key = ascii((operator.index(seed), document.id, document.part, family)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
