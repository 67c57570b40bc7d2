"""Measures how much two views of a document differ, to find views with nearly equal texts.

The measure approximates the edit distance of the two texts. It is fast because both views contain the same words, so
only the layout and the order of the words are compared.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from hf_knowlearn.views.view import View

LEAST_DIFFERENCE = 0.05  # share of characters; views that differ less are near-identical
_MOST_STEPS = 2500  # of the exact edit distance
END = -1  # the place of the layout after the last word


def difference(one: View, other: View) -> float:
    """Return the share of characters in which two views of one document differ, from 0 to 1.

    Views with different prompts differ in all characters.

    Example:
        >>> from hf_knowlearn import Document
        >>> from hf_knowlearn.views import format_views, raw_view
        >>> document = Document("mill", "Tarn has a mill.")
        >>> difference(raw_view(document), format_views(document, 1, groups=["shift"])[0]) > 0.3
        True
    """
    if one.prompt != other.prompt:
        return 1.0
    first, second = _layout(one), _layout(other)
    changed = sum(
        _changed(first.get(place, ""), second.get(place, ""))
        for place in first.keys() | second.keys()
        if first.get(place, "") != second.get(place, "")
    )
    if not (_ascends(one) and _ascends(other)):
        changed += 2 * _moved(one, other)  # Why: moved words are removed at one place and added at another.
    return min(changed / max(len(one.text), len(other.text)), 1.0)


def distinct_views(views: Sequence[View], least: float = LEAST_DIFFERENCE) -> list[View]:
    """Return the views without near-identical ones. A view is returned if at least the share `least` of its characters
    differs from each view that is returned before it."""
    found: list[View] = []
    for view in views:
        if all(difference(view, earlier) >= least for earlier in found):
            found.append(view)
    return found


def _layout(view: View) -> dict[int, str]:
    """Return the layout before each span, by the position of the span in the document, and the layout at the end."""
    layout = {}
    end = 0
    for at, source, length in view.spans:
        layout[source] = view.text[end:at]
        end = at + length
    layout[END] = view.text[end:]
    return layout


@lru_cache(maxsize=1 << 12)  # Why: the layout between two sentences is mostly the same in a view.
def _changed(one: str, other: str) -> int:
    """Return the edit distance of two strings. For long strings, it is the number of characters between their common
    start and their common end."""
    shorter = min(len(one), len(other))
    start = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    end = next((i for i in range(shorter - start) if one[-1 - i] != other[-1 - i]), shorter - start)
    one, other = one[start : len(one) - end], other[start : len(other) - end]
    if len(one) * len(other) > _MOST_STEPS:
        return max(len(one), len(other))
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        before, row[0] = row[0], number
        for i, sign in enumerate(other, 1):
            before, row[i] = row[i], min(before + (character != sign), row[i] + 1, row[i - 1] + 1)
    return row[-1]


def _ascends(view: View) -> bool:
    sources = [source for _, source, _ in view.spans]
    return sources == sorted(sources)


def _moved(one: View, other: View) -> int:
    """Return the least number of characters to move so that the words of both views are in the same order."""
    starts = sorted({source for view in (one, other) for _, source, _ in view.spans})
    places = {start: place for place, start in enumerate(_in_order(one, starts))}
    lengths = {start: after - start for start, after in zip(starts, [*starts[1:], _end(one)], strict=True)}
    # The characters that keep their order: the heaviest ascending sequence of places.
    heaviest = [0] * (len(places) + 1)  # a Fenwick tree: the heaviest sequence that ends at a place or before
    for start in _in_order(other, starts):
        weight = lengths[start] + _heaviest_before(heaviest, places[start])
        at = places[start] + 1
        while at < len(heaviest):
            heaviest[at] = max(heaviest[at], weight)
            at += at & -at
    return sum(lengths.values()) - _heaviest_before(heaviest, len(places))


def _heaviest_before(heaviest: Sequence[int], at: int) -> int:
    weight = 0
    while at:
        weight = max(weight, heaviest[at])
        at &= at - 1
    return weight


def _in_order(view: View, starts: Sequence[int]) -> list[int]:
    """Return the positions `starts` in the document in the order in which they occur in the view."""
    return [
        start
        for _, source, length in view.spans
        for start in starts[bisect_left(starts, source) : bisect_left(starts, source + length)]
    ]


def _end(view: View) -> int:
    """Return the position of the end of the last word in the document."""
    return max(source + length for _, source, length in view.spans)
