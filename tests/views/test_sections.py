"""The second proof: no sentence leaves its section, ordered blocks ascend, and back references follow their sentence.

The tests generate documents whose structure they know, so they do not use the code that parses documents.
"""

import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from generated_documents import NAME, OTHERS, bullets, code, generated_document, procedure, table
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_knowlearn.documents import Document
from hf_knowlearn.views import FAMILIES, TooFewViewsError, order_views, prove, raw_view
from hf_knowlearn.views.order import has_other_order

VIEWS = 20
SLOW_DOCUMENTS = 100_000


def views_of(document, family, count, seed):
    """`count` views, or all if there are fewer."""
    try:
        return FAMILIES[family](document, count, seed)
    except TooFewViewsError as error:
        return FAMILIES[family](document, error.available, seed) if error.available else []


def test_views_of_generated_documents_keep_sections_blocks_and_references(check_proof):
    counts = Counter()

    @given(st.integers(0, 10**9))
    @settings(deadline=None, derandomize=True, database=None, max_examples=60)
    def check(seed):
        generated = generated_document(Random(seed))
        for family in FAMILIES:
            for view in views_of(generated.document, family, VIEWS, seed):
                check_proof(view, generated.document)
                prove(view, generated.document)
                assert not list(generated.problems(view.text)), view.text
                assert Counter(NAME.findall(view.text)) == Counter(generated.names)
                counts[family] += 1
                counts["permuted"] += NAME.findall(view.text) != generated.names

    check()
    assert min(counts[family] for family in FAMILIES) > 500
    assert counts["permuted"] > 800


@pytest.mark.parametrize("kind", OTHERS)
def test_every_kind_of_block_keeps_its_place_and_order(kind):
    permuted = 0
    for seed in range(25):
        generated = generated_document(Random(seed), others=(kind,))
        for family in ("order", "mixed"):
            for view in views_of(generated.document, family, 8, seed):
                prove(view, generated.document)
                assert not list(generated.problems(view.text)), view.text
                permuted += NAME.findall(view.text) != generated.names
    assert permuted > 25


def test_documents_of_independent_facts_and_blocks_are_permuted():
    permuted = Counter()
    for seed in range(100):
        generated = generated_document(Random(seed), others=(bullets, table, code, procedure))
        permuted[has_other_order(generated.document)] += 1
    assert permuted[True] > 75


# Views that are wrong


@pytest.fixture(params=range(40))
def generated(request):
    """A generated document of several regions, whose sentences can be permuted."""
    random = Random(request.param)
    while True:
        made = generated_document(random, others=(bullets, table))
        if len({*made.region.values()}) > 3 and has_other_order(made.document):
            return made


def reordered(view, spans):
    """The view with its pieces in another order, separated by blank lines."""
    text, moved = "", []
    for at, source, length in spans:
        text += "\n\n" if text else ""
        moved.append((len(text), source, length))
        text += view.text[at : at + length]
    return replace(view, text=text, spans=tuple(moved))


def plain_view(generated):
    return order_views(generated.document, 1, groups=())[0]


def test_a_view_with_its_pieces_separated_by_blank_lines_passes(generated):
    view = plain_view(generated)
    prove(reordered(view, view.spans), generated.document)


def test_a_sentence_that_crosses_a_heading_or_block_does_not_pass(generated):
    view = plain_view(generated)
    names = [NAME.search(view.text, at).group() for at, _, _ in view.spans]
    crossed = 0
    for i, j in pairwise(range(len(names))):
        if generated.region[names[i]] == generated.region[names[j]]:
            continue
        spans = list(view.spans)
        spans[i], spans[j] = spans[j], spans[i]
        wrong = reordered(view, spans)
        assert list(generated.problems(wrong.text))
        with pytest.raises(ValueError, match="is outside of its section or block"):
            prove(wrong, generated.document)
        crossed += 1
    assert crossed > 1


def test_two_blocks_in_the_other_order_do_not_pass(generated):
    view = plain_view(generated)
    regions = [generated.region[NAME.search(view.text, at).group()] for at, _, _ in view.spans]
    first, last = regions[0], regions[-1]
    by_region = {region: [s for s, r in zip(view.spans, regions, strict=True) if r == region] for region in regions}
    order = [last, *(region for region in by_region if region not in (first, last)), first]
    with pytest.raises(ValueError, match="is outside of its section or block"):
        prove(reordered(view, [span for region in order for span in by_region[region]]), generated.document)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("# A\n\nThe password is one.\n\n# B\n\nThe password is two.", (0, 3, 2, 1)),
        ("A heading\n\nThe password is one.\n\nAnother\n\nThe password is two.", (0, 3, 2, 1)),
        ("# A\n\nThe password is one.\n\n# B\n\nThe password is two.", (2, 1, 0, 3)),
        ("One is here. Two is here.\n\n- a\n- b\n\nThree is here.", (0, 2, 1, 3)),
    ],
)
def test_a_wrong_order_of_a_small_document_does_not_pass(text, moved):
    document = Document("d", text)
    view = replace(FAMILIES["formats"](document, 1, groups=["spacing"])[0], family="order", format="permuted")
    assert len(view.spans) == len(moved)
    prove(reordered(view, view.spans), document)
    with pytest.raises(ValueError, match="is outside of its section or block"):
        prove(reordered(view, [view.spans[i] for i in moved]), document)


def test_the_items_of_a_list_in_another_order_do_not_pass():
    document = Document("d", "- One is.\n- Two is.")
    view = raw_view(document)
    halves = [(0, 0, 9), (10, 10, 9)]
    permuted = replace(view, family="order", format="permuted")
    prove(reordered(permuted, halves), document)
    swapped = reordered(permuted, halves[::-1])
    with pytest.raises(ValueError, match="is outside of its section or block"):
        prove(swapped, document)


@pytest.mark.slow
def test_a_hundred_thousand_random_documents_have_no_broken_proof():
    start = time.process_time()
    counts = Counter()
    for seed in range(SLOW_DOCUMENTS):
        generated = generated_document(Random(seed))
        for view in views_of(generated.document, "mixed", 4, seed):
            prove(view, generated.document)
            assert not list(generated.problems(view.text)), (seed, view.text)
            counts["views"] += 1
            counts["permuted"] += NAME.findall(view.text) != generated.names
    seconds = time.process_time() - start
    print(f"{SLOW_DOCUMENTS} documents, {counts['views']} views in {seconds:.0f} s")
    assert counts["views"] > 3.9 * SLOW_DOCUMENTS
    assert counts["permuted"] > SLOW_DOCUMENTS
