"""The benchmark of the metric runs at a tiny size, and fails if the scores differ."""

import json

import pytest

# A metric with the interface of `squad` that computes exact match only.
STAND_IN = """
import datasets
import evaluate


class Squad(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        starts = datasets.List(datasets.Value("int32"))
        answers = datasets.Features({"text": datasets.List(text), "answer_start": starts})
        features = datasets.Features(
            {"predictions": {"id": text, "prediction_text": text}, "references": {"id": text, "answers": answers}}
        )
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        right = sum(p["prediction_text"] in r["answers"]["text"] for p, r in zip(predictions, references))
        return {"exact_match": 100 * right / len(predictions), "f1": SCALE * right / len(predictions)}
"""


@pytest.fixture
def data(tmp_path):
    """Three questions, and predictions of two systems."""
    folder = tmp_path / "data" / "squad"
    folder.mkdir(parents=True)
    questions = [{"id": f"q{n}", "answers": [{"text": town}]} for n, town in enumerate(["Ormel", "Tarn", "Lisk"])]
    pages = {"data": [{"paragraphs": [{"qas": questions}]}]}
    (folder / "dev_24_titles.json").write_text(json.dumps(pages), encoding="utf-8")
    for system in ("match_lstm", "logistic_regression"):
        predictions = {"q0": "Ormel", "q1": "Vell"}
        (folder / f"predictions_{system}.json").write_text(json.dumps(predictions), encoding="utf-8")
    return folder.parent


@pytest.fixture
def run_metric(run, tmp_path, data):
    def running(scale, *words):
        script = tmp_path / "squad"
        script.mkdir()
        (script / "squad.py").write_text(STAND_IN.replace("SCALE", str(scale)), encoding="utf-8")
        done = run("metric.py", "--squad", script, "--data", data, "--repeats", "1", *words)
        output = tmp_path / "results.json"
        return done, json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}

    return running


@pytest.mark.slow
def test_every_part_is_measured(run_metric):
    done, parts = run_metric(100, "--rows", "5")
    assert done.returncode == 0, done.stderr
    assert [(row["system"], row["questions"]) for row in parts["speed"]["results"][::4]] == [
        ("match_lstm", 2),
        ("logistic_regression", 2),
    ]
    assert parts["speed"]["results"][0]["times_as_fast"]["median"] == 1
    assert [row["rows"] for row in parts["memory"]["results"]] == [5, 5]
    import tables

    assert len(tables.metric(parts).split("**")) == 1 + 2 * len(parts)


@pytest.mark.slow
def test_metrics_with_different_scores_are_an_error(run_metric):
    done, parts = run_metric(99, "--part", "speed")
    assert done.returncode == 1
    assert "f1 is 49.5 by squad and 50.0 by KnowledgeRecall" in done.stderr
    assert parts == {}
