"""Facts: the characters that carry them, by script."""

import pytest

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import is_whole_word
from hf_knowlearn.documents.facts import fact_spans, identifying_spans
from hf_knowlearn.views import raw_view


def facts_in(text: str, language: str = "en", title: str = "", answers: tuple[str, ...] = ()) -> list[str]:
    document = Document("d", text, title, language)
    questions = [Question(f"q{i}", "What?", (answer,), "d") for i, answer in enumerate(answers)]
    return [text[start:end] for start, end in fact_spans(document, questions)]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("It was 1,000.50 or 3-4 at 10:30 on 1954-03-12.", ["1,000.50", "3-4", "10:30", "1954-03-12"]),
        ("It has 12\u00a0000 rows, 7. Then 8.", ["12\u00a0000", "7", "8"]),
        ("1. it is a label\n2) so is this, of 3 things", ["3"]),
        ("On 3 May it met Ada Lovelace.", ["3", "May", "Ada Lovelace"]),
        ("It was J. R. R. Tolkien or Dr. Smith, O'Brien\u2019s Jean-Pierre.", [
            "J. R. R. Tolkien", "Dr. Smith", "O'Brien", "Jean-Pierre",
        ]),
        ("Flatly I said so, and I'm sure.", []),
        ("He said: \"Nobody came.\" Nothing else.", []),
    ],
)  # fmt: skip
def test_numbers_and_names_are_facts(text: str, facts: list[str]):
    assert facts_in(text) == facts


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("Tarn grinds rye.", []),
        ("Tarn grinds rye. It is old Tarn.", ["Tarn", "Tarn"]),
        ("Tarn Mill grinds rye.", ["Tarn Mill"]),
        ("Old Tarn grinds rye, as old mills do.", ["Tarn"]),  # "old" is a word of its own
        ("At Drinsel College it was. The Tarn mill.", ["Drinsel College", "Tarn"]),
        ("It was in The Hague. The end.", ["The Hague"]),
    ],
)
def test_the_first_word_of_a_sentence_is_a_name_if_other_evidence_confirms_it(text: str, facts: list[str]):
    assert facts_in(text) == facts


def test_the_first_word_is_a_name_if_the_title_has_it():
    assert facts_in("Tarn grinds rye. The end.", title="The Mill: Tarn") == ["Tarn"]


@pytest.mark.parametrize(
    ("language", "text", "facts"),
    [
        ("de", "Die M\xfchle in Tarn mahlt Roggen. In Ormel steht sie.", ["M\xfchle", "Tarn", "Roggen", "Ormel"]),
        ("fr", "L'Or\xe9al est \xe0 Paris. Il vient d'\xc9vry.", ["Or\xe9al", "Paris", "\xc9vry"]),
        ("ru", "\u0412 \u041c\u043e\u0441\u043a\u0432\u0435, 1954.", ["\u041c\u043e\u0441\u043a\u0432\u0435", "1954"]),
        (
            "zh",
            "\u4ed6\u4e8e1954\u5e74\u5728IBM\u5de5\u4f5c,\u5199\u4e86\u300a\u7ea2\u697c\u68a6\u300b\u548ciPhone\u8f6f\u4ef6\u3002",
            ["1954", "IBM", "\u7ea2\u697c\u68a6", "iPhone"],
        ),
        (
            "ja",
            "\u5f7c\u306f\u30b3\u30f3\u30d4\u30e5\u30fc\u30bf\u3092\u30a2\u30e9\u30f3\u30fb\u30ed\u30d9\u30fc\u30eb\u306b\uff11\uff12\u6708\u3002",
            [
                "\u30b3\u30f3\u30d4\u30e5\u30fc\u30bf",
                "\u30a2\u30e9\u30f3\u30fb\u30ed\u30d9\u30fc\u30eb",
                "\uff11\uff12",
            ],
        ),
        (
            "ar",
            "\u0648\u0644\u062f \u0639\u0627\u0645 \u0661\u0669\u0665\u0664 \u0641\u064a \xab\u0645\u0635\u0631\xbb.",
            ["\u0661\u0669\u0665\u0664", "\u0645\u0635\u0631"],
        ),
        (
            "hi",
            "\u0935\u0939 \u096a \u092e\u0947\u0902 \u201c\u092e\u0941\u0902\u092c\u0908\u201d",
            ["\u096a", "\u092e\u0941\u0902\u092c\u0908"],
        ),
        ("th", "\u0e40\u0e01\u0e34\u0e14\u0e17\u0e35\u0e48\u0e40\u0e21\u0e37\u0e2d\u0e07", []),
    ],
)
def test_other_languages_have_their_own_rules(language: str, text: str, facts: list[str]):
    assert facts_in(text, language) == facts


def test_a_long_quotation_is_not_a_fact():
    quoted = "\u300c{}\u300d\u3002"
    assert facts_in(quoted.format("\u732b" * 40), "ja") == ["\u732b" * 40]
    assert facts_in(quoted.format("\u732b" * 41), "ja") == []
    assert facts_in("\u201cit rains\u201d is said in 1954") == ["1954"]  # letters with case


def test_answers_match_whole_words_in_any_case_and_replace_the_rules():
    text = "Sixty ferries of Ormel leave at six. It carries forty cars."
    assert facts_in(text, answers=("Six", "at six", "FORTY")) == ["at six", "forty"]
    assert facts_in(text, answers=("nowhere",)) == []
    other = Question("q", "What?", ("forty",), "another")
    assert fact_spans(Document("d", text), [other]) == fact_spans(Document("d", text)) == ((17, 22),)


def test_identifying_spans_are_answers_and_facts_by_rule():
    document = Document("d", "Tarn Mill grinds rye.")
    rye = Question("q", "What?", ("rye",), "d")
    assert fact_spans(document, [rye]) == ((17, 20),)
    assert identifying_spans(document, [rye]) == ((0, 9), (17, 20))


def test_whole_words_are_those_of_coverage():
    from hf_knowlearn.views.coverage import contains_answer

    texts = ("Honor is Dramatic", "no, drama!", "\u732b\u304c\u597d\u304d", "XNo NO")
    for text in texts:
        view = raw_view(Document("d", text))
        for answer in ("No", "Drama", "\u732b", "dramatic is"):
            assert bool(view.find_whole_words(answer)) == contains_answer(view, (answer,))
    assert is_whole_word("no.", 0, 2)
    assert not is_whole_word("nor", 0, 2)
