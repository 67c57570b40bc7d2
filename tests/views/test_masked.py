"""Masked: the prompt asks to restore a document with blanked words; the completion is the document."""

import math
from collections import Counter

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import TooFewViewsError, masked_views
from hf_knowlearn.views.masked import PROMPTS, RATIO, blank_for, words_of

LONG = Document("long", " ".join(f"word{number}" for number in range(300)) + ".")


PARTS = [request.replace("{blank}", "_").split("{masked}") for request in PROMPTS]


def template_of(view):
    """The number of the template of the prompt."""
    return next(i for i, (a, b) in enumerate(PARTS) if view.prompt.startswith(a) and view.prompt.endswith(b))


def masked_of(view):
    """The masked document within the prompt."""
    head, tail = PARTS[template_of(view)]
    return view.prompt.removeprefix(head).removesuffix(tail)


def share(view):
    words = masked_of(view).split()
    assert len(words) == 300
    return words.count("_") / 300


def test_prompts_are_the_recorded_ones():
    views = masked_views(Document("d", "Ada sings  in\nOrmel.\n"), 3)
    assert [(view.prompt, view.format) for view in views] == [
        ("Some words of this text were blanked (_):\n\nAda _  in\nOrmel.\n\n\nThe complete text:\n\n", "blank_0.25"),
        ("Some words of this text were blanked (_):\n\nAda sings  in\n_\n\n\nThe complete text:\n\n", "blank_0.25"),
        ("Restore the text. Each _ stands for a missing word.\n\n_ _  in\n_\n\n\n", "blank_0.75"),
    ]
    assert {(view.text, view.spans) for view in views} == {("Ada sings  in\nOrmel.\n", ((0, 0, 21),))}


def test_the_share_of_blanks_is_sampled_uniformly():
    shares = [share(view) for view in masked_views(LONG, 1000)]
    tenths = Counter(min(9, max(0, int((value - 0.05) / 0.09))) for value in shares)
    assert RATIO == (0.05, 0.95)
    assert min(shares) < 0.08
    assert max(shares) > 0.92
    assert sum((tenths[i] - 100) ** 2 / 100 for i in range(10)) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


@pytest.mark.parametrize("ratio", [(0.1, 0.3), (0.5, 0.5), (0.9, 1), (1, 1), (0.001, 0.001)])
def test_the_share_of_blanks_is_within_the_range(ratio):
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


def test_every_template_of_a_prompt_occurs():
    made = Counter(map(template_of, masked_views(LONG, 300)))
    assert len(made) == len(PROMPTS)
    assert min(made.values()) > 25


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_words_are_blanked_in_every_possible_way(count):
    document = Document("d", " ".join("abc"[:count]))
    ways = 2**count - 1
    assert len({view.prompt for view in masked_views(document, ways)}) == ways
    message = (
        f"num_views={ways + 1}, but document 'd' has only {ways} distinct requests to restore it. Request at most"
    )
    with pytest.raises(TooFewViewsError, match=message):
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
def test_words_are_separated_by_white_space_or_are_chinese_and_japanese_characters(text, words):
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
def test_the_blank_begins_with_a_character_that_the_document_lacks(text, blank):
    assert blank_for(text) == blank
    assert all(blank in view.prompt for view in masked_views(Document("d", f"{text} b c"), 3))


@pytest.mark.parametrize(
    "ratio", [(0, 0.5), (0.5, 0.4), (0.5, 1.1), (-0.1, 0.5), (float("nan"), 1), 0.5, (0.1, 0.2, 0.3)]
)
def test_an_invalid_range_is_an_error(ratio):
    with pytest.raises(ValueError, match=r"ratio=.*: give two numbers, the smallest and the largest share"):
        masked_views(LONG, 1, ratio=ratio)
