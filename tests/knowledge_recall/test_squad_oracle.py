"""Exact match and F1 against an independent oracle: scores of the official SQuAD v1.1 script for two systems."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from hf_knowlearn.knowledge_recall import exact_match, f1, score

SQUAD = Path(__file__).parents[3] / "shared" / "data" / "squad"
SYSTEMS = ["match_lstm", "logistic_regression"]

pytestmark = pytest.mark.skipif(not SQUAD.is_dir(), reason="SQuAD's dev set isn't beside this checkout")


def read(name):
    return json.loads((SQUAD / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def questions():
    """Question id -> accepted answers."""
    articles = read("dev_24_titles.json")["data"]
    all_questions = [q for article in articles for paragraph in article["paragraphs"] for q in paragraph["qas"]]
    return {q["id"]: [answer["text"] for answer in q["answers"]] for q in all_questions}


@pytest.fixture(params=SYSTEMS)
def system(request):
    """Question id -> prediction, and the official scores in percent."""
    return read(f"predictions_{request.param}.json"), read("official_scores.json")[request.param]


def test_the_recorded_predictions_are_complete(questions, system):
    predictions, official = system
    assert len(questions) == 5397
    assert len(questions.keys() - predictions.keys()) == official["missing_ids"]
    assert len(predictions.keys() - questions.keys()) == official["extra_ids"]


def test_whole_predictions_score_as_in_the_official_script(questions, system):
    predictions, official = system
    # A question without a prediction counts as wrong; a prediction without a question counts as nothing.
    pairs = [(predictions.get(name, ""), answers) for name, answers in questions.items()]
    assert 100 * fmean(exact_match(*pair) for pair in pairs) == pytest.approx(official["exact_match"], abs=1e-6)
    assert 100 * fmean(f1(*pair) for pair in pairs) == pytest.approx(official["f1"], abs=1e-6)


def test_the_metric_scores_whole_predictions_as_the_official_script_does(questions, system, tmp_path):
    from hf_knowlearn.knowledge_recall import KnowledgeRecall

    predictions, official = system
    predictions_in_order, references = [predictions.get(name, "") for name in questions], list(questions.values())
    figures = KnowledgeRecall(cache_dir=str(tmp_path)).compute(
        predictions=predictions_in_order, references=references, whole=True
    )
    assert 100 * figures["exact_match"] == pytest.approx(official["exact_match"], abs=1e-6)
    assert 100 * figures["f1"] == pytest.approx(official["f1"], abs=1e-6)


def test_the_metric_scores_as_the_official_script_does_once_the_lines_of_a_span_are_joined(
    questions, system, tmp_path
):
    from hf_knowlearn.knowledge_recall import KnowledgeRecall

    predictions, official = system
    table = KnowledgeRecall(cache_dir=str(tmp_path)).compute(
        predictions=[" ".join(predictions.get(name, "").split()) for name in questions],
        references=list(questions.values()),
    )
    assert 100 * table["exact_match"] == pytest.approx(official["exact_match"], abs=1e-6)
    assert 100 * table["f1"] == pytest.approx(official["f1"], abs=1e-6)
    assert table["n"] == 5397


def test_only_the_first_line_makes_the_score_differ_from_the_official_one(questions):
    predictions, official = read("predictions_logistic_regression.json"), read("official_scores.json")
    table = score([predictions.get(name, "") for name in questions], list(questions.values()))
    # 22 of the spans copied from the article on oxygen break before a subscript ("pure O\n2"); one question accepts
    # "pure O", and so the first line is right where the whole span was not.
    assert sum("\n" in predictions.get(name, "") for name in questions) == 22
    assert table["exact_match"] * 5397 == pytest.approx(official["logistic_regression"]["exact_match"] * 53.97 + 1)
