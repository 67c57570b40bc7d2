"""Makes views that change the layout of a document and no word (formatting-based augmentation, arXiv 2503.03705).

A mark is one element of layout, such as a bullet before each sentence. `marks.toml` lists the marks of each group, and
`groups.py` loads them. A format consists of one mark, or of two compatible marks of different groups. Formats are
sampled in blocks of twelve. In a block, no mark occurs twice, and every group occurs if the document allows it.
"""

import hashlib
import operator
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, reduce
from itertools import combinations, product

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentences import sentences
from hf_knowlearn.views.features import SPACED, document_features
from hf_knowlearn.views.groups import MARKS, Mark
from hf_knowlearn.views.layout import Frame, lay_out
from hf_knowlearn.views.sampling import sampling_number, select_groups, take_views, with_heading
from hf_knowlearn.views.view import View

BLOCK_SIZE = 12  # formats in a block
NUM_BLOCKS = 256  # number of different blocks of a pool of marks; a power of two


@dataclass(frozen=True, eq=False)
class Format:
    """A combination of marks of different groups. A format without marks is the plain layout.

    Args:
        marks: at most one mark of each group, in the order of `GROUPS`.
        is_spaced: whether the document has spaces between its sentences. Chinese has none.

    Example:
        >>> from hf_knowlearn.views import MARKS, Format
        >>> Format((MARKS["lists"][0], MARKS["headings"][0])).name
        'lists.bullet+headings.h1'
    """

    marks: tuple[Mark, ...]
    is_spaced: bool = True

    @cached_property
    def name(self) -> str:
        """The full names of the marks, joined by `+`. Without marks, the name is `plain`."""
        return "+".join(mark.full_name for mark in self.marks) or "plain"

    @cached_property
    def frame(self) -> Frame:
        """The layout strings of all marks."""
        frame = Frame(**{name: value for mark in self.marks for name, value in mark.fields.items()})
        return frame if self.is_spaced else frame.unspaced

    @cached_property
    def visible_marks(self) -> tuple[Mark, ...]:
        """The marks that remain visible when runs of spaces are collapsed."""
        return tuple(mark for mark in self.marks if mark.group != "spacing")


_PLAIN = {is_spaced: Format((), is_spaced) for is_spaced in (True, False)}


def plain_format(document: Document) -> Format:
    """Return the format without marks."""
    return _PLAIN[bool(document_features(document) & SPACED)]


@cache
def _composed(is_spaced: bool, *marks: Mark) -> Format:
    return Format(marks, is_spaced)


def raw_view(document: Document) -> View:
    """Return the view with the unchanged text of the document."""
    text = document.text
    return with_heading(View(document.id, document.part, 0, "formats", "raw", text, ((0, 0, len(text)),)), document)


def format_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
    *,
    first: int = 0,
) -> list[View]:
    """Return `num_views` views of `document`, each in another format.

    Equal arguments give equal views on every machine. No two of the first twelve views have a mark in common, and all
    seven groups occur in them if the document allows it. Formats that differ from an earlier format only in the number
    of spaces come last.

    Args:
        groups: groups of formats to sample from. None: all groups.
        hold_out: a group of formats that is never sampled. An evaluation can use this group as unseen formats.
        first: number of views to skip. The result is views `first` to `first + num_views - 1` of one sequence.

    Raises:
        TooFewViewsError: the document has fewer distinct formats.
        ValueError: `num_views` is below 1, `first` is below 0, a group is unknown, or no group is left.

    Example:
        >>> from hf_knowlearn import Document, format_views
        >>> document = Document("mill", "Tarn has a mill. It is old.", title="Tarn")
        >>> [view.text for view in format_views(document, 2, groups=["headings"])]
        ['Tarn\\n-----\\n\\nTarn has a mill. It is old.', 'Passage:\\n\\nTarn has a mill. It is old.']
    """
    selected = select_groups(num_views, groups, hold_out, first)
    if not selected:
        raise ValueError(f"groups={groups} with hold_out={hold_out!r} leaves no format. Allow another group.")
    views = _formatted_views(document, seed, selected)
    return take_views(views, document, num_views, first, what="formats", fix="allow more groups")


def _formatted_views(document: Document, seed: int, groups: tuple[str, ...]) -> Iterator[View]:
    """Yield all views of a document in distinct formats."""
    pieces = sentences(document.text, document.language)
    seen: set[str] = set()
    for format in sample_formats(document, sampling_number(seed, document, "formats"), groups):
        text, spans = lay_out(format.frame, document.title, pieces)
        if text not in seen:
            yield View(document.id, document.part, len(seen), "formats", format.name, text, spans)
            seen.add(text)


def sample_formats(document: Document, number: int, groups: tuple[str, ...]) -> Iterator[Format]:
    """Yield all formats that suit the document, each once, in an order that `number` determines.

    Formats that differ from an earlier format only in the number of spaces come last.
    """
    pool = _mark_pool(document_features(document) & (_needed_features(groups) | SPACED), groups)
    sampled: set[Format] = set()
    looks: set[tuple[Mark, ...]] = set()
    similar: list[Format] = []
    for format in _shuffled_formats(pool, number):
        if format.visible_marks in looks:
            similar.append(format)
        else:
            looks.add(format.visible_marks)
            sampled.add(format)
            yield format
    yield from (format for format in dict.fromkeys(similar) if format not in sampled)


def _shuffled_formats(pool: "_MarkPool", number: int) -> Iterator[Format]:
    """Yield the formats of all blocks, then all formats of the pool. Why: some formats occur in no block."""
    start, step = number % NUM_BLOCKS, (number // NUM_BLOCKS) % NUM_BLOCKS | 1  # an odd step visits every block
    for i in range(min(NUM_BLOCKS, pool.useful_blocks)):
        yield from _block(pool, (start + step * i) % NUM_BLOCKS)
    shift = number % max(len(pool.formats), 1)
    yield from pool.formats[shift:]
    yield from pool.formats[:shift]


@cache
def _needed_features(groups: tuple[str, ...]) -> int:
    """Return the features that the marks of the groups need. Why: if the cache keys had other features too, the cache
    would hold many equal pools."""
    return reduce(operator.or_, (mark.needs for group in groups for mark in MARKS[group]), 0)


@dataclass(frozen=True, eq=False)
class _MarkPool:
    """The marks that suit a document with certain features, by group."""

    key: str
    marks: tuple[tuple[Mark, ...], ...]
    is_spaced: bool

    @cached_property
    def useful_blocks(self) -> int:
        """The number of blocks to use. Further blocks contain few new formats."""
        marks = sum(map(len, self.marks))
        return 1 + marks * marks // BLOCK_SIZE

    @cached_property
    def formats(self) -> list[Format]:
        """All formats that these marks can form."""
        alone = [_composed(self.is_spaced, mark) for marks in self.marks for mark in marks]
        pairs = (pair for one, other in combinations(self.marks, 2) for pair in product(one, other))
        return alone + [_composed(self.is_spaced, *pair) for pair in pairs if pair[0].taken.isdisjoint(pair[1].taken)]


@lru_cache(maxsize=1024)
def _mark_pool(features: int, groups: tuple[str, ...]) -> _MarkPool:
    marks = [tuple(mark for mark in MARKS[group] if mark.needs & ~features == 0) for group in groups]
    return _MarkPool(f"{features}/{groups}", tuple(filter(None, marks)), bool(features & SPACED))


@lru_cache(maxsize=1 << 15)
def _block(pool: _MarkPool, number: int) -> tuple[Format, ...]:
    """Return up to twelve formats. Each format has two compatible marks of different groups, or one mark if no
    compatible mark is left. All groups provide marks in turn."""
    # Why: random numbers of 16 bits from a hash are fast and the same in every Python version. At most 31 are used.
    digest = hashlib.blake2b(f"{pool.key}/{number}".encode()).digest()
    numbers = iter(struct.unpack("<32H", digest))
    remaining = [list(marks) for marks in sorted(pool.marks, key=lambda _: next(numbers))]
    block: list[Format] = []
    distance = 0
    while len(block) < BLOCK_SIZE and any(remaining):
        distance += 1  # each round pairs a group with a different group
        for i, marks in enumerate(remaining):
            if marks and len(block) < BLOCK_SIZE:
                mark = marks.pop(next(numbers) * len(marks) >> 16)
                partner = _partner(mark, remaining, i + distance, next(numbers))
                if partner is None:
                    block.append(_composed(pool.is_spaced, mark))
                else:
                    pair = (mark, partner) if mark.rank < partner.rank else (partner, mark)
                    block.append(_composed(pool.is_spaced, *pair))
    return tuple(block)


def _partner(mark: Mark, remaining: Sequence[list[Mark]], group: int, number: int) -> Mark | None:
    """Remove and return a mark of another group that is compatible with `mark`, or None.

    Args:
        remaining: one list of marks for each group. The search begins at the list with the index `group`, and
            continues with the first list after the last one.
        number: a random number of 16 bits, which determines where the search in each list begins.
    """
    for i in range(group - len(remaining), group):
        marks = remaining[i % len(remaining)]
        if marks and marks[0].group != mark.group:
            first = number * len(marks) >> 16
            for position in range(first - len(marks), first):
                if marks[position].taken.isdisjoint(mark.taken):
                    return marks.pop(position)
    return None
