"""`View.find` returns where an answer occurs in a view, in the document's words only."""

import re
import time

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import format_views, masked_views, order_views, raw_view

ROME = Document("d", "Rome is old. Text and Title: both.\n\nOrmel is 1 of 2 - the Document says.", title="Rome Rome")


@pytest.fixture
def view_of(every_view):
    """A function that returns the view of a document in one format."""

    def view_of(text, format, title="", family="formats"):
        views = every_view(Document("d", text, title=title), family, groups=[format.partition(".")[0]])
        return next(view for view in views if view.format.removeprefix("permuted+") == format)

    return view_of


def found(view, answer):
    return [view.text[start:end] for start, end in view.find(answer)]


def test_find_finds_nothing_in_layout():
    inside = {"Rome": 1, "Document": 1, "1": 1, "-": 1, "Text": 1, "Title:": 1}
    layout = [
        "Document:",
        "Text:",
        "Rome Rome",
        "document>",
        "p>",
        "1.",
        "(a)",
        "```",
        "**",
        "|",
        "# Rome",
        "- Rome",
        "text.\n",
    ]
    for view in [*format_views(ROME, 600), *order_views(ROME, 200), *masked_views(ROME, 50)]:
        assert {answer: len(view.find(answer)) for answer in inside} == inside
        assert not any(map(view.find, layout))
        (place,) = view.find("Rome")
        assert place[0] == next(at for at, source, _ in view.spans if source == 0)


def test_an_answer_is_found_after_a_title_that_ends_in_its_first_word(view_of):
    assert view_of("Rome Rome is old.", "headings.h1", title="Rome").find("Rome Rome") == [(8, 17)]


def test_find_crosses_any_white_space_of_the_document():
    document = Document("d", "She is a paper carver\u00a0now, and  lives\u2009here. Two.")
    for view in format_views(document, 300):
        assert found(view, "carver now,") == ["carver\u00a0now,"]
        assert found(view, " and\tlives\n here. ") == ["and  lives\u2009here."]


def test_find_crosses_the_lines_of_a_view_and_of_the_document(view_of):
    wrapped = view_of(
        "The harbour of Ormel is small but deep, and in winter it is kept open all night.", "breaks.wrap_40"
    )
    assert found(wrapped, "deep, and") == ["deep,\nand"]
    document = Document("d", "The harbour of Ormel is small but deep, and in the winter\nit is open.")
    for view in format_views(document, 200):
        assert len(view.find("the winter it")) == 1
        assert len(view.find("the winter\nit is")) == 1


def test_an_answer_across_two_sentences_includes_the_layout_between_them(view_of):
    assert found(view_of("It was Shout! Studios today. So.", "lists.dash"), "Shout! Studios") == ["Shout!\n- Studios"]
    chinese = Document("d", "\u4f60\u597d\u3002\u4e16\u754c\u3002", language="zh")
    for view in format_views(chinese, 100):  # without white space between the sentences
        assert len(view.find("\u597d\u3002\u4e16")) == 1
    assert view_of("One.\n\nTwo.", "marks.bold").find("One.Two.") == []


def test_an_answer_across_two_sentences_is_found_only_where_they_are_adjacent():
    document = Document("d", "Ada is in Ormel. Arun is in Rome. Bo sings.")
    neighbours = 0
    for view in order_views(document, 100):
        order = [source for _, source, _ in view.spans]
        together = order.index(17) == order.index(0) + 1
        neighbours += together
        assert bool(view.find("Ormel. Arun")) == together
        for never in ("sings. Ada", "sings. Arun", "Rome. Ada", "Ormel. Bo"):
            assert view.find(never) == []
    assert 10 < neighbours < 40  # one order of five


@pytest.mark.parametrize("answer", ["\0", "Ormel.\0Arun", "\0\1", "".join(map(chr, range(9)))])
def test_an_answer_with_a_control_character_is_found_only_in_the_document(answer):
    document = Document("d", "Ada is in Ormel. Arun is in Rome. Bo sings.")
    assert not any(view.find(answer) for view in order_views(document, 30))
    with_it = Document("d", f"Ada is\0 in Ormel. Arun {answer} is. Bo sings.")
    for view in [*order_views(with_it, 30), *format_views(with_it, 30)]:
        assert len(view.find(f"Arun {answer} is.")) == 1


def test_find_ignores_case_only_if_the_answer_does_not_occur_as_spelled():
    view = raw_view(Document("d", "It is a film. Antique bells fill the house. The film It is old."))
    assert found(view, "antique bells") == ["Antique bells"]
    assert len(view.find("It")) == 2
    assert len(view.find("IT")) == 2
    assert len(view.find("the film")) == 1
    assert view.find("Antique bowls") == []


def test_find_treats_special_characters_of_an_answer_literally():
    view = raw_view(Document("d", "It cost $3.50 (plus tax)? Yes [1]. It was 3x50."))
    assert found(view, "$3.50 (plus tax)?") == ["$3.50 (plus tax)?"]
    assert len(view.find("3.50")) == 1
    assert view.find("a+b") == []


@pytest.mark.parametrize("answer", ["", " \n", "\u00a0"])
def test_an_empty_answer_is_an_error(answer):
    with pytest.raises(ValueError, match="is empty"):
        raw_view(ROME).find(answer)


@pytest.mark.parametrize("kind", ["raw", "formats", "order"])
def test_find_takes_linear_time(kind):
    document = Document("d", "The cat has the mat. " * 8000 + "The dog has a bed.")
    make_view = {
        "raw": raw_view,
        "formats": lambda document: format_views(document, 1)[0],
        "order": lambda document: order_views(document, 1, groups=())[0],
    }[kind]
    view = make_view(document)
    start = time.process_time()
    assert len(view.find("the mat.")) == 8000
    assert time.process_time() - start < 2  # about 0.05 s; a quadratic search takes minutes


def test_the_answers_to_real_questions_are_found_in_every_view(real_questions):
    found_answers = 0
    for document, answers in real_questions(30):
        views = [*format_views(document, 12), *masked_views(document, 1), raw_view(document)]
        for answer in answers:
            pattern = r"\s+".join(map(re.escape, answer.split()))
            places = re.findall(pattern, document.text) or re.findall(pattern, document.text, re.IGNORECASE)
            assert {len(view.find(answer)) for view in views} == {len(places)}
            found_answers += bool(places)
    assert found_answers > 100
