"""Makes order views: a document with its sentences in another order. A model then does not learn a fact only after the
fact before it.

Permuted sentences help a model to extract facts (arXiv 2309.14316, §3). A sentence that refers back ("She", "However")
moves together with the sentence before it. A paragraph moves together with the heading above it.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, repeat
from math import comb, factorial, gcd
from random import Random

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.back_references import BACK_REFERENCES
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, SOFT, Sentences, sentences
from hf_knowlearn.views.formats import PLAIN, sample_formats
from hf_knowlearn.views.layout import lay_out
from hf_knowlearn.views.sampling import sampling_number, select_groups, take_views
from hf_knowlearn.views.view import View

_BACK_REFERENCES = {language: frozenset(words.split()) for language, words in BACK_REFERENCES.items()}
_FIRST_WORD = re.compile(r"[^\W\d_]+")
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
) -> list[View]:
    """Return `num_views` views of `document` with its sentences permuted, never in the document's own order.

    Sentences move within their paragraph, and paragraphs within the document. A sentence that begins with a pronoun or
    a connective stays right after the sentence before it. The word lists (`BACK_REFERENCES`) cover English, German,
    French, Spanish, Italian and Portuguese. In other languages, only whole paragraphs move. A verbatim block or a
    heading stays between its neighbours.

    Args:
        groups: groups of formats for the layout of the permuted sentences. None: all groups. `()`: the plain layout
            only.
        hold_out: a group that is never sampled.
        first: number of views to skip.

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
    views = _permuted_views(document, seed, selected)
    fix = "use the family mixed, which adds formats"
    return take_views(views, document, num_views, first, what="orders of its sentences", fix=fix)


def has_other_order(document: Document) -> bool:
    """Return whether the sentences of the document can be put into another order."""
    return _sentence_orders(document.text, document.language).count > 1


def _permuted_views(document: Document, seed: int, groups: tuple[str, ...]) -> Iterator[View]:
    """Yield all views of a document with permuted sentences and distinct texts."""
    orders = _sentence_orders(document.text, document.language)
    number = sampling_number(seed, document, "order")
    if orders.count == 1:
        return
    seen: set[str] = set()
    formats = sample_formats(document, number, groups) if groups else repeat(PLAIN)
    sequence = _repeated(orders, number) if groups else orders.sequence(number)
    own = " ".join(orders.pieces.texts)
    for pieces, format in zip(sequence, formats, strict=False):
        # Why: an order with the same sequence of words in other paragraphs is not new, because some formats join
        # paragraphs.
        if own.startswith(pieces.texts[0]) and " ".join(pieces.texts) == own:
            continue
        text, spans = lay_out(format.frame, document.title, pieces)
        if text not in seen:
            name = "permuted" if format is PLAIN else f"permuted+{format.name}"
            yield View(document.id, document.part, len(seen), "order", name, text, spans)
            seen.add(text)


def _repeated(orders: "_SentenceOrders", number: int) -> Iterator[Sentences]:
    """Yield each order once, then all orders again without end, to combine them with other formats."""
    while True:
        yield from orders.sequence(number)


Paragraph = list[list[int]]  # chunks: lists of numbers of sentences that stay together


@dataclass(frozen=True)
class _SentenceOrders:
    """All orders of a document's sentences.

    Paragraphs that stay together are a group, and sentences that stay together are a chunk. The groups are permuted.
    In a group of one paragraph, the chunks are permuted too.
    """

    pieces: Sentences
    language: str

    @cached_property
    def groups(self) -> list[list[Paragraph]]:
        """The groups: lists of paragraphs that stay together."""
        pieces = self.pieces
        groups: list[list[Paragraph]] = []
        for i, (kind, verbatim) in enumerate(zip(pieces.breaks, pieces.verbatim, strict=True)):
            beside_verbatim = i > 0 and (verbatim or pieces.verbatim[i - 1])
            refers_back = i > 0 and self._refers_back(i)
            if kind == PARAGRAPH or beside_verbatim:
                if groups and (beside_verbatim or refers_back):
                    groups[-1].append([[i]])
                else:
                    groups.append([[[i]]])
            elif kind == SOFT or refers_back:
                groups[-1][-1][-1].append(i)
            else:
                groups[-1][-1].append([i])
        return groups

    def _refers_back(self, i: int) -> bool:
        """Return whether piece `i` begins with a word that refers to the text before it."""
        words = _BACK_REFERENCES.get(self.language.split("-")[0])
        if words is None:
            return self.pieces.breaks[i] == SENTENCE  # without a list of words, sentences stay in place
        first_word = _FIRST_WORD.search(self.pieces.texts[i])
        return first_word is None or first_word.group().casefold() in words

    @cached_property
    def sizes(self) -> list[int]:
        """The lengths of the permutations: the number of groups, and for each group the number of chunks to permute.

        The second number is 1 for a group of several paragraphs, because its chunks are not permuted.
        """
        return [len(self.groups), *(len(group[0]) if len(group) == 1 else 1 for group in self.groups)]

    @cached_property
    def kinds(self) -> list[list[int]]:
        """A list for each number in `sizes`, with one number per item. Items with equal words have equal numbers."""
        if len({*self.pieces.texts}) == len(self.pieces.texts):  # the usual case, and faster
            return [list(range(size)) for size in self.sizes]
        chunks = [_numbered(map(self._words, group[0])) if len(group) == 1 else [0] for group in self.groups]
        return [_numbered(map(self._content, self.groups)), *chunks]

    def _words(self, chunk: list[int]) -> str:
        return " ".join(self.pieces.texts[i] for i in chunk)

    def _content(self, group: list[Paragraph]) -> Hashable:
        """Return a value that is equal for groups with the same words in any order of their chunks."""
        if len(group) > 1:
            return tuple(tuple(map(self._words, paragraph)) for paragraph in group)
        return frozenset(Counter(map(self._words, group[0])).items())

    @cached_property
    def has_other_words(self) -> bool:
        """Whether some order has another sequence of words than the document. False if all items have the same text,
        for example."""
        groups = (" ".join(self._words(chunk) for paragraph in group for chunk in paragraph) for group in self.groups)
        chunks = (map(self._words, group[0]) for group in self.groups if len(group) == 1)
        return any(map(_order_matters, chain(chunks, [groups])))

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
        for g in permutations[0]:
            group = self.groups[g]
            for paragraph in group:
                chunk_order = permutations[g + 1] if len(group) == 1 else range(len(paragraph))
                for position, c in enumerate(chunk_order):
                    indices += paragraph[c]
                    breaks.append(SENTENCE if position else PARAGRAPH)
                    breaks += (pieces.breaks[i] for i in paragraph[c][1:])
        texts, starts, lengths, _, verbatim = ([column[i] for i in indices] for column in pieces)
        return Sentences(texts, starts, lengths, breaks, verbatim)  # type: ignore[arg-type]


@lru_cache(maxsize=1)  # Why: `has_other_order` and `order_views` use the same orders.
def _sentence_orders(text: str, language: str) -> _SentenceOrders:
    return _SentenceOrders(sentences(text, language), language)


def _order_matters(texts: Iterator[str]) -> bool:
    """Return whether the order of the texts matters if they are joined by spaces."""
    first = next(texts)
    return any(f"{text} {first}" != f"{first} {text}" for text in texts)


def _numbered(items: Iterable[Hashable]) -> list[int]:
    """Return a number for each item, in order of first occurrence. Equal items have the same number."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(item, len(numbers)) for item in items]


def _count_permutations(kinds: Sequence[int]) -> int:
    """Return the number of distinct permutations of `kinds`. It is exact up to `_MOST_ORDERS`. A larger result only
    shows that this limit is exceeded."""
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

    Equal items stay in their order, so all permutations with the same text have the same rank.
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
