"""The difference of two views is close to their edit distance, which a simple algorithm computes here."""

import time
from dataclasses import replace
from itertools import combinations

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import format_views, masked_views, order_views, raw_view
from hf_knowlearn.views.similarity import LEAST_DIFFERENCE, difference, distinct_views

FACTS = Document(
    "facts", "Anna was born in Rome. Tarn has a mill.\n\nOrmel has a harbour. Bo bakes bread.", title="Notes"
)
LIST = Document("list", "The parts are listed.\n\n" + "\n".join(f"- part {i} of the old mill" for i in range(9)))
LONG = Document("long", " ".join(f"Person number {i} lives in a town with {i} mills." for i in range(1, 12)))
TOLERANCE = 0.05  # share of characters


def edit_distance(one, other):
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        before, row[0] = row[0], number
        for i, sign in enumerate(other, 1):
            before, row[i] = row[i], min(before + (character != sign), row[i] + 1, row[i - 1] + 1)
    return row[-1]


def share(one, other):
    """The edit distance of two views, as a share of the characters of the longer one."""
    return edit_distance(one.text, other.text) / max(len(one.text), len(other.text))


@pytest.mark.parametrize("document", [FACTS, LIST, LONG], ids=lambda document: document.id)
def test_the_difference_of_two_formats_is_close_to_the_edit_distance(document):
    pairs = list(combinations([raw_view(document), *format_views(document, 11)], 2))
    found = [(share(one, other), difference(one, other)) for one, other in pairs]
    assert all(0.9 * exact - 0.01 <= value <= 1.5 * exact + 0.01 for exact, value in found)
    assert all(abs(value - exact) < 0.04 for exact, value in found if exact < 0.1)
    agree = sum((value < LEAST_DIFFERENCE) == (exact < LEAST_DIFFERENCE) for exact, value in found)
    assert agree >= 0.97 * len(found)


def test_the_difference_of_two_orders_is_at_least_about_the_edit_distance():
    views = [*order_views(FACTS, 7, groups=()), raw_view(FACTS), *order_views(FACTS, 4)]
    for one, other in combinations(views, 2):
        exact = share(one, other)
        assert exact - TOLERANCE <= difference(one, other) <= 2 * exact + TOLERANCE


def swapped(document, first, second):
    """The view of a document with the two adjacent sentences that begin with these words exchanged."""
    a, b = document.text.index(first), document.text.index(second)
    c = document.text.find(". ", b) + 1 or len(document.text)
    pieces = [(0, a - 1), (b, c), (a, b - 1), (c + 1, len(document.text))]
    pieces = [(start, end) for start, end in pieces if start < end]
    spans, text = [], ""
    for start, end in pieces:
        text += " " if text else ""
        spans.append((len(text), start, end - start))
        text += document.text[start:end]
    return replace(raw_view(document), family="order", text=text, spans=tuple(spans))


@pytest.mark.parametrize("number", [3, 7, 10])
def test_two_exchanged_sentences_differ_in_about_their_characters(number):
    view = swapped(LONG, f"Person number {number} ", f"Person number {number + 1} ")
    moved = len(f"Person number {number} lives in a town with {number} mills.")
    assert difference(view, raw_view(LONG)) == pytest.approx(2 * moved / len(LONG.text), abs=0.02)


def test_a_short_sentence_that_moves_in_a_long_document_gives_a_near_identical_view():
    document = Document("d", f"Tarn sleeps. {LONG.text} {LONG.text.replace('Person', 'Family')}")
    start = len("Tarn sleeps. ")
    rest = len(document.text) - start
    text = f"{document.text[start:]} Tarn sleeps."
    view = replace(raw_view(document), family="order", text=text, spans=((0, start, rest), (rest + 1, 0, 12)))
    assert 0 < difference(view, raw_view(document)) < LEAST_DIFFERENCE
    assert distinct_views([raw_view(document), view]) == [raw_view(document)]


def test_equal_views_do_not_differ_and_the_order_of_the_arguments_does_not_matter():
    views = [*format_views(LONG, 6), *order_views(LONG, 6)]
    for one, other in combinations(views, 2):
        assert difference(one, one) == 0
        assert difference(one, other) == pytest.approx(difference(other, one), abs=0.001)


def test_views_with_different_prompts_differ_in_all_characters():
    assert {difference(one, other) for one, other in combinations(masked_views(FACTS, 4), 2)} == {1.0}


def test_distinct_views_leaves_out_views_that_are_near_an_earlier_one():
    views = format_views(LIST, 20)
    found = distinct_views(views)
    assert 1 < len(found) < len(views)
    assert all(share(one, other) > LEAST_DIFFERENCE - TOLERANCE for one, other in combinations(found, 2))
    for view in views:
        assert view in found or any(share(view, other) < LEAST_DIFFERENCE + 0.01 for other in found)
    assert distinct_views(views, 0) == views


def test_the_difference_takes_less_than_a_millisecond_for_a_thousand_sentences():
    document = Document("d", " ".join(f"Person {i} lives here." for i in range(1000)))
    views = [*order_views(document, 2, groups=()), *format_views(document, 3)]
    start = time.process_time()
    for one, other in combinations(views, 2):
        difference(one, other)
    assert time.process_time() - start < 0.5  # about 0.03 s; a quadratic search for moved sentences takes seconds
