"""Sentences: boundaries, breaks, and linear time."""

import time

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentences import PARAGRAPH, SENTENCE, SOFT, sentences
from hf_knowlearn.views import FAMILIES, prove

NI_HAO, SHI_JIE = "\u4f60\u597d\u3002", "\u4e16\u754c\u3002"


def test_pieces_have_positions_and_breaks():
    first, second = "The harbour of Ormel is small but deep.", "In winter its two ice-breakers keep"
    pieces = sentences(f" {first}  {second}\nit open.\n\n# Three\n\nFour.\n")
    assert pieces.texts == [first, second, "it open.", "# Three", "Four."]
    assert pieces.starts == [1, 42, 78, 88, 97]
    assert pieces.lengths == [39, 35, 8, 7, 5]
    assert pieces.breaks == [PARAGRAPH, SENTENCE, SOFT, PARAGRAPH, PARAGRAPH]
    assert pieces.verbatim == [False, False, False, True, False]


def test_an_abbreviation_does_not_end_a_sentence_and_a_full_width_stop_does():
    assert sentences("Mr. Smith met Dr. Jones at 3.50 p.m. on Monday. He left.").texts == [
        "Mr. Smith met Dr. Jones at 3.50 p.m. on Monday.",
        "He left.",
    ]
    assert sentences(NI_HAO + SHI_JIE, "zh").texts == [NI_HAO, SHI_JIE]


def test_sentence_ends_depend_on_the_language():
    assert len(sentences("Er kam am 3. Mai. Sie nicht.", "de").texts) == 2
    assert len(sentences("Er kam am 3. Mai. Sie nicht.", "en").texts) == 3
    assert sentences("One is. Two is.", "no such language").texts == ["One is.", "Two is."]


@pytest.mark.parametrize(
    ("gap", "kind"),
    [
        (" ", SENTENCE),
        ("  ", SENTENCE),
        ("\n", SENTENCE),
        ("\r\n", SENTENCE),
        ("\n\n", PARAGRAPH),
        ("\n \n", PARAGRAPH),
        ("\r\n\r\n", PARAGRAPH),
        ("\n\n\n\n", PARAGRAPH),
    ],
)
def test_a_paragraph_begins_after_a_blank_line(gap, kind):
    pieces = sentences(f"One is here.{gap}Two is there.")
    assert pieces.texts == ["One is here.", "Two is there."]
    assert pieces.breaks == [PARAGRAPH, kind]


@pytest.mark.parametrize(
    "text",
    [
        "Quoi ?\u00a0Non.",  # a no-break space
        "Non.\u00a0Si.",
        "Non.\u202fSi.",
        "One.\tTwo.",
        "One.\u2028Two.",
        "See http://a.b/c.D and e.F.",
        "J.\u00c9.Smith is here",  # no space, though a letter is not ASCII
        "\u0410.\u0421.\u041f\u0443\u0448\u043a\u0438\u043d",
        "It has 7.\u0301 Then",  # a dot with an accent
        "Ah! \u0301x",  # a space with an accent
        "Oh\u203c\ufe0f",  # an emoji of two characters
        "Oh!\u200dNo.",
    ],
)
@pytest.mark.parametrize("language", ["en", "fr", "ru"])
def test_there_is_no_boundary_inside_a_word_or_at_special_white_space(text, language):
    assert sentences(text, language).texts == [text]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (f"{NI_HAO}{SHI_JIE}", "zh", [NI_HAO, SHI_JIE]),
        (f"{NI_HAO}\u3000{SHI_JIE}", "ja", [NI_HAO, f"\u3000{SHI_JIE}"]),
        ("\u0939\u0948\u0964\u0935\u0939\u0964", "hi", ["\u0939\u0948\u0964", "\u0935\u0939\u0964"]),
        ("One. \u00a0Two.", "en", ["One.", "\u00a0Two."]),
        ("In 1990.\n\n2000 came.", "en", ["In 1990.", "2000 came."]),
        ("It had 10\n\n20 came.", "en", ["It had 10", "20 came."]),
    ],
)
def test_some_scripts_have_boundaries_without_a_space(text, language, expected):
    assert sentences(text, language).texts == expected


@pytest.mark.parametrize(
    ("line_break", "is_boundary"),
    [
        ("One\ntwo", True),
        ("One \r\ntwo", True),
        ("10\n000", False),
        ("\u4f60\n\u597d", False),
        ("x\n\u0301", False),
        ("One\u00a0\ntwo", False),
        ("One\n\u00a0two", False),
    ],
)
def test_a_line_break_in_a_sentence_is_a_boundary_if_a_space_could_replace_it(line_break, is_boundary):
    text = f"The harbour of Ormel is small but deep, and so is {line_break} there and everywhere else."
    assert (len(sentences(text).texts) == 2) == is_boundary


def test_a_text_of_more_than_10000_characters_retains_every_blank_line():
    # sentencex 1.0.32 drops the blank line about every 10,000 characters. If this no longer fails, sentencex fixed it.
    from sentencex import segment

    text = "Ab is cd.\n\n" * 3000
    assert len("".join(segment("en", text))) < len(text)
    pieces = sentences(text)
    assert pieces.starts == list(range(0, 33_000, 11))
    assert set(pieces.lengths) == {9}
    assert set(pieces.breaks) == {PARAGRAPH}


@pytest.mark.parametrize(
    ("sentence", "language", "gap"), [("Ab is cd.", "en", " "), ("Is it so?", "en", "  "), (NI_HAO, "zh", "")]
)
def test_the_length_of_a_paragraph_does_not_change_its_sentences(sentence, language, gap):
    pieces = sentences(gap.join([sentence] * 8000), language)
    assert pieces.texts == [sentence] * 8000


def test_a_very_long_sentence_is_one_piece_and_later_ones_are_found():
    text = "word " * 20_000 + "end. Two is. Three is."
    assert sentences(text).texts == ["word " * 20_000 + "end.", "Two is.", "Three is."]
    assert sentences("a" * 100_000).texts == ["a" * 100_000]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_document_is_segmented_once(family, monkeypatch):
    import sentencex

    segmented = []
    segment = sentencex.segment
    monkeypatch.setattr(sentencex, "segment", lambda *args: segmented.append(args) or segment(*args))
    document = Document("d", f"One is {family}. Two is there. Three is not.")
    FAMILIES[family](document, 12)
    assert segmented == ([] if family == "masked" else [("en", document.text)])


GROWING = {
    "blank lines of spaces": lambda n: f"One.\n\n{' ' * n}\n\nTwo.",
    "blank lines of tabs": lambda n: f"One.\n\n{chr(9) * n}\n\nTwo.",
    "blank lines of no-break spaces": lambda n: f"One.\n\n{chr(160) * n}\n\nTwo.",
    "carriage returns in a sentence of two lines": lambda n: f"One{chr(13) * n}is here and\nthere too.",
    "blank lines": lambda n: "One" + "\n" * n + "Two.",
    "backticks": lambda n: "`" * n + "\nOne.",
    "backticks in a line": lambda n: "``` ```` `` " * (n // 12),
    "fences": lambda n: "One.\n\n" + "```\n" * (n // 4),
    "quotation marks": lambda n: "it's 'a' " * (n // 9),
    "long strings": lambda n: "import os\n" + "'''\"\"\"" * (n // 6),
    "brackets in code": lambda n: "import os\na[]" + ":]" * (n // 2),
    "a long class": lambda n: "class " + "a" * n,
    "dashes": lambda n: "- " * (n // 2) + "x\nOne.",
    "short lines": lambda n: "ab\n" * (n // 3),
    "sentences": lambda n: "Ab is. " * (n // 7),
    "paragraphs": lambda n: "Ab is.\n\n" * (n // 8),
    "headings": lambda n: "# Ab\n\nAb is. Be is.\n\n" * (n // 20),
    "Chinese": lambda n: NI_HAO * (n // 3),
    "digits": lambda n: "1 " * (n // 2),
    "no sentence end": lambda n: "word " * (n // 5),
    "one word": lambda n: "a" * n,
    "accents": lambda n: "e" + "\u0301" * n,
    "underscores": lambda n: "_\u4f60" * (n // 2),
}


@pytest.mark.parametrize("kind", GROWING)
def test_sentences_are_found_in_linear_time(kind):
    text = GROWING[kind](200_000)
    start = time.process_time()
    sentences.__wrapped__(text)
    assert time.process_time() - start < 2.5  # at most 0.4 s; in quadratic time 10 s and more


@pytest.mark.slow
@pytest.mark.parametrize("kind", GROWING)
def test_views_are_made_proved_and_searched_in_linear_time(kind):
    document = Document("d", GROWING[kind](200_000))
    start = time.process_time()
    for make_views in FAMILIES.values():
        try:
            views = make_views(document, 3)
        except ValueError:  # there are no orders of one sentence
            continue
        for view in views:
            prove(view, document)
            view.find("no such answer")
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("M.S. Sripathy wrote it. Ko. Ananda sang.", ["M.S. Sripathy wrote it.", "Ko. Ananda sang."]),
        ("It is of A. M. Edwin. She was Ms. Marvel.", ["It is of A. M. Edwin.", "She was Ms. Marvel."]),
        ("Yogi. G. Raj came. He saw Smt. Uma.", ["Yogi. G. Raj came.", "He saw Smt. Uma."]),
        ("He lived in the U.S. He sang.", ["He lived in the U.S. He sang."]),  # the cost of not splitting names
        ("He did so. It ended in June.\n\nPlan B.\n\nIt did.", None),
    ],
)
def test_names_are_not_split(text: str, pieces: list[str] | None):
    expected = pieces or ["He did so.", "It ended in June.", "Plan B.", "It did."]
    assert sentences(text).texts == expected
