"""The structure of a text: kinds and sections of blocks, and blocks that are unchanged in every view."""

import ast
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.structure import parse_blocks, verbatim_spans
from hf_knowlearn.views import FAMILIES, format_views
from hf_knowlearn.views.sampling import TooFewViewsError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
BEFORE = "Ada lives in the old house by the sea. Rome is far away from it."
AFTER = "Bo lives in the long road and sings all day. Cats like the old house."
ELSEWHERE = "Ormel has a harbour of two hundred boats. Tarn has a mill on the river."
BLOCKS = {
    "fence": "```python\nif a:\n\n    b  =  1\n```",
    "fence, CRLF": "```python\r\nif a:\r\n\r\n    b  =  1\r\n```",
    "fence in a fence": "````\n```\nx\n\n```\n````",
    "tilde fence": "~~~\na  b\n\n\n c\n~~~",
    "fence in a list": "1. Do this:\n\n   ```sh\n   ls  -l\n\n   cd  x\n   ```\n\n2. And that.",
    "indented code": "    x = 1\n\n    if x:\n        y  =  2",
    "one line of code": "    just one line",
    "code behind a tab": "\tx = 1",
    "Markdown table": "| a | b |\n|---|---|\n| 1 |  |",
    "Markdown table without borders": "a | b\n--- | ---\n1 |  2",
    "table of tabs": "name\tage\nAda\t36\nBo\t",
    "table of spaces": "name     age\nAda      36\nBo       7",
    "grid": "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+",
    "nested list": "- One.\n  - Two. Two b.\n    - Three.\n- Four.",
    "loose nested list": "- One.\n\n  - Two.\n\n    Three. Four.\n\n- Five.",
    "list with a further paragraph": "- One.\n\n  A further paragraph. Of it.\n\n- Two.",
    "flat list": "- One. Two.\n- Three.",
    "numbered list": "1. One. Two.\n2. Three.",
    "lettered list": "a. One.\nb. Two.",
    "bullets": "\u2022 One.\n\u2022 Two.",
    "lines of dialogue": "\u2014 One. Two.\n\u2014 Three.",
    "terms": "Term\n: Definition. More.",
    "footnotes": "[^1]: A note. More.\n[^2]: Another.",
    "verse": "The sea is deep,\nThe sky is high,\nAnd so am I.",
    "two stanzas": "Roses are red\nViolets are blue\n\nSugar is sweet\nAnd so are you",
    "verse of long lines": (
        "Shall I compare thee to a summer's day, and thou art lovelier by far than it,\n"
        "Thou art more lovely and more temperate than all the days of all the summers were,\n"
        "Rough winds do shake the darling buds of May and all of its flowers with them,\n"
        "And summer's lease hath all too short a date for any of us to count on it."
    ),
    "address": "Ada Venn\n12 Long Road\nOrmel",
    "heading": "# A heading",
    "heading of two sentences": "###### A heading. With two.",
    "underlined heading": "A heading\n=========",
    "rule": "* * *",
    "quotation": "> One. Two.\n> Three.",
    "tags": "<div>\n<p>One. Two.</p>\n</div>",
    "LaTeX": "\\begin{equation}\na  =  b\n\\end{equation}",
    "mail": "From: a@b.c\nTo: d@e.f\nSubject: One. Two.",
    "YAML": "a: 1\nb:\n  - c\n  - d",
    "JSON": '{\n  "a": 1,\n  "b": [1, 2]\n}',
    "shell": "$ ls -l\n$ cd x",
    "hard break": "One is here,  \nand two is there  \nand three is everywhere.",
    # White space inside sentences
    "no-break spaces": "One\u00a0two.\u00a0Three has\u00a0it.",
    "digits separated by a no-break space": "It has 10\u00a0000 people.",
    "digits separated by a thin space": "It has 10\u2009000\u202f000 people.",
    "digits separated by a space": "It has 10 000 000 people.",
    "runs of spaces": "One  two   three.",
    "a tab": "One\ttwo.\tThree.",
}


MILL, BO = "Tarn has a mill. Ormel has a harbour of granite.", "Bo bakes bread in Rome. Ada sings in a choir of Tarn."


def kinds(text):
    """The kind and the first line of each block."""
    return [(str(block.kind), text[block.start : block.end].split("\n")[0].strip()) for block in parse_blocks(text)]


def sections(text):
    """The section of each paragraph."""
    return [" > ".join(block.section) for block in parse_blocks(text) if block.kind.is_prose]


# Kinds of blocks


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ("# A heading", "heading"),
        ("A heading\n=========", "heading"),
        ("**A heading**", "heading"),
        ("A heading without an end", "heading"),
        ("A heading:", "heading"),
        ("3. Scope", "heading"),
        ("3.1 Scope", "heading"),
        ("\u00a7 3 Umfang", "heading"),
        ("1. One.\n2. Two.", "ordered list"),
        ("(1) One.\n(2) Two.", "clause"),
        ("Step 1: Open it.", "ordered list"),
        ("Schritt 1: Es ist auf.\nSchritt 2: Es ist zu.", "ordered list"),
        ("\u00c9tape 1 : Ouvrez la porte.", "ordered list"),
        ("- One.\n- Two.", "unordered list"),
        ("\u2022 One.\n\u2022 Two.", "unordered list"),
        ("Name: Tarn\nBoats: three", "unordered list"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table"),
        ("a\tb\nc\td", "table"),
        ("```\nx\n```", "code"),
        ("    x = 1\n    y = 2", "code"),
        ("> One. Two.", "quote"),
        ("The sea is deep,\nThe sky is high,\nAnd so am I.", "verse"),
        ("From: a@b.c\nTo: d@e.f\nSubject: Boats", "mail header"),
        ("Von: a@b.c\nAn: d@e.f\nBetreff: Boote", "mail header"),
        ("On Fri, 1 Mar 2024, Tom Berg wrote:", "mail header"),
        ("1.1 The Supplier shall pay. It is due.", "clause"),
        ("\u00a7 3 Der Verein ist gemeinn\u00fctzig. Er hat Mitglieder.", "clause"),
        ("Article 2. The members meet in May. They vote.", "clause"),
        ("Figure 1: The mill. The harbour is on the right.", "caption"),
        ("Tab. 2.1 \u2013 Boats of Ormel. All are white.", "caption"),
        ("Abbildung 3: Der Hafen. Rechts liegt er.", "caption"),
        ("<div>\n<p>One. Two.</p>\n</div>", "markup"),
        ("[^1]: A note. More of it.", "markup"),
        ("* * *", "markup"),
    ],
)
def test_the_kind_of_a_block(block, kind):
    text = f"{BEFORE}\n\n{block}\n\n{AFTER}"
    assert [name for name, _ in kinds(text)] == ["paragraph", kind, "paragraph"]


@pytest.mark.parametrize(
    "text",
    [
        "Interviewer: Who is it?\n\nMarta Lind: It is me. Come in.\n\nInterviewer: Yes.",
        "Q: Who is it?\nA: It is me. Come in.\n\nQ: Where?\nA: Here.",
        "**Ada:** Who is it?\n\n**Bo:** It is me. Come in.\n\n**Ada:** Yes.",
        "Frage: Wer ist da?\n\nAntwort: Ich bin es. Herein.",
        "Ada : Qui est l\u00e0 ?\n\nBo : C'est moi. Entrez.\n\nAda : Oui.",
    ],
)
def test_turns_of_a_dialogue(text):
    assert {kind for kind, _ in kinds(text)} == {"dialogue turn"}


@pytest.mark.parametrize(
    "text",
    [
        "12/03/2024, 09:14 - Anna: Are we on?\n12/03/2024, 09:15 - Ben: Yes. I booked it.",
        "2024-03-12 09:14:00 INFO Start. Ready.\n2024-03-12 09:14:01 WARN Slow. Wait.",
        "[09:14] Ada: Hello. It is me.\n[09:15] Bo: Hello.",
        "09:00 Doors open.\n\n09:30 Ada speaks. Bo sings.\n\n10:00 Coffee is served.",
        "12 March 2024: It rains. Ada sings.\n\n13 March 2024: It snows. Bo bakes.",
        "Monday: Ada sings. Bo bakes.\n\nTuesday: Cats sleep. Dogs bark.",
    ],
)
def test_lines_of_a_log(text):
    assert {kind for kind, _ in kinds(text)} == {"log line"}


def test_one_time_does_not_make_a_log():
    assert kinds(f"{MILL}\n\n09:30 is the time of the ferry. Bo bakes.")[1][0] == "paragraph"


# Sections


def test_headings_of_markdown_have_the_level_of_their_marks():
    text = f"Top\n===\n\n{MILL}\n\nSub\n---\n\n{BO}\n\n#### Deep ####\n\n{MILL}\n\n## Next\n{BO}\n# Last\n{MILL}"
    assert sections(text) == ["Top", "Top > Sub", "Top > Sub > Deep", "Top > Next", "Last"]
    assert [block.level for block in parse_blocks(text) if block.level] == [1, 2, 4, 2, 1]


@pytest.mark.parametrize("separator", ["\n\n", "\n"])
def test_headings_of_plain_text_do_not_need_a_blank_line_after_them(separator):
    text = f"The towns{separator}{MILL}\n\nThe people{separator}{BO}"
    assert sections(text) == ["The towns", "The towns > The people"]
    assert [kind for kind, _ in kinds(text)] == ["heading", "paragraph"] * 2


@pytest.mark.parametrize("separator", ["\n\n", "\n"])
def test_numbered_headings_have_the_level_of_their_number(separator):
    headings = {"1. Towns": MILL, "1.1 North": BO, "1.1.1 Coast": MILL, "2. People": BO}
    text = "\n\n".join(separator.join(pair) for pair in headings.items())
    assert sections(text) == ["1. Towns", "1. Towns > 1.1 North", "1. Towns > 1.1 North > 1.1.1 Coast", "2. People"]


@pytest.mark.parametrize(
    "heading", ["CHAPTER II", "CHAPTER II.", "Chapter 2.", "THE TOWNS.", "Kapitel 2", "Chapitre 2."]
)
def test_chapters_and_capitals_are_headings_also_with_a_full_stop(heading):
    text = f"{MILL}\n\n{heading}\n\n{BO}"
    assert kinds(text)[1] == ("heading", heading)


@pytest.mark.parametrize("line", ["Ada sings.", "Who is it?", "It is late,", "Wait!", "This is section 2."])
def test_a_short_sentence_is_not_a_heading(line):
    assert kinds(f"{MILL}\n\n{line}\n\n{BO}")[1][0] == "paragraph"


def test_the_last_line_is_not_a_heading():
    assert kinds(f"{MILL}\n\nThe people")[1][0] == "paragraph"


def test_a_heading_belongs_to_its_own_section_and_a_block_before_all_headings_to_none():
    text = f"{MILL}\n\n# A\n\n- a\n\n## B\n\n{BO}"
    assert [block.section for block in parse_blocks(text)] == [(), ("A",), ("A",), ("A", "B"), ("A", "B")]


def test_a_heading_without_a_mark_is_below_the_marked_heading_before_it():
    text = f"# Pump\n\n## Use\n\n1.1 Start\n\n{MILL}\n\nStop\n\n{BO}\n\n## Care\n\n{BO}"
    assert sections(text) == ["Pump > Use > 1.1 Start", "Pump > Use > Stop", "Pump > Care"]


@pytest.mark.parametrize("block", ["- a\n- b", "```\na = 1\n```", "| a | b |\n|---|---|\n| 1 | 2 |"])
def test_a_line_that_introduces_a_block_in_markdown_begins_no_section(block):
    text = f"# Pump\n\nThe main parts are:\n\n{block}\n\n{MILL}"
    assert kinds(text)[1] == ("paragraph", "The main parts are:")
    assert sections(text)[-1] == "Pump"


@pytest.mark.parametrize(
    "line", ["**Author:** Ada", "**Default** - `10`", "![Plan](plan.png)", "https://example.com/pump", "{{ summary }}"]
)
def test_a_label_with_its_text_an_image_and_a_link_are_no_headings(line):
    assert kinds(f"{MILL}\n\n{line}\n\n{BO}")[1][0] != "heading"
    assert kinds(f"{MILL}\n\n**Author**:\n\n{BO}")[1] == ("heading", "**Author**:")


def test_images_alone_are_not_prose():
    badges = "[![Build](b.svg)](https://example.com/b)\n[![Docs](d.svg)](https://example.com/d) ![Plan](p.png)"
    assert [kind for kind, _ in kinds(f"{badges}\n\n{MILL} ![Plan](p.png)")] == ["markup", "paragraph"]


def test_a_definition_stays_with_its_term():
    text = f"# Words\n\nMill\n:   A building that grinds grain into flour with wind or water.\n\n{BO}"
    assert [kind for kind, _ in kinds(text)] == ["heading", "table", "paragraph"]
    assert sections(text) == ["Words"]


def test_a_markdown_file_with_much_code_is_no_source_file():
    code = "```python\nimport mill\n\nmill.start()\nmill.stop()\n```"
    text = f"# Mill\n\n{MILL}\n\n" + "\n\n".join(f"## Use {i}\n\n{code}" for i in range(9))
    assert kinds(text)[:2] == [("heading", "# Mill"), ("paragraph", MILL)]
    assert kinds("import mill\n\nmill.start()\nmill.stop()\nmill = None")[0][0] == "code"


def test_front_matter_is_not_a_heading_and_begins_no_section():
    text = f"---\ntitle: Tarn\nlang: en\n---\n\n# Tarn\n\n{MILL}"
    assert [kind for kind, _ in kinds(text)] == ["front matter", "heading", "paragraph"]
    assert sections(text) == ["Tarn"]


def test_a_mark_of_a_heading_in_code_begins_no_section():
    text = f"# A\n\n```\n# B\n\n# C\n```\n\n{MILL}"
    assert sections(text) == ["A"]


# White space


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_every_kind_of_line_end_gives_the_same_blocks(end):
    blocks = ["# A", MILL, "One line", BO, "- a\n- b", "| a | b |\n|---|---|\n| 1 | 2 |", "```\nx\n```", "## B", MILL]
    text = "\n\n".join(blocks)
    other = text.replace("\n", end)
    assert [(b.kind, b.section) for b in parse_blocks(other)] == [(b.kind, b.section) for b in parse_blocks(text)]
    assert [other[b.start : b.end].replace(end, "\n") for b in parse_blocks(other)] == blocks


def test_a_page_break_is_white_space():
    text = f"# A\n\n{MILL}\n\x0c\n{BO}\n\n\x0c# B\n\n{MILL}\x0c\n\n- a\x0c\n- b"
    assert sections(text) == ["A", "A", "B"]
    plain = f"The towns\n\n{MILL}\n\n\x0cThe people\n\n{BO}"
    assert sections(plain) == ["The towns", "The towns > The people"]


def test_unicode_line_separators_end_no_line():
    assert kinds(f"{MILL}\u2028# B\u2028{BO}\u2029- a")[0][0] == "paragraph"


def test_tabs_after_marks_are_spaces():
    text = f"#\tA\n\n{MILL}\n\n-\ta\n-\tb\n\n1.\tc\n2.\td\n\n>\te"
    assert [kind for kind, _ in kinds(text)] == ["heading", "paragraph", "unordered list", "ordered list", "quote"]


def check_blocks(text):
    """The blocks ascend, do not overlap, and contain all characters except white space."""
    blocks, end = parse_blocks(text), 0
    for block in blocks:
        assert end <= block.start < block.end <= len(text)
        assert not text[end : block.start].strip()
        assert text[block.start : block.end].strip()
        assert (block.level > 0) == (block.kind.value == "heading")
        end = block.end
    assert not text[end:].strip()
    return blocks


# fmt: off
LINES = [
    "", " ", "\t", "\f", "\v", "\u2028", "\u0085", "\u00a0", "\x1c", "\ufeff", "\0", "a", "A b.", "# a", "#", "# a #",
    "- a", "-", "  - b", "\t- c", "* * *", "---", "===", "+++", "1. a", "10) b", "(a) b", "> a", ">", "> > b", ">- c",
    "| a | b |", "|---|---|", "a | b", "--- | ---", "```", "````py", "~~~", "    code", "<p>", "</p>", "<!-- a", "-->",
    "[a]: b", "[^1]: a", ": a", "\\begin{a}", "$$", "A: b", "Q: a?", "09:00 a", "2024-01-01 a", "1.1 a.", "\u00a7 1 a",
    "Step 1: a", "Figure 1: a", "From: a", "To: b", "Subject: c", "**a**", "Heading", "title: a", "import os",
    "def f():", "    return 1", "x = 1", "\u4f60\u597d\u3002", "'''", '"""', "a\\", "but goes on, and",
    "A long line of prose that ends with a full stop. And more of it.", "1. A heading", "CHAPTER I.",
]
# fmt: on


@given(
    st.one_of(
        st.lists(st.sampled_from(LINES), max_size=25).flatmap(
            lambda lines: st.sampled_from(["\n", "\r\n", "\r", "\n\n"]).map(lambda end: end.join(lines))
        ),
        st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(["\n", "\r", "\r\n", "\n\n", "", " "]))).map(
            lambda pairs: "".join(map("".join, pairs))
        ),
        st.text(),
        st.text(st.sampled_from("ab.#->|`~*=: \n\r\t\f\v1\u2028\x1c\x85")),
    )
)
@settings(deadline=None, derandomize=True, database=None, max_examples=700)
def test_every_character_of_random_text_is_in_one_block(text):
    check_blocks(text)


@pytest.mark.skipif(not (DATA / "books").is_dir(), reason="needs ../shared/data/books")
def test_every_character_of_a_book_is_in_one_block():
    count = 0
    for path in sorted((DATA / "books").glob("*.md")):
        for end in ("\n", "\r\n"):
            count += len(check_blocks(path.read_text(encoding="utf-8").replace("\n", end)))
    assert count > 30_000


# Time

REPEATED = [
    *(
        ">",
        "> ",
        "- ",
        "1. ",
        "- > ",
        "> - ",
        "|",
        "`",
        "~",
        "#",
        "*",
        "_",
        "=",
        "[",
        "<",
        "<!--",
        "\\",
        "\n",
        " \n",
        "\r",
    ),
    *(
        "\r\n",
        " ",
        "\t",
        "\f",
        "\u2028",
        '"',
        "'''",
        '"""\n',
        "(",
        "{",
        ".",
        ",",
        "?",
        "word ",
        "It is. ",
        "\u4f60\u597d\u3002",
    ),
    *(
        "a\n- b\n",
        "a: ",
        "- a\n\n\nb\n",
        "| a | b |\n",
        "a\n\n",
        "**a**\n\n",
        "A b.\n\n",
        "1. A\n\nIt is so in Tarn.\n\n",
    ),
    *(f"{line}\n" for line in LINES if line.strip()),
]


@pytest.mark.parametrize("unit", REPEATED)
def test_parsing_takes_linear_time(unit):
    seconds = []
    for size in (12_500, 50_000):
        text = unit * (size // len(unit))
        start = time.process_time()
        check_blocks(text)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 9 * seconds[0] + 0.3  # four times the text; quadratic time would be 16 times


@pytest.mark.parametrize("kind", ["lists", "quotes", "both", "lines"])
def test_deep_nesting_takes_linear_time(kind):
    seconds = []
    for depth in (100, 200):  # four times the text, and twice in the last kind
        lines = {
            "lists": ["  " * level + "- a" for level in range(depth)],
            "quotes": ["> " * level + "a" for level in range(depth)],
            "both": ["> - " * level + "a" for level in range(depth)],
            "lines": ["> " * 100, *["a"] * (20 * depth)],
        }[kind]
        start = time.process_time()
        check_blocks("\n".join(lines))
        seconds.append(time.process_time() - start)
    assert seconds[1] < 9 * seconds[0] + 0.5


def test_a_megabyte_is_parsed_in_two_seconds():
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    section = f"## Towns\n\n{MILL} {BO}\n\n- Tarn has a mill.\n- Ormel has a harbour.\n\n{table}\n\n"
    for unit in (section, f"{MILL} {BO}\n\n", f"1. The towns\n\n{MILL}\n{BO}\n\nAda: {BO}\n\n"):
        text = unit * (500_000 // len(unit))
        start = time.process_time()
        assert len(parse_blocks(text)) > 2000
        assert time.process_time() - start < 1  # half a megabyte


# Views


def every_view(document):
    """All formats, and views of the other families."""
    for family, make_views in FAMILIES.items():
        try:
            yield from make_views(document, 1500 if family == "formats" else 60)
        except TooFewViewsError as error:
            if error.available:
                yield from make_views(document, error.available)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_verbatim_block_is_unchanged_in_every_view(block):
    for text in (
        f"{ELSEWHERE}\n\n{BEFORE}\n\n{BLOCKS[block]}\n\n{AFTER}\n\n{ELSEWHERE}",
        f"{BLOCKS[block]}\n\n{AFTER}",
        f"{BEFORE}\n\n{BLOCKS[block]}",
    ):
        views = list(every_view(Document("d", text, title="Ada")))
        assert len(views) > 1000
        for view in views:
            assert BLOCKS[block] in view.text


WRAPPED = (
    "The harbour of Ormel is small but deep, and in winter\nits two ice-breakers keep it open for the ships that\n"
    "bring oranges. It was built of granite, which a\nquarry in Tarn had given to the town for nothing."
)
PROSE = {
    "paragraphs": f"{BEFORE}\n\n{AFTER}",
    "wrapped": WRAPPED,
    "wrapped, CRLF": WRAPPED.replace("\n", "\r\n"),
    "a sentence a line": "Ada lives in Ormel.\nShe is a baker.\nHer school was Tarn College.",
    "an initial": "J. Smith came to Ormel in 1990. He is a baker.",
    "a year": "1990 was the year. 2000 was not.",
    "dialogue": '"Who is there?" she said. "It is late."\n\n"It is me," said Bo.',
    "a dash": "\u2014 One line of a dialogue, said by one of the two.",
    "Chinese": "\u4f60\u597d\u3002\u4e16\u754c\u3002",
}


@pytest.mark.parametrize("kind", PROSE)
def test_prose_is_not_verbatim(kind):
    assert verbatim_spans(PROSE[kind]) == []


def test_blocks_are_whole_lines_and_adjacent_ones_are_joined():
    text = "One is.\n```\na\n\nb\n```\n\n- c\n\n\n# d  \nTwo is.\n\n\n  > e\n\n"
    assert [text[start:end] for start, end in verbatim_spans(text)] == ["```\na\n\nb\n```\n\n- c\n\n\n# d", "  > e"]
    text = "One is.\n\n# a\n\nTwo is.\n\n# b"
    assert [text[start:end] for start, end in verbatim_spans(text)] == ["# a", "# b"]


def test_front_matter_is_one_verbatim_block():
    for line in ("\n", "\r\n"):
        front = line.join(["---", "title: Ada", "", "tags: b", "---"])
        text = f"{front}{line}One is. Two is."
        assert [text[start:end].rstrip("\r") for start, end in verbatim_spans(text)] == [front]


def test_an_unclosed_fence_extends_to_the_end():
    text = "One is. Two is.\n\n```\na  b\n\nc. d."
    assert [text[start:end] for start, end in verbatim_spans(text)] == ["```\na  b\n\nc. d."]


def test_a_table_has_the_same_cells_in_every_view():
    table = "| name | born  |\n|------|-------|\n| Ada  | 1990. |\n| Bo   |       |"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.split("\n")]
    for view in format_views(Document("d", f"{BEFORE}\n\n{table}\n\n{AFTER}"), 1500):
        start = view.text.index("| name")
        rows = view.text[start:].split("\n")[:4]
        assert [[cell.strip() for cell in row.strip("|").split("|")] for row in rows] == cells


# Python files

STDLIB = Path(sysconfig.get_path("stdlib"))


def python_files(step):
    """Every so many of the standard library's files, if it holds code that parses."""
    files = [path for path in sorted(STDLIB.rglob("*.py")) if "site-packages" not in path.parts]
    for path in files[::step]:
        try:
            source = path.read_text(encoding="utf-8")
            if ast.parse(source).body:
                yield path, source
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue  # among the library's own tests are files that are wrong on purpose


def check_python(files, views):
    count = 0
    for path, source in files:
        count += 1
        document = Document(path.name, source, title=path.name)
        assert len(verbatim_spans(source)) == 1, path
        for view in format_views(document, views, count):
            (start, _, _), (last, _, length) = view.spans[0], view.spans[-1]
            code = view.text[start : last + length]
            assert code == source.strip()
        ast.parse(code)
    return count


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_a_python_file_in_a_view_still_parses():
    assert check_python(python_files(28), 20) > 50


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_every_python_file_of_the_standard_library_in_a_view_still_parses():
    assert check_python(python_files(1), 20) > 1000


@pytest.mark.parametrize(
    "source", ['"""A module of a docstring alone.\n\nIt says. Much."""\n', "import a.b\n\na.b\n", "x = 1\n"]
)
def test_a_small_python_file_is_one_verbatim_block(source):
    assert verbatim_spans(source) == [(0, len(source.rstrip()))]
