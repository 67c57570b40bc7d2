"""Training views of documents whose order or layout cannot change much, and the log message about them."""

import itertools
from collections.abc import Sequence

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug.rows import document_rows, make_views, training_views
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.views import TooFewViewsError
from hf_knowlearn.views.similarity import difference

FACTS = "Ormel has two piers. Tarn grinds rye. Karvost makes bells. Drinsel has a college."
STEPS = "1. Open the valve.\n2. Remove the four bolts.\n3. Take the filter out."
TALK = "ANNA: Where is the key?\n\nBEN: Under the mat.\n\nANNA: And the lamp?\n\nBEN: In the hall."
TABLE = "| town | product |\n| --- | --- |\n" + "".join(f"| Town {i} | Product {i} of the town |\n" for i in range(20))
CODE = "```python\n" + "".join(f"value_{i} = compute({i}, {i + 1})\n" for i in range(20)) + "```"


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_the_log_counts_the_documents_that_keep_their_order(caplog: pytest.LogCaptureFixture):
    texts = [FACTS, STEPS, TALK, STEPS]
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    with caplog.at_level("INFO", "hf_knowlearn"):
        document_rows(documents, ViewSettings("mixed", num_views=2), count_words, None)
    assert caplog.messages == ["3 of 4 documents keep their order: procedure 2, dialogue 1."]


@pytest.mark.parametrize(("family", "text"), [("mixed", FACTS), ("formats", STEPS), ("masked", STEPS), ("raw", STEPS)])
def test_the_log_is_silent_if_every_document_is_permuted_or_none_is_meant_to_be(
    family: str, text: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level("INFO", "hf_knowlearn"):
        document_rows([Document("d", text)], ViewSettings(family, num_views=2), count_words, None)
    assert caplog.messages == []


@pytest.mark.parametrize("family", ["order", "mixed"])
@pytest.mark.parametrize("text", [STEPS, TALK, TABLE])
def test_a_document_that_keeps_its_order_gets_views_of_formats(family: str, text: str):
    (rows,) = document_rows([Document("d", text)], ViewSettings(family, num_views=3), count_words, None)
    assert {row["family"] for row in rows} == {"formats"}


@pytest.mark.parametrize("text", [TABLE, CODE])
def test_near_identical_views_of_a_document_without_prose_are_left_out(text: str):
    document = Document("d", text)
    made = make_views(document, ViewSettings(num_views=12))
    trained = training_views(document, ViewSettings(num_views=12))
    assert 1 <= len(trained) < len(made) == 12
    pairs = list(itertools.combinations(trained, 2))
    assert all(difference(one, other) >= 0.05 for one, other in pairs)
    for view in made:  # every view that is left out has a near-identical one
        assert view in trained or any(difference(view, other) < 0.05 for other in trained)


def test_a_document_of_prose_gets_all_its_views():
    document = Document("d", FACTS)
    assert training_views(document, ViewSettings("mixed", num_views=12)) == make_views(
        document, ViewSettings("mixed", num_views=12)
    )


def test_a_document_with_fewer_formats_than_views_gets_the_formats_that_it_has():
    document = Document("d", "Tarn grinds rye. Ormel has piers.")
    settings = ViewSettings(num_views=1000, groups=["breaks"])
    with pytest.raises(TooFewViewsError) as raised:
        make_views(document, settings)
    trained = training_views(document, settings)
    assert len(trained) == raised.value.available > 1
    assert len({view.text for view in trained}) == len(trained)


def test_a_document_without_any_view_is_an_error():
    with pytest.raises(TooFewViewsError, match="'d' has only 0 distinct formats"):
        training_views(Document("d", "One."), ViewSettings(num_views=2, groups=["breaks"]))


def test_rows_that_are_made_again_log_no_count_of_documents(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "hf_knowlearn"):
        document_rows([Document("1", STEPS)], ViewSettings("mixed", num_views=2), count_words, None, log=False)
    assert caplog.messages == []
