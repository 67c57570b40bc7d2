"""Mixed: views of several families, interleaved so that each family has its share."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_knowlearn.documents import Document
from hf_knowlearn.views import TooFewViewsError, format_views, masked_views, mixed_views, order_views
from hf_knowlearn.views.mixed import WEIGHTS, checked_weights

TEXT = "Ada sings. Bo bakes bread. Rome lies south of it. Tarn has a mill on the river."
DOCUMENT = Document("d", TEXT, title="Ada")
FAMILIES = {"formats": format_views, "order": order_views, "masked": masked_views}
EQUAL = dict.fromkeys(FAMILIES, 1)
weights_of = st.dictionaries(st.sampled_from(sorted(FAMILIES)), st.sampled_from([0.01, 0.3, 1, 2, 3, 10]), min_size=1)


@given(weights_of, st.integers(0, 999))
@settings(deadline=None, derandomize=True, database=None, max_examples=60)
def test_each_family_has_its_share_to_within_one_view(weights, seed):
    views = mixed_views(DOCUMENT, 60, seed, weights=weights)
    counts = Counter()
    total = sum(map(Fraction, weights.values()))
    for number, view in enumerate(views, 1):
        counts[view.family] += 1
        for family in FAMILIES:
            assert abs(counts[family] - number * Fraction(weights.get(family, 0)) / total) <= 1
    assert [view.index for view in views] == list(range(60))


def test_by_default_a_quarter_of_the_views_has_the_order_of_the_document():
    assert WEIGHTS == {"formats": 1, "order": 3}
    for seed in range(20):
        assert Counter(view.family for view in mixed_views(DOCUMENT, 12, seed)) == {"formats": 3, "order": 9}


def test_equal_weights_are_equal_shares():
    for seed in range(20):
        views = mixed_views(DOCUMENT, 30, seed, weights=EQUAL)
        assert Counter(view.family for view in views) == dict.fromkeys(FAMILIES, 10)
        assert {view.family for view in views[:3]} == {*FAMILIES}


def test_documents_differ_in_the_family_of_their_first_view():
    of_each = (mixed_views(Document(f"{number}", TEXT), 1, weights=EQUAL) for number in range(300))
    firsts = Counter(view.family for (view,) in of_each)
    assert min(firsts[family] for family in FAMILIES) > 70


def test_the_views_of_each_family_are_those_of_its_own_function():
    views = mixed_views(DOCUMENT, 60, 3, weights=EQUAL)
    for family, make_views in FAMILIES.items():
        mixed = [(view.format, view.text, view.prompt, view.spans) for view in views if view.family == family]
        assert mixed == [(view.format, view.text, view.prompt, view.spans) for view in make_views(DOCUMENT, 20, 3)]


@pytest.mark.parametrize("text", ["A single sentence of some words.", "Ada came to Rome. She sang."])
def test_a_document_of_one_order_gets_formats_in_place_of_order(text):
    document = Document("d", text)
    views = mixed_views(document, 30, weights=EQUAL)
    assert Counter(view.family for view in views) == {"formats": 20, "masked": 10}
    assert len({(view.text, view.prompt) for view in views}) == 30
    alone = mixed_views(document, 9, weights={"order": 1})
    assert [view.text for view in alone] == [view.text for view in format_views(document, 9)]


def test_a_family_of_weight_0_does_not_occur():
    views = mixed_views(DOCUMENT, 20, weights={"formats": 0, "order": 1, "masked": 3})
    assert Counter(view.family for view in views) == {"order": 5, "masked": 15}


@pytest.mark.parametrize(("text", "families"), [("A b c d.", {"formats"}), ("A b c d e.", {"formats", "masked"})])
def test_a_document_of_fewer_than_five_words_gets_formats_in_place_of_masked(text, families):
    views = mixed_views(Document("d", text), 9, weights={"masked": 1, "formats": 2})
    assert {view.family for view in views} == families
    assert {view.family for view in mixed_views(Document("d", "Word"), 9, weights={"masked": 1})} == {"formats"}


@pytest.mark.parametrize("text", ["A b c d e.", "Some words, six of them."])
@pytest.mark.parametrize("weights", [EQUAL, {"masked": 1}, {"masked": 1, "formats": 5}])
def test_the_error_for_too_few_views_has_the_available_number(text, weights):
    document = Document("d", text)
    with pytest.raises(TooFewViewsError, match="num_views=500, but document 'd' has only") as raised:
        mixed_views(document, 500, weights=weights)
    has = raised.value.available
    assert f"has only {has} distinct views of this mixture. Request at most" in str(raised.value)
    assert len(mixed_views(document, has, weights=weights)) == has
    with pytest.raises(ValueError, match=f"has only {has} distinct views"):
        mixed_views(document, has + 1, weights=weights)
    with pytest.raises(ValueError, match=rf"num_views=2( from view \d+ on)?, but .* has only {has} distinct views"):
        mixed_views(document, 2, weights=weights, first=has - 1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"formats": 1, "ordre": 1},
            r"Unknown families \['ordre'\] in weights=.*. Choose from formats, order, masked",
        ),
        (
            {"formats": 1, "order": -1},
            r"weights=.*-1.*: use weights of 0 or more, of which at least one",
        ),
        ({"formats": 0, "order": 0}, r"weights=.*: use weights of 0 or more, of which at least one is more than 0"),
        ({}, r"weights=\{\}: use weights of 0 or more, of which at least one is more than 0"),
        ({"formats": math.nan}, r"weights=\{'formats': nan\}: use weights of 0 or more"),
        ({"formats": math.inf, "order": 1}, r"weights=.*inf.*: use weights of 0 or more"),
    ],
)
def test_wrong_weights_are_an_error(weights, message):
    with pytest.raises(ValueError, match=message):
        mixed_views(DOCUMENT, 1, weights=weights)
    with pytest.raises(ValueError, match=message):
        checked_weights(weights)
