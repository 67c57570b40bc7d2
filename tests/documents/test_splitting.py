"""Splitting: parts join to their document, fit the limit, end at headings, blocks or sentences, and have a heading."""

import re
from collections.abc import Callable, Sequence
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
    changed = ("text", "part", "start", "heading")
    for number, part in enumerate(parts):
        assert (part.part, part.start) == (number, place)
        assert part.text
        assert length(part.text) <= limit
        assert (part.heading == "") == (len(parts) == 1) or not document.title or number == 0
        same = {name: value for name, value in vars(part).items() if name not in changed}
        assert same == {name: value for name, value in vars(document).items() if name not in changed}
        place += len(part.text)


def shown(document: Document, limit: int, length: Callable[[str], int] = count_words) -> list[tuple[str, str]]:
    """The heading and the text of each part."""
    return [(part.heading, part.text) for part in split_document(document, length, limit)]


DOCUMENT = Document("d", "One two. Three four five!  Six?\n\nSeven. Eight nine ten", "Title", "nl", metadata={"k": 1})


def test_a_document_that_fits_is_returned_unchanged():
    (whole,) = split_document(DOCUMENT, count_words, 10)
    assert whole is DOCUMENT


@pytest.mark.parametrize(
    ("limit", "parts"),
    [
        (9, ["One two. Three four five!  Six?\n\n", "Seven. Eight nine ten"]),
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
        ('"Go!" he said. (Then he left.)', ['"Go!" he said. ', "(Then he left.)"]),
        ("So he left.\n\n(Then she left.) Gone now.", ["So he left.\n\n", "(Then she left.) Gone now."]),
        ("今日は雨。明日は「晴れ。」多分ね", ["今日は雨。", "明日は「晴れ。」", "多分ね"]),
        ("A text\nof lines.\r\n\r\nThe end", ["A text\nof lines.\r\n\r\n", "The end"]),
        ("A text of one line.\n \t\nThe end", ["A text of one line.\n \t\n", "The end"]),
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


# Where a part ends

ADA, BO, CARLA, DAN = (
    "Ada has two boats.",
    "Bo bakes good bread.",
    "Carla owns three mills.",
    "Dan sells white ferries.",
)


def test_a_part_ends_before_a_heading_although_more_would_fit():
    text = f"# One\n\n{ADA}\n\n## Two\n\n{BO} {CARLA} {DAN}"
    assert [part for _, part in shown(Document("d", text), 14)] == [
        f"# One\n\n{ADA}\n\n",
        f"## Two\n\n{BO} {CARLA} {DAN}",
    ]


def test_a_part_does_not_end_before_a_heading_if_it_would_be_short():
    text = f"# One\n\nWord.\n\n# Two\n\n{ADA} {BO} {CARLA} {DAN}"
    assert shown(Document("d", text), 18)[0][1] == f"# One\n\nWord.\n\n# Two\n\n{ADA} {BO} {CARLA} "


def test_a_part_ends_before_a_block_else_at_a_sentence():
    text = f"{ADA} {BO}\n\n{CARLA} {DAN}"
    assert [part for _, part in shown(Document("d", text), 15)] == [f"{ADA} {BO}\n\n", f"{CARLA} {DAN}"]
    short = f"{ADA}\n\n{BO} {CARLA} {DAN}"
    assert [part for _, part in shown(Document("d", short), 15)] == [f"{ADA}\n\n{BO} {CARLA} ", DAN]


def test_a_list_is_in_the_part_of_the_line_that_introduces_it():
    text = "One two three four five six. Seven eight.\n\nThe colours are:\n\n- red\n- blue\n\nNine ten."
    parts = [text for _, text in shown(Document("d", text), 11)]
    assert parts == [text[: text.index("The colours")], text[text.index("The colours") :]]


def test_a_part_does_not_end_between_a_heading_and_its_text():
    text = "One two.\n\n# The mill of the town by the river\n\nEight nine ten. It is old."
    assert next(text for _, text in shown(Document("d", text), 12)) == "One two.\n\n"


@pytest.mark.parametrize("heading", ["# Three", "Three\n=====", "**Three**", "A plain heading"])
def test_a_heading_is_in_the_part_of_its_text(heading: str):
    text = f"{ADA} {BO}\n\n{heading}\n\n{CARLA} {DAN}"
    for limit in range(7, 16):
        parts = [part for _, part in shown(Document("d", text), limit)]
        assert any(f"{heading}\n\n{CARLA}" in part for part in parts), (limit, parts)


UNITS = {  # a block, and the beginnings of the pieces that are never cut
    "sentences": (" ".join(f"Ada has {number} old boats." for number in range(40)), r"(?<=\. )(?=Ada)"),
    "table": ("| a | b |\n|---|---|\n" + "| One is. | Two is. |\n" * 40, r"^(?=\| One)"),
    "list": ("\n".join(f"- Item {number}. It has two." for number in range(40)), r"^(?=- )"),
    "nested list": ("\n".join(f"- Item {number}.\n  - Below it. Two." for number in range(30)), r"^(?=- )"),
    "loose list": ("\n\n".join(f"- Item {number}.\n\n  More of it. Two." for number in range(30)), r"^(?=- )"),
    "numbered list": ("\n".join(f"{number}. Item. It has two." for number in range(1, 41)), r"^(?=\d)"),
    "dialogue": ("\n\n".join("Ada: Who is it? Tell me." + "\n\nBo: It is me. Yes." for _ in range(20)), r"^(?=\w+:)"),
    "chat": ("\n".join("Ada: Who is it? Tell me." + "\nBo: It is me. Yes." for _ in range(20)), r"^(?=\w+:)"),
    "log": ("\n".join(f"2024-03-12 09:{number} It is up. It is on." for number in range(10, 50)), r"^(?=2024)"),
    "clauses": ("\n\n".join(f"1.{number} The Supplier shall pay. It is due." for number in range(1, 41)), r"^(?=1\.)"),
}


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("limit", [23, 50, 111])
def test_a_block_longer_than_a_part_is_cut_only_between_its_pieces(kind: str, limit: int):
    text, pattern = UNITS[kind]
    for whole in (text, f"Prose comes first here. It is short.\n\n{text}\n\nProse follows here. It is short."):
        document = Document("d", whole)
        parts = split_document(document, count_words, limit)
        assert_tiled(document, parts, count_words, limit)
        assert len(parts) > 1
        starts = {match.start() for match in re.finditer(pattern, whole, re.MULTILINE)}
        blocks = {match.end() for match in re.finditer(r"\n\s*\n", whole)}
        inside = {part.start for part in parts[1:]} - starts
        assert inside <= (
            blocks if kind != "loose list" and kind != "dialogue" else {whole.find(text), whole.find("Prose follows")}
        )


FENCE = "```python\nif a:\n\n    b = 1. C = 2.\n\n- d\n\n# e\n```"
WHOLE = {
    "fence": FENCE,
    "tilde fence": FENCE.replace("```", "~~~"),
    "row": "| a | b |\n|---|---|\n| One is. Two is. Three is. | Four is. |",
    "item": "- One is. Two is.\n\n  Three is. Four is.",
    "link": "See [the long title. Of it. And on](https://ormel.example/a/b?c=d.e) for more",
    "string": 'The sign says "No one. May enter. At any time" in red',
    "code": "Enter `cd a. ls b. rm c` and wait",
    "URL": "Open https://ormel.example/a.b/c-d?e=f!g&h=i(j)k and wait",
}
PIECES = {
    **{kind: WHOLE[kind] for kind in ("fence", "tilde fence", "row", "item")},
    "link": "[the long title. Of it. And on](https://ormel.example/a/b?c=d.e)",
    "string": '"No one. May enter. At any time"',
    "code": "`cd a. ls b. rm c`",
    "URL": "https://ormel.example/a.b/c-d?e=f!g&h=i(j)k",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_fence_row_item_link_string_or_url_that_fits_is_in_one_part(kind: str):
    for words in range(12):
        before = " ".join(["word"] * words + ["is."])
        text = f"{before}\n\n{WHOLE[kind]}\n\nProse follows here. It is short."
        for limit in range(count_words(PIECES[kind]) + 5, 40):
            assert any(PIECES[kind] in part for _, part in shown(Document("d", text), limit)), (words, limit)


def test_a_fence_longer_than_a_part_ends_at_a_line():
    text = "```\n" + "\n\n".join(f"a = {number}  # comment. And more." for number in range(30)) + "\n```"
    parts = [part for _, part in shown(Document("d", text), 20)]
    assert len(parts) > 5
    assert all(part.endswith("\n") for part in parts[:-1])


# The heading of a part


def test_a_whole_document_has_no_heading():
    assert shown(Document("d", "# One\n\nA b. C d.", "Title"), 100) == [("", "# One\n\nA b. C d.")]


def test_a_part_begins_with_the_title_and_its_section_path():
    text = f"# Router\n\n{ADA}\n\n## Model A\n\n{ADA} {BO}\n\n### Password\n\n{CARLA} {DAN}"
    assert shown(Document("d", text, "Handbook"), 7) == [
        ("Handbook\n\n", f"# Router\n\n{ADA}\n\n"),
        ("Handbook > Router\n\n", f"## Model A\n\n{ADA} "),
        ("Handbook > Router > Model A\n\n", f"{BO}\n\n"),
        ("Handbook > Router > Model A\n\n", f"### Password\n\n{CARLA} "),
        ("Handbook > Router > Model A > Password\n\n", DAN),
    ]


def test_a_title_that_is_the_first_heading_occurs_once():
    text = f"# Router\n\n{ADA} {BO}\n\n## Model A\n\n{CARLA}"
    headings = [heading for heading, _ in shown(Document("d", text, "Router"), 12)]
    assert headings == ["", "Router\n\n"]


def test_a_section_ends_at_a_heading_of_its_level_or_above():
    text = f"# A\n\n## B\n\n{ADA} {BO}\n\n## C\n\n{ADA} {BO}\n\n# D\n\n{ADA} {BO}"
    headings = [heading for heading, _ in shown(Document("d", text), 8)]
    assert headings == ["", "A > B\n\n", "A\n\n", "A > C\n\n", "", "D\n\n"]


def test_a_document_without_title_and_headings_has_parts_without_heading():
    assert {heading for heading, _ in shown(Document("d", f"{ADA} {BO} {CARLA}"), 4)} == {""}


def test_a_title_of_several_lines_is_one_line_in_a_heading():
    parts = shown(Document("d", f"{ADA} {BO}", " Two \n lines "), 4)
    assert [heading for heading, _ in parts] == ["Two lines\n\n"] * 2


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("title", ["", "Ports"])
def test_every_part_of_a_table_has_the_header_row(title: str, end: str):
    header = f"| name | boats |{end}|------|-------|{end}"
    rows = [f"| Port{number} | {number} |{end}" for number in range(20)]
    document = Document("d", f"# List{end}{end}{header}{''.join(rows)}{end}It ends here.", title)
    (first, start), *others = shown(document, 27)
    path = " > ".join(filter(None, [title, "List"]))
    assert (first, start.count(header)) == (f"{title}\n\n" if title else "", 1)
    assert len(others) > 2
    for heading, text in others[:-1]:
        assert heading == f"{path}\n\n{header}"
        assert all(f"{row}{end}" in rows for row in text.split(end)[:-1])
    assert "".join(text for _, text in [(first, start), *others]) == document.text


def test_the_header_row_is_not_repeated_after_the_table():
    header, row = "| name | boats |\n|------|-------|\n", "| Ormel | 3 |\n"
    text = f"{header}{row * 6}\nIt ends here. " + "Tarn has a mill. " * 6
    parts = shown(Document("d", text, "Ports"), 25)
    after = [heading for heading, part in parts if part.startswith("Tarn")]
    assert after
    assert set(after) == {"Ports\n\n"}


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
    st.lists(
        st.sampled_from(
            ["# A\n\n", "B\n=\n", "- a\n", "  - b\n", "1. c\n", "| a | b |\n", "|---|---|\n", "```\n", "a. b\n"]
        )
    ).map("".join),
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
def test_books_are_split_at_chapters_blocks_and_sentences():
    books = read_documents(DATA / "books")
    assert len(books) == 15
    assert all(book.title.startswith("Title: ") and "\r" not in book.text for book in books)
    for book in books:
        parts = split_document(book, count_words, 300)
        assert_tiled(book, parts, count_words, 300)
        assert all(re.search(r"""[.!?]["'”’)*_]*\s+$|\n\s*\n\s*$|$""", part.text) for part in parts)
        sizes = [count_words(part.text) for part in parts[:-1]]
        assert sum(sizes) / len(sizes) > 0.75 * 300  # whole paragraphs and chapters
