"""The proof rejects every view that differs from its document, and so does the independent check of the tests."""

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
def is_valid(request, check_proof):
    """Whether a view is valid, by `prove` and by the independent check."""
    check = {"prove": prove, "check_proof": check_proof}[request.param]
    error = {"prove": ValueError, "check_proof": AssertionError}[request.param]

    def is_valid(view, document=DOCUMENT):
        try:
            check(view, document)
        except error:
            return False
        return True

    return is_valid


@pytest.fixture
def dashes(view_of):
    view = view_of("lists.dash")
    assert view.text == "- One is here.\n- Two is there, One says.\n\n- Three is 10 000."
    return view


def test_a_view_is_valid(is_valid, dashes):
    assert is_valid(dashes)
    assert is_valid(raw_view(DOCUMENT))
    assert is_valid(order_views(DOCUMENT, 1)[0])
    assert is_valid(masked_views(DOCUMENT, 1)[0])


def test_a_text_with_one_altered_character_is_invalid(is_valid, dashes):
    for at, character in enumerate(dashes.text):
        if not character.isspace():
            for other in {"x", "+", "-"} - {character}:
                assert not is_valid(replace(dashes, text=dashes.text[:at] + other + dashes.text[at + 1 :]))


def test_a_text_with_a_missing_or_repeated_character_is_invalid(is_valid, dashes):
    for at, character in enumerate(dashes.text):
        if not character.isspace():
            assert not is_valid(replace(dashes, text=dashes.text[:at] + dashes.text[at + 1 :]))
            assert not is_valid(replace(dashes, text=dashes.text[:at] + character + dashes.text[at:]))


def test_swapped_words_are_invalid(is_valid, dashes):
    for one, other in [("One", "Two"), ("here", "says"), ("is there", "One says"), ("10", "000")]:
        text = dashes.text.replace(one, "\0").replace(other, one).replace("\0", other)
        assert not is_valid(replace(dashes, text=text))


@pytest.mark.parametrize(
    "wrong", ["lost", "doubled", "short", "long", "moved", "swapped", "empty", "beyond", "negative", "none"]
)
def test_spans_that_do_not_cover_each_word_once_are_invalid(wrong, is_valid, dashes):
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
    assert not is_valid(replace(dashes, spans=spans))


@pytest.mark.parametrize("layout", ["+ ", "-- x ", "1. ", "* ", "# Ada\n\n", "\u200b", "One "])
def test_layout_that_the_format_does_not_declare_is_invalid(layout, is_valid, dashes):
    assert not is_valid(shifted(dashes, 0, layout))
    assert not is_valid(shifted(dashes, dashes.spans[1][0], layout))
    assert not is_valid(replace(dashes, text=dashes.text + layout))


def shifted(view, at, layout):
    """The view with `layout` inserted before the character `at`."""
    spans = tuple((start + len(layout) * (start >= at), source, length) for start, source, length in view.spans)
    return replace(view, text=view.text[:at] + layout + view.text[at:], spans=spans)


def test_a_title_is_valid_only_in_a_format_that_shows_it(is_valid, view_of):
    view = view_of("headings.h1")
    assert view.text.startswith("# Ada\n\n")
    assert is_valid(view)
    assert not is_valid(replace(view, text=view.text.replace("# Ada", "# Bob")))
    assert not is_valid(replace(view, format="headings.content"))
    assert not is_valid(view, replace(DOCUMENT, title="Bob"))


@pytest.mark.parametrize("title", ["{}", "{} {title}", "A. b", "=", " Ada  Venn ", "A\nB"])
def test_a_title_of_any_characters_is_valid_and_another_title_is_invalid(title, is_valid):
    document = Document("d", DOCUMENT.text, title=title)
    for view in format_views(document, 15, groups=["headings"]):
        assert is_valid(view, document)
        if "{title}" in dict(marks_by_name()[view.format].fields)["head"]:
            assert not is_valid(view, replace(document, title="Bob"))


def marks_by_name():
    return {mark.full_name: mark for marks in MARKS.values() for mark in marks}


@pytest.mark.parametrize(
    "format",
    ["lists.number", "lists.letter_bracket", "lists.roman_bracket", "marks.bold", "containers.fence", "shift.below"],
)
def test_a_view_is_invalid_under_the_name_of_another_format(format, is_valid, view_of):
    view = view_of(format)
    assert is_valid(view)
    assert not is_valid(replace(view, format="spacing.double"))
    assert not is_valid(replace(view, format="raw"))
    assert not is_valid(replace(view, format="no such format"))


def test_permuted_spans_are_valid_only_for_order(is_valid):
    view = order_views(DOCUMENT, 1)[0]
    assert is_valid(view)
    assert not is_valid(replace(view, family="formats"))


def test_a_prompt_is_valid_only_for_masked(is_valid):
    masked = masked_views(DOCUMENT, 1)[0]
    assert not is_valid(replace(masked, family="formats", format="raw"))
    assert not is_valid(replace(raw_view(DOCUMENT), prompt="Explain."))


def prompted(masked):
    return View("d", 0, 0, "masked", "blank_0.50", DOCUMENT.text, ((0, 0, len(DOCUMENT.text)),), masked)


PROMPT = "Fill in every _ and write the whole text.\n\n{}\n\n"


def test_a_masked_copy_of_the_document_is_valid(is_valid):
    assert is_valid(prompted(PROMPT.format("One is _ Two is there, One _\n\nThree is _ 000.")))
    assert is_valid(prompted(PROMPT.format("_ _ _ _ _ _ _ _\n\n_ _ _ _")))


@pytest.mark.parametrize(
    "masked",
    [
        "One is here. Two is there, One says.\n\nThree is 10 000.",  # nothing is blanked
        "One is _ Two is there, One _\n\nThree is _ 00.",
        "One is _ Two was there, One _\n\nThree is _ 000.",
        "One is _ Two is there, _\n\nThree is _ 000.",
        "One is _ _ is there, _ says.\n\nThree is _",
        "is One _ Two is there, One _\n\nThree is _ 000.",
        "One is _ Two is there, One _ Three is _ 000.",  # other white space
        "One is _ Two is there, One _\n\nThree is _ 000. More.",
        "One is h_ Two is there, One _\n\nThree is _ 000.",  # half a word
        "One is __ Two is there, One _\n\nThree is _ 000.",
        "One is [...] Two is there, One says.\n\nThree is _ 000.",
        "",
        "_",
    ],
)
def test_a_masked_copy_of_other_words_is_invalid(masked, is_valid):
    assert not is_valid(prompted(PROMPT.format(masked)))


@pytest.mark.parametrize("prompt", ["", "Fill in.", "One is _ Two is there, One says.\n\nThree is 10 000."])
def test_a_prompt_without_a_masked_copy_is_invalid(prompt, is_valid):
    assert not is_valid(prompted(prompt))


def test_a_completion_other_than_the_document_is_invalid(is_valid):
    view = masked_views(DOCUMENT, 1)[0]
    assert not is_valid(replace(view, text=f"{view.text} More."))
    assert not is_valid(replace(view, text=view.text.replace("Two", "Six")))
    assert not is_valid(replace(view, text=f"- {view.text}", spans=((2, 0, len(DOCUMENT.text)),)))


def test_the_error_names_the_view_and_every_problem(dashes):
    wrong = replace(dashes, text=dashes.text.replace("Two", "Six").replace("- Three", "+ Three"), prompt="Say.")
    with pytest.raises(ValueError, match=r"View .* differs from the document") as raised:
        prove(wrong, DOCUMENT)
    for problem in ("lists.dash of document 'd'", "is not the document's 'Two is there", r"'\n\n+ ' is not", "'Say.'"):
        assert problem in str(raised.value)
    with pytest.raises(ValueError, match=r"'Two is there, One says\.' is missing"):
        prove(replace(dashes, spans=(dashes.spans[0], dashes.spans[2])), DOCUMENT)
    with pytest.raises(ValueError, match="occurs twice"):
        prove(replace(dashes, spans=(*dashes.spans, dashes.spans[2])), DOCUMENT)
