"""The proof refuses every view that isn't its document; so does the check that the other tests use beside it."""

from dataclasses import replace

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import MARKS, View, format_views, masked_views, order_views, prove, raw_view

DOCUMENT = Document("d", "One is here. Two is there, One says.\n\nThree is 10 000.", title="Ada")


@pytest.fixture
def view_of(every_view):
    """The document in a format of one mark."""

    def view_of(format):
        views = every_view(DOCUMENT, groups=[format.partition(".")[0]])
        return next(view for view in views if view.format == format)

    return view_of


@pytest.fixture(params=["prove", "check_proof"])
def holds(request, check_proof):
    """Whether a proof holds, by ours and by the tests' own."""
    check = {"prove": prove, "check_proof": check_proof}[request.param]
    refusal = {"prove": ValueError, "check_proof": AssertionError}[request.param]

    def holds(view, document=DOCUMENT):
        try:
            check(view, document)
        except refusal:
            return False
        return True

    return holds


@pytest.fixture
def dashes(view_of):
    view = view_of("lists.dash")
    assert view.text == "- One is here.\n- Two is there, One says.\n\n- Three is 10 000."
    return view


def test_a_view_holds(holds, dashes):
    assert holds(dashes)
    assert holds(raw_view(DOCUMENT))
    assert holds(order_views(DOCUMENT, 1)[0])
    assert holds(masked_views(DOCUMENT, 1)[0])


def test_a_text_that_is_altered_in_one_character_does_not_hold(holds, dashes):
    for at, character in enumerate(dashes.text):
        if not character.isspace():
            for other in {"x", "+", "-"} - {character}:
                assert not holds(replace(dashes, text=dashes.text[:at] + other + dashes.text[at + 1 :]))


def test_a_text_that_lacks_or_doubles_a_character_does_not_hold(holds, dashes):
    for at, character in enumerate(dashes.text):
        if not character.isspace():
            assert not holds(replace(dashes, text=dashes.text[:at] + dashes.text[at + 1 :]))
            assert not holds(replace(dashes, text=dashes.text[:at] + character + dashes.text[at:]))


def test_words_that_change_places_do_not_hold(holds, dashes):
    for one, other in [("One", "Two"), ("here", "says"), ("is there", "One says"), ("10", "000")]:
        text = dashes.text.replace(one, "\0").replace(other, one).replace("\0", other)
        assert not holds(replace(dashes, text=text))


@pytest.mark.parametrize(
    "wrong", ["lost", "doubled", "short", "long", "moved", "swapped", "empty", "beyond", "negative", "none"]
)
def test_spans_that_do_not_cover_each_word_once_do_not_hold(wrong, holds, dashes):
    one, two, three = dashes.spans
    spans = {
        "lost": (one, three),
        "doubled": (one, two, two, three),
        "short": (one, two, (three[0], three[1], three[2] - 1)),
        "long": (one, two, (three[0], three[1], three[2] + 1)),
        "moved": (one, two, (three[0] + 1, three[1], three[2])),
        "swapped": (two, one, three),
        "empty": (one, two, (three[0], three[1], 0)),
        "beyond": (one, two, three, (len(dashes.text), len(DOCUMENT.text), 5)),
        "negative": (one, two, (three[0], three[1] - len(DOCUMENT.text), three[2])),
        "none": (),
    }[wrong]
    assert not holds(replace(dashes, spans=spans))


@pytest.mark.parametrize("layout", ["+ ", "-- x ", "1. ", "* ", "# Ada\n\n", "\u200b", "One "])
def test_layout_that_the_format_does_not_declare_does_not_hold(layout, holds, dashes):
    assert not holds(shifted(dashes, 0, layout))
    assert not holds(shifted(dashes, dashes.spans[1][0], layout))
    assert not holds(replace(dashes, text=dashes.text + layout))


def shifted(view, at, layout):
    """The view with something put in before the character `at`."""
    spans = tuple((start + len(layout) * (start >= at), source, length) for start, source, length in view.spans)
    return replace(view, text=view.text[:at] + layout + view.text[at:], spans=spans)


def test_the_title_holds_where_the_format_shows_it_alone(holds, view_of):
    view = view_of("headings.h1")
    assert view.text.startswith("# Ada\n\n")
    assert holds(view)
    assert not holds(replace(view, text=view.text.replace("# Ada", "# Bob")))
    assert not holds(replace(view, format="headings.article"))
    assert not holds(view, replace(DOCUMENT, title="Bob"))


@pytest.mark.parametrize("title", ["{}", "{} {title}", "A. b", "=", " Ada  Venn ", "A\nB"])
def test_a_title_of_any_signs_holds_and_another_does_not(title, holds):
    document = Document("d", DOCUMENT.text, title=title)
    for view in format_views(document, 15, groups=["headings"]):
        assert holds(view, document)
        if "{title}" in dict(marks_by_name()[view.format].fields)["head"]:
            assert not holds(view, replace(document, title="Bob"))


def marks_by_name():
    return {mark.full_name: mark for marks in MARKS.values() for mark in marks}


@pytest.mark.parametrize(
    "format", ["lists.number", "lists.letter", "lists.roman", "marks.bold", "containers.fence", "shift.begin"]
)
def test_a_view_of_one_format_does_not_hold_as_that_of_another(format, holds, view_of):
    view = view_of(format)
    assert holds(view)
    assert not holds(replace(view, format="spacing.double"))
    assert not holds(replace(view, format="raw"))
    assert not holds(replace(view, format="no such format"))


def test_permuted_spans_hold_for_order_alone(holds):
    view = order_views(DOCUMENT, 1)[0]
    assert holds(view)
    assert not holds(replace(view, family="formats"))


def test_a_prompt_holds_for_masked_alone(holds):
    masked = masked_views(DOCUMENT, 1)[0]
    assert not holds(replace(masked, family="formats", format="raw"))
    assert not holds(replace(raw_view(DOCUMENT), prompt="Tell me."))


def prompted(masked):
    return View("d", 0, 0, "masked", "blank_0.50", DOCUMENT.text, ((0, 0, len(DOCUMENT.text)),), masked)


ASKED = "Fill in every _ and write the whole text.\n\n{}\n\n"


def test_a_request_to_restore_the_documents_words_in_order_holds(holds):
    assert holds(prompted(ASKED.format("One is _ Two is there, One _\n\nThree is _ 000.")))
    assert holds(prompted(ASKED.format("_ _ _ _ _ _ _ _\n\n_ _ _ _")))


@pytest.mark.parametrize(
    "masked",
    [
        "One is here. Two is there, One says.\n\nThree is 10 000.",  # nothing is blanked
        "One is _ Two is there, One _\n\nThree is _ 00.",
        "One is _ Two was there, One _\n\nThree is _ 000.",
        "One is _ Two is there, _\n\nThree is _ 000.",
        "One is _ _ is there, _ says.\n\nThree is _",
        "is One _ Two is there, One _\n\nThree is _ 000.",
        "One is _ Two is there, One _ Three is _ 000.",  # another white space
        "One is _ Two is there, One _\n\nThree is _ 000. More.",
        "One is h_ Two is there, One _\n\nThree is _ 000.",  # half a word
        "One is __ Two is there, One _\n\nThree is _ 000.",
        "One is [...] Two is there, One says.\n\nThree is _ 000.",
        "",
        "_",
    ],
)
def test_a_request_of_other_words_does_not_hold(masked, holds):
    assert not holds(prompted(ASKED.format(masked)))


@pytest.mark.parametrize("prompt", ["", "Fill in.", "One is _ Two is there, One says.\n\nThree is 10 000."])
def test_a_prompt_that_is_no_request_does_not_hold(prompt, holds):
    assert not holds(prompted(prompt))


def test_a_completion_other_than_the_document_does_not_hold(holds):
    view = masked_views(DOCUMENT, 1)[0]
    assert not holds(replace(view, text=f"{view.text} More."))
    assert not holds(replace(view, text=view.text.replace("Two", "Six")))
    assert not holds(replace(view, text=f"- {view.text}", spans=((2, 0, len(DOCUMENT.text)),)))


def test_a_refusal_names_the_view_and_every_problem(dashes):
    wrong = replace(dashes, text=dashes.text.replace("Two", "Six").replace("- Three", "+ Three"), prompt="Say.")
    with pytest.raises(ValueError, match=r"View .* is not the document") as refusal:
        prove(wrong, DOCUMENT)
    for said in ("lists.dash of document 'd'", "is not the document's 'Two is there", r"'\n\n+ ' is not", "'Say.'"):
        assert said in str(refusal.value)
    with pytest.raises(ValueError, match=r"'Two is there, One says\.' is missing"):
        prove(replace(dashes, spans=(dashes.spans[0], dashes.spans[2])), DOCUMENT)
    with pytest.raises(ValueError, match="is told twice"):
        prove(replace(dashes, spans=(*dashes.spans, dashes.spans[2])), DOCUMENT)
