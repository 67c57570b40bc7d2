"""Held out: tellings of a document that a run never reads, to measure on what it learned and not what it memorised.

The surprising decision: nothing is set apart beforehand. A document has far more formats and orders than a run draws,
and draws are deterministic, so what was not drawn is found by drawing on; a whole group of formats can be kept out too
(`hold_out`).
"""

from collections.abc import Callable, Sequence

from hf_knowlearn.documents import Document
from hf_knowlearn.views import View, format_views, order_views
from hf_knowlearn.views.formats import TooFewViews
from hf_knowlearn.views.order import has_other_order


def held_out_views(
    document: Document,
    num_views: int = 2,
    seed: int = 0,
    *,
    hold_out: str | None = None,
    trained: Sequence[View] = (),
) -> list[View]:
    """Up to `num_views` tellings of `document` in formats, of which no text is that of a view in `trained`.

    Every other one has its sentences permuted too, where the document has other orders than its own. There are fewer,
    or none, where the document can't be told in so many ways.

    Args:
        seed: of the draw; any will do, and the run's own too.
        hold_out: the group of formats that the run was told to keep out: then all formats are of this group alone.
            None draws from all groups: the text was never read, but other documents were told in its format.
        trained: what the run reads of the document.

    Raises:
        ValueError: `num_views` below 1, or an unknown group.
    """
    groups = None if hold_out is None else (hold_out,)
    read = {view.text for view in trained}

    def unread(tell: Callable[..., list[View]], number: int) -> list[View]:
        if not number:
            return []
        try:
            told = tell(document, len(read) + number, seed, groups)
        except TooFewViews as refusal:
            told = tell(document, refusal.has, seed, groups) if refusal.has else []
        return [view for view in told if view.text not in read][:number]

    permuted = unread(order_views, num_views // 2) if has_other_order(document) else []
    return unread(format_views, num_views - len(permuted)) + permuted
