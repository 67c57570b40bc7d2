"""Held-out views: views that a run does not train on. They evaluate knowledge rather than memorised texts.

A document has many more views than a run samples, and the sampling is deterministic. The held-out views are therefore
the next views of the same sequence. No views are set aside before training.
"""

from collections.abc import Callable, Sequence

from hf_knowlearn.documents import Document
from hf_knowlearn.views import TooFewViewsError, View, format_views, order_views
from hf_knowlearn.views.order import has_other_order


def held_out_views(
    document: Document,
    num_views: int = 2,
    seed: int = 0,
    *,
    hold_out: str | None = None,
    trained: Sequence[View] = (),
) -> list[View]:
    """Up to `num_views` views of `document` in formats whose text differs from every view in `trained`.

    Half of them, rounded down, also have another sentence order, if the document allows one. If the document has too
    few views, the list is shorter or empty.

    Args:
        seed: any seed; it may be the seed of the run.
        hold_out: the group of formats that the run held out. The views then have formats of this group only. None: the
            views have formats of all groups, in which the run may have trained on other documents.
        trained: the views of the document that the run trains on.

    Raises:
        ValueError: `num_views` below 1, or an unknown group.
    """
    groups = None if hold_out is None else (hold_out,)
    trained_texts = {view.text for view in trained}

    def new_views(make_views: Callable[..., list[View]], number: int) -> list[View]:
        if not number:
            return []
        try:
            views = make_views(document, len(trained_texts) + number, seed, groups)
        except TooFewViewsError as error:
            views = make_views(document, error.available, seed, groups) if error.available else []
        return [view for view in views if view.text not in trained_texts][:number]

    permuted = new_views(order_views, num_views // 2) if has_other_order(document) else []
    return new_views(format_views, num_views - len(permuted)) + permuted
