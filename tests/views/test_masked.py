"""Masked: a request to restore the document, some of whose words are blanked; the answer is the document."""

import math
from collections import Counter

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import masked_views
from hf_knowlearn.views.masked import RATIO, REQUESTS, blank_for, words_of

LONG = Document("long", " ".join(f"word{number}" for number in range(300)) + ".")


PARTS = [request.replace("{blank}", "_").split("{masked}") for request in REQUESTS]


def request_of(view):
    """The number of the request that the prompt makes."""
    return next(i for i, (a, b) in enumerate(PARTS) if view.prompt.startswith(a) and view.prompt.endswith(b))


def masked_of(view):
    """The document within the prompt."""
    head, tail = PARTS[request_of(view)]
    return view.prompt.removeprefix(head).removesuffix(tail)


def share(view):
    words = masked_of(view).split()
    assert len(words) == 300
    return words.count("_") / 300


def test_a_request_is_recorded():
    views = masked_views(Document("d", "Ada sings  in\nOrmel.\n"), 3)
    assert [(view.prompt, view.format) for view in views] == [
        ("Some words of this text were blanked (_):\n\nAda _  in\nOrmel.\n\n\nThe complete text:\n\n", "blank_0.25"),
        ("Some words of this text were blanked (_):\n\nAda sings  in\n_\n\n\nThe complete text:\n\n", "blank_0.25"),
        ("Restore the text. Each _ stands for a missing word.\n\n_ _  in\n_\n\n\n", "blank_0.75"),
    ]
    assert {(view.text, view.spans) for view in views} == {("Ada sings  in\nOrmel.\n", ((0, 0, 21),))}


def test_the_share_of_blanks_is_drawn_evenly_from_the_range():
    shares = [share(view) for view in masked_views(LONG, 1000)]
    tenths = Counter(min(9, max(0, int((value - 0.05) / 0.09))) for value in shares)
    assert RATIO == (0.05, 0.95)
    assert min(shares) < 0.08
    assert max(shares) > 0.92
    assert sum((tenths[i] - 100) ** 2 / 100 for i in range(10)) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


@pytest.mark.parametrize("ratio", [(0.1, 0.3), (0.5, 0.5), (0.9, 1), (1, 1), (0.001, 0.001)])
def test_the_share_of_blanks_keeps_within_the_range(ratio):
    low, high = ratio
    shares = [share(view) for view in masked_views(LONG, 1 if low == 1 else 100, ratio=ratio)]
    assert min(shares) >= max(1 / 300, low - 4 * math.sqrt(low * (1 - low) / 300))
    assert max(shares) <= high + 5 * math.sqrt(high * (1 - high) / 300)
    assert [f"blank_{value:.2f}" for value in shares] == [
        view.format for view in masked_views(LONG, len(shares), ratio=ratio)
    ]


def test_each_word_is_blanked_as_often_as_the_others():
    views = masked_views(LONG, 400, ratio=(0.5, 0.5))
    counts = [sum(masked_of(view).split()[place] == "_" for view in views) for place in range(300)]
    assert sum((count - 200) ** 2 / 100 for count in counts) < 381  # chi-square, 300 degrees of freedom, p = 0.001


def test_every_request_is_made():
    made = Counter(map(request_of, masked_views(LONG, 300)))
    assert len(made) == len(REQUESTS)
    assert min(made.values()) > 25


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_document_of_a_few_words_has_each_way_to_blank_some_of_them(count):
    document = Document("d", " ".join("abc"[:count]))
    ways = 2**count - 1
    assert len({view.prompt for view in masked_views(document, ways)}) == ways
    says = f"num_views={ways + 1}, but document 'd' has only {ways} distinct requests to restore it: ask for at most"
    with pytest.raises(ValueError, match=says):
        masked_views(document, ways + 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada sings.", ["Ada", "sings."]),
        ("\u4f60\u597d\u3002", ["\u4f60", "\u597d", "\u3002"]),
        ("\u304b\u3099\u845b\U000e0100 x", ["\u304b\u3099", "\u845b\U000e0100", "x"]),
        ("in\u4f602 \U00020000", ["in", "\u4f60", "2", "\U00020000"]),
        ("10\u00a0000 \ud55c\uad6d \u0e2a\u0e27", ["10", "000", "\ud55c\uad6d", "\u0e2a\u0e27"]),
        ("e\u0301 \U0001f469\u200d\U0001f52c", ["e\u0301", "\U0001f469\u200d\U0001f52c"]),
    ],
)
def test_a_word_is_what_white_space_parts_or_a_character_of_chinese_and_japanese(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("Ada", "_"),
        ("snake_case", "[...]"),
        ("_ [1]", "<blank>"),
        ("_ [ <", "(?)"),
        ("_[<(", "\u25a1"),
        ("_[<(\u25a1\u25a2", "\u25a3"),
    ],
)
def test_the_blank_begins_with_a_sign_that_the_document_lacks(text, blank):
    assert blank_for(text) == blank
    assert all(blank in view.prompt for view in masked_views(Document("d", f"{text} b c"), 3))


@pytest.mark.parametrize(
    "ratio", [(0, 0.5), (0.5, 0.4), (0.5, 1.1), (-0.1, 0.5), (float("nan"), 1), 0.5, (0.1, 0.2, 0.3)]
)
def test_a_range_that_is_none_is_refused(ratio):
    with pytest.raises(ValueError, match=r"ratio=.*: give the least and the greatest share of blanked words, above 0"):
        masked_views(LONG, 1, ratio=ratio)
