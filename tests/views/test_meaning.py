"""No format changes what a text says: a mark that could do so is not used, or not for the texts that it could change.

`markdown-it-py` is the independent witness of the structure of a view.
"""

import re
from itertools import chain
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from hf_knowlearn.documents import Document
from hf_knowlearn.views import MARKS, TooFewViewsError, format_views, mixed_views

CASES = Path(__file__).parents[2].parent / "shared" / "data" / "cases"
FACTS = "Anna was born in Rome. Tarn has a mill. Ormel has a harbour. Bo bakes bread."
STRINGS = [value for mark in chain(*MARKS.values()) for value in mark.fields.values() if isinstance(value, str)]


def marks_of(text, *groups, title="Tarn", language="en", heading=""):
    """The names of all marks that occur in a view of the text."""
    document = Document("d", text, title=title, language=language, heading=heading)
    views = all_views(document, groups=groups or None)
    return {mark for view in views for mark in view.format.split("+")}


def all_views(document, **options):
    try:
        return format_views(document, 100_000, **options)
    except TooFewViewsError as error:
        return format_views(document, error.available, **options) if error.available else []


def names(group, *wanted):
    found = {mark.full_name for mark in MARKS[group] if mark.name in wanted}
    assert len(found) == len(wanted)
    return found


QUOTES = names(
    "marks", "quotes", "curly_quotes", "low_quotes", "guillemets", "turned_guillemets", "angle_quotes",
    "single_quotes", "corner_quotes", "double_corner_quotes", "tex_quotes", "chevrons",
)  # fmt: skip
QUOTATIONS = QUOTES | names("containers", "block_quote", "html_quote", "latex_quote") | {"headings.colon"}
LABELS = {mark.full_name for mark in MARKS["lists"] if "{}" in mark.fields["item"]}
OPERATORS = names("marks", "bars", "joint_bar", "joint_dot", "joint_plus") | names(
    "lists", "dash", "star", "plus", "dot"
)
EMPHASIS = names("marks", "star", "bold", "bold_star", "underscore", "bold_underscore", "highlight", "code")


# Marks that no format has


@pytest.mark.parametrize(
    "sign",
    ["~~", "[ ]", "\u25a1", "\u2610", "\u2611", "\u2713", "\u2714", "\u25cb", "//", "<!--", "%", "\u2192", "\u00a7"],
)
def test_no_mark_says_that_a_sentence_is_deleted_done_open_disabled_or_a_consequence(sign):
    assert not any(sign in string.replace("~~~", "") for string in STRINGS)


@pytest.mark.parametrize(
    "claim",
    "nothing|in full|unchanged|archive|several|abstract|article|source|about|copy|entry|this page|begin.|[...]".split(
        "|"
    ),
)
def test_no_mark_makes_a_claim_about_the_text(claim):
    assert not any(claim in string.casefold() for string in STRINGS)


def test_the_plain_text_has_all_restricted_marks():
    found = marks_of(f"{FACTS}\n\n{FACTS}")
    assert found >= QUOTATIONS | LABELS | OPERATORS | EMPHASIS


# Quotations


@pytest.mark.parametrize(
    "text",
    [
        f'{FACTS} Bo said: "Come in."',
        f"{FACTS} Bo said: \u201cCome in.\u201d",
        f"{FACTS} Bo sagte: \u201eKomm.\u201c",
        f"{FACTS} Bo a dit : \u00ab Entrez. \u00bb",
        f"{FACTS} Bo said: 'Come in.'",
        f"{FACTS} Where is Bo? Bo is here.",
        f"{FACTS}\n\nBo: Come in.\n\nAnna: I come.\n\nBo: Good.",
        f"{FACTS}\n\n> We met.",
        f"From: Bo\nTo: Anna\nSubject: Bread\n\n{FACTS}",
        f"\u2014 Come in. {FACTS}",
    ],
)
def test_beside_speech_no_mark_looks_like_a_quotation_or_a_speaker(text):
    assert not marks_of(text) & QUOTATIONS


# Numbers and operators


@pytest.mark.parametrize(
    "text",
    [
        "Open the valve. Remove the bolts. The filter is white.",
        "The lid is open. Then the filter is removed. The pump is on.",
        f"{FACTS} See step 2 for the bread.",
        f"{FACTS} Section B has the rules.",
        f"{FACTS} Which town has a mill? Tarn does.",
        f"{FACTS}\n\n1. Open the lid.\n2. Close it.",
        "1.1 The Supplier shall pay.\n\n1.2 The Customer shall pay. The price is fixed.",
        f"{FACTS} Bo shall pay. Anna shall pay.",
        f"{FACTS} Lind found it [1].",
    ],
)
def test_sentences_are_not_numbered_if_the_numbers_could_be_steps_clauses_or_choices(text):
    assert not marks_of(text, "lists") & LABELS


def test_sentences_after_wide_spaces_have_lists():
    assert marks_of("\u3000" * 40 + "Tarn has a mill. Bo bakes bread.", "lists")
    assert marks_of("Tarn has a mill. \u00a0\u00a0 Bo bakes bread.", "lists")


def test_sentences_are_not_numbered_in_languages_without_rules_for_instructions():
    assert not marks_of("Otworz zawor. Zamknij zawor. Mlyn stoi w Tarn.", "lists", language="xx") & LABELS


@pytest.mark.parametrize(
    "start", ["5 degrees are cold", "-5 degrees are cold", "\u20ac 5 is the price", "\u0967\u0968 is it"]
)
def test_no_sign_before_a_number_is_an_operator(start):
    assert not marks_of(f"{FACTS} {start}.") & OPERATORS


@pytest.mark.parametrize("sign", "*_`=|")
def test_no_emphasis_around_a_sentence_that_contains_its_sign(sign):
    assert not marks_of(f"{FACTS} The file a{sign}b is here.") & EMPHASIS


# Structure


def test_the_title_is_not_a_heading_between_a_section_path_and_its_text():
    titled = {mark.full_name for mark in MARKS["headings"] if "{title}" in mark.fields["head"]}
    assert titled <= marks_of(FACTS)
    assert not titled & marks_of(FACTS, heading="# Router\n\n## B200\n\n")


@pytest.mark.parametrize("text", ["- eggs\n- milk", "1. Open it.\n2. Close it."])
def test_a_sentence_beside_a_list_is_never_an_item_of_it(text):
    found = marks_of(f"The parts are listed here.\n\n{text}\n\nServe it cold. Anna likes it.")
    assert not any(name.startswith(("lists.", "spacing.indent")) for name in found)


@pytest.mark.parametrize("sign", ["-", "+", "*", "#", ">", "12)", "12."])
def test_no_line_of_a_view_begins_with_a_sign_of_the_text(sign):
    words = "The value of the first cell is large "
    text = f"{words * 2}{sign} 3 and it is {words}and {sign} {words}. {FACTS}"
    for view in all_views(Document("d", text), groups=["breaks"]):
        assert not any(line.startswith(f"{sign} ") for line in view.text.split("\n")), view.format


def structure(text):
    """The headings and the list items of a Markdown text, as lists of their words."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {"heading_open": [], "list_item_open": []}
    for number, token in enumerate(tokens):
        if token.type in kinds:
            inline = next((later.content for later in tokens[number:] if later.type == "inline"), "")
            kinds[token.type].append(" ".join(re.findall(r"\w+", inline)))
    return kinds


STRUCTURED = """# Router handbook

Tarn makes routers. Ormel sells them in boxes.

## Model A100

The case is white. The default password is admin123. The warranty is two years - or 730 days - for everyone in Ormel.

- one cable
- one manual

The recommended firmware is 4.1. It was released in 2020.

## Model B200

The default password is letmein. The warranty is five years."""


@pytest.mark.parametrize("text", [STRUCTURED, FACTS, f"{FACTS} {FACTS}\n\n{FACTS}"])
def test_no_sentence_becomes_a_heading_and_no_heading_or_item_is_lost(text):
    expected = structure(text)
    for view in all_views(Document("d", text, title="Tarn")):
        if any(name in view.format for name in ("containers", "indent", "front_matter")):
            continue  # Why: in Markdown, these are not layout but code, markup or a heading of their own.
        found = structure(view.text)
        headings = [heading for heading in found["heading_open"] if heading not in ("Tarn", "")]
        assert headings == expected["heading_open"], view.format
        if "lists" not in view.format:
            assert found["list_item_open"] == expected["list_item_open"], view.format


@pytest.mark.parametrize(
    "name", ["chat_log.txt", "interview.txt", "law_clauses.txt", "minutes_email.txt", "procedure.txt"]
)
def test_the_sample_documents_have_views_without_numbers_and_quotations(name):
    if not CASES.is_dir():
        pytest.skip(f"no data at {CASES}")
    text = (CASES / name).read_text(encoding="utf-8")
    for number in range(3):
        views = mixed_views(Document(name, text, title=name), 60, seed=number)
        found = {mark for view in views for mark in view.format.split("+")}
        assert not found & LABELS
        assert name == "procedure.txt" or not found & QUOTATIONS
