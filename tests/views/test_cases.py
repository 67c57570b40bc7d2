"""Documents of several kinds, each in `cases/`: their 200 default views keep what the document says."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from hf_knowlearn.documents import read_documents
from hf_knowlearn.views import FAMILIES, TooFewViewsError, mixed_views, prove

CASES = Path(__file__).parent / "cases"
ORDERED = ["procedure.txt", "interview.txt", "chat_log.txt", "law_clauses.txt", "minutes_email.txt"]


@pytest.fixture(scope="module")
def views_of():
    """A function that returns a case and its views: 200, or all if there are fewer."""

    def views_of(name, make_views=mixed_views, **options):
        [document] = read_documents(CASES / name)
        try:
            return document, make_views(document, 200, **options)
        except TooFewViewsError as error:
            return document, make_views(document, error.available, **options) if error.available else []

    return views_of


def test_there_is_a_test_for_every_case():
    assert sorted(path.name for path in CASES.iterdir()) == sorted([*ORDERED, "products.md"])


@pytest.mark.parametrize("name", ORDERED)
def test_a_document_whose_order_matters_keeps_it(name, views_of):
    for seed in range(3):
        document, views = views_of(name, seed=seed)
        assert len(views) > 30
        for view in views:
            prove(view, document)
            sources = [source for _, source, _ in view.spans]
            assert sources == sorted(sources)
        assert {view.family for view in views} == {"formats"}
    document, views = views_of(name, FAMILIES["order"])
    assert views == []


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("procedure.txt", r"First|Wait|Open|Unscrew|Take|Screw|Close|Step \d"),
        ("interview.txt", r"Interviewer:|Marta Lind:"),
        ("chat_log.txt", r"09:\d\d"),
        ("law_clauses.txt", r"\d\.\d (?=\S)|\d\. [A-Z]{4,}"),
        ("minutes_email.txt", r"From:|Subject:|Hi|pack|Boxes|Thanks|wrote:|> When|> Who pays"),
    ],
)
def test_the_steps_turns_clauses_and_lines_of_a_view_are_in_the_order_of_the_document(name, pattern, views_of):
    document, views = views_of(name)
    own = re.findall(pattern, document.text)
    assert len(own) > 5
    for view in views:
        assert re.findall(pattern, view.text) == own


def test_no_password_is_below_the_heading_of_another_product(views_of):
    document, views = views_of("products.md")
    assert len(views) == 200
    assert sum(view.family == "order" for view in views) == 150
    facts = {
        "Model A100": ["A100 was made", "Its case is white", "admin123", "warranty is two years", "firmware is 4.1"],
        "Model B200": ["B200 was made", "Its case is black", "letmein", "warranty is five years", "firmware is 7.3"],
    }
    for view in views:
        prove(view, document)
        a100, b200 = (view.text.index(f"## {model}") for model in facts)
        assert view.text.index("# Router handbook") < a100 < b200
        for fact in facts["Model A100"]:
            assert a100 < view.text.index(fact) < b200, view.text
        for fact in facts["Model B200"]:
            assert b200 < view.text.index(fact), view.text
        for model in ("A100", "B200"):  # "Its case" refers to the model
            made = view.text.index(f"The {model} was made")
            assert made < view.text.index(f"Its case is {'white' if model == 'A100' else 'black'}") < made + 120


def test_the_facts_of_a_product_have_many_orders(views_of):
    _, views = views_of("products.md")
    facts = ["A100 was made", "admin123", "two years", "firmware is 4.1"]
    orders = {tuple(sorted(facts, key=view.text.index)) for view in views}
    assert len(orders) > 6
    for one, other in pairwise(facts):
        assert {order.index(one) < order.index(other) for order in orders} == {True, False}
