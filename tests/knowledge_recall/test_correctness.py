"""Tests of `correct`: pairs of a response and an answer, and whether the response is correct."""
# ruff: noqa: RUF001

import ast
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_knowlearn.knowledge_recall import correct, exact_match, f1, score
from hf_knowlearn.knowledge_recall.correctness import answer_key, unicode_normal
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES

FOLDER = Path(__file__).parents[2] / "hf_knowlearn" / "knowledge_recall"
NOT_SCORING = {"__init__", "app", "knowledge_recall"}

SAME = [
    # Unicode
    ("Mu\u0308ller", "Müller"),
    ("Pa\u200bris", "Paris"),
    ("Pa\u00adris", "Paris"),
    ("\ufeffParis", "Paris"),
    ("O’Brien", "O'Brien"),
    ("O`Brien", "O'Brien"),
    ("“Lyon”", '"Lyon"'),
    ("«Lyon»", "Lyon"),
    ("−5", "-5"),
    ("–5", "-5"),
    ("１８３１", "1831"),
    ("١٩٧٤", "1974"),
    ("ﬁre", "fire"),
    ("STRASSE", "Straße"),
    ("New\u00a0York", "New York"),
    ("½", "1/2"),
    ("3½", "3 1/2"),
    ("H₂O", "H2O"),
    ("m²", "m^2"),
    # articles, sentence punctuation and marks around the text
    ("The Lyon.", "Lyon"),
    ("the Beatles", "The Beatles!"),
    ('"1974"', "1974"),
    ("**Paris**", "Paris"),
    ("- Paris", "Paris"),
    ("¿Lyon?", "Lyon"),
    ("U.S.", "US"),
    ("St. Louis", "St Louis"),
    ("New York, NY", "New York NY"),
    ("Jean–Paul", "Jean-Paul"),
    ("F-16", "F16"),
    ("1990's", "1990s"),
    # numbers
    ("1,000", "1000"),
    ("1 000", "1000"),
    ("1\u202f000", "1000"),
    ("1’000", "1000"),
    ("1,00,000", "100000"),
    ("1,234,567.80", "1234567.8"),
    ("3.50", "3.5"),
    ("1.10", "1.1"),
    (".5", "0.5"),
    ("...5", "5"),
    ("5.", "5"),
    ("+5", "5"),
    ("-0", "0"),
    ("1e3", "1000"),
    ("1.5 × 10³", "1500"),
    ("2e-3", "0.002"),
    ("1831", "1831."),
    ("about 1,000", "about 1000"),
    # amounts
    ("5 km", "5km"),
    ("5-km", "5 km"),
    ("5 %", "5%"),
    ("1,000 km", "1000 km"),
    ("5 ºC", "5°C"),
    ("$ 5.00", "$5"),
    ("-$5", "$-5"),
    ("5 p.m.", "5 pm"),
    ("5 kilometres", "5 km"),
    ("EUR 5", "5 euros"),
    ("5 percent", "5%"),
    ("1.5 million", "1,500,000"),
    ("four", "4"),
    ("forty-five minutes", "45 min"),
    ("Two hundred", "200"),
    ("two hundred and five", "205"),
    # times
    ("8:40", "08:40"),
    ("8:40 a.m.", "8:40"),
    ("8.40 pm", "20:40"),
    ("12:10 a.m.", "0:10"),
    ("6 o'clock", "6:00"),
    # dates
    ("2 June 2023", "June 2, 2023"),
    ("2 June 2023", "2023-06-02"),
    ("2nd June 2023", "2 June 2023"),
    ("the 2nd of June, 2023", "Jun. 2nd 2023"),
    ("2-Jun-2023", "2023/6/2"),
    ("June 2", "2nd of June"),
    ("Sept 1999", "September, 1999"),
    ("29 February", "February 29"),
    ("13/04/2023", "13 April 2023"),
    ("04/13/2023", "13 April 2023"),
    ("1990 – 1995", "1990-1995"),
]
DIFFERENT = [
    ("35", "3.5"),
    ("5", "-5"),
    ("C", "C++"),
    ("C", "C#"),
    ("C++", "C#"),
    ("12", "1/2"),
    ("31/2", "3½"),
    ("1/2", "0.5"),
    ("103", "10³"),
    ("102", "10₂"),
    ("123", "1,23"),
    ("1.23", "1,23"),
    ("10000", "1,0000"),
    ("1234", "1, 234"),
    ("1", "1,000"),
    ("1.10.0", "1.1.0"),
    ("v1.10", "v1.1"),
    ("007", "7"),
    ("5", "$5"),
    ("€5", "$5"),
    ("5", "5%"),
    ("5", "5 km"),
    ("5 miles", "5 km"),
    ("5", "5'"),
    ("62", "6'2\""),
    ("5 kg", "5 kg/m³"),
    ("A", "A-"),
    ("A", "A+"),
    ("A+", "A-"),
    ("5", "5+"),
    ("2", "II"),
    ("3", "3rd"),
    ("forth", "4"),
    ("three four", "7"),
    ("8:40", "8:40 pm"),
    ("8:40", "8:04"),
    ("25:10", "1:10"),
    ("1230", "12:30"),
    ("19901995", "1990-1995"),
    ("Vitamin", "Vitamin A"),
    ("ATT", "AT&T"),
    ("resume", "résumé"),
    ("3 April 2023", "03/04/2023"),
    ("March 4, 2023", "03/04/2023"),
    ("3/4/2023", "03/04/2023"),
    ("2023-04-03", "03/04/2023"),
    ("June 2023", "3 May 2023"),
    ("2 June 44 BC", "2 June 44"),
    ("30 February 2023", "February 30, 2023"),
    ("9" * 60, "9" * 59 + "8"),
    ("0.1000000000000000000000000000000000001", "0.1"),
    ("?", "!"),
    ("", "The"),
    ("the", "a"),
]
BY_LANGUAGE = [
    ("de", "1.000", "1000", True),
    ("de", "1.000,50", "1000,5", True),
    ("de", "3,5", "3,50", True),
    ("de", "1,000", "1000", False),
    ("en", "1.000", "1000", False),
    ("de", "3.5", "3,5", False),
    ("de", "35", "3,5", False),
    ("de", "2. Juni 2023", "2023-06-02", True),
    ("de", "02.06.2023", "2. Juni 2023", True),
    ("de", "3. März 1990", "3 Mrz. 1990", True),
    ("de", "Der Main.", "Main", True),
    ("en", "02.06.2023", "2 June 2023", False),
    ("es", "2 de junio de 2023", "2023-06-02", True),
    ("es", "1.º de mayo", "1 mayo", True),
    ("es", "El Greco", "Greco", True),
    ("vi", "ngày 2 tháng 6 năm 2023", "2/6/2023", False),
    ("vi", "ngày 2 tháng 06 năm 2023", "2023-06-02", True),
    ("ar", "٢ يونيو ٢٠٢٣", "2023-06-02", True),
    ("ar", "٣٫٥", "3.50", True),
    ("ar", "السلام", "سلام", True),
    ("hi", "2 फ़रवरी 2023", "2023-02-02", True),
    ("hi", "1,00,000", "१०००००", True),
    ("zh", "2023年6月2日", "2023-06-02", True),
    ("zh", "上 海。", "上海", True),
    ("ja", "「東京」", "東京", True),
    ("ja", "6月2日", "６月２日", True),
    ("und", "1.000", "1000", False),
    ("und", "3,5", "3.5", True),
    ("und", "1 000", "1000", True),
    ("und", "the Main", "a Main", False),
    ("de", "8:40 Uhr", "08:40", True),
    ("de", "12,50 Euro", "12,50 €", True),
    ("de", "fünfundzwanzig", "25", False),
    ("es", "tres kilómetros", "3 km", True),
]


@pytest.mark.parametrize(("response", "answer"), SAME)
def test_another_spelling_of_an_answer_is_correct(response, answer):
    assert correct(response, ["x", answer])


@pytest.mark.parametrize(("response", "answer"), DIFFERENT)
def test_another_answer_is_not_correct(response, answer):
    assert not correct(response, ["x", answer])
    assert not correct(answer, [response])


@pytest.mark.parametrize(("language", "response", "answer", "expected"), BY_LANGUAGE)
def test_numbers_dates_and_articles_follow_the_language(language, response, answer, expected):
    assert correct(response, [answer], language) is expected
    assert correct(answer, [response], language) is expected


MARKS = st.sampled_from(
    ["1", "0", ",", ".", " ", "-", "+", "/", "'", '"', "*", "e", "a ", "%", "$", "²", "½", "年", "June "]
)
TEXTS = st.text(max_size=12) | st.lists(MARKS, max_size=10).map("".join)


@given(TEXTS.filter(unicode_normal), st.sampled_from(LANGUAGES))
def test_every_visible_text_is_correct_for_itself(text, language):
    assert correct(text, [text], language)


@given(TEXTS, TEXTS, st.sampled_from(LANGUAGES))
def test_a_response_with_the_key_of_an_answer_is_correct(first, second, language):
    key = answer_key(language)
    assert correct(first, [second], language) or key(first) != key(second) or key(first) is None


@given(st.integers(-(10**12), 10**12), st.sampled_from(["en", "zh", "ja", "ar"]))
def test_grouped_and_plain_integers_are_equal_and_their_neighbours_are_not(number, language):
    assert correct(f"{number:,}", [str(number)], language)
    assert correct(f"{number:,}".replace(",", " "), [str(number)], language)
    assert not correct(f"{number:,}", [str(number + 1)], language)


@given(st.dates())
def test_every_date_is_equal_in_words_and_in_iso_notation(day):
    assert correct(f"{day.day} {day:%B} {day.year:04}", [day.isoformat()])
    assert correct(f"{day:%B} {day.day}, {day.year:04}", [day.isoformat()])


def test_long_texts_take_no_quadratic_time():
    for text in (
        "..." * 100_000 + "x",
        "*a " * 100_000,
        "'a " * 100_000,
        "1," * 100_000,
        " - " * 100_000,
        "9" * 100_000,
    ):
        assert correct(text, [text])


THOUSAND_ROWS = """
import time
from hf_knowlearn.knowledge_recall import score
texts = [f"{word} {number}" for word in ("Lyon", "Saint-Denis", "June 2,", "$", "Müller’s") for number in range(100)]
predictions = [*texts, *(f"The {text}." for text in reversed(texts))]
references = [[text, f"a {text}", text.replace(" ", "")] for text in [*texts, *texts]]
start = time.process_time()
score(predictions, references)
print(time.process_time() - start)
"""


def test_the_first_thousand_rows_are_scored_in_200_milliseconds():
    command = [sys.executable, "-c", THOUSAND_ROWS]
    seconds = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    assert min(seconds) < 0.2


WORDS = st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=4), min_size=1, max_size=4)


@given(WORDS.map(" ".join) | st.sampled_from(["the", "the Lyon", "a the", "ال", "ال قمر", "der Main"]))
def test_words_without_marks_have_the_key_that_the_rules_for_marks_give_them(text):
    for language in LANGUAGES:
        assert answer_key(language)(text) == answer_key(language)(f"{text}!")


def test_all_digits_dashes_and_invisible_characters_have_one_form():
    forms = {"Nd": lambda sign: str(unicodedata.decimal(sign)), "Pd": lambda _: "-", "Cf": lambda _: ""}
    for sign in map(chr, range(128, sys.maxunicode + 1)):
        if form := forms.get(unicodedata.category(sign)):
            assert unicode_normal(f"a{sign}b") == f"a{form(sign)}b", hex(ord(sign))


def test_the_scores_of_a_run_have_correct_beside_exact_match():
    responses = ["35", "June 2, 2023", "C", "", "I don't know"]
    figures = score(responses, [["3.5"], ["2023-06-02"], ["C++"], ["The", "Lyon"], ["Lyon"]])
    assert (figures["correct"], figures["exact_match"]) == (1 / 5, 3 / 5)
    assert (figures["wrong"], figures["abstention"]) == (2 / 5, 2 / 5)  # "35" and "C"; the last two
    assert figures["correct_se"] == pytest.approx((0.2 * 0.8 / 5) ** 0.5)


def test_samples_and_facts_are_scored_by_correct():
    figures = score([["1,5", "1.5"], ["1.50", "15"]], [["1.5"]] * 2, fact_ids=["f", "f"])
    assert (figures["sample_accuracy"], figures["consistency_all"], figures["consistency_most"]) == (0.5, 0, 0)
    assert score(["3,50\nx"], [["3,5"]], language="de")["correct"] == 1  # the first line
    assert score(["3,50\nx"], [["3,5"]], language="de", whole=True)["correct"] == 0
    assert score(["It is 3,50."], [["3,5"]], language="de")["correct"] == 1  # the first sentence
    assert score(["It is 3,50."], [["3,5"]], language="de", whole=True)["correct"] == 0


def test_exact_match_and_f1_do_not_change():
    assert exact_match("35", ["3.5"])
    assert not exact_match("Mu\u0308ller", ["Müller"])
    assert f1("C", ["C++"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("L", "Lyon"), "answers is 'Lyon': give a list of strings"),
        ((None, ["Lyon"]), "prediction is None: a prediction is one string"),
        (("L", ["Lyon"], "fr"), "language is 'fr': choose from"),
    ],
)
def test_invalid_input_is_an_error_with_the_rule(arguments, words):
    with pytest.raises(ValueError, match=words):
        correct(*arguments)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NOT_SCORING))
def test_scoring_imports_the_standard_library_and_its_own_folder_only(name):
    own = {path.stem for path in FOLDER.glob("*.py")}
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert node.module in own
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {module.partition(".")[0] for module in names} <= sys.stdlib_module_names


def test_a_copy_of_the_folder_scores_without_the_package(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "metric")
    program = "import metric; print(metric.correct('1,000', ['1000']), metric.score(['35'], [['3.5']])['correct'])"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == "True 0.0\n"
