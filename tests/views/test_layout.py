"""Layout: what each format makes of a small document, to the character."""

import textwrap

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentences import sentences
from hf_knowlearn.views import MARKS, format_views
from hf_knowlearn.views.layout import Frame, lay_out, letters, roman

ADA = Document("d", " One is here.  Two is there.\n \nThree.\n", title="Ada")
ONE, TWO, THREE = "One is here.", "Two is there.", "Three."
PLAIN = f"{ONE} {TWO}\n\n{THREE}"
EXPECTED = {
    "spacing.double": f"{ONE}  {TWO}\n\n{THREE}",
    "spacing.tab": f"{ONE}\t{TWO}\n\n{THREE}",
    "spacing.indent_4": f"    {ONE} {TWO}\n\n    {THREE}",
    "spacing.trailing": f"{ONE} {TWO}  \n\n{THREE}  ",
    "breaks.sentence_lines": f"{ONE}\n{TWO}\n\n{THREE}",
    "breaks.spaced_lines": f"{ONE}\n\n{TWO}\n\n{THREE}",
    "breaks.paragraph_lines": f"{ONE} {TWO}\n{THREE}",
    "breaks.one_line": f"{ONE} {TWO} {THREE}",
    "marks.guillemets": f"\u00ab {ONE} \u00bb \u00ab {TWO} \u00bb\n\n\u00ab {THREE} \u00bb",
    "marks.pilcrow": f"\u00b6 {ONE} \u00b6 {TWO}\n\n\u00b6 {THREE}",
    "marks.joint_bar": f"{ONE} | {TWO}\n\n{THREE}",
    "marks.between_stars": f"{ONE}\n* * *\n{TWO}\n\n{THREE}",
    "marks.between_rule": f"{ONE}\n\n---\n\n{TWO}\n\n{THREE}",
    "lists.dash": f"- {ONE}\n- {TWO}\n\n- {THREE}",
    "lists.number": f"1. {ONE}\n2. {TWO}\n\n3. {THREE}",
    "lists.letter_brackets": f"(a) {ONE}\n(b) {TWO}\n\n(c) {THREE}",
    "lists.capital_bracket": f"A) {ONE}\nB) {TWO}\n\nC) {THREE}",
    "lists.roman_bracket": f"i) {ONE}\nii) {TWO}\n\niii) {THREE}",
    "lists.hanging_dash": f"- {ONE}\n  {TWO}\n\n- {THREE}",
    "lists.hanging_number": f"1. {ONE}\n   {TWO}\n\n2. {THREE}",
    "headings.h1": f"# Ada\n\n{PLAIN}",
    "headings.underlined": f"Ada\n=====\n\n{PLAIN}",
    "headings.title_text": f"Title: Ada\nText: {PLAIN}",
    "headings.colon": f"Ada: {PLAIN}",
    "headings.front_matter": f"---\ntitle: Ada\n---\n\n{PLAIN}",
    "headings.document": f"Document: {PLAIN}",
    "containers.block_quote": f"> {ONE} {TWO}\n>\n> {THREE}",
    "containers.fence": f"```\n{PLAIN}\n```",
    "containers.div": f"<div>\n{PLAIN}\n</div>",
    "containers.html_p": f"<p>{ONE}</p>\n<p>{TWO}</p>\n\n<p>{THREE}</p>",
    "containers.latex_quote": f"\\begin{{quote}}\n{PLAIN}\n\\end{{quote}}",
    "containers.cell": f"| {ONE} {TWO} {THREE} |",
    "containers.json": f'{{"text": "{ONE} {TWO} {THREE}"}}',
    "containers.yaml": f'text: "{ONE} {TWO} {THREE}"',
    "shift.here": f"Here it is:\n\n{PLAIN}",
    # Two groups
    "spacing.indent_2+lists.number": f"  1. {ONE}\n  2. {TWO}\n\n  3. {THREE}",
    "spacing.trailing+containers.block_quote": f"> {ONE} {TWO}  \n>\n> {THREE}  ",
    "breaks.sentence_lines+marks.joint_dot": f"{ONE}\n\u00b7\n{TWO}\n\n{THREE}",
    "breaks.one_line+marks.quotes": f'"{ONE}" "{TWO}" "{THREE}"',
    "marks.bold+lists.plus": f"+ **{ONE}**\n+ **{TWO}**\n\n+ **{THREE}**",
    "lists.hanging_dash+containers.block_quote": f"> - {ONE}\n>   {TWO}\n>\n> - {THREE}",
    "headings.h1+containers.block_quote": f"> # Ada\n>\n> {ONE} {TWO}\n>\n> {THREE}",
    "headings.document+containers.fence": f"```\nDocument: {PLAIN}\n```",
    "headings.h2+shift.stars": f"* * *\n\n## Ada\n\n{PLAIN}",
    "containers.cell+shift.stars": f"* * *\n\n| {ONE} {TWO} {THREE} |",
}


@pytest.fixture(scope="module")
def texts(every_view):
    """The text of the small document in every format, by the name of the format."""
    return {view.format: view.text for view in every_view(ADA)}


@pytest.mark.parametrize("format", EXPECTED)
def test_the_view_of_a_small_document_is_the_recorded_one(format, texts):
    assert texts[format] == EXPECTED[format]


def fields_of(group, *names):
    """The marks of the group that fill in exactly these fields: the name of each, and the values of the fields."""
    found = [
        (mark.full_name, *(mark.fields[name] for name in names)) for mark in MARKS[group] if {*mark.fields} == {*names}
    ]
    assert found
    return found


def test_signs_are_around_or_between_sentences(texts):
    for name, a, b in fields_of("marks", "sentence_prefix", "sentence_suffix"):
        assert texts[name] == f"{a}{ONE}{b} {a}{TWO}{b}\n\n{a}{THREE}{b}"
    for name, joint in fields_of("marks", "joint"):
        assert texts[name] == f"{ONE} {joint} {TWO}\n\n{THREE}"
    for name, joint, line in fields_of("marks", "joint", "line"):
        assert texts[name] == f"{ONE}{line}{joint}{line}{TWO}\n\n{THREE}"


def test_bullets_and_labels_are_before_sentences(texts):
    for name, item, _ in fields_of("lists", "item", "line"):
        assert texts[name] == f"{item}{ONE}\n{item}{TWO}\n\n{item}{THREE}"
    for name, item, labels, _ in fields_of("lists", "item", "labels", "line"):
        one, two, three = (item.replace("{}", labels(number)) for number in (1, 2, 3))
        assert texts[name] == f"{one}{ONE}\n{two}{TWO}\n\n{three}{THREE}"


def test_headings_preambles_and_containers_are_around_the_text(texts):
    for name, head in fields_of("headings", "head"):
        assert texts[name] == head.replace("{title}", "Ada") + PLAIN
    for name, preamble in fields_of("shift", "preamble"):
        assert texts[name] == preamble + PLAIN
    for name, before, after in fields_of("containers", "open", "close"):
        assert texts[name] == before + PLAIN + after


def test_there_are_as_many_labels_as_sentences():
    assert [letters(number) for number in (1, 26, 27, 52, 53, 702, 703)] == ["a", "z", "aa", "az", "ba", "zz", "aaa"]
    numerals = {4: "iv", 9: "ix", 14: "xiv", 40: "xl", 90: "xc", 400: "cd", 1994: "mcmxciv", 3999: "mmmcmxcix"}
    assert {number: roman(number) for number in numerals} == numerals


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("lists.number", "1. The harbour of Ormel is small and cold, and in winter it is closed.\n2. Tarn sleeps."),
        ("marks.quotes", '"The harbour of Ormel is small and cold, and in winter it is closed." "Tarn sleeps."'),
        ("breaks.sentence_lines", "The harbour of Ormel is small and cold, and in winter it is closed.\nTarn sleeps."),
        ("spacing.double", "The harbour of Ormel is small and cold, and in winter it is closed.  Tarn sleeps."),
    ],
)
def test_a_sentence_on_two_lines_becomes_one_line(format, expected, every_view):
    document = Document("d", "The harbour of Ormel is small and cold, and in winter\nit is closed. Tarn sleeps.")
    views = every_view(document, groups=[format.partition(".")[0]])
    assert {view.format: view.text for view in views}[format] == expected


# Titles


@pytest.mark.parametrize(
    ("title", "shown"),
    [("A\nB", "A B"), (" Ada \n", "Ada"), ("{title}", "{title}"), ("{} #", "{} #"), ("A\u2028B", "A B")],
)
def test_a_title_is_literal_and_on_one_line(title, shown):
    views = {
        view.format: view.text for view in format_views(Document("d", "One.", title=title), 20, groups=["headings"])
    }
    assert views["headings.h1"] == f"# {shown}\n\nOne."
    assert views["headings.title_text"] == f"Title: {shown}\nText: One."


# Wrapping

LONG = "The harbour of Ormel is small but deep, and in winter the ice-breaker keeps it open. " * 4


@pytest.mark.parametrize("width", [40, 56, 72, 88, 104, 120])
def test_a_paragraph_is_wrapped_as_textwrap_does_it(width):
    wrapped = lay_out(Frame(width=width), "", sentences(LONG))[0]
    assert wrapped == textwrap.fill(LONG.strip(), width, break_on_hyphens=False)
    quoted = lay_out(Frame(width=width, prefix="> ", indent="  "), "", sentences(LONG))[0]
    assert quoted == textwrap.fill(
        LONG.strip(), width, break_on_hyphens=False, initial_indent=">   ", subsequent_indent=">   "
    )


@pytest.mark.parametrize(
    "text",
    [
        "A word that is muchlongerthantheline" + "x" * 60 + " is here among some other words of it.",
        "One. " + "x" * 60 + ". Two is here and is there with many other words.",
        "No space " * 9 + "x" * 100,
    ],
)
def test_a_word_longer_than_a_line_gets_its_own_line(text):
    wrapped = lay_out(Frame(width=40), "", sentences(text))[0]
    assert wrapped == textwrap.fill(text, 40, break_long_words=False)


def test_lines_are_not_wrapped_inside_a_number_or_next_to_white_space_that_is_content():
    wholes = ["10 000 000", "10\u00a0000 \u00a0 here", "and  two   spaces", "7 8 9 10 11 12 13 14 15 16 17 18 19 20"]
    pieces = sentences(f"There are {' or '.join(wholes)}. " * 3)
    for width in range(2, 60):
        wrapped = lay_out(Frame(width=width), "", pieces)[0]
        assert [wrapped.count(whole) for whole in wholes] == [3, 3, 3, 3]


def test_after_a_title_that_fills_the_line_the_text_continues_on_the_next():
    frame = Frame(width=40, head="{title}: ")
    wrapped = lay_out(frame, "A title of more than forty characters, and more", sentences(LONG))[0]
    first, *lines = wrapped.split("\n")
    assert first == "A title of more than forty characters, and more: The"
    assert max(map(len, lines)) <= 40


# Verbatim blocks

CODE = "if a:\n\n    b  =  1"
FENCED = f"```\n{CODE}\n```"


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("marks.bold", f"**One is.** **Two is.**\n\n{FENCED}\n\n**Three.**"),
        ("lists.number", f"1. One is.\n2. Two is.\n\n{FENCED}\n\n3. Three."),
        ("spacing.indent_2", f"  One is. Two is.\n\n{FENCED}\n\n  Three."),
        ("spacing.trailing", f"One is. Two is.  \n\n{FENCED}\n\nThree.  "),
        ("headings.document", f"Document: One is. Two is.\n\n{FENCED}\n\nThree."),
        ("containers.div", f"<div>\nOne is. Two is.\n\n{FENCED}\n\nThree.\n</div>"),
    ],
)
def test_no_mark_touches_a_verbatim_block(format, expected, every_view):
    document = Document("d", f"One is. Two is.\n{FENCED}\nThree.")
    assert {view.format: view.text for view in every_view(document)}[format] == expected


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("headings.document", f"Document:\n\n{FENCED}"),
        ("headings.h1", f"# Ada\n\n{FENCED}"),
        ("headings.title_text", f"Title: Ada\nText:\n\n{FENCED}"),
        ("containers.text", f"<text>\n{FENCED}\n</text>"),
        ("headings.colon+containers.pre", None),
        ("shift.here", f"Here it is:\n\n{FENCED}"),
    ],
)
def test_a_document_of_one_verbatim_block_is_on_its_own_lines(format, expected, every_view):
    assert {view.format: view.text for view in every_view(Document("d", FENCED, title="Ada"))}.get(format) == expected
