"""The language of documents: given, detected, or that of the other documents."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document, iter_documents, read_documents
from hf_knowlearn.documents.language import is_language_code, language_code, with_languages

TEXTS = {
    "en": "The ferry leaves the harbour of Ormel at six. It crosses the strait in forty minutes.",
    "de": "Die Fähre verlässt den Hafen von Ormel um sechs. Sie überquert die Meerenge in vierzig Minuten.",
    "fr": "Le bac quitte le port d'Ormel à six heures. Il traverse le détroit en quarante minutes.",
    "es": "El transbordador sale del puerto de Ormel a las seis. Cruza el estrecho en cuarenta minutos.",
    "it": "Il traghetto lascia il porto di Ormel alle sei. Attraversa lo stretto in quaranta minuti.",
    "pt": "A balsa sai do porto de Ormel às seis horas. Ela atravessa o estreito em quarenta minutos.",
    "ru": "Паром отходит из гавани Ормель в шесть часов. Он пересекает пролив за сорок минут.",
    "ja": "フェリーは六時にオルメル港を出ます。四十分で海峡を渡ります。",
    "zh": "渡轮六点钟离开奥梅尔港。它在四十分钟内穿过海峡。",
    "ar": "تغادر العبارة ميناء أورميل في الساعة السادسة. تعبر المضيق في أربعين دقيقة.",
    "hi": "नौका छह बजे ओर्मेल बंदरगाह से निकलती है। यह चालीस मिनट में जलडमरूमध्य पार करती है।",
}
# One text that has a language, and three that are too short or have no words.
SHORT = ["Um acht.", "42", "https://example.org/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o"]


def languages(*texts: str) -> list[str]:
    documents = [Document(str(number), text, language="und") for number, text in enumerate(texts)]
    found = list(with_languages(documents))
    assert [document.text for document in found] == list(texts)
    return [document.language for document in found]


@pytest.mark.parametrize("code", TEXTS)
def test_the_language_of_two_sentences_is_detected(code: str):
    assert languages(TEXTS[code]) == [code]


def test_documents_of_one_collection_can_have_different_languages():
    assert languages(*TEXTS.values()) == list(TEXTS)


def test_a_text_without_a_certain_language_has_the_most_frequent_language():
    assert languages(TEXTS["en"], TEXTS["de"], TEXTS["de"], *SHORT, TEXTS["fr"]) == ["en", *["de"] * 5, "fr"]


def test_the_first_documents_wait_for_a_certain_language():
    assert languages(*SHORT, TEXTS["de"], TEXTS["fr"]) == ["de", "de", "de", "de", "fr"]


def test_short_documents_together_show_their_language():
    facts = ["Die Brücke ist aus Holz.", "Der Turm ist hoch.", "Das Tor ist seit Mai zu."]
    assert languages(*facts) == ["de", "de", "de"]


def test_texts_without_words_are_english():
    assert languages(*SHORT[1:]) == ["en", "en"]
    assert languages("word " * 20_000) == ["en"]


def test_a_table_of_numbers_has_no_language():
    numbers = " ".join(f"{number**0.5:.18e}" for number in range(2, 90))
    assert languages(TEXTS["de"], f"Preise\n{numbers}") == ["de", "de"]


def test_a_language_that_no_other_document_has_needs_a_high_probability():
    film = "Le Pot-au-Feu (French: La Passion de Dodin Bouffant) is a 2023 film"
    assert languages(TEXTS["en"], film) == ["en", "en"]


def test_given_languages_stay_and_count_for_other_documents():
    given = Document("a", TEXTS["en"], language="sv-SE")
    other = Document("b", "Kl. 6.", language="und")
    assert [document.language for document in with_languages([given, other])] == ["sv-SE", "sv-SE"]


def test_documents_before_a_problem_are_not_lost():
    def failing():
        yield Document("a", "Short.", language="und")
        raise ValueError("the second row is broken")

    documents = with_languages(failing())
    assert next(documents) == Document("a", "Short.")
    with pytest.raises(ValueError, match="the second row is broken"):
        next(documents)


def test_documents_are_not_held_back_after_the_first_certain_language():
    def endless():
        yield Document("a", TEXTS["de"], language="und")
        yield Document("b", "Kurz.", language="und")
        raise AssertionError("a third document is read")

    documents = with_languages(endless())
    assert [next(documents).language for _ in range(2)] == ["de", "de"]


def test_the_rows_of_a_table_give_the_language(tmp_path: Path, write_rows):
    write_rows(tmp_path / "rows.jsonl", {"text": TEXTS["de"], "language": "EN"}, {"text": TEXTS["de"]})
    assert [document.language for document in read_documents(tmp_path / "rows.jsonl")] == ["en", "de"]
    write_rows(tmp_path / "null.jsonl", {"text": TEXTS["fr"], "language": None}, {"text": "1", "language": ""})
    assert [document.language for document in read_documents(tmp_path / "null.jsonl")] == ["fr", "fr"]


def test_front_matter_gives_the_language_if_it_is_a_code(tmp_path: Path, write):
    for name, line in {"a": "lang: sv", "b": "language: pt_BR", "c": "language: Python"}.items():
        write(tmp_path / f"{name}.md", f"---\n{line}\n---\n\n{TEXTS['de']}")
    assert [document.language for document in read_documents(tmp_path)] == ["sv", "pt-BR", "de"]


def test_the_option_sets_the_language_of_all_documents(tmp_path: Path, write_rows, monkeypatch: pytest.MonkeyPatch):
    import hf_knowlearn.documents.language as module

    monkeypatch.setattr(module, "_identifier", lambda: pytest.fail("the language is detected"))
    path = write_rows(tmp_path / "rows.jsonl", {"text": TEXTS["de"], "language": "no code"}, {"text": TEXTS["fr"]})
    assert [document.language for document in read_documents(path, language="pt_br")] == ["pt-BR", "pt-BR"]


@pytest.mark.parametrize("wrong", ["English", "xx", "", "de_DE.UTF-8", "d", 7])
def test_a_wrong_code_is_an_error_that_names_the_rule(tmp_path: Path, write_rows, wrong):
    path = write_rows(tmp_path / "rows.jsonl", {"text": "One.", "language": wrong or "e"}, {"text": "Two."})
    with pytest.raises(ValueError, match=r'language must be a code of ISO 639 such as "en", "de" or "pt-BR", got'):
        iter_documents(path, language=wrong)
    with pytest.raises(ValueError, match=r"rows\.jsonl:1: language must be a code of ISO 639") as error:
        read_documents(path)
    assert "1 problem" in str(error.value)


def test_codes_have_one_form():
    assert [language_code(code) for code in ("de", " EN ", "pt_br", "zh-hant-tw", "gsw")] == [
        "de",
        "en",
        "pt-BR",
        "zh-hant-TW",
        "gsw",
    ]
    assert is_language_code("de")
    assert not is_language_code("German")


def test_the_log_has_the_number_of_documents_in_each_language(
    tmp_path: Path, write_rows, caplog: pytest.LogCaptureFixture
):
    rows = [{"text": f"{number}. {TEXTS[code]}"} for number in range(2) for code in ("en", "en", "de")]
    path = write_rows(tmp_path / "rows.jsonl", *rows)
    with caplog.at_level(logging.INFO, logger="hf_knowlearn"):
        read_documents(path)
    assert [message for message in caplog.messages if "Languages" in message] == ["Languages: en 4, de 2."]


def test_the_detector_is_loaded_only_for_a_text_without_a_language(tmp_path: Path, write_rows):
    path = write_rows(tmp_path / "rows.jsonl", {"text": TEXTS["de"], "language": "de"}, {"text": "Short."})
    code = "import sys, hf_knowlearn as k; k.read_documents(sys.argv[1]); print('py3langid' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code, str(path)], text=True).strip() == "False"
