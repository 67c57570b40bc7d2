"""Mixed: a document told in several families in turn, by weight.

The weights that are the default, one view in formats to three in other orders, are the laboratory's: `order` teaches
most, and a quarter keeps the order in which the document was written (docs/laboratory.md). The surprising decision:
the turns are dealt, not drawn, so that of any n views of a document each family has its share to within one, however
few views there are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf

from hf_knowlearn.documents import Document
from hf_knowlearn.views.formats import TooFewViews, allowed_groups, format_views, seed_number, too_few
from hf_knowlearn.views.masked import can_be_masked, masked_views
from hf_knowlearn.views.order import has_other_order, order_views
from hf_knowlearn.views.view import View

WEIGHTS: Mapping[str, float] = {"formats": 1.0, "order": 3.0}
_TELL: Mapping[str, Callable[..., list[View]]] = {
    "formats": format_views,
    "order": order_views,
    "masked": masked_views,
}


def mixed_views(
    document: Document,
    num_views: int,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    hold_out: str | None = None,
    *,
    first: int = 0,
    weights: Mapping[str, float] | None = None,
) -> list[View]:
    """`num_views` tellings of `document` by several families, which `View.family` names.

    A document with one order only (a single sentence) is told in formats where it would be the turn of `order`, and
    one of fewer than five words where it would be that of `masked`.

    Args:
        groups, hold_out: as in `format_views`; for the formats of permuted sentences too.
        first: how many views to pass over.
        weights: the share of each family, in any unit; the families are formats, order and masked. `WEIGHTS` if None.

    Raises:
        ValueError: as `format_views`; an unknown family; a weight below 0, or none above.
    """
    allowed_groups(num_views, groups, hold_out, first)
    weights = checked_weights(WEIGHTS if weights is None else weights)
    for family, can_tell in (("order", has_other_order), ("masked", can_be_masked)):
        if weights.get(family) and not can_tell(document):
            weights = {**weights, family: 0, "formats": weights.get("formats", 0) + weights[family]}
    turns = list(islice(_turns(weights, seed_number(seed, document, "mixed")), first + num_views))
    views: dict[str, Iterator[View]] = {}
    has = len(turns)
    for family in dict.fromkeys(turns[first:]):
        places = [place for place, turn in enumerate(turns) if turn == family]
        before = turns[:first].count(family)
        try:
            views[family] = iter(_TELL[family](document, len(places) - before, seed, groups, hold_out, first=before))
        except TooFewViews as refusal:
            has = min(has, places[refusal.has])
    if has < len(turns):
        raise too_few(document, "views of families in turn", num_views, first, has, "change their weights")
    return [_numbered(next(views[family]), index) for index, family in enumerate(turns[first:], first)]


def _numbered(view: View, index: int) -> View:
    # As `dataclasses.replace` does, in a fifth of its time.
    return View(view.document_id, view.part, index, view.family, view.format, view.text, view.spans, view.prompt)


def checked_weights(weights: Mapping[str, float]) -> Mapping[str, float]:
    """`weights`, if they can be."""
    if unknown := [name for name in weights if name not in _TELL]:
        raise ValueError(f"Unknown families {unknown} in weights={dict(weights)}: choose from {', '.join(_TELL)}.")
    if not any(weights.values()) or not all(0 <= weight < inf for weight in weights.values()):
        raise ValueError(f"weights={dict(weights)}: give each family 0 or more, and one of them more than 0.")
    return weights


def _turns(weights: Mapping[str, float], number: int) -> Iterator[str]:
    """Whose turn it is: the family that is furthest behind its share; where to begin depends on `number`."""
    families = [family for family in _TELL if weights.get(family, 0) > 0]
    total = sum(weights[family] for family in families)
    # Up to a quarter of a turn had or owed, so that not every document is told first in the same family.
    start = number / 2**64
    had = {family: ((start + i / len(families)) % 1 - 0.5) / 2 for i, family in enumerate(families)}
    turn = 0
    while True:
        turn += 1
        family = max(families, key=lambda name: weights[name] / total * turn - had[name])
        had[family] += 1
        yield family
