"""Views: the document's words, all of them, once, in order; around them nothing but the layout a format declares."""

import inspect
import json
import re
import time
from collections.abc import Sequence
from itertools import islice, pairwise, product
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from hf_knowlearn.documents import Document
from hf_knowlearn.views import FORMATS, GROUPS, View, as_written, format_views
from hf_knowlearn.views.formats import Format, _frame
from hf_knowlearn.views.sentences import Sentence, sentences

DATA = Path(__file__).parents[1].parent / "shared" / "data"
FILM, BOOKS = DATA / "film", DATA / "books"
BY_NAME = {format.name: format for format in FORMATS}

# What a document may hold to confuse a segmenter, a format or a search: marks that formats use themselves, our
# placeholders, white space of one to three bytes, combining marks, text from right to left, joined emoji.
# fmt: off
HEBREW = "\u05e9\u05dc\u05d5\u05dd"
FRAGMENTS = [
    "One", "Ada", "A.", "Mr.", "e.g.", "3.", "1.", "...", ".", ". ", "! ", "? ", "\u2026", "\u3002", "\u0964",
    " ", "  ", "\t", "\n", "\n\n", "\n \n", "\r\n", "\r\n\r\n", "\r", "\x0c", "\x1c", "\u00a0", "\u0085", "\u2028",
    "- ", "\u2022 ", "* ", "> ", "# ", "1. ", "(a) ", "```\n", "`", '"', "\u201c", "\u201d", "\u00ab ", " \u00bb",
    "\u061f ", "[", "**", "]", " | ", "==\n", "<p>", "</p>", "<document>\n", "Document: ", "Title: ", "{title}", "{n}",
    "{letter}", "{", "}", "\\1", "%s", "\u0645\u0631\u062d\u0628\u0627", HEBREW, "\u4f60\u597d", "\u0e01\u0e33",
    "e\u0301", "\u0301", "\u0338", "\U0001f600", "\U0001f469\u200d\U0001f52c", "\u200b", "\u200d", "\u200f", "\ufeff",
    "\u00df", "\u0130",
]
# fmt: on
texts = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=40).map("".join),
    st.text(max_size=60),
).filter(str.strip)
titles = st.sampled_from(["", " ", "Ada", "{title}", "{n}. {letter}", "One", "Title: a\nText: b", HEBREW, "- \\1"])
documents = st.builds(
    Document,
    id=st.just("d"),
    text=texts,
    title=titles,
    language=st.sampled_from(["en", "de", "fr", "ar", "hi", "ja", "zh", "am", "th", "no such language"]),
)


def every_view(document: Document) -> list[View]:
    """Every telling of the document that is unlike the others: as many as a refusal says there are."""
    try:
        return format_views(document, len(FORMATS))
    except ValueError as refusal:
        return format_views(document, int(re.search(r"only (\d+) distinct", str(refusal))[1]))


# The proof, checked without the code that makes it


def declared(format: Format) -> dict[str, str]:
    """The strings that a format declares, by their names."""
    defaults = {p.name: p.default for p in inspect.signature(_frame).parameters.values() if p.kind is p.KEYWORD_ONLY}
    return {**defaults, **format.lay_out.keywords}


def labels(count: int) -> list[str]:
    """a to z, aa to zz, aaa ..."""
    return [
        "".join(letters) for length in (1, 2, 3) for letters in islice(product(ascii_lowercase, repeat=length), count)
    ]


def expected_layout(document: Document, view: View) -> list[str]:
    """The layout before, between and after the view's spans, from what its format declares."""
    frame = declared(BY_NAME[view.format])
    openings = [
        frame["opening"].replace("{n}", f"{number}").replace("{letter}", label)
        for number, label in enumerate(labels(len(view.spans))[: len(view.spans)], 1)
    ]
    gaps = [document.text[d + n : after] for (_, d, n), (_, after, _) in pairwise(view.spans)]
    joints = [frame["paragraph"] if gap.count("\n") > 1 else frame["between"] for gap in gaps]
    return [
        document.title.join(frame["head"].split("{title}")) + openings[0],
        *(frame["closing"] + joint + opening for joint, opening in zip(joints, openings[1:], strict=True)),
        frame["closing"] + frame["tail"],
    ]


def check_proof(document: Document, view: View) -> None:
    told, layout = [], []
    at_view = at_document = 0
    for v, d, n in view.spans:
        assert n > 0
        assert v >= at_view
        assert d >= at_document
        assert view.text[v : v + n] == document.text[d : d + n]
        told.append(document.text[at_document:d])
        layout.append(view.text[at_view:v])
        at_view, at_document = v + n, d + n
    told.append(document.text[at_document:])
    layout.append(view.text[at_view:])
    assert not "".join(told).strip()  # what no span covers is white space
    assert layout == expected_layout(document, view)


@given(documents)
@example(Document("d", "M\u0085. \u2028\u00e9 B\u0085. x", language="am"))  # sentencex panics on U+0085
@example(Document("d", '- One.\n- {n} and {title}.\n\n```\n"Three."\n```\n', title="{title}"))
@example(Document("d", "\u4f60\u597d\u3002\u4e16\u754c\uff01\u518d\u89c1\u3002", title="\u4e16\u754c", language="zh"))
@example(Document("d", "So. " * 800, title="So."))  # numbers of three digits, letters up to aet
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_view_is_the_documents_words_once_in_order_and_else_only_its_formats_layout(document):
    views = every_view(document)
    assert [view.index for view in views] == list(range(len(views)))
    assert len({view.text for view in views}) == len(views)
    for view in views:
        check_proof(document, view)
    assert as_written(document).text == document.text
    assert as_written(document).spans == ((0, 0, len(document.text)),)


def test_the_check_of_the_proof_sees_a_changed_word_a_lost_word_and_foreign_layout():
    document = Document("d", "One is here. Two is there.", title="Ada")
    view = next(view for view in every_view(document) if view.format == "dashes")
    check_proof(document, view)
    (first, second), text = view.spans, view.text
    for wrong in [
        View("d", 0, 0, "formats", "dashes", text.replace("here", "gone"), view.spans),
        View("d", 0, 0, "formats", "dashes", text, (first, (second[0], second[1], second[2] - 1))),
        View("d", 0, 0, "formats", "dashes", text, (first,)),
        View("d", 0, 0, "formats", "dashes", text.replace("- ", "+ "), view.spans),
        View("d", 0, 0, "formats", "dashes", text + "!", view.spans),
    ]:
        with pytest.raises(AssertionError):
            check_proof(document, wrong)


TOLD = {
    "one_space": "One is here. Two is there.\n\nThree.",
    "two_spaces": "One is here.  Two is there.\n\nThree.",
    "indented": "    One is here. Two is there.\n\n    Three.",
    "tabbed": "One is here.\tTwo is there.\n\nThree.",
    "sentence_lines": "One is here.\nTwo is there.\n\nThree.",
    "spaced_lines": "One is here.\n\nTwo is there.\n\n\nThree.",
    "indented_lines": "  One is here.\n  Two is there.\n\n  Three.",
    "quotes": '"One is here." "Two is there."\n\n"Three."',
    "guillemets": "« One is here. » « Two is there. »\n\n« Three. »",
    "brackets": "[One is here.] [Two is there.]\n\n[Three.]",
    "emphasis": "**One is here.** **Two is there.**\n\n**Three.**",
    "ticks": "`One is here.` `Two is there.`\n\n`Three.`",
    "bars": "One is here. | Two is there. || Three.",
    "dashes": "- One is here.\n- Two is there.\n\n- Three.",
    "bullets": "\u2022 One is here.\n\u2022 Two is there.\n\n\u2022 Three.",
    "numbers": "1. One is here.\n2. Two is there.\n\n3. Three.",
    "letters": "(a) One is here.\n(b) Two is there.\n\n(c) Three.",
    "heading": "# Ada\n\nOne is here. Two is there.\n\nThree.",
    "title_line": "Title: Ada\nText: One is here. Two is there.\n\nThree.",
    "document": "Document: One is here. Two is there.\n\nThree.",
    "underlined": "Ada\n=====\nOne is here. Two is there.\n\nThree.",
    "block_quote": "> One is here.\n> Two is there.\n>\n> Three.",
    "html": "<p>One is here.</p>\n<p>Two is there.</p>\n\n<p>Three.</p>",
    "xml": "<document>\nOne is here.\nTwo is there.\n\nThree.\n</document>",
    "fence": "```\nOne is here.\nTwo is there.\n\nThree.\n```",
}


def test_each_format_tells_a_small_document_as_recorded():
    views = every_view(Document("d", " One is here.  Two is there.\n \nThree.\n", title="Ada"))
    assert {view.format: view.text for view in views} == TOLD


def test_there_are_at_least_12_formats_in_6_groups_under_distinct_names():
    assert len(BY_NAME) == len(FORMATS) >= 12
    assert len(set(GROUPS)) == len(GROUPS) >= 6
    assert {format.group for format in FORMATS} == set(GROUPS)
    plain = [format for format in FORMATS if not format.needs_title]
    assert len(plain) >= 12  # also for a document that has no title


# Sentences


@given(texts, st.sampled_from(["en", "fr", "am", "zh", "?"]))
@example("B\u0085\u2028. ?\u00e9\u00e9", "fr")
@settings(max_examples=200, deadline=None)
def test_sentences_hold_every_word_once_and_have_no_white_space_at_their_ends(text, language):
    found = sentences(text, language)
    cuts = [0, *(place for sentence in found for place in (sentence.start, sentence.end)), len(text)]
    assert cuts == sorted(cuts)
    assert not "".join(text[end:start] for end, start in zip(cuts[::2], cuts[1::2], strict=True)).strip()
    for sentence in found:
        told = text[sentence.start : sentence.end]
        assert told
        assert told == told.strip()


def test_a_text_of_more_than_10000_characters_keeps_every_blank_line():
    # sentencex 1.0.32 drops the blank line about every 10,000 characters. If this no longer fails, it was mended.
    from sentencex import segment

    text = "Ab is cd.\n\n" * 3000
    assert len("".join(segment("en", text))) < len(text)
    assert sentences(text) == [Sentence(i * 11, i * 11 + 9, i > 0) for i in range(3000)]


@pytest.mark.parametrize(
    ("gap", "opens"),
    [
        (" ", False),
        ("\n", False),
        ("\r\n", False),
        (" \n  ", False),
        ("\n\n", True),
        ("\n \t\n", True),
        ("\r\n\r\n", True),
    ],
)
def test_a_paragraph_opens_where_a_blank_line_stands(gap, opens):
    assert [s.opens_paragraph for s in sentences(f"One is here.{gap}Two is there.")] == [False, opens]


def test_an_abbreviation_ends_no_sentence_and_a_full_width_stop_does():
    text = "Mr. Smith met Dr. Jones at 3.50 p.m. on Monday. He left."
    assert [text[s.start : s.end] for s in sentences(text)] == [text[:47], "He left."]
    assert len(sentences("\u4f60\u597d\u3002\u4e16\u754c\uff01", "zh")) == 2


# Drawing

ADA = Document("ada", "One is here. Two is there.\n\nThree.", title="Ada")


def names(views: Sequence[View]) -> list[str]:
    return [view.format for view in views]


def test_the_draw_is_the_recorded_one_on_every_machine_and_python():
    assert names(format_views(ADA, 6, seed=0)) == ["bars", "spaced_lines", "bullets", "dashes", "ticks", "html"]
    part = Document("caf\u00e9/\U0001fae8", ADA.text, title="Ada", part=3)  # the emoji is of Unicode 15: Python 3.12
    assert names(format_views(part, 6, seed=7)) == [
        *("indented", "block_quote", "two_spaces", "brackets", "emphasis", "xml"),
    ]


def test_a_second_call_gives_the_same_views_and_fewer_views_are_the_first_of_more():
    all_views = every_view(ADA)
    assert len(all_views) == len(FORMATS)
    for count in range(1, len(FORMATS) + 1):
        assert format_views(ADA, count) == all_views[:count]


def test_the_draw_depends_on_the_seed_the_id_and_the_part_and_on_nothing_else_of_the_document():
    drawn = names(format_views(ADA, 12))
    assert names(format_views(ADA, 12, seed=1)) != drawn
    assert names(format_views(Document("bob", ADA.text, title="Ada"), 12)) != drawn
    assert names(format_views(Document("ada", ADA.text, title="Ada", part=1), 12)) != drawn
    other = Document("ada", "Four.\n\nFive is here. Six is.", title="Bob", start=9, metadata={"a": 1})
    assert names(format_views(other, 12)) == drawn


def test_over_many_documents_each_format_comes_first_about_equally_often():
    first = [format_views(Document(f"d{i}", ADA.text, title="Ada"), 1)[0].format for i in range(1500)]
    counts = [first.count(name) for name in BY_NAME]
    assert sum((count - 60) ** 2 / 60 for count in counts) < 51.2  # chi-square with 24 degrees of freedom, p = 0.001


def test_groups_and_hold_out_take_formats_away_and_leave_the_order_of_the_others():
    drawn = every_view(ADA)
    for group in GROUPS:
        inside = [view.format for view in drawn if BY_NAME[view.format].group == group]
        outside = [view.format for view in drawn if BY_NAME[view.format].group != group]
        assert inside
        assert names(format_views(ADA, len(inside), groups=[group])) == inside
        assert names(format_views(ADA, len(outside), hold_out=group)) == outside
    both = format_views(ADA, 4, groups=["lists", "marks"], hold_out="marks")
    assert both == format_views(ADA, 4, groups=["lists"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_views": 0}, "num_views=0: a document is told at least once, so give 1 or more"),
        ({"num_views": -1}, "num_views=-1: a document is told at least once"),
        (
            {"num_views": 1, "groups": ["lists", "list"]},
            r"Unknown groups of formats \['list'\]: choose from spacing, lines,",
        ),
        (
            {"num_views": 1, "hold_out": "fences"},
            r"Unknown groups of formats \['fences'\]: choose from spacing, lines,",
        ),
        ({"num_views": 1, "groups": []}, r"groups=\[\] with hold_out=None leaves no format"),
        ({"num_views": 1, "groups": ["lists"], "hold_out": "lists"}, r"hold_out='lists' leaves no format"),
    ],
)
def test_a_wrong_argument_is_refused_with_a_way_out(arguments, says):
    with pytest.raises(ValueError, match=says):
        format_views(ADA, **arguments)


@pytest.mark.parametrize(
    ("document", "count", "why"),
    [
        (Document("s", "One sentence.", title="Ada"), 20, "1 sentence"),
        (Document("s", "One sentence."), 17, "1 sentence, no title"),
        (Document("s", "One sentence.", title=" \n"), 17, "1 sentence, no title"),
        (Document("s", "One is. Two is."), 22, "2 sentences, no title"),
        (ADA, 25, "3 sentences"),
    ],
)
def test_a_document_too_short_for_so_many_views_says_how_many_there_are_and_that_many_there_are(document, count, why):
    says = f"document '{document.id}' has only {count} distinct formats ({why}): ask for at most that many"
    with pytest.raises(ValueError, match=re.escape(f"num_views={count + 1}, but {says}")):
        format_views(document, count + 1)
    assert len({view.text for view in format_views(document, count)}) == count


def test_a_document_without_a_title_is_told_in_no_format_that_shows_one():
    untitled = every_view(Document("ada", ADA.text))
    assert names(untitled) == [view.format for view in every_view(ADA) if "Ada" not in view.text]
    assert len(untitled) >= 12


# Finding


def view_of(text: str, format: str, title: str = "") -> View:
    (view,) = (view for view in every_view(Document("d", text, title=title)) if view.format == format)
    return view


@given(documents, st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_find_gives_in_every_view_each_place_of_the_document_where_the_answer_stands(document, data):
    start = data.draw(st.integers(0, len(document.text) - 1), label="start")
    length = data.draw(st.integers(1, 12), label="length")
    answer = data.draw(st.sampled_from([" ", "\n", "\t "]), label="space").join(
        document.text[start : start + length].split()
    )
    assume(answer)
    expected = re.compile(r"\s+".join(re.escape(word) for word in answer.split()))
    places = [(match.start(), match.end() - 1) for match in expected.finditer(document.text)]
    assert places
    for view in [*every_view(document), as_written(document)]:
        where = {d + i: v + i for v, d, n in view.spans for i in range(n)}
        assert view.find(answer) == [(where[first], where[last] + 1) for first, last in places]


def test_find_finds_nothing_in_layout():
    text = "Rome is old. Text and Title: both."
    for view in every_view(Document("d", text, title="Rome")):
        assert [view.text[start:end] for start, end in view.find("Rome")] == ["Rome"]
        assert view.find("Rome")[0][0] == view.spans[0][0]
        for layout in ("Document:", "Text:", "document", "p>", "1.", "(a)", "```", "**", "|", "Title: Rome", "- Rome"):
            assert view.find(layout) == []


def test_an_answer_is_found_where_the_title_before_it_ends_in_its_first_word():
    view = view_of("Rome Rome is old.", "heading", title="Rome")
    assert view.find("Rome Rome") == [(8, 17)]


def test_find_crosses_a_line_break_and_any_white_space():
    view = view_of("She is a paper\r\n  carver\u00a0now. Two.", "numbers")
    assert [view.text[start:end] for start, end in view.find(" paper\tcarver now ")] == ["paper\r\n  carver\u00a0now"]


def test_an_answer_that_runs_over_two_sentences_is_found_with_the_layout_between_them():
    (place,) = (view := view_of("He met Na. Arun today. So.", "dashes")).find("Na. Arun")
    assert view.text[slice(*place)] == "Na.\n- Arun"
    assert view_of("\u4f60\u597d\u3002\u4e16\u754c\u3002", "bars").find(
        "\u597d\u3002\u4e16"
    )  # where no white space parts them
    assert not view_of("One.\n\nTwo.", "bars").find("One.Two.")


def test_find_ignores_case_only_where_the_answer_never_stands_as_spelled():
    view = view_of("It is a film. Antique bells fill the house. The film It is old.", "dashes")
    assert [view.text[start:end] for start, end in view.find("antique bells")] == ["Antique bells"]
    assert len(view.find("It")) == 2
    assert len(view.find("IT")) == 2
    assert len(view.find("the film")) == 1
    assert view.find("Antique bowls") == []


def test_find_takes_the_signs_of_an_answer_literally():
    view = view_of("It cost $3.50 (plus tax)? Yes [1]. It was 3x50.", "fence")
    assert [view.text[start:end] for start, end in view.find("$3.50 (plus tax)?")] == ["$3.50 (plus tax)?"]
    assert len(view.find("3.50")) == 1
    assert view.find("a+b") == []


@pytest.mark.parametrize("answer", ["", " \n"])
def test_an_empty_answer_is_refused(answer):
    with pytest.raises(ValueError, match="is empty, so it can't be found: give an answer with words"):
        as_written(ADA).find(answer)


@pytest.mark.parametrize("told", ["as written", "in 8,000 sentences"])
def test_find_takes_linear_time(told):
    document = Document("d", "The cat sat on the mat. " * 8000)
    view = as_written(document) if told == "as written" else format_views(document, 1)[0]
    start = time.process_time()
    assert len(view.find("the mat.")) == 8000
    assert time.process_time() - start < 2  # it takes 0.05 s; a look at all words for each place takes minutes


# Real documents


def check_views_and_answers(document: Document, answers: Sequence[str]) -> int:
    """How many of the answers stand in the document; each is found in each of its views."""
    views = [*every_view(document), as_written(document)]
    assert len(views) > 12
    for view in views[:-1]:
        check_proof(document, view)
    found = 0
    for answer in filter(str.strip, answers):
        pattern = r"\s+".join(map(re.escape, answer.split()))
        places = re.findall(pattern, document.text) or re.findall(pattern, document.text, re.IGNORECASE)
        assert {len(view.find(answer)) for view in views} == {len(places)}
        found += bool(places)
    return found


def test_every_format_keeps_the_proof_and_the_answers_of_real_film_articles():
    if not FILM.is_dir():
        pytest.skip(f"no film data at {FILM}")
    with open(FILM / "documents.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, 40)]
    answers: dict[int, list[str]] = {row["wiki_id"]: [] for row in rows}
    with open(FILM / "questions.jsonl", encoding="utf-8") as lines:
        for row in map(json.loads, islice(lines, 400)):
            answers.get(row["wiki_id"], []).append(row["answer"])
    found = [
        check_views_and_answers(
            Document(str(row["wiki_id"]), row["text"], title=row["title"]), answers[row["wiki_id"]]
        )
        for row in rows
    ]
    assert len(found) == 40
    assert sum(found) > 100


def test_every_format_keeps_the_proof_of_the_beginnings_of_two_books():
    if not BOOKS.is_dir():
        pytest.skip(f"no books at {BOOKS}")
    books = sorted(BOOKS.glob("*.md"))
    for book in books[0], books[7]:
        text = book.read_text(encoding="utf-8")[:20_000]
        assert check_views_and_answers(Document(book.name, text, title=book.stem), [text[11_000:11_030]]) == 1
