"""Views of a document: the document in another layout, with its sentences in another order, or with masked words in
its prompt."""

from collections.abc import Callable, Mapping

from hf_knowlearn.views.formats import Format, format_views, raw_view
from hf_knowlearn.views.groups import GROUPS, MARKS, Mark
from hf_knowlearn.views.masked import masked_views
from hf_knowlearn.views.mixed import WEIGHTS, mixed_views
from hf_knowlearn.views.order import order_views
from hf_knowlearn.views.proof import prove
from hf_knowlearn.views.sampling import TooFewViewsError
from hf_knowlearn.views.view import Span, View

# Each function takes (document, num_views, seed=0, groups=None, hold_out=None, *, first=0).
FAMILIES: Mapping[str, Callable[..., list[View]]] = {
    "formats": format_views,
    "order": order_views,
    "masked": masked_views,
    "mixed": mixed_views,
}

__all__ = [
    "FAMILIES",
    "GROUPS",
    "MARKS",
    "WEIGHTS",
    "Format",
    "Mark",
    "Span",
    "TooFewViewsError",
    "View",
    "format_views",
    "masked_views",
    "mixed_views",
    "order_views",
    "prove",
    "raw_view",
]
