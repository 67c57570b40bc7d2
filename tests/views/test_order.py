"""Order: sentences are permuted, stay after the text that they refer to, and never have the document's own order."""

from itertools import permutations, product
from math import factorial
from textwrap import fill

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.sentence_rules import LANGUAGES, rules_for
from hf_knowlearn.views import TooFewViewsError, mixed_views, order_views
from hf_knowlearn.views.order import has_other_order


def every_order(every_view, text, language="en"):
    """The texts of all orders, without a format."""
    return [view.text for view in every_view(Document("d", text, language=language), "order", groups=())]


def test_three_sentences_have_every_permutation_except_their_own_once(every_view):
    sentences = ["Ada sings.", "Bo bakes.", "Rome lies south."]
    orders = every_order(every_view, " ".join(sentences))
    assert len(orders) == 5
    assert {*orders} == {" ".join(order) for order in permutations(sentences)} - {" ".join(sentences)}
    for seed in range(20):
        views = order_views(Document("d", " ".join(sentences)), 5, seed, groups=())
        assert {view.text for view in views} == {*orders}
        assert {view.format for view in views} == {"permuted"}


def test_sentences_move_within_their_paragraph_and_paragraphs_within_the_document(every_view):
    paragraphs = [
        ["Ada sings.", "Bo bakes."],
        ["Rome lies south."],
        ["Tarn has a mill.", "Cats sleep.", "Ormel is old."],
    ]
    expected = {
        "\n\n".join(" ".join(sentences) for sentences in paragraph_orders)
        for order in permutations(paragraphs)
        for paragraph_orders in product(*map(permutations, order))
    }
    own = "\n\n".join(map(" ".join, paragraphs))
    orders = every_order(every_view, own)
    assert len(orders) == len(expected) - 1 == factorial(3) * factorial(2) * factorial(3) - 1
    assert {*orders} == expected - {own}


def test_a_sentence_that_refers_back_keeps_all_sentences_before_it_in_its_paragraph(every_view):
    chunks = ["Ada sings. Bo bakes. She won a prize.", "Tarn sleeps.", "Rome lies south."]
    own = " ".join(chunks)
    assert {*every_order(every_view, own)} == {" ".join(order) for order in permutations(chunks)} - {own}
    assert not has_other_order(Document("d", "Ada sings. Bo bakes. Cats sleep. They are old."))


BACK_REFERENCES = {
    language: sorted(rules_for(language).opening - rules_for(language).determiners) for language in LANGUAGES
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_with_rules_has_its_own_back_references(language, every_view):
    assert len(BACK_REFERENCES[language]) > 30
    for word in BACK_REFERENCES[language]:
        text = f"Ada ah. {word.capitalize()} oh. Rom uh."
        for code in (language, f"{language}-XX"):
            assert every_order(every_view, text, code) == [f"Rom uh. Ada ah. {word.capitalize()} oh."], word


@pytest.mark.parametrize(
    "sentence",
    [
        "She is a baker.",
        "In 1990 he moved to Rome.",
        "The latter was sold.",
        "The motor failed two years later.",
        "Second, the lid is closed.",
        "The second was closed.",
        "For this reason Bo left.",
        "The price rose again.",
        "Bo was also there.",
        "After it the bridge was built.",
        "At the same time the mill burned.",
        "Both are white.",
    ],
)
def test_references_to_the_text_before_are_found_anywhere_in_a_sentence(sentence, every_view):
    assert not has_other_order(Document("d", f"Tarn has a mill. Ormel has a harbour. {sentence}"))
    orders = every_order(every_view, f"Tarn has a mill. {sentence} Ormel has a harbour.")
    assert orders == [f"Ormel has a harbour. Tarn has a mill. {sentence}"]


@pytest.mark.parametrize(
    "sentence",
    [
        "The company doubled its revenue in 1990.",
        "First Meridian Bank employs 1,240 people.",
        "Penguins lay their eggs in spring.",
        "It was in Rome that Bo was born.",
        "The magazine Now and Then has two pages.",
        "The warranty is two years.",
        "In winter, the harbour of Ormel is kept open by its two ice-breakers.",
    ],
)
def test_a_sentence_that_names_its_subject_can_move(sentence):
    views = order_views(Document("d", f"Tarn has a mill. {sentence} Ormel has a harbour."), 5, groups=())
    assert len({view.text for view in views}) == 5


def test_a_sentence_that_announces_the_next_one_stays_before_it(every_view):
    text = "Ada sings. The harbour has the following boats. Bo is one. Cats sleep."
    chunk = "The harbour has the following boats. Bo is one."
    chunks = ["Ada sings.", chunk, "Cats sleep."]
    assert {*every_order(every_view, text)} == {" ".join(order) for order in permutations(chunks)} - {text}
    text = "Ada sings. Bo bakes. These are the boats:\n\n- One\n- Two"
    assert not has_other_order(Document("d", text))
    text = "Ada sings. Bo bakes. The harbour has these boats:\n\n- One\n- Two".replace("these", "three")
    assert every_order(every_view, text) == ["Bo bakes. Ada sings. The harbour has three boats:\n\n- One\n- Two"]


def test_in_a_language_without_rules_nothing_moves():
    text = "Ada ah. Rom uh. Bo oh.\n\nTarn eh. Ormel ih."
    for language in ("fi", "ru", "ja", "zh", "ar", "hi"):
        assert not has_other_order(Document("d", text, language=language))


def test_a_paragraph_that_refers_back_moves_with_the_paragraphs_before_it(every_view):
    text = "Ada came. Cats sleep.\n\nShe sang. Dogs bark.\n\nTarn sleeps."
    assert every_order(every_view, text) == ["Tarn sleeps.\n\nAda came. Cats sleep.\n\nShe sang. Dogs bark."]


@pytest.mark.parametrize(
    "block",
    ["# Heading", "- a\n- b", "```\nx\n\ny\n```", "| a | b |\n|---|---|", "# One\n\n## Two", "A plain heading"],
)
def test_no_sentence_crosses_another_block(block, every_view):
    before, after = ["Ada sings.", "Bo bakes."], ["Rome lies south.", "Cats sleep."]
    own = f"{' '.join(before)}\n\n{block}\n\n{' '.join(after)}"
    orders = every_order(every_view, own)
    expected = {
        f"{' '.join(one)}\n\n{block}\n\n{' '.join(other)}"
        for one, other in product(permutations(before), permutations(after))
    }
    assert {*orders} == expected - {own}
    assert len(orders) == 3


def test_the_lines_of_a_sentence_move_together(every_view):
    long = "The harbour of Ormel is small but deep, and in winter{}its two ice-breakers keep it open."
    orders = every_order(every_view, f"{long.format(chr(10))} Tarn sleeps.")
    assert orders == [f"Tarn sleeps. {long.format(' ')}"]


@pytest.mark.parametrize("count", [2, 3, 5, 15, 25, 40, 400])
def test_no_view_has_the_documents_own_order_and_none_occurs_twice(count):
    document = Document("d", " ".join(f"Ada{number} sings." for number in range(count)))
    for seed in range(5):
        views = order_views(document, min(factorial(min(count, 8)) - 1, 100), seed, groups=())
        assert len({view.text for view in views}) == len(views)
        for view in views:
            sources = [source for _, source, _ in view.spans]
            assert sources != sorted(sources)
            assert sorted(sources) == sorted({*sources})
    assert (len({order_views(document, 1, seed, groups=())[0].text for seed in range(20)}) > 1) == (count > 2)


@pytest.mark.parametrize(
    ("paragraphs", "count"),
    [
        ([["Ada sings.", "Ada sings."]], 1),
        ([["Ada sings.", "Bo bakes.", "Ada sings."]], 3),
        ([["Ada sings.", "Bo bakes.", "Ada sings.", "Cats sleep.", "Bo bakes."]], 30),
        ([["Ada sings."], ["Ada sings."], ["Bo bakes."]], 3),
        ([["Ada sings.", "Bo bakes."], ["Bo bakes.", "Ada sings."]], 4),
        ([["Ada sings.", "Bo bakes.", "Ada sings."], ["Cats sleep."], ["Ada sings.", "Ada sings.", "Bo bakes."]], 27),
        ([["Ada sings.", "Ada sings.", "Bo bakes."], ["Ada sings.", "Bo bakes.", "Bo bakes."]], 18),
    ],
)
def test_equal_sentences_do_not_swap_places(paragraphs, count, every_view):
    own = "\n\n".join(map(" ".join, paragraphs))
    expected = {
        "\n\n".join(map(" ".join, paragraph_orders))
        for order in permutations(paragraphs)
        for paragraph_orders in product(*map(permutations, order))
    }
    assert len(expected) == count
    if count > 1:
        orders = every_order(every_view, own)
        assert len(orders) == count - 1
        assert {*orders} == expected - {own}
    assert has_other_order(Document("d", own)) == (count > 1)
    views = mixed_views(Document("d", own), 30)
    assert len({view.text for view in views}) == 30
    orders = [" ".join(view.text[at : at + length] for at, _, length in view.spans) for view in views]
    own_order = own.replace("\n\n", " ")
    assert all((order == own_order) <= (view.family == "formats") for order, view in zip(orders, views, strict=True))


LONG = "The harbour of Ormel is small but deep, and in winter its two ice-breakers keep it open for the boats of Tarn."


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (fill(f"{LONG} {LONG}", 60), False),
        (fill(f"{LONG} {LONG} Bo bakes.", 60), True),
        ("Bo bakes. Ada sings.\n\nBo bakes.", True),
        ("Ada sings.\n\nAda sings. Ada sings.", False),
        ("\n\n".join(" ".join(["Ada sings."] * number) for number in range(1, 26)), False),
        ("# A\n\nBo bakes.\n\nAda sings.\n\n# A\n\nBo bakes.", True),
    ],
)
def test_an_order_differs_in_its_words_from_the_document_whatever_the_paragraphs(text, has):
    document = Document("d", text)
    assert has_other_order(document) == has
    for seed, groups in product(range(20), (None, ["lists"], ["containers"])):
        for view in order_views(document, 9, seed, groups) if has else ():
            words = " ".join(view.text[at : at + size] for at, _, size in view.spans)
            assert words.split() != text.split()
        assert len({view.text for view in mixed_views(document, 12, seed, groups)}) == 12


@pytest.mark.parametrize(
    "sentences", [["Ada sings."] * 500, ["Ada sings."] * 10_000 + ["Bo bakes."], ["Ada sings.", "Bo bakes."] * 300]
)
def test_hundreds_of_equal_sentences_take_no_longer(sentences):
    document = Document("d", " ".join(sentences))
    assert has_other_order(document) == ("Bo bakes." in sentences)
    if has_other_order(document):
        assert len({view.text for view in order_views(document, 20, groups=())} - {document.text}) == 20


def test_few_orders_repeat_in_other_formats():
    document = Document("d", "Ada sings. Bo bakes.")
    views = order_views(document, 300)
    assert len({view.text for view in views}) == len({view.format for view in views}) == 300
    for view in views:
        (bo, ada) = view.spans
        assert (view.text[bo[0] : bo[0] + bo[2]], view.text[ada[0] : ada[0] + ada[2]]) == ("Bo bakes.", "Ada sings.")
        assert view.format.startswith("permuted+")
    lists = order_views(document, 12, groups=["lists"])
    assert all(view.format.startswith("permuted+lists.") for view in lists)


def test_orders_are_the_recorded_ones_on_every_machine_and_python():
    document = Document("ada", "Ada sings. Bo bakes. Rome lies south. Tarn has a mill.\n\nCats sleep.")
    assert [view.text for seed in (0, 1) for view in order_views(document, 2, seed, groups=())] == [
        "Cats sleep.\n\nTarn has a mill. Ada sings. Bo bakes. Rome lies south.",
        "Cats sleep.\n\nRome lies south. Ada sings. Tarn has a mill. Bo bakes.",
        "Bo bakes. Tarn has a mill. Rome lies south. Ada sings.\n\nCats sleep.",
        "Tarn has a mill. Rome lies south. Ada sings. Bo bakes.\n\nCats sleep.",
    ]
    many = Document("ada", " ".join(f"Ada{number} sings." for number in range(30)))
    assert order_views(many, 1, groups=())[0].text.split()[::2][:5] == ["Ada14", "Ada8", "Ada7", "Ada2", "Ada25"]


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("One sentence.", 0),
        ("Ada came. She sang.", 0),
        ("# A\n\nOne is.", 0),
        ("One is. Two is.", 1),
        ("Ada is. Bo is. Cats are.", 5),
    ],
)
def test_the_error_for_too_few_orders_has_the_available_number(text, has):
    document = Document("d", text)
    message = f"num_views={has + 1}, but document 'd' has only {has} distinct orders of its sentences. "
    with pytest.raises(TooFewViewsError, match=message) as raised:
        order_views(document, has + 1, groups=())
    assert raised.value.available == has
    assert has_other_order(document) == (has > 0)
    if has:
        assert len(order_views(document, has, groups=())) == has


def test_the_first_of_many_sentences_moves_to_every_position():
    document = Document("d", " ".join(f"Ada{number} sings." for number in range(10)))
    places = [[s for _, s, _ in view.spans].index(0) for view in order_views(document, 1000, groups=())]
    counts = [places.count(place) for place in range(10)]
    assert sum((count - 100) ** 2 / 100 for count in counts) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
