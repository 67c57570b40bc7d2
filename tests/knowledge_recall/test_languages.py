"""Languages other than English: values from MLQA's script, and the rules for Japanese."""

import pytest

from hf_knowlearn.knowledge_recall import contains, exact_match, f1, normalize, score
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        # From mlqa_evaluation_v1.py at commit 5ef5c731.
        ("es", "¿El Río de la Plata?", "río de plata"),
        ("es", "la lagarta, 5$", "lagarta 5"),
        ("vi", "Những cái bàn của tôi", "bàn tôi"),
        ("de", "Die „Schöne“ – der Main", "schöne main"),
        ("ar", "السلام، كتاب المقال", "سلام كتاب مق"),  # inside a word too: MLQA's rule
        ("hi", "दिल्ली, भारत।", "दिल्ली भारत"),
        ("zh", "北京《Beijing》2008年", "北 京 beijing2008 年"),
        ("zh", "上海市 foo bar。", "上 海 市 foo bar"),
        # Ours.
        ("ja", "東京タワー「とうきょうタワー」", "東 京 タ ワ ー と う き ょ う タ ワ ー"),
        ("ja", "JR東日本・駅", "jr 東 日 本 駅"),
        ("und", "L’Île – the «Île»", "lîle the île"),
        # SQuAD's.
        ("en", "The “Île”", "“île”"),
    ],
)
def test_normalisation_by_language(language, text, normal):
    assert normalize(text, language) == normal


def test_articles_are_those_of_the_language():
    assert exact_match("der Main", ["Main"], "de")
    assert not exact_match("der Main", ["Main"])
    assert not exact_match("the Main", ["Main"], "de")


def test_f1_of_chinese_and_japanese_counts_characters():
    assert f1("上海", ["上海市"], "zh") == pytest.approx(2 * 2 / (2 + 3))
    assert f1("東京", ["東京都"], "ja") == pytest.approx(2 * 2 / (2 + 3))
    assert f1("上海", ["上海市"], "en") == 0


def test_an_answer_is_found_in_a_chinese_or_japanese_sentence():
    assert contains("她出生在上海市。", ["上海"], "zh")
    assert not contains("她出生在海上。", ["上海"], "zh")
    assert contains("彼女は東京で生まれました。", ["東京"], "ja")


def test_words_of_chinese_and_japanese_answers_are_characters():
    assert score(["她出生在上海"], [["上海"]], language="zh")["mean_answer_words"] == 6
    assert score(["东京\n上海"], [["上海"]], language="zh")["contains"] == 1
    assert score(["she was born"], [["x"]], language="de")["mean_answer_words"] == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_correct_predictions_have_perfect_scores_in_every_language(language):
    figures = score(["Main 上海 東京", "دلهي\nx"], [["main 上海 東京"], ["دلهي"]], language=language)
    assert (figures["exact_match"], figures["f1"], figures["contains"], figures["wrong"]) == (1, 1, 1, 0)


def test_whether_an_answer_is_empty_after_normalisation_depends_on_the_language():
    with pytest.raises(ValueError, match=r"references\[0\] is \['Der'\]: every accepted answer"):
        score(["x"], [["Der"]], language="de")
    assert score(["der"], [["Der"]])["exact_match"] == 1


@pytest.mark.parametrize("judge", [lambda: normalize("x", "fr"), lambda: f1("x", ["x"], "fr")])
def test_an_unknown_language_is_an_error_with_the_known_ones(judge):
    with pytest.raises(ValueError, match=r"language is 'fr': choose from en, ar, de, es, hi, ja, und, vi, zh"):
        judge()
