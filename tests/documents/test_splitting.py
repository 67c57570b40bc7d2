"""Splitting: parts join to their document, fit the limit, and end at sentence ends."""

import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hf_knowlearn.documents import Document, read_documents, split_document

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def count_words(text: str) -> int:
    return len(text.split())


def assert_tiled(document: Document, parts: Sequence[Document], length: Callable[[str], int], limit: int) -> None:
    assert "".join(part.text for part in parts) == document.text
    place = document.start
    for number, part in enumerate(parts):
        assert part == replace_unchecked(document, part.text, number, place)
        assert part.text
        assert length(part.text) <= limit
        place += len(part.text)


def replace_unchecked(document: Document, text: str, part: int, start: int) -> Document:
    if text.strip():
        return replace(document, text=text, part=part, start=start)
    expected = pickle.loads(pickle.dumps(document))
    vars(expected).update(text=text, part=part, start=start)
    return expected


DOCUMENT = Document("d", "One two. Three four five!  Six?\n\nSeven. Eight nine ten", "Title", "nl", metadata={"k": 1})


def test_a_document_that_fits_is_returned_unchanged():
    (whole,) = split_document(DOCUMENT, count_words, 10)
    assert whole is DOCUMENT


@pytest.mark.parametrize(
    ("limit", "parts"),
    [
        (9, ["One two. Three four five!  Six?\n\nSeven. ", "Eight nine ten"]),
        (5, ["One two. Three four five!  ", "Six?\n\nSeven. Eight nine ten"]),
        (3, ["One two. ", "Three four five!  ", "Six?\n\nSeven. ", "Eight nine ten"]),
        (2, ["One two. ", "Three four ", "five!  Six?\n\n", "Seven. ", "Eight nine ", "ten"]),
    ],
)
def test_parts_end_at_sentences_else_at_words(limit: int, parts: list[str]):
    cut_up = split_document(DOCUMENT, count_words, limit)
    assert [part.text for part in cut_up] == parts
    assert_tiled(DOCUMENT, cut_up, count_words, limit)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Yes. Version 3.5 is out. Use it!", ["Yes. ", "Version 3.5 is out. ", "Use it!"]),
        ('"Go!" he said. (Then he left.) Gone now.', ['"Go!" ', "he said. ", "(Then he left.) ", "Gone now."]),
        ("今日は雨。明日は「晴れ。」多分ね", ["今日は雨。", "明日は「晴れ。」", "多分ね"]),
        (
            "A heading\n \t\nA text\nof lines\r\n\r\nThe end",
            ["A heading\n \t\n", "A text\nof lines\r\n\r\n", "The end"],
        ),
        ("What?! Who is it? No one... Oh yes", ["What?! ", "Who is it? ", "No one... ", "Oh yes"]),
    ],
)
def test_sentence_ends_are_found(text: str, sentences: list[str]):
    assert "".join(sentences) == text
    for pair in pairwise(sentences):
        limit = len("".join(pair)) - 1  # more than the first sentence, and not both
        assert [part.text for part in split_document(Document("d", "".join(pair)), len, limit)] == list(pair)


def test_a_word_that_is_too_long_is_split_anywhere():
    parts = split_document(Document("d", "ab cdefghijk lm"), len, 4)
    assert [part.text for part in parts] == ["ab ", "cdef", "ghij", "k lm"]


def test_the_limit_applies_to_the_length_function_and_not_to_characters():
    word = "abcdefghijklm "
    ten, thirty = Document("d", word * 10), Document("d", f"x{word}" * 30)
    assert split_document(ten, count_words, 10) == [ten]
    assert all(part.text.endswith(" ") for part in split_document(thirty, count_words, 10))


def test_a_part_can_be_split_again_with_positions_in_the_whole_document():
    whole = Document("d", "One two. Three four. Five six.")
    first, second = split_document(whole, count_words, 4)
    again = split_document(second, count_words, 1)
    assert [(p.text, p.part, p.start) for p in again] == [
        ("Five ", 1, len(first.text)),
        ("six.", 2, len(first.text) + 5),
    ]
    assert all(whole.text[p.start :].startswith(p.text) for p in [first, second, *again])


def test_only_white_space_longer_than_the_limit_makes_a_part_without_a_word():
    parts = split_document(Document("d", f"{' ' * 25}word{' ' * 3}word"), len, 10)
    assert [part.text for part in parts] == [" " * 10, " " * 10, " " * 5 + "word ", "  word"]
    first, *_ = split_document(Document("d", "\n\nAn overlong sentence here"), count_words, 2)
    assert first.text == "\n\nAn overlong "


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, None])
def test_a_limit_that_is_not_a_positive_integer_is_an_error(limit: Any):
    with pytest.raises(ValueError, match=r"^limit must be an integer of at least 1, got \w+ "):
        split_document(DOCUMENT, count_words, limit)


def test_a_limit_below_one_character_is_an_error():
    expected = r"limit=2 is too small: character 3 \('字'\) of document 'd' has length 3\. Increase limit\."
    with pytest.raises(ValueError, match=expected):
        split_document(Document("d", "abc字"), lambda text: len(text.encode()), 2)


LENGTHS: dict[str, Callable[[str], int]] = {
    "characters": len,
    "words": count_words,
    "bytes": lambda text: len(text.encode()),
    "pieces of words, with two marks around": lambda text: 2 + sum(-(-len(word) // 4) for word in text.split()),
    "coarse": lambda text: len(text) // 7,
    "erratic": lambda text: len(text) + 3 * (len(text) % 2),
}
TEXTS = st.one_of(
    st.text(min_size=1),
    st.text(st.sampled_from('ab .!?\n\r\t。」"é\u0301\u00a0\u200d🙂'), min_size=1, max_size=400),
    st.lists(st.sampled_from(["Word", " ", "a", ". ", "!\n", "\n\n", "。", "x" * 50, " " * 30]), min_size=1).map(
        "".join
    ),
).filter(str.strip)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from(sorted(LENGTHS)), st.integers(6, 60))
@example("word " * 2000, "words", 50)
@example("x" * 3000, "characters", 6)
@example("a" + " " * 3000 + "b", "characters", 7)
def test_parts_join_to_the_document_and_fit(text: str, name: str, limit: int):
    document = Document("d", text, "T")
    assert_tiled(document, split_document(document, LENGTHS[name], limit), LENGTHS[name], limit)


SENTENCES = st.lists(st.integers(1, 9).map(lambda words: " ".join(["word"] * words) + ". "), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(SENTENCES, st.integers(9, 60))
def test_parts_equal_those_of_adding_sentence_by_sentence(sentences: list[str], limit: int):
    greedy = [""]
    for sentence in sentences:
        if count_words(greedy[-1] + sentence) > limit:
            greedy.append("")
        greedy[-1] += sentence
    assert [part.text for part in split_document(Document("d", "".join(sentences)), count_words, limit)] == greedy


@pytest.mark.parametrize(
    "unit", ["One sentence of six words is here. ", "word ", "x", "字", ". ", "\n", "a" + " " * 5000, '."', "\n    "]
)
def test_splitting_measures_little_more_than_the_document(unit: str):
    text, measured = "a" + unit * (1_000_000 // len(unit)), [0, 0]

    def length(piece: str) -> int:
        measured[0] += 1
        measured[1] += len(piece)
        return -(-len(piece) // 4)

    parts = split_document(Document("d", text), length, 500)
    assert len(parts) <= 1.1 * len(text) / 2000
    assert measured[0] <= 10 * len(parts)
    assert measured[1] <= 20 * len(text)


@pytest.mark.parametrize(("end", "most"), [(". ", 6), (" ", 14), ("", 22)])  # parts of sentences, words, characters
def test_a_part_takes_a_few_measurements(end: str, most: int):
    calls, random = 0, Random(0)

    def length(piece: str) -> int:
        nonlocal calls
        calls += 1
        return sum(map(len, piece.split("x")))  # how many characters a token has varies

    units = ("".join(random.choices(["x", "y", "xxxxyyxxxx"], k=random.randint(1, 20))) for _ in range(20_000))
    parts = split_document(Document("d", end.join(units)), length, 300)
    assert len(parts) > 50
    assert calls <= most * len(parts)


@pytest.mark.skipif(not (DATA / "books").is_dir(), reason="needs ../shared/data/books")
def test_books_are_read_and_split():
    books = read_documents(DATA / "books")
    assert len(books) == 15
    assert all(book.title.startswith("Title: ") and "\r" not in book.text for book in books)
    for book in books:
        parts = split_document(book, count_words, 300)
        assert_tiled(book, parts, count_words, 300)
        assert all(re.search(r"""[.!?]["'”’)*_]*\s+$|\n\s*\n\s*$|$""", part.text) for part in parts)
        sizes = [count_words(part.text) for part in parts[:-1]]
        assert sum(sizes) / len(sizes) > 0.9 * 300
