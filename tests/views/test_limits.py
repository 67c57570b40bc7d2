"""Extreme documents: very long, very short, one block, unusual white space, control characters."""

import time

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import FAMILIES, TooFewViewsError, prove


def views_of(document, family, count=12):
    """`count` views, or all if there are fewer."""
    try:
        return FAMILIES[family](document, count)
    except TooFewViewsError as error:
        return FAMILIES[family](document, error.available) if error.available else []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hundred_thousand_characters_in_one_sentence_have_views(family):
    document = Document("d", "word " * 20_000)
    views = views_of(document, family)
    assert len(views) == (0 if family == "order" else 12)
    for view in views:
        prove(view, document)
    wrapped = [view for view in views if "breaks.wrap" in view.format]
    assert all(max(map(len, view.text.split("\n"))) <= 200 for view in wrapped)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sentences", "words", "Chinese", "one word"])
def test_fifty_megabytes_on_one_line_take_linear_time(kind):
    unit = {
        "sentences": "The cat sat on a mat. ",
        "words": "word ",
        "Chinese": "\u4f60\u597d\u4e16\u754c\u3002",
        "one word": "a",
    }[kind]
    size = 50_000_000 if unit.isascii() else 5_000_000
    seconds = []
    for chars in (size // 10, size):
        document = Document("d", unit * (chars // len(unit)), language="zh" if kind == "Chinese" else "en")
        start = time.process_time()
        for family in FAMILIES:
            for view in views_of(document, family, 1):
                assert len(view.text) >= chars - 20
        seconds.append(time.process_time() - start)
    print(f"{kind}: {size} characters in every family in {seconds[1]:.1f} s")
    assert seconds[1] < 25 * seconds[0] + 1


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Word", [(12, 6), (0, 0), (1, 0)]),
        ("# Heading", [(12, 3), (0, 0), (3, 0)]),
        ("```\ncode\n```\n\n- a\n- b", [(12, 3), (0, 0), (12, 0)]),
        ("import os\n\n\ndef f(x):\n    return x\n", [(12, 3), (0, 0), (12, 0)]),
        ("\u00a0Ada sings.\u00a0", [(12, 6), (0, 0), (3, 0)]),
        ("\u3000\u3000One. Two is.\u3000", [(12, 6), (12, 6), (7, 0)]),
        ("\u200b", [(12, 6), (0, 0), (1, 0)]),
        ("\0", [(12, 6), (0, 0), (1, 0)]),
        ("Tarn is\0 old. Rome is\0\0 white.", [(12, 6), (12, 6), (12, 0)]),
        ("...", [(12, 6), (0, 0), (1, 0)]),
        ("\ufeffAda sings. Bo bakes.", [(12, 6), (12, 6), (12, 0)]),
    ],
)
def test_a_small_document_has_as_many_views_as_possible(text, counts):
    document = Document("d", text)
    for family, (count, groups) in zip(["formats", "order", "masked"], counts, strict=True):
        views = views_of(document, family)
        assert len(views) == count
        for view in views:
            prove(view, document)
        named = {mark.partition(".")[0] for view in views for mark in view.format.split("+")}
        assert len(named & {"spacing", "breaks", "marks", "lists", "headings", "containers", "shift"}) >= groups


def test_the_labels_of_a_list_continue_over_a_thousand_sentences():
    document = Document("d", "So it is. " * 1500)
    views = {view.format: view.text.split("\n") for view in FAMILIES["formats"](document, 21, groups=["lists"])}
    assert views["lists.number"][-1] == "1500. So it is."
    assert views["lists.letter_bracket"][-1] == "ber) So it is."
    assert views["lists.roman_brackets"][-1] == "(md) So it is."


@pytest.mark.parametrize("family", FAMILIES)
def test_views_have_the_number_of_their_part_and_differ_between_parts(family):
    text = "Ada sings. Bo bakes. Rome lies south. Tarn has a mill. Cats sleep."
    parts = [FAMILIES[family](Document("d", text, part=part), 6) for part in (0, 1)]
    assert [{view.part for view in views} for views in parts] == [{0}, {1}]
    assert [(view.text, view.prompt) for view in parts[0]] != [(view.text, view.prompt) for view in parts[1]]
