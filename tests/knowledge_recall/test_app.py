"""Tests of the Space's page: it shows the scores of the metric. A stub replaces gradio, which is not installed."""

import runpy
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hf_knowlearn.knowledge_recall.scoring import LANGUAGES
from hf_knowlearn.paths import KNOWLEDGE_RECALL


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def widget(*arguments: Any, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(arguments=arguments, **options)

    stand_in = SimpleNamespace(Interface=widget, Textbox=widget, Dropdown=widget, JSON=widget)
    monkeypatch.setitem(sys.modules, "gradio", stand_in)
    return runpy.run_path(str(KNOWLEDGE_RECALL / "app.py"))


def test_the_page_shows_the_scores_or_the_error(app: dict[str, Any]):
    assert app["score"]("Lyon\nNice", " Nantes\n\nLyon ", "en") == {
        "correct": 1.0, "exact_match": 1.0, "f1": 1.0, "contains": 1.0, "abstention": 0.0, "wrong": 0.0
    }  # fmt: skip
    assert app["score"]("I don't know", "Lyon", "en")["abstention"] == 1.0
    assert "cannot be scored" in app["score"]("Lyon", "The", "en")
    assert "cannot be scored" in app["score"]("Lyon", " \n", "en")


def test_the_page_offers_every_language_and_its_examples_can_be_scored(app: dict[str, Any]):
    score, inputs, _ = app["page"].arguments
    assert set(inputs[2].arguments[0]) == set(LANGUAGES)
    for example in app["page"].examples:
        assert isinstance(score(*example), dict)
