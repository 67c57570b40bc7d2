"""Verbatim blocks: they are unchanged in every view of every family."""

import ast
import sysconfig
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.structure import verbatim_spans
from hf_knowlearn.views import FAMILIES, format_views
from hf_knowlearn.views.sampling import TooFewViewsError

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
