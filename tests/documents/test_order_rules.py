"""Rules for the order of sentences: texts whose order matters keep it, and independent facts are permuted.

`kinds/` has 330 documents of eight kinds in four languages. Their authors did not know the rules.
"""

import json
import time
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.order_rules import DocumentKind, OrderRules, order_rules
from hf_knowlearn.documents.sentences import sentences
from hf_knowlearn.views import order_views

KINDS = sorted((Path(__file__).parent / "kinds").glob("*.jsonl"))
ROWS = {
    f"{path.stem}/{row['id']}": row
    for path in KINDS
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
}
BULLETS = (
    "- ",
    "* ",
    "\u2022 ",
    "\u25aa ",
    "\u2013 ",
    "> ",
)  # before the sentences of a list, which keep their places


def document_of(row: dict) -> Document:
    return Document(row["id"], row["text"], language=row["language"])


def permutable(row: dict) -> list[tuple[int, int]]:
    """The (start, end) of each list of sentences that can change their order, except items of a list."""
    ranges = []
    for group in row["permutable"]:
        places = [row["text"].index(sentence) for sentence in group]
        if not all(row["text"][:place].endswith(BULLETS) for place in places):
            ranges.append((min(places), max(p + len(s) for p, s in zip(places, group, strict=True))))
    return ranges


def test_the_documents_are_of_all_kinds_and_languages():
    assert len(ROWS) == 330
    assert {row["language"] for row in ROWS.values()} == {"en", "de", "fr", "es"}
    assert sum(row["order_sensitive"] for row in ROWS.values()) == 245
    assert sum(bool(permutable(row)) for row in ROWS.values()) > 80


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not permutable(row)])
def test_a_document_whose_order_matters_is_not_permuted(name: str):
    rules = order_rules(document_of(ROWS[name]))
    assert rules.keeps_order
    assert rules.reasons


# Documents in which a sign before the sentences makes them a quote or a list. They keep their order.
QUOTES_AND_LISTS = {
    "first/sectioned_reference-de-03", "first/sectioned_reference-fr-03", "first/sectioned_reference-fr-06",
    "first/independent_facts-fr-06", "third/sections-fr-01",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name for name, row in ROWS.items() if permutable(row) and name not in QUOTES_AND_LISTS]
)
def test_independent_sentences_are_permuted_and_only_they(name: str):
    row = ROWS[name]
    document, ranges = document_of(row), permutable(row)
    assert not order_rules(document).keeps_order
    moved = set()
    for view in order_views(document, 40):
        sources = [source for _, source, _ in view.spans]
        assert sources != sorted(sources)
        regions = [next((start for start, end in ranges if start <= s < end), s) for s in sources]
        # Why only then: the labels of other documents have a list for each paragraph, and paragraphs can move too.
        if row["order_sensitive"]:
            assert regions == sorted(regions)
        for start, end in ranges:
            inside = [source for source in sources if start <= source < end]
            moved.update([start] if inside != sorted(inside) else [])
    assert moved


# Kinds


def rules_of(text: str, language: str = "en", force: bool = False) -> OrderRules:
    return order_rules(Document("d", text, language=language), force)


FACTS = "Tarn has a mill. Ormel has a harbour. Rome lies in the south."
STEPS = "Open the valve. Remove the four bolts. Take the filter out."


@pytest.mark.parametrize(
    ("text", "kind", "keeps"),
    [
        (FACTS, DocumentKind.INDEPENDENT_FACTS, False),
        (f"# One\n\n{FACTS}\n\n# Two\n\n{FACTS}", DocumentKind.SECTIONED_REFERENCE, False),
        (f"{FACTS}\n\n1. Open the valve.\n2. Close it.", DocumentKind.MIXED, False),
        (f"# One\n\n{FACTS}\n\n# Two\n\n{STEPS}", DocumentKind.MIXED, False),
        (STEPS, DocumentKind.PROCEDURE, True),
        ("1. Open the valve.\n2. Close the lid.", DocumentKind.PROCEDURE, True),
        ("Ada: Who is it? Tell me.\n\nBo: It is me.\n\nAda: Come in.", DocumentKind.DIALOGUE, True),
        ("Q: Who is it?\nA: Ada.\n\nQ: Where is it?\nA: In Tarn.", DocumentKind.DIALOGUE, True),
        ("09:00 Doors open.\n\n09:30 Ada speaks. Bo sings.\n\n10:00 Coffee.", DocumentKind.LOG, True),
        ("1.1 The Supplier shall pay. Rome is far.\n\n1.2 The Customer shall wait.", DocumentKind.LEGAL, True),
        (f"Article 1\n\n{FACTS}\n\nArticle 2\n\n{FACTS}", DocumentKind.LEGAL, True),
        (f"## \u00a7 1 Towns\n\n{FACTS}\n\n## \u00a7 2 Boats\n\n{FACTS}", DocumentKind.LEGAL, True),
        ("From: Ada\nTo: Bo\nSubject: Boats\n\n" + FACTS, DocumentKind.MAIL, True),
        (f"Dear Ada,\n\n{FACTS}\n\nKind regards,\nBo", DocumentKind.MAIL, True),
        ("- Tarn\n- Ormel", DocumentKind.BLOCKS, True),
        ("| a | b |\n|---|---|\n| 1 | 2 |", DocumentKind.BLOCKS, True),
        ("Tarn has a mill. It is old. It is white.", DocumentKind.CONNECTED, True),
    ],
)
def test_the_kind_of_a_document(text: str, kind: DocumentKind, keeps: bool):
    rules = rules_of(text)
    assert (rules.kind, rules.keeps_order) == (kind, keeps)
    assert keeps <= bool(rules.reasons)


def units(text: str, language: str = "en") -> list[str]:
    """The texts that stay together: chunks of a paragraph, paragraphs of a group, or a run whose order matters."""
    rules, pieces = rules_of(text, language), sentences(text, language)
    found = []
    for run in rules.runs:
        for group in run.groups:
            chunks = [chunk for paragraph in group for chunk in paragraph]
            moves = run.can_move and len(group) == 1
            for unit in chunks if moves else [[i for chunk in chunks for i in chunk]]:
                found.append(" ".join(pieces.texts[i] for i in unit))
    return found


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ("Ulm has a mill.", "For example, the mill grinds rye."),
        ("The mill uses water.", "Unlike `ormel.mill`, it has no sail."),
        ("The mill grinds rye.", "Does not grind wheat."),
        ("The mill is a museum.", "Used by both villages."),
        ("The mill is a museum.", "Same owner as the harbour."),
        ("The mill is open.", "Unfortunately, nobody comes."),
    ],
)
def test_a_sentence_without_a_subject_of_its_own_stays_with_the_sentence_before(before: str, sentence: str):
    assert units(f"{before} {sentence} {FACTS}")[0] == f"{before} {sentence}"


def test_a_sentence_that_a_formula_completes_stays_before_the_formula():
    found = units(f"{FACTS} The loss is\n\n```\nL = Q / P\n```\n\nwhere P is the power. {FACTS}")
    assert found[3:6] == ["The loss is", "```\nL = Q / P\n```", "where P is the power."]


def test_sentences_between_a_reference_back_and_an_announcement_keep_their_order():
    found = units(f"{FACTS}\n\n- one\n\nIt is old. {FACTS} The colours are:\n\n- red\n- blue")
    assert found[4:] == [f"It is old. {FACTS}", "The colours are:", "- red\n- blue"]


def test_paragraphs_stay_with_their_label_in_bold():
    first, second = (
        "**Model A.** Made for homes.\n\nThe password is one.",
        "**Model B:** Made for work.\n\nIdeal. Red.",
    )
    rules = rules_of(f"{FACTS}\n\n{first}\n\n{second}")
    assert [len(run.groups) for run in rules.runs] == [1, 2]
    assert units(f"{FACTS}\n\n{first}\n\n{second}")[3:] == [part.replace("\n\n", " ") for part in (first, second)]


def test_an_answer_stays_with_its_question_in_bold():
    rules = rules_of("# Pump\n\n**Can I return it?** Yes, within 30 days. The pump must be clean. Rome is far.")
    assert (rules.kind, rules.keeps_order) == (DocumentKind.DIALOGUE, True)


def test_a_paragraph_of_steps_keeps_its_order_among_paragraphs_of_facts():
    steps = "Open the valve. The oil flows out. Close the valve. The pump runs again. Fill the tank."
    facts = f"{FACTS} Ulm is old. Bonn is big. Kiel is far. Trier has a gate. Passau has three rivers."
    found = units(f"{facts}\n\n{steps}\n\n{FACTS} Ulm is old. Bonn is big.")
    assert steps in found
    assert "Ulm is old." in found


def test_steps_of_a_spanish_recipe_keep_their_order():
    steps = "Pela las patatas y c\u00f3rtalas en rodajas. Fr\u00ede las patatas. Bate los huevos. Cuaja la tortilla."
    facts = "La tortilla se sirve tibia. Espa\u00f1a consume unos 20 huevos por persona al mes."
    assert units(f"{steps}\n\n{facts}", "es") == [steps, *units(facts, "es")]


def test_a_sentence_that_somebody_speaks_keeps_the_order():
    assert rules_of(f"{FACTS} 'Collar that mouse,' the Queen shrieks.").kind is DocumentKind.NARRATIVE
    assert rules_of(f'{FACTS} "Who is it?" is a song.').kind is DocumentKind.INDEPENDENT_FACTS


def test_a_novel_keeps_also_its_descriptions_in_order_and_is_not_legal():
    story = "Ada ran home. She shall come, said Bo. He opened the door."
    novel = "\n\n".join(f"# Chapter {i}\n\n{' '.join([story] * 9)}\n\n* * *\n\n{FACTS}" for i in range(5))
    rules = rules_of(novel)
    assert (rules.kind, rules.keeps_order) == (DocumentKind.NARRATIVE, True)
    short = rules_of(f"# One\n\n{story}\n\n# Two\n\n{FACTS}")
    assert (short.kind, short.keeps_order) == (DocumentKind.MIXED, False)


def test_words_of_contracts_are_no_sign_of_one_if_they_are_rare():
    words = " The tenant is liable. It is terminated by a statutory notice in writing."
    assert rules_of(FACTS + words).kind is DocumentKind.LEGAL
    assert rules_of(f"{FACTS} " * 300 + words).kind is not DocumentKind.LEGAL


def test_a_document_in_a_language_without_rules_keeps_its_order():
    rules = rules_of(FACTS, "fi")
    assert (rules.kind, rules.keeps_order) == (DocumentKind.OTHER_LANGUAGE, True)
    assert "'fi'" in rules.reasons[0]


@pytest.mark.parametrize("text", [STEPS, f"# Use\n\n{STEPS} {STEPS}", "Why is it so? " + FACTS])
def test_force_permutes_sentences_whose_order_matters(text: str):
    assert rules_of(text).keeps_order
    assert not rules_of(text, force=True).keeps_order


def test_force_does_not_permute_sentences_that_refer_back():
    assert rules_of("Tarn has a mill. It is old.", force=True).keeps_order


@pytest.mark.parametrize("text", [FACTS, f"# One\n\n{FACTS}\n\n- a\n- b\n\n{STEPS}\n\n{FACTS} It is old.", STEPS])
def test_the_runs_have_every_piece_once_and_in_order(text: str):
    for force in (False, True):
        rules = rules_of(text, force=force)
        groups = [group for run in rules.runs for group in run.groups]
        pieces = [i for group in groups for paragraph in group for chunk in paragraph for i in chunk]
        assert pieces == list(range(len(sentences(text).texts)))


HOSTILE = {
    "facts": "Ada sings in Tarn. ",
    "back references": "It is. ",
    "paragraphs that refer back": "It is.\n\n",
    "forward references": "The boats are as follows: ",
    "headings": "# A\n\nAda sings. Bo bakes.\n\n",
    "years": "In 1990 Tarn burned. ",
    "questions": "Who is it? ",
    "quotes": '"It is," said Ada. ',
    "steps": "Open the lid. Then close it. ",
    "turns": "Ada: Who is it? Yes.\n\nBo: It is me.\n\n",
    "one sentence": "word ",
    "commas": "Ada, ",
    "greetings": "Dear Ada,\n\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_rules_take_linear_time(kind: str):
    seconds = []
    for size in (40_000, 160_000):
        text = HOSTILE[kind] * (size // len(HOSTILE[kind]))
        sentences(text)
        start = time.process_time()
        order_rules(Document("d", text))
        seconds.append(time.process_time() - start)
    assert seconds[1] < 9 * seconds[0] + 0.3  # four times the text; quadratic time would be 16 times


def test_a_name_that_is_also_an_instruction_is_no_instruction():
    text = (
        "Simmer Rimpom makes clocks. It is Homvos that employs Simmer Rimpom. At Dumsom, Simmer Rimpom was a student."
    )
    assert not rules_of(text).keeps_order
