"""Order: a document's sentences permuted, so that no fact is learned only behind the one before it.

Permuted sentences are what lets a model extract facts (arXiv 2309.14316, §3). The surprising decision: what leans on
the words before it (a sentence that opens with "She" or "However", a paragraph below a heading) moves with them or not
at all, so that a view never says of one thing what the document says of another.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice, repeat
from math import comb, factorial, gcd
from random import Random

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.back_references import BACK_REFERENCES
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, SOFT, Sentences, sentences
from hf_knowlearn.views.formats import PLAIN, allowed_groups, drawn_formats, seed_number, too_few
from hf_knowlearn.views.layout import lay_out
from hf_knowlearn.views.view import View

_LEANING = {language: frozenset(words.split()) for language, words in BACK_REFERENCES.items()}
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_COUNTED = 1 << 62  # up to so many orders are numbered, and each is drawn once; beyond, drawing one twice won't happen


def order_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
    *,
    first: int = 0,
) -> list[View]:
    """`num_views` tellings of `document` with its sentences permuted, never in the document's own order.

    Sentences are permuted within their paragraph, and paragraphs within the document. A sentence that opens with a
    pronoun or a connective stays right behind the one before it (lists in `BACK_REFERENCES`: en, de, fr, es, it, pt;
    in other
    languages only whole paragraphs move). A block kept as written, a heading too, stays between its neighbours.

    Args:
        groups: the groups of formats that the permuted sentences are laid out in; none with `()`, all when None.
        hold_out: a group never drawn.
        first: how many views to pass over.

    Raises:
        ValueError: `num_views` below 1, an unknown group, or fewer distinct views, as when there is one order only.
    """
    allowed = allowed_groups(num_views, groups, hold_out, first)
    drawn = list(islice(_told_in_orders(document, seed, allowed), first + num_views))
    if len(drawn) < first + num_views:
        raise too_few(
            document,
            "orders of its sentences",
            num_views,
            first,
            len(drawn),
            "tell it in views: mixed, which falls back on formats",
        )
    return drawn[first:]


def has_other_order(document: Document) -> bool:
    """Whether there is another order than the document's own."""
    return _movable(document.text, document.language).count > 1


def _told_in_orders(document: Document, seed: int, allowed: tuple[str, ...]) -> Iterator[View]:
    movable = _movable(document.text, document.language)
    number = seed_number(seed, document, "order")
    if movable.count == 1:
        return
    seen: set[str] = set()
    formats = drawn_formats(document, number, allowed) if allowed else repeat(PLAIN)
    orders = movable.orders(number) if not allowed else _without_end(movable, number)
    own = " ".join(movable.told.texts)
    for order, format in zip(orders, formats, strict=False):
        if own.startswith(order.texts[0]) and " ".join(order.texts) == own:
            continue  # the same words in other paragraphs, which some formats join
        text, spans = lay_out(format.frame, document.title, order)
        if text not in seen:
            seen.add(text)
            name = "permuted" if format is PLAIN else f"permuted+{format.name}"
            yield View(document.id, document.part, len(seen) - 1, "order", name, text, spans)


def _without_end(movable: "_Movable", number: int) -> Iterator[Sentences]:
    """Each order once, and then again: in other formats."""
    while True:
        yield from movable.orders(number)


Paragraph = list[list[int]]  # chunks of pieces; a chunk's sentences stay together


@dataclass(frozen=True)
class _Movable:
    """What of a document can change places: groups of paragraphs, and in a group of one paragraph its chunks."""

    told: Sentences
    language: str

    @cached_property
    def groups(self) -> list[list[Paragraph]]:
        """Paragraphs that stay together, as a list for each group."""
        told = self.told
        groups: list[list[Paragraph]] = []
        for i, (kind, kept) in enumerate(zip(told.breaks, told.kept, strict=True)):
            beside_kept = i > 0 and (kept or told.kept[i - 1])
            leans = i > 0 and self._leans(i)
            if kind == PARAGRAPH or beside_kept:
                if groups and (beside_kept or leans):
                    groups[-1].append([[i]])
                else:
                    groups.append([[[i]]])
            elif kind == SOFT or leans:
                groups[-1][-1][-1].append(i)
            else:
                groups[-1][-1].append([i])
        return groups

    def _leans(self, i: int) -> bool:
        kind, text = self.told.breaks[i], self.told.texts[i]
        words = _LEANING.get(self.language.split("-")[0])
        if words is None:
            return kind == SENTENCE  # of this language nothing is known: sentences stay where they are
        opening = _FIRST_WORD.search(text)
        return opening is None or opening.group().casefold() in words

    @cached_property
    def sizes(self) -> list[int]:
        """How many things are permuted: the groups, and the chunks of each group of one paragraph."""
        return [len(self.groups), *(len(group[0]) if len(group) == 1 else 1 for group in self.groups)]

    @cached_property
    def kinds(self) -> list[list[int]]:
        """A number for each thing permuted, in `sizes`' order; what is told in the same words has the same number."""
        if len({*self.told.texts}) == len(self.told.texts):
            return [list(range(size)) for size in self.sizes]  # as nearly always, and quicker
        chunks = [_numbered(map(self._words, group[0])) if len(group) == 1 else [0] for group in self.groups]
        return [_numbered(map(self._telling, self.groups)), *chunks]

    def _words(self, chunk: list[int]) -> str:
        return " ".join(self.told.texts[i] for i in chunk)

    @cached_property
    def is_movable(self) -> bool:
        """Whether some order says other words than the document's own: not if all that moves repeats one thing."""
        groups = (" ".join(self._words(chunk) for paragraph in group for chunk in paragraph) for group in self.groups)
        chunks = (map(self._words, group[0]) for group in self.groups if len(group) == 1)
        return any(map(_says_another, chain(chunks, [groups])))  # as a rule the first two of the first say so

    def _telling(self, group: list[Paragraph]) -> Hashable:
        """What the group says in any of its orders."""
        if len(group) > 1:
            return tuple(tuple(map(self._words, paragraph)) for paragraph in group)
        return frozenset(Counter(map(self._words, group[0])).items())

    @cached_property
    def count(self) -> int:
        """The number of orders, the document's own among them; `_COUNTED` stands for any number above it."""
        if not self.is_movable:
            return 1
        count = 1
        for arrangements in self.counts:
            count *= arrangements
            if count > _COUNTED:
                return _COUNTED
        return count

    @cached_property
    def counts(self) -> list[int]:
        """The number of orders of each of `kinds`."""
        return list(map(_arrangements, self.kinds))

    def orders(self, number: int) -> Iterator[Sentences]:
        """Each order but the document's own, once, in a sequence that `number` fixes."""
        if self.count == _COUNTED:
            for i in range(_COUNTED):
                shuffle = Random(number + i).random  # alike in every Python, other than Random.shuffle
                yield self._in([sorted(range(size), key=lambda _: shuffle()) for size in self.sizes])
            return
        own = [list(range(size)) for size in self.sizes]
        count = self.count - 1
        step = next(step for step in range(number % count + 1, 2 * count + 2) if gcd(step, count) == 1)
        for i in range(count):
            permutations = self._permutations(1 + (number + i * step) % count)
            # Number 0, which is never drawn, is the document's own but where alike things stand apart in it.
            yield self._in(permutations if permutations != own else self._permutations(0))

    def _permutations(self, number: int) -> list[list[int]]:
        """Permutations of all `kinds`, numbered by mixed radix."""
        found = []
        for kinds, count in zip(self.kinds, self.counts, strict=True):
            number, code = divmod(number, count)
            found.append(_permutation(code, kinds, count) if count > 1 else list(range(len(kinds))))
        return found

    def _in(self, permutations: Sequence[Sequence[int]]) -> Sentences:
        told = self.told
        indices: list[int] = []
        breaks: list[int] = []
        for g in permutations[0]:
            group = self.groups[g]
            for paragraph in group:
                chunk_order = permutations[g + 1] if len(group) == 1 else range(len(paragraph))
                for place, c in enumerate(chunk_order):
                    indices += paragraph[c]
                    breaks.append(SENTENCE if place else PARAGRAPH)
                    breaks += (told.breaks[i] for i in paragraph[c][1:])
        texts, starts, lengths, _, kept = ([column[i] for i in indices] for column in told)
        return Sentences(texts, starts, lengths, breaks, kept)  # type: ignore[arg-type]


@lru_cache(maxsize=1)  # whether it has orders is asked before they are
def _movable(text: str, language: str) -> _Movable:
    return _Movable(sentences(text, language), language)


def _says_another(told: Iterator[str]) -> bool:
    """Whether what is told can be told in an order that reads otherwise."""
    first = next(told)
    return any(f"{one} {first}" != f"{first} {one}" for one in told)


def _numbered(things: Iterable[Hashable]) -> list[int]:
    """A number for each thing, alike ones the same, in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(thing, len(numbers)) for thing in things]


def _arrangements(kinds: Sequence[int]) -> int:
    """In how many orders things of these kinds can stand; some number above `_COUNTED` stands for any above it."""
    if len({*kinds}) == len(kinds):
        return factorial(min(len(kinds), 25))
    count, placed = 1, 0
    for alike in Counter(kinds).values():
        placed += alike
        # Of so many places half or fewer: above 64 of them, the number is above `_COUNTED` whatever it is.
        count *= comb(placed, min(alike, placed - alike, 64))
        if count > _COUNTED:
            break
    return count


def _permutation(number: int, kinds: Sequence[int], count: int) -> list[int]:
    """The permutation of things of these kinds that stands at `number` of `count`, sorted as a dictionary sorts words.

    Of things of one kind the first stays the first: permutations that tell alike have one number.
    """
    permutation = []
    if len({*kinds}) == len(kinds):  # the same in less time
        left = list(range(len(kinds)))
        for remaining in range(len(kinds), 0, -1):
            count //= remaining
            place, number = divmod(number, count)
            permutation.append(left.pop(place))
        return permutation
    places: dict[int, list[int]] = {}
    for place in range(len(kinds) - 1, -1, -1):
        places.setdefault(kinds[place], []).append(place)
    of_kinds = [alike for _, alike in sorted(places.items())]
    for remaining in range(len(kinds), 0, -1):
        for alike in of_kinds:
            begin_so = count * len(alike) // remaining
            if number < begin_so:
                break
            number -= begin_so
        count = begin_so
        permutation.append(alike.pop())
    return permutation
