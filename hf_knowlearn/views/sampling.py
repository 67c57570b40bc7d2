"""Functions that all families of views share: they check arguments, derive the random number of a document, and raise
one common error."""

import hashlib
import operator
from collections.abc import Iterator, Sequence
from itertools import islice

from hf_knowlearn.documents import Document
from hf_knowlearn.views.groups import GROUPS
from hf_knowlearn.views.view import View


class TooFewViewsError(ValueError):
    """A document has fewer distinct views than requested.

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
    """The error for a document with only `available` distinct views. `what` describes the views in words, `fix` what
    to do."""
    requested = f"num_views={num_views}" + (f" from view {first} on" if first else "")
    part = f" (part {document.part})" if document.part else ""
    message = (
        f"{requested}, but document {document.id!r}{part} has only {available} distinct {what}: request at most that"
        f" many, or {fix}."
    )
    return TooFewViewsError(message, available)


def take_views(
    sequence: Iterator[View], document: Document, num_views: int, first: int, *, what: str, fix: str
) -> list[View]:
    """Views `first` to `first + num_views - 1` of a document's sequence of views.

    Raises:
        TooFewViewsError: the sequence is shorter. The message contains `what` and `fix`.
    """
    views = list(islice(sequence, first + num_views))
    if len(views) < first + num_views:
        raise too_few_views(document, num_views, first, len(views), what, fix)
    return views[first:]


def select_groups(
    num_views: int, groups: Sequence[str] | None, hold_out: str | None, first: int = 0
) -> tuple[str, ...]:
    """Check the arguments of a family's function. Returns the groups of formats to sample from, in the order of
    `GROUPS`.

    Raises:
        ValueError: lists every argument that is out of range or names an unknown group.
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
        problems.append(f"Unknown groups of formats {unknown}: choose from {', '.join(GROUPS)}.")
    if problems:
        raise ValueError(" ".join(problems))
    return tuple(name for name in GROUPS if name != hold_out and (groups is None or name in groups))


def sampling_number(seed: int, document: Document, family: str) -> int:
    """A 64-bit number that depends only on the arguments and is the same on every machine."""
    # Why `ascii`: the characters that `repr` escapes depend on the Unicode version. Why `index`: it accepts integers
    # of numpy.
    key = ascii((operator.index(seed), document.id, document.part, family)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
