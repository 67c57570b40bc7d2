"""Views in other languages and scripts: sentence boundaries, proofs, and the spaces between sentences."""

import re

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentences import sentences
from hf_knowlearn.views import FAMILIES, TooFewViewsError, prove

# Language -> sentences with abbreviations, initials, ordinals or decimal numbers, as they stand in a text.
SENTENCES = {
    "de": [
        "Frau Dr. Lena Hartmann leitet die Mühle in Tarn.",
        "Sie kostet z. B. 3,5 Mio. Euro im Jahr.",
        "Am 3. Mai 1990 zog Prof. Weber nach Ormel.",
        "Der Hafen liegt ca. 4 km südlich.",
    ],
    "fr": [
        "M. Dupont habite à Tarn.",
        "Mme Leroy dirige le moulin.",
        "Le port d'Ormel, p. ex., est petit.",
        "Le Dr Martin y travaille depuis le 1er mai 1990.",
    ],
    "es": [
        "El Sr. García vive en Tarn.",
        "La Sra. López dirige el molino.",
        "El Dr. Ruiz trabaja en Ormel.",
        "El puerto mide aprox. 4 km.",
    ],
    "ru": [
        "Завод стоит в \u0433. Москва.",
        "Поэт \u0410. \u0421. Пушкин жил рядом.",
        "Порт Ормел закрыт зимой.",
        "Мост построен в 1990 \u0433. инженером.",
    ],
    "ja": [
        "タルンには水車があります。",
        "オルメルの港は小さいです。",
        "山田さんは1990年に生まれました\uff01",
        "価格は3.5万円です。",
    ],
    "zh": [
        "塔恩有一座磨坊。",
        "奥梅尔的港口很小。",
        "王先生生于1990年\uff01",
        "价格是3.5万元。",
    ],
    "ar": [
        "يوجد في تارن طاحونة.",
        "ميناء أورميل صغير.",
        "وُلد د. أحمد عام 1990.",
        "السعر 3.5 دينار.",
    ],
    "hi": [
        "तार्न में एक चक्की है।",
        "बंदरगाह छोटा है।",
        "डॉ. शर्मा का जन्म 1990 में हुआ।",
        "दूरी १.५ किलोमीटर है।",
    ],
}
UNSPACED = ("ja", "zh")


def document(language, paragraphs=1):
    separator = "" if language in UNSPACED else " "
    text = "\n\n".join([separator.join(SENTENCES[language])] * paragraphs)
    return Document(language, text, title="Tarn", language=language)


def views_of(document, family, number=150):
    try:
        return FAMILIES[family](document, number)
    except TooFewViewsError as error:
        return FAMILIES[family](document, error.available) if error.available else []


@pytest.mark.parametrize("language", SENTENCES)
def test_the_sentences_end_at_the_ends_of_sentences_only(language):
    assert sentences(document(language).text, language).texts == SENTENCES[language]


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_view_is_proved(language, family, check_proof):
    text = document(language, paragraphs=2)
    views = views_of(text, family)
    assert len(views) == 150 or family == "order"
    for view in views:
        prove(view, text)
        check_proof(view, text)


@pytest.mark.parametrize("language", UNSPACED)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_view_puts_a_space_after_a_sentence_of_a_script_without_spaces(language, family):
    for view in views_of(document(language, paragraphs=2), family, 1500):
        assert not re.search("[\u3002\uff01][\u201d\u300d\u300f\u00bb]?[^\\S\n]", view.text), view.format


@pytest.mark.parametrize("language", UNSPACED)
def test_sentences_of_a_script_without_spaces_get_line_breaks_and_marks(language):
    text = document(language)
    views = {view.format: view.text for view in views_of(text, "formats", 5000)}
    one, two, three, four = SENTENCES[language]
    assert views["breaks.sentence_lines"] == f"{one}\n{two}\n{three}\n{four}"
    assert views["lists.dash"] == f"- {one}\n- {two}\n- {three}\n- {four}"
    quoted = "".join(f"\u300c{sentence}\u300d" for sentence in SENTENCES[language])
    assert views["marks.corner_quotes"] == quoted
    assert views["headings.text"] == f"Text: {text.text}"
    assert not any("breaks.wrap" in name or "spacing.double" in name for name in views)


@pytest.mark.parametrize("language", UNSPACED)
def test_lines_of_a_script_without_spaces_are_joined_without_a_space(language):
    text = Document("d", "\n".join(SENTENCES[language]), language=language)
    for view in views_of(text, "formats", 300):
        assert not re.search("[\u3002\uff01] ", view.text), view.format


def test_english_sentences_of_a_chinese_text_are_separated_by_a_space():
    text = Document(
        "d", "\u4f60\u597d\u3002\u4e16\u754c\u3002Tarn has a mill. It is old.\u4f60\u597d\u3002", language="zh"
    )
    views = {view.format: view.text for view in views_of(text, "formats", 5000)}
    assert views["headings.text"] == f"Text: {text.text}"
    assert views["marks.star"].endswith("*Tarn has a mill.**It is old.**\u4f60\u597d\u3002*")


@pytest.mark.parametrize("language", [language for language in SENTENCES if language not in UNSPACED])
@pytest.mark.parametrize("family", ["formats", "order", "mixed"])
def test_sentences_of_a_script_with_spaces_are_never_joined(language, family):
    text = document(language, paragraphs=2)
    for view in views_of(text, family, 1500):
        ends = [at + length for at, _, length in view.spans]
        starts = [at for at, _, _ in view.spans][1:]
        for end, start in zip(ends, starts, strict=False):
            assert any(map(str.isspace, view.text[end:start])), view.format


def test_a_korean_text_keeps_the_spaces_between_its_sentences():
    text = Document(
        "d",
        "타른에 방앗간이 있다. 항구는 작다.",
        language="ko",
    )
    views = {view.format: view.text for view in views_of(text, "formats", 5000)}
    assert views["headings.text"] == f"Text: {text.text}"
