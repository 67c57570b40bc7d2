"""Makes mixed views: views of several families, interleaved by weight.

By default, one view of `formats` occurs for every three views of `order`. These weights gave the best recall in
docs/laboratory.md: `order` teaches most, and a quarter of the views keeps the order of the document.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf

from hf_knowlearn.documents import Document
from hf_knowlearn.views.formats import format_views
from hf_knowlearn.views.masked import can_be_masked, masked_views
from hf_knowlearn.views.order import has_other_order, order_views
from hf_knowlearn.views.sampling import TooFewViewsError, sampling_number, select_groups, too_few_views
from hf_knowlearn.views.view import View

WEIGHTS: Mapping[str, float] = {"formats": 1.0, "order": 3.0}
_FAMILIES: Mapping[str, Callable[..., list[View]]] = {
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
    """Return `num_views` views of `document` from several families. `View.family` is the family of a view.

    After any number of views, the number of views of a family differs from the family's share by at most one. If the
    sentences of the document allow only one order, `formats` replaces `order`. If the document has fewer than five
    words, `formats` replaces `masked`.

    Args:
        groups, hold_out: see `format_views`. They also apply to the layout of `order` views.
        first: number of views to skip.
        weights: weight of each of the families `formats`, `order` and `masked`, in any unit. None: `WEIGHTS`.

    Raises:
        TooFewViewsError: the document has fewer distinct views.
        ValueError: an argument of `format_views` is invalid, a family is unknown, a weight is negative, or no weight
            is above 0.

    Example:
        >>> from hf_knowlearn import Document
        >>> from hf_knowlearn.views import mixed_views
        >>> document = Document("mill", "Tarn has a mill. Ormel has a harbour.")
        >>> [view.family for view in mixed_views(document, 4)]
        ['order', 'order', 'formats', 'order']
    """
    select_groups(num_views, groups, hold_out, first)
    weights = checked_weights(WEIGHTS if weights is None else weights)
    for family, is_possible in (("order", has_other_order), ("masked", can_be_masked)):
        if weights.get(family) and not is_possible(document):
            weights = {**weights, family: 0, "formats": weights.get("formats", 0) + weights[family]}
    sequence = list(islice(_interleaved(weights, sampling_number(seed, document, "mixed")), first + num_views))
    views: dict[str, Iterator[View]] = {}
    available = len(sequence)
    for family in dict.fromkeys(sequence[first:]):
        positions = [position for position, name in enumerate(sequence) if name == family]
        skipped = sequence[:first].count(family)
        number = len(positions) - skipped
        try:
            views[family] = iter(_FAMILIES[family](document, number, seed, groups, hold_out, first=skipped))
        except TooFewViewsError as error:
            available = min(available, positions[error.available])
    if available < len(sequence):
        raise too_few_views(document, num_views, first, available, "views of this mixture", "change the weights")
    return [_renumbered(next(views[family]), index) for index, family in enumerate(sequence[first:], first)]


def _renumbered(view: View, index: int) -> View:
    # Why: this is five times as fast as `dataclasses.replace`.
    return View(view.document_id, view.part, index, view.family, view.format, view.text, view.spans, view.prompt)


def checked_weights(weights: Mapping[str, float]) -> Mapping[str, float]:
    """Return `weights` if they are valid.

    Raises:
        ValueError: a family is unknown, a weight is negative or not finite, or no weight is above 0.
    """
    if unknown := [name for name in weights if name not in _FAMILIES]:
        raise ValueError(f"Unknown families {unknown} in weights={dict(weights)}. Choose from {', '.join(_FAMILIES)}.")
    if not any(weights.values()) or not all(0 <= weight < inf for weight in weights.values()):
        raise ValueError(f"weights={dict(weights)}: use weights of 0 or more, of which at least one is more than 0.")
    return weights


def _interleaved(weights: Mapping[str, float], number: int) -> Iterator[str]:
    """Yield the family of each view. The next family is always the one that is furthest below its share. `number`
    determines the first family."""
    families = [family for family in _FAMILIES if weights.get(family, 0) > 0]
    total = sum(weights[family] for family in families)
    # Why: initial counts between -1/4 and 1/4 let different documents start with different families.
    start = number / 2**64
    counts = {family: ((start + i / len(families)) % 1 - 0.5) / 2 for i, family in enumerate(families)}
    position = 0
    while True:
        position += 1
        family = max(families, key=lambda name: weights[name] / total * position - counts[name])
        counts[family] += 1
        yield family
