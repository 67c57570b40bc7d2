"""Formats: a document told in other layouts, word for word (formatting-based augmentation, arXiv 2503.03705).

A format is a mark of one group, or of two that compose. The surprising decision: formats are dealt in hands of twelve,
in which no mark comes twice and every group its turn, because a document told twelve times in bullets of twelve kinds
is told in one way. Which hands a document is dealt depends on the seed and the document alone.
"""

import hashlib
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import combinations, islice, product
from random import Random

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, Sentences, sentences
from hf_knowlearn.views import groups as g
from hf_knowlearn.views.groups import GROUPS, MARKS, Mark
from hf_knowlearn.views.layout import Frame, lay_out
from hf_knowlearn.views.view import Span, View

HAND = 12  # formats of which no two share a mark
HANDS = 512  # a power of two

Told = tuple[str, str, tuple[Span, ...]]  # the format's name, the text, its spans


@dataclass(frozen=True, eq=False)
class Format:
    """Marks of different groups, composed; none is the plain layout."""

    marks: tuple[Mark, ...]

    @cached_property
    def name(self) -> str:
        """`group.mark`, or two of them joined by `+`."""
        return "+".join(mark.full_name for mark in self.marks) or "plain"

    @cached_property
    def frame(self) -> Frame:
        """The strings of the layout."""
        return Frame(**{name: value for mark in self.marks for name, value in mark.fields.items()})

    @cached_property
    def look(self) -> tuple[Mark, ...]:
        """What is left of it once runs of spaces are folded to one."""
        return tuple(mark for mark in self.marks if mark.group != "spacing")


PLAIN = Format(())


@cache
def _composed(*marks: Mark) -> Format:
    return Format(marks)


def raw_view(document: Document) -> View:
    """The document itself, as a view of no format."""
    text = document.text
    return View(document.id, document.part, 0, "formats", "raw", text, ((0, 0, len(text)),))


def format_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
    *,
    first: int = 0,
) -> list[View]:
    """`num_views` tellings of `document` in different formats, drawn by `seed` and the document alone.

    Of the first twelve, no two share a mark, and all seven groups occur where the document allows. Those that differ
    from an earlier one in runs of spaces alone come last.

    Args:
        groups: the groups of formats to draw from; all of them when None.
        hold_out: a group never drawn, kept for measuring on formats that training has not shown.
        first: how many views to pass over: views `first` to `first + num_views` of the same draw.

    Raises:
        ValueError: `num_views` below 1, an unknown group, or a document with fewer distinct formats.
    """
    allowed = allowed_groups(num_views, groups, hold_out, first)
    if not allowed:
        raise ValueError(f"groups={groups} with hold_out={hold_out!r} leaves no format to tell a document in.")
    told = sentences(document.text, document.language)
    drawn = list(islice(told_in_formats(document, told, seed, allowed), first + num_views))
    if len(drawn) < first + num_views:
        raise too_few(document, "formats", num_views, first, len(drawn), "allow more groups")
    return [
        View(document.id, document.part, index, "formats", name, text, spans)
        for index, (name, text, spans) in enumerate(drawn[first:], first)
    ]


def told_in_formats(document: Document, told: Sentences, seed: int, allowed: tuple[str, ...]) -> Iterator[Told]:
    """`document` in one format after the other, until it has no other that looks different."""
    seen: set[str] = set()
    for format in drawn_formats(document, seed_number(seed, document, "formats"), allowed):
        text, spans = lay_out(format.frame, document.title, told)
        if text not in seen:
            seen.add(text)
            yield format.name, text, spans


class TooFewViews(ValueError):
    """The refusal of more views than a document has: `has`."""

    has = 0


def too_few(document: Document, what: str, num_views: int, first: int, has: int, way_out: str) -> TooFewViews:
    """The refusal of more views than a document has."""
    asked = f"num_views={num_views}" + (f" from view {first} on" if first else "")
    part = f" (part {document.part})" if document.part else ""
    refusal = TooFewViews(
        f"{asked}, but document {document.id!r}{part} has only {has} distinct {what}: ask for at most that many,"
        f" or {way_out}."
    )
    refusal.has = has
    return refusal


def allowed_groups(
    num_views: int, groups: Sequence[str] | None, hold_out: str | None, first: int = 0
) -> tuple[str, ...]:
    """The groups to draw from, in their own order, after all checks of a call's arguments."""
    if num_views < 1:
        raise ValueError(f"num_views={num_views}: a document is told at least once, so give 1 or more.")
    if first < 0:
        raise ValueError(f"first={first}: views are numbered from 0, so give 0 or more.")
    if isinstance(groups, str):
        raise ValueError(f"groups={groups!r} is one string: give a list of groups, such as [{groups!r}].")
    wanted = [*(groups or ()), *(() if hold_out is None else (hold_out,))]
    if unknown := [name for name in wanted if name not in GROUPS]:
        raise ValueError(f"Unknown groups of formats {unknown}: choose from {', '.join(GROUPS)}.")
    return tuple(name for name in GROUPS if name != hold_out and (groups is None or name in groups))


# Drawing


def drawn_formats(document: Document, number: int, allowed: tuple[str, ...]) -> Iterator[Format]:
    """All formats that the document can be told in, in an order that `number` fixes.

    Those that differ from one before in spaces alone come last.
    """
    deck = _deck(_features(document) & _features_asked_for(allowed), allowed)
    drawn: set[Format] = set()
    looks: set[tuple[Mark, ...]] = set()
    alike: list[Format] = []
    for format in _dealt(deck, number):
        if format.look in looks:
            alike.append(format)
        else:
            looks.add(format.look)
            drawn.add(format)
            yield format
    yield from (format for format in dict.fromkeys(alike) if format not in drawn)


def _dealt(deck: "_Deck", number: int) -> Iterator[Format]:
    """The deck's hands, from one that `number` says on, and then all of its formats, lest one was never dealt."""
    start, step = number % HANDS, (number // HANDS) % HANDS | 1  # an odd step meets every hand
    for i in range(min(HANDS, deck.hands)):
        yield from _hand(deck, (start + step * i) % HANDS)
    shift = number % max(len(deck.formats), 1)
    yield from deck.formats[shift:]
    yield from deck.formats[:shift]


def seed_number(seed: int, document: Document, what: str) -> int:
    """A number of 64 bits by the seed and the document alone, alike on every machine.

    ASCII, because what `repr` escapes of other scripts changes with the Unicode version of Python.
    """
    key = ascii((operator.index(seed), document.id, document.part, what)).encode()  # numpy has numbers, too
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


@dataclass(frozen=True, eq=False)
class _Deck:
    """The marks that a document with such features can be told in, by group."""

    key: str
    marks: tuple[tuple[Mark, ...], ...]

    @cached_property
    def hands(self) -> int:
        """After how many hands it is time to go through all the formats instead."""
        marks = sum(map(len, self.marks))
        return 1 + marks * marks // HAND

    @cached_property
    def formats(self) -> list[Format]:
        """Every format of these marks."""
        alone = [_composed(mark) for marks in self.marks for mark in marks]
        pairs = (pair for one, other in combinations(self.marks, 2) for pair in product(one, other))
        return alone + [_composed(*pair) for pair in pairs if not pair[0].taken & pair[1].taken]


@lru_cache(maxsize=1024)
def _deck(features: int, allowed: tuple[str, ...]) -> _Deck:
    marks = [tuple(m for m in MARKS[group] if m.needs & ~features == 0) for group in allowed]
    return _Deck(f"{features}/{allowed}", tuple(filter(None, marks)))


@lru_cache(maxsize=1 << 15)
def _hand(deck: _Deck, number: int) -> tuple[Format, ...]:
    """Up to twelve formats: each group leads in its turn, joined by a mark of another where one composes with it."""
    shuffle = Random(f"{deck.key}/{number}").random  # alike in every Python, other than Random.shuffle
    piles = [sorted(marks, key=lambda _: shuffle()) for marks in sorted(deck.marks, key=lambda _: shuffle())]
    hand: list[Format] = []
    distance = 0
    while len(hand) < HAND and any(piles):
        distance += 1  # in the second round a group leads beside another than in the first
        for i, pile in enumerate(piles):
            if pile and len(hand) < HAND:
                lead = pile.pop()
                partner = _partner(lead, [piles[(i + distance + j) % len(piles)] for j in range(len(piles))])
                marks = sorted(filter(None, (lead, partner)), key=lambda mark: GROUPS.index(mark.group))
                hand.append(_composed(*marks))
    return tuple(hand)


def _partner(lead: Mark, piles: Sequence[list[Mark]]) -> Mark | None:
    """The first mark of the first pile that composes with `lead` and belongs to another group."""
    for pile in piles:
        for i in range(len(pile) - 1, -1, -1):
            if pile[i].group != lead.group and not pile[i].taken & lead.taken:
                return pile.pop(i)
    return None


# What a document has


def _features_asked_for(allowed: tuple[str, ...]) -> int:
    """The features on which the marks of these groups depend; others would only make more decks."""
    return _ASKED[allowed] if allowed in _ASKED else _ASKED.setdefault(allowed, _asked(allowed))


_ASKED: dict[tuple[str, ...], int] = {}


def _asked(allowed: tuple[str, ...]) -> int:
    features = 0
    for group in allowed:
        for mark in MARKS[group]:
            features |= mark.needs
    return features


# What JSON or YAML would write otherwise, and what XML can't hold.
_ESCAPED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _features(document: Document) -> int:
    return _features_of(document.text, document.language) | (g.TITLE if document.title.strip() else 0)


@lru_cache(maxsize=1)  # families that take turns on a document ask for them in a row
def _features_of(text: str, language: str) -> int:
    told = sentences(text, language)
    breaks = told.breaks
    prose = not any(told.kept)
    found = g.PROSE if prose and not _holds_line_breaks(told) else 0
    found |= g.WORDS if prose or not all(told.kept) else 0
    found |= g.FLOW if SENTENCE in breaks else 0
    found |= g.PARAGRAPHS if breaks.count(PARAGRAPH) > 1 else 0  # the first piece opens one
    found |= g.NO_FENCE if "```" not in text and "~~~" not in text else 0
    plain = text.replace("\n", " ").isprintable()  # so are most, and it is faster than a search
    if not any(map(text.__contains__, ("<", "&", "]]>"))) and (plain or not _NOT_XML.search(text)):
        found |= g.NO_TAGS
    found |= g.NO_CELLS if "|" not in text else 0
    if not any(map(text.__contains__, "\\{}$%#_^~&")):
        found |= g.NO_LATEX
    if '"' not in text and "\\" not in text and (plain or not _ESCAPED.search(text)):
        found |= g.NO_QUOTES
    longest = _longest_paragraph(told)
    for width, feature in g.LONGER_THAN.items():
        found |= feature if longest >= 2 * width else 0
    return found


def _holds_line_breaks(told: Sentences) -> bool:
    return any("\n" in text for text in told.texts)


def _longest_paragraph(told: Sentences) -> int:
    """Characters of the longest paragraph of prose."""
    longest = current = 0
    for length, kind, kept in zip(told.lengths, told.breaks, told.kept, strict=True):
        current = 0 if kept else length if kind == PARAGRAPH else current + 1 + length
        longest = max(longest, current)
    return longest
