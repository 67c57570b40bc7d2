"""Makes held-out views: views that a run does not train on. They test knowledge of the facts rather than memory of the
training texts.

A document has many more views than a run samples, and the sampling is deterministic. The held-out views are therefore
the next views of the same sequence. No views have to be set aside before training.
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
    """Return up to `num_views` views of `document`. Their texts differ from the texts of all views in `trained`.

    All views have formats. Half of the views, rounded down, also have another sentence order than the document, if the
    sentences of the document can move. If the document has too few views, the list is shorter or empty.

    Args:
        seed: any seed; it may be the seed of the run.
        hold_out: the group of formats that the run did not train on. The views have formats of this group only. None:
            the views have formats of all groups. The run may then have trained on other documents in these formats.
        trained: the views of the document that the run trains on.

    Raises:
        ValueError: `num_views` is below 1, or the group is unknown.
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
