"""How much two views of a document differ, to find views that are nearly the same text."""

from collections.abc import Sequence

from hf_knowlearn.views.view import View

LEAST_DIFFERENCE = 0.05  # share of characters; views that differ less are near-identical
END = -1  # the place of the layout after the last word


def difference(one: View, other: View) -> float:
    """The share of characters in which two views of one document differ, from 0 to 1.

    The words are the same, so the layout before each of them is compared. Views in different sentence orders, or with
    different prompts, differ in all characters.

    Example:
        >>> from hf_knowlearn import Document
        >>> from hf_knowlearn.views import format_views, raw_view
        >>> document = Document("mill", "Tarn has a mill.")
        >>> difference(raw_view(document), format_views(document, 1, groups=["shift"])[0]) > 0.3
        True
    """
    sources = [[source for _, source, _ in view.spans] for view in (one, other)]
    orders = [values == sorted(values) for values in sources]
    if one.prompt != other.prompt or (not all(orders) and sources[0] != sources[1]):
        return 1.0
    first, second = _layout(one), _layout(other)
    changed = sum(
        max(len(first.get(place, "")), len(second.get(place, "")))
        for place in first.keys() | second.keys()
        if first.get(place, "") != second.get(place, "")
    )
    return min(changed / max(len(one.text), len(other.text)), 1.0)


def _layout(view: View) -> dict[int, str]:
    """The layout before each span, by the position of the span in the document, and the layout at the end."""
    layout = {}
    end = 0
    for at, source, length in view.spans:
        layout[source] = view.text[end:at]
        end = at + length
    layout[END] = view.text[end:]
    return layout


def distinct_views(views: Sequence[View], least: float = LEAST_DIFFERENCE) -> list[View]:
    """The views that differ from every earlier one of the result in at least the share `least` of their characters."""
    found: list[View] = []
    for view in views:
        if all(difference(view, earlier) >= least for earlier in found):
            found.append(view)
    return found
