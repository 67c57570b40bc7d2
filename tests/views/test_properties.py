"""Every view of every family has the document's words once, and otherwise only layout that its format declares."""

import json
import re
from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import hf_knowlearn.documents.sentences as segmenting
from hf_knowlearn.documents import Document
from hf_knowlearn.views import FAMILIES, TooFewViewsError, format_views, prove, raw_view

HEBREW = "\u05e9\u05dc\u05d5\u05dd"
# Texts that can confuse a segmenter, a format or a search: marks that formats use, our placeholders, white space of
# one to three bytes, combining marks, right-to-left text, joined emoji, and blocks whose white space is content.
# fmt: off
BLOCKS = [
    "```python\nif a:\n\n    b  =  1\n```", "    indented\n\n      code", "| a | b |\n|---|---|\n| 1 |  |",
    "a\tb\nc\td", "- One.\n  - Two.\n\n    Three.", "The sea is deep,\nThe sky is high,\nAnd so am I.", "# Title",
    "---\n\n> a\n> b", "```\r\na  b\r\n```",
]
FRAGMENTS = [
    "One", "Ada is.", "She was here.", "A.", "Mr.", "e.g.", "3.", "1.", "...", ".", ". ", "! ", "? ", "\u2026",
    "\u3002", "\u0964", " ", " ", "  ", "\t", "\n", "\n\n", "\n \n", "\r\n", "\r\n\r\n", "\r", "\x0c", "\x1c",
    "\u00a0", "\u0085", "\u2028", "\u3000", "\u202f", "\0",
    "- ", "\u2022 ", "* ", "> ", "# ", "1. ", "(a) ", "```\n", "~~~\n", "`", '"', "\u201c", "\u201d", "\u00ab ",
    " \u00bb", "_", "____", "[...]", "<blank>", "(?)", "\u25a1",
    "\u061f ", "[", "**", "]", " | ", "==\n", "<p>", "</p>", "&amp;", "]]>", "<document>\n", "Document: ", "Title: ",
    "{title}", "{}", "{blank}", "{masked}", "{", "}", "\\1", "%s", "\u0645\u0631\u062d\u0628\u0627", HEBREW,
    "\u4f60\u597d", "\u4f60\n\u597d", "\u0e01\u0e33", "\U00020000", "\u845b\U000e0100", "\u304b\u3099",
    "e\u0301", "\u0301", "\u0338", "\U0001f600", "\U0001f469\u200d\U0001f52c", "\u203c\ufe0f", "\u200b", "\u200d",
    "\u200f", "\ufeff", "\u00df", "\u0130", "10 000", "10\u00a0000", "10\u2009000 ", "\n1 2\n3 4\n",
    "\n\nOne is here. Two is.\n\n", "---\ntitle: a\n---\n", "import os\n\ndef f(x):\n    return x\n",
    *(f"\n\n{block}\n\n" for block in BLOCKS),
]
# fmt: on
WORDS = [
    "Ada",
    "sings",
    "in",
    "10 000",
    "10\u00a0000",
    "caf\u00e9",
    "\u4f60\u597d",
    HEBREW,
    "\U0001f469\u200d\U0001f52c",
    "_",
]
sentence = st.tuples(
    st.sampled_from(
        ["Ada ", "She ", "Rome ", '"It ', "(1) ", "1999 ", "However, ", "Tarn ", "Ormel ", "Bo ", "Boats "]
    ),
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.sampled_from([".", "!", '?"', "\u2026", "\u3002", " 7."]),
).map("".join)
prose = st.lists(
    st.tuples(sentence, st.sampled_from([" ", " ", "  ", "\n", "\n\n", "\r\n\r\n", ""])), min_size=2, max_size=9
)
# Sentences that stand alone, so they can be permuted.
FACTS = [
    "Tarn has a mill.",
    "Ormel is old.",
    "Rome lies south.",
    "Boats cost 10 000 crowns.",
    "\u4f60\u597d is a word.",
]
facts = st.lists(st.tuples(st.sampled_from(FACTS), st.sampled_from([" ", " ", "\n", "\n\n"])), min_size=2, max_size=9)
texts = st.one_of(
    facts.map(lambda pieces: "".join(map("".join, pieces))),
    st.tuples(facts.map(lambda pieces: "".join(map("".join, pieces))), st.sampled_from(FRAGMENTS)).map("\n\n".join),
    prose.map(lambda pieces: "".join(map("".join, pieces))),
    st.tuples(prose.map(lambda pieces: "".join(map("".join, pieces))), st.sampled_from(FRAGMENTS)).map("\n\n".join),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=30).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=30).map(" ".join),
    st.text(max_size=60),
).filter(str.strip)
titles = st.sampled_from(
    [
        "",
        " ",
        "Ada",
        " Ada ",
        "{title}",
        "{} {}",
        "One",
        "Title: a\nText: b",
        HEBREW,
        "- \\1",
        "a\x1cb",
        "\u00a0x",
        "=",
    ]
)
documents = st.builds(
    Document,
    id=st.just("d"),
    text=texts,
    title=titles,
    language=st.sampled_from(
        ["en", "en", "en", "de", "de", "fr", "ar", "hi", "ja", "zh", "am", "th", "no such language"]
    ),
)
quiet = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


@pytest.fixture(scope="session")
def count_checked(check_proof):
    """A function that checks `count` views of a document, or all if there are fewer, and returns their number."""

    def count_checked(document, family, count, seed=0):
        try:
            views = FAMILIES[family](document, count, seed)
        except TooFewViewsError as error:
            has = error.available
            assert has < count
            views = FAMILIES[family](document, has, seed) if has else []
            assert len(views) == has
        assert [view.index for view in views] == list(range(len(views)))
        assert len({(view.text, view.prompt) for view in views}) == len(views)
        for view in views:
            assert (view.document_id, view.part) == (document.id, document.part)
            assert view.family == family or family == "mixed"
            check_proof(view, document)
            prove(view, document)
        return len(views)

    return count_checked


def test_views_of_random_text_pass_the_proof(count_checked):
    counts = Counter()

    @given(documents, st.integers(0, 99))
    @example(Document("d", "M\u0085. \u2028\u00e9 B\u0085. x", language="am"), 0)  # sentencex panics on U+0085
    @example(Document("d", "\u4f60\u597d\u3002\u4e16\u754c\uff01\u518d\u89c1\u3002", language="zh"), 0)
    @example(Document("d", "So. " * 800, title="So."), 0)  # numbers of three digits, letters up to aet
    @settings(quiet, max_examples=70)
    def check(document, seed):
        counts.update({family: count_checked(document, family, 6, seed) for family in FAMILIES})

    @given(st.builds(Document, id=st.just("d"), text=facts.map(lambda pieces: "".join(map("".join, pieces)))))
    @settings(quiet, max_examples=60)
    def check_facts(document):
        counts.update(order=count_checked(document, "order", 6))

    check()
    check_facts()
    assert min(counts.values()) > 200
    assert counts.total() > 1300


@pytest.mark.parametrize(
    ("source", "count", "permuted"),
    [("film", 14, 70), ("squad", 10, 10), ("covid", 1, 0), ("books", 8, 0)],  # stories and articles keep their order
)
def test_views_of_real_documents_pass_the_proof(source, count, permuted, count_checked, real_documents):
    counts = Counter()
    for number, document in enumerate(real_documents(source, count)):
        counts.update({family: count_checked(document, family, 10, number) for family in FAMILIES})
    assert min(counts[family] for family in ("formats", "masked", "mixed")) == 10 * count
    assert counts["order"] >= permuted


@pytest.mark.slow
def test_a_hundred_thousand_views_pass_the_proof(count_checked, real_documents):
    counts = Counter()

    @given(documents, st.integers(0, 99))
    @settings(quiet, max_examples=1500)
    def check(document, seed):
        counts.update(random=sum(count_checked(document, family, 12, seed) for family in FAMILIES))

    check()
    for source, views in [("film", 10), ("squad", 6), ("covid", 3), ("books", 3)]:
        for number, document in enumerate(real_documents(source, 10**6)):
            counts[source] += sum(count_checked(document, family, views, number) for family in FAMILIES)
    assert counts.total() > 100_000
    assert min(counts.values()) > 700


@given(documents, st.sampled_from([5, 20, 5000]))
@settings(quiet, max_examples=200)
def test_pieces_have_every_word_once_in_order_and_only_white_space_between_them(document, window):
    text = document.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenting, "_WINDOW", window)
        pieces = segmenting.sentences.__wrapped__(text, document.language)
    assert pieces.texts == [text[at : at + length] for at, length in zip(pieces.starts, pieces.lengths, strict=True)]
    cuts = [
        0,
        *(cut for at, length in zip(pieces.starts, pieces.lengths, strict=True) for cut in (at, at + length)),
        len(text),
    ]
    assert cuts == sorted(cuts)
    assert not "".join(text[end:start] for end, start in zip(cuts[::2], cuts[1::2], strict=True)).strip()
    assert all(piece.strip() for piece in pieces.texts)
    for piece, verbatim in zip(pieces.texts, pieces.verbatim, strict=True):
        assert verbatim or piece == piece.strip(" \n\r")


@given(texts, st.sampled_from(BLOCKS), texts)
@settings(quiet, max_examples=60)
def test_a_block_whose_white_space_is_content_occurs_unchanged_between_any_texts(before, block, after):
    text = f"{before}\n\n{block}\n\n{after}"
    for family, make_views in FAMILIES.items():
        try:
            views = make_views(Document("d", text), 5)
        except ValueError:
            assert family in ("order", "masked", "mixed")  # `formats` always has more
            continue
        assert all(block in view.text for view in views)


@given(texts)
@settings(quiet, max_examples=40)
@example("Ada sings. Bo bakes.\n\nRome lies south. It is old.")
@example("\u4f60\n\u597d\u3002\u4e16\u754c\u3002")
@example("10\n000. Two")
def test_json_yaml_and_xml_parse_and_contain_the_words(text):
    words = "".join(text.split())
    for view in every_container(text):
        content = view.text
        named = [mark.removeprefix("containers.") for mark in view.format.split("+") if mark.startswith("containers.")]
        container = "".join(named)
        if container == "json":
            assert "".join(json.loads(content[content.index("{") :])["text"].split()) == words
        elif container == "yaml":
            assert "".join(yaml.safe_load(content[content.index("text:") :])["text"].split()) == words
        elif container in TAGGED:
            root = ElementTree.fromstring(f"<root>{content[content.index('<') :]}</root>")
            assert "".join("".join(root.itertext()).split()) == words
        elif container == "cell":
            assert content.strip().split("\n")[-1].count("|") == 2


TAGGED = ["html_p", "html_span", "div", "article", "html_quote", "pre", "document", "text", "doc", "passage"]


def every_container(text):
    """All views in a container, alone and with each compatible group."""
    for groups in [["containers"], ["containers", "shift"], ["containers", "spacing"], ["containers", "breaks"]]:
        with pytest.raises(TooFewViewsError) as raised:
            format_views(Document("d", text), 10**4, groups=groups)
        has = raised.value.available
        yield from format_views(Document("d", text), has, groups=groups) if has else []


@given(documents, st.data())
@settings(quiet, max_examples=60)
def test_find_returns_each_occurrence_in_the_document(document, data):
    text = document.text
    start = data.draw(st.integers(0, len(text) - 1), label="start")
    length = data.draw(st.integers(1, 12), label="length")
    answer = data.draw(st.sampled_from([" ", "\n", "\t "]), label="space").join(text[start : start + length].split())
    assume(answer)
    pattern = r"\s+".join(map(re.escape, answer.split()))
    places = [(match.start(), match.end() - 1) for match in re.finditer(pattern, text)]
    assert places
    for view in [*format_views(document, 8), raw_view(document)]:
        where = {source + i: at + i for at, source, length in view.spans for i in range(length)}
        assert view.find(answer) == [(where[first], where[last] + 1) for first, last in places]


@given(documents, st.data())
@settings(quiet, max_examples=60)
def test_find_returns_in_another_order_the_occurrences_whose_words_are_still_adjacent(document, data):
    text = document.text
    start = data.draw(st.integers(0, len(text) - 1), label="start")
    length = data.draw(st.integers(1, 12), label="length")
    answer = " ".join(text[start : start + length].split())
    assume(answer)
    try:
        views = FAMILIES["order"](document, 4)
    except ValueError:
        assume(False)
    pattern = r"\s+".join(map(re.escape, answer.split()))
    places = [(match.start(), match.end() - 1) for match in re.finditer(pattern, text)]
    for view in views:
        where = {source + i: at + i for at, source, length in view.spans for i in range(length)}
        span = {source + i: number for number, (_, source, length) in enumerate(view.spans) for i in range(length)}
        together = {
            (where[first], where[last] + 1): all(
                b - a in (0, 1) for a, b in pairwise([span[i] for i in range(first, last + 1) if i in span])
            )
            for first, last in places
        }
        found = view.find(answer)
        assert {place for place in together if place in found} == {place for place in together if together[place]}
        assert len(found) == sum(together.values()) or not any(together.values())
