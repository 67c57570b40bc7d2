"""Makes order views: a document with its sentences in another order. A model then learns to recall a fact
without the sentence before it in the document.

Permuted sentences help a model to extract facts (arXiv 2309.14316, §3). `documents/order_rules.py` decides which
sentences can move.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import repeat
from math import comb, factorial, gcd
from random import Random
from typing import Any

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.order_rules import Run, order_rules
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, Sentences, sentences
from hf_knowlearn.views.formats import plain_format, sample_formats
from hf_knowlearn.views.layout import lay_out
from hf_knowlearn.views.sampling import sampling_number, select_groups, take_views
from hf_knowlearn.views.view import View

# Why: up to this limit, the orders are numbered and each occurs once. Above it, orders are sampled, and a repetition
# is practically impossible.
_MOST_ORDERS = 1 << 62


def order_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
    *,
    first: int = 0,
    force: bool = False,
) -> list[View]:
    """Return `num_views` views of `document` with permuted sentences. No view has the sentence order of the document.

    Sentences move within their paragraph, and paragraphs within a run of prose, which is a sequence of paragraphs
    between two other blocks. So no sentence leaves its section. Texts whose order matters, such as procedures and
    stories, keep their order. A sentence that refers to the text before or after it stays with that text. See
    `order_rules`.

    Args:
        groups: groups of formats for the layout of the permuted sentences. None: all groups. `()`: the plain layout
            only.
        hold_out: a group that is never sampled.
        first: number of views to skip.
        force: permute also the sentences of texts whose order matters.

    Raises:
        TooFewViewsError: the document has fewer distinct views. A document of one sentence, for example, has none.
        ValueError: `num_views` is below 1, `first` is below 0, or a group is unknown.

    Example:
        >>> from hf_knowlearn import Document
        >>> from hf_knowlearn.views import order_views
        >>> document = Document("mill", "Tarn has a mill. It is old. Ormel has a harbour.")
        >>> [view.text for view in order_views(document, 1, groups=())]
        ['Ormel has a harbour. Tarn has a mill. It is old.']
    """
    selected = select_groups(num_views, groups, hold_out, first)
    views = _permuted_views(document, seed, selected, force)
    fix = "use the family mixed, which adds formats"
    return take_views(views, document, num_views, first, what="orders of its sentences", fix=fix)


def has_other_order(document: Document, force: bool = False) -> bool:
    """Return whether the sentences of the document can be put into another order."""
    return _sentence_orders(document.text, document.language, force).count > 1


def _permuted_views(document: Document, seed: int, groups: tuple[str, ...], force: bool) -> Iterator[View]:
    """Yield all views of a document with permuted sentences and distinct texts."""
    orders = _sentence_orders(document.text, document.language, force)
    number = sampling_number(seed, document, "order")
    if orders.count == 1:
        return
    seen: set[str] = set()
    formats = sample_formats(document, number, groups) if groups else repeat(plain_format(document))
    sequence = _repeated(orders, number) if groups else orders.sequence(number)
    own = " ".join(orders.pieces.texts)
    for pieces, format in zip(sequence, formats, strict=False):
        # Why: an order with the same sequence of words in other paragraphs is not new, because some formats join
        # paragraphs.
        if own.startswith(pieces.texts[0]) and " ".join(pieces.texts) == own:
            continue
        text, spans = lay_out(format.frame, document.title, pieces)
        if text not in seen:
            name = f"permuted+{format.name}" if format.marks else "permuted"
            yield View(document.id, document.part, len(seen), "order", name, text, spans)
            seen.add(text)


def _repeated(orders: "_SentenceOrders", number: int) -> Iterator[Sentences]:
    """Yield each order once, then all orders again, without end. Repeated orders can have other formats."""
    while True:
        yield from orders.sequence(number)


@dataclass(frozen=True)
class _SentenceOrders:
    """All orders of a document's sentences that its rules allow.

    An order has a permutation of the groups of each run of prose, and a permutation of the chunks of each group with a
    single paragraph. `documents/order_rules.py` defines runs, groups and chunks.
    """

    pieces: Sentences
    runs: tuple[Run, ...]

    @cached_property
    def items(self) -> list[list[Any]]:
        """The lists that are permuted. Each run has a list of its groups, and then a list for each group. The list of
        a group contains the chunks of the group. If the group has several paragraphs, its chunks do not move, and the
        list contains the group alone."""
        lists: list[list[Any]] = []
        for run in self.runs:
            lists.append(list(run.groups))
            lists += (group[0] if len(group) == 1 else [group] for group in run.groups)
        return lists

    @cached_property
    def sizes(self) -> list[int]:
        """The lengths of the permutations."""
        return list(map(len, self.items))

    @cached_property
    def kinds(self) -> list[list[int]]:
        """A list of numbers for each list in `items`, with one number per item. Items with equal words have equal
        numbers."""
        if len({*self.pieces.texts}) == len(self.pieces.texts):  # the usual case, and faster
            return [list(range(size)) for size in self.sizes]
        return [_numbered(map(self._content, items)) for items in self.items]

    def _words(self, chunk: list[int]) -> str:
        return " ".join(self.pieces.texts[i] for i in chunk)

    def _content(self, item: list[Any]) -> Hashable:
        """Return a value that is equal for items with equal words. For a group of one paragraph, the order of the
        chunks does not change the value."""
        if isinstance(item[0], int):
            return self._words(item)
        if len(item) > 1:
            return tuple(tuple(map(self._words, paragraph)) for paragraph in item)
        return frozenset(Counter(map(self._words, item[0])).items())

    @cached_property
    def has_other_words(self) -> bool:
        """Whether at least one order has another sequence of words than the document. For example, the value is False
        if all items have equal texts."""
        texts = ([" ".join(map(self._words, _chunks_of(item))) for item in items] for items in self.items)
        return any(len(items) > 1 and _order_matters(iter(items)) for items in texts)

    @cached_property
    def count(self) -> int:
        """The number of orders, including the document's own, but at most `_MOST_ORDERS`."""
        if not self.has_other_words:
            return 1
        count = 1
        for permutations in self.counts:
            count *= permutations
            if count > _MOST_ORDERS:
                return _MOST_ORDERS
        return count

    @cached_property
    def counts(self) -> list[int]:
        """The number of distinct permutations of each list in `kinds`."""
        return list(map(_count_permutations, self.kinds))

    def sequence(self, number: int) -> Iterator[Sentences]:
        """Yield each order once, except the document's own. `number` determines the sequence."""
        if self.count == _MOST_ORDERS:
            for i in range(_MOST_ORDERS):
                shuffle = Random(number + i).random  # Why: unlike Random.shuffle, the same in every Python version.
                yield self._reordered([sorted(range(size), key=lambda _: shuffle()) for size in self.sizes])
            return
        own = [list(range(size)) for size in self.sizes]
        count = self.count - 1
        step = next(step for step in range(number % count + 1, 2 * count + 2) if gcd(step, count) == 1)
        for i in range(count):
            permutations = self._permutations(1 + (number + i * step) % count)
            # Why: number 0 is the document's own order, unless equal items are not adjacent in the document. In this
            # case number 0 is another order, and it replaces the number of the document's own order.
            yield self._reordered(permutations if permutations != own else self._permutations(0))

    def _permutations(self, number: int) -> list[list[int]]:
        """Return one permutation of each list in `kinds`. The digits of `number` in the mixed radix of `counts` select
        the permutations."""
        found = []
        for kinds, count in zip(self.kinds, self.counts, strict=True):
            number, rank = divmod(number, count)
            found.append(_unrank(rank, kinds, count) if count > 1 else list(range(len(kinds))))
        return found

    def _reordered(self, permutations: Sequence[Sequence[int]]) -> Sentences:
        pieces = self.pieces
        indices: list[int] = []
        breaks: list[int] = []
        of_list = iter(permutations)
        for run in self.runs:
            first = len(indices)
            group_order = next(of_list)
            chunk_orders = [next(of_list) for _ in run.groups]
            for g in group_order:
                for paragraph in run.groups[g]:
                    chunk_order = chunk_orders[g] if len(run.groups[g]) == 1 else range(len(paragraph))
                    for position, c in enumerate(chunk_order):
                        indices += paragraph[c]
                        breaks.append(SENTENCE if position else PARAGRAPH)
                        breaks += (pieces.breaks[i] for i in paragraph[c][1:])
            breaks[first] = pieces.breaks[first]  # Why: a run can begin in the middle of a paragraph.
        texts, starts, lengths, _, verbatim = ([column[i] for i in indices] for column in pieces)
        return Sentences(texts, starts, lengths, breaks, verbatim)  # type: ignore[arg-type]


def _chunks_of(item: list[Any]) -> list[list[int]]:
    """Return the chunks of an item, which is a chunk or a group."""
    return [item] if isinstance(item[0], int) else [chunk for paragraph in item for chunk in paragraph]


@lru_cache(maxsize=2)  # Why: `has_other_order` and `order_views` use the same orders.
def _sentence_orders(text: str, language: str, force: bool) -> _SentenceOrders:
    runs = order_rules(Document("-", text, language=language), force).runs
    return _SentenceOrders(sentences(text, language), runs)


def _order_matters(texts: Iterator[str]) -> bool:
    """Return whether the joined texts depend on the order of the texts. The texts are joined by spaces."""
    first = next(texts)
    return any(f"{text} {first}" != f"{first} {text}" for text in texts)


def _numbered(items: Iterable[Hashable]) -> list[int]:
    """Return a number for each item, in order of first occurrence. Equal items have the same number."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(item, len(numbers)) for item in items]


def _count_permutations(kinds: Sequence[int]) -> int:
    """Return the number of distinct permutations of `kinds`. The number is exact up to `_MOST_ORDERS`. A larger result
    only shows that the number exceeds this limit."""
    if len({*kinds}) == len(kinds):
        return factorial(min(len(kinds), 25))
    count, placed = 1, 0
    for equal in Counter(kinds).values():
        placed += equal
        # Why: choosing 64 of 128 positions already gives more than `_MOST_ORDERS`, so the exact number is not needed.
        count *= comb(placed, min(equal, placed - equal, 64))
        if count > _MOST_ORDERS:
            break
    return count


def _unrank(rank: int, kinds: Sequence[int], count: int) -> list[int]:
    """Return the permutation with this rank among the `count` distinct permutations of `kinds` in lexicographic order.

    Equal items stay in their order, so permutations with equal texts have equal ranks.
    """
    permutation = []
    if len({*kinds}) == len(kinds):  # a shortcut with the same result
        left = list(range(len(kinds)))
        for remaining in range(len(kinds), 0, -1):
            count //= remaining
            position, rank = divmod(rank, count)
            permutation.append(left.pop(position))
        return permutation
    positions: dict[int, list[int]] = {}
    for position in range(len(kinds) - 1, -1, -1):
        positions.setdefault(kinds[position], []).append(position)
    by_kind = [equal for _, equal in sorted(positions.items())]
    for remaining in range(len(kinds), 0, -1):
        for equal in by_kind:
            with_this_kind = count * len(equal) // remaining
            if rank < with_this_kind:
                break
            rank -= with_this_kind
        count = with_this_kind
        permutation.append(equal.pop())
    return permutation
