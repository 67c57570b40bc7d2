"""Tests of the metric: it returns the scores of `score` wherever `evaluate` loads it from, and its card is correct."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import evaluate
import pytest
import yaml

import hf_knowlearn
from hf_knowlearn.knowledge_recall import KnowledgeRecall, score

REPO = Path(__file__).parents[2]
FOLDER = REPO / "hf_knowlearn" / "knowledge_recall"
PREDICTIONS = ["Lyon\nthe end", "new york city", "\nI think it is Nice.", ""]
REFERENCES = [["Lyon", "Lugdunum"], ["New York"], ["Nice"], ["Oslo"]]


@pytest.fixture
def metric(tmp_path):
    return KnowledgeRecall(cache_dir=str(tmp_path))


def test_the_metric_returns_the_scores_of_score(metric):
    assert metric.compute(predictions=PREDICTIONS, references=REFERENCES) == score(PREDICTIONS, REFERENCES)


def test_the_package_exports_the_same_class():
    assert hf_knowlearn.KnowledgeRecall is KnowledgeRecall


def test_rows_added_one_by_one_and_in_batches_score_as_one_list(metric):
    metric.add(prediction=PREDICTIONS[0], reference=REFERENCES[0])
    metric.add_batch(predictions=PREDICTIONS[1:], references=[tuple(answers) for answers in REFERENCES[1:]])
    assert metric.compute() == score(PREDICTIONS, REFERENCES)


IDS = {"questions": ["Where?"] * 4, "fact_ids": list("ffgg"), "relations": list("rsrs"), "documents": list("ddee")}
SAMPLES = [[text, "Oslo"] for text in PREDICTIONS]


@pytest.mark.parametrize("predictions", [PREDICTIONS, SAMPLES], ids=["strings", "samples"])
@pytest.mark.parametrize("in_memory", [False, True], ids=["file", "memory"])
def test_facts_relations_documents_and_samples_work_for_given_and_for_added_rows(tmp_path, predictions, in_memory):
    metric = KnowledgeRecall(cache_dir=str(tmp_path), keep_in_memory=in_memory)
    expected = score(predictions, REFERENCES, **IDS)
    assert metric.compute(predictions=predictions, references=REFERENCES, **IDS) == expected
    metric.add(prediction=predictions[0], reference=REFERENCES[0])
    metric.add_batch(predictions=predictions[1:3], references=REFERENCES[1:3])
    assert metric.compute(predictions=predictions[3:], references=REFERENCES[3:], **IDS) == expected
    metric.add_batch(predictions=predictions, references=REFERENCES)
    assert metric.compute(**IDS) == expected


def test_the_options_apply_to_added_rows(metric):
    for options in ({"language": "de"}, {"abstentions": ["Nice"]}, {"whole": True}):
        metric.add_batch(predictions=["der Main\n", "Nice", "New\nYork"], references=[["Main"], ["x"], ["New York"]])
        added = metric.compute(**options)
        assert added == score(["der Main\n", "Nice", "New\nYork"], [["Main"], ["x"], ["New York"]], **options)
        assert added != score(["der Main\n", "Nice", "New\nYork"], [["Main"], ["x"], ["New York"]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"documents": ["d"]}, "predictions: 2, references: 2, documents: 1"),
        ({"language": "fr"}, "language is 'fr': choose from"),
        ({"language": "de"}, r"references\[1\] is \['Der'\]: every accepted answer"),  # an article if it is German
    ],
)
def test_after_an_error_about_added_rows_the_metric_works(metric, options, words):
    metric.add_batch(predictions=["x", "x"], references=[["Main"], ["Der"]])
    with pytest.raises(ValueError, match=words):
        metric.compute(**options)
    assert metric.compute(predictions=["Main"], references=[["Main"]])["exact_match"] == 1
    metric.add_batch(predictions=["x", "x"], references=[["Main"], ["Der"]])
    assert metric.compute() == score(["x", "x"], [["Main"], ["Der"]])


def test_the_metric_can_be_combined_with_others(tmp_path):
    class Answers(evaluate.Metric):
        def _info(self):
            text = datasets.Value("string")
            features = datasets.Features({"predictions": text, "references": datasets.List(text)})
            return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

        def _compute(self, predictions, references):
            return {"answers": len(predictions)}

    both = evaluate.combine([KnowledgeRecall(cache_dir=str(tmp_path)), Answers(cache_dir=str(tmp_path))])
    expected = {**score(PREDICTIONS, REFERENCES), "answers": 4}
    assert both.compute(predictions=PREDICTIONS, references=REFERENCES) == expected
    both.add_batch(predictions=PREDICTIONS[:3], references=REFERENCES[:3])
    both.add(PREDICTIONS[3], REFERENCES[3])
    assert both.compute() == expected


def test_the_first_of_two_processes_gets_the_scores_of_both(tmp_path):
    def compute(process):
        metric = KnowledgeRecall(cache_dir=str(tmp_path), num_process=2, process_id=process, timeout=30)
        part = slice(2 * process, 2 * process + 2)
        return metric.compute(predictions=PREDICTIONS[part], references=REFERENCES[part], language="de")

    # Threads, which meet at the same locks on files; processes would take seconds to start.
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(compute, range(2))) == [score(PREDICTIONS, REFERENCES, language="de"), None]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"predictions": ["a", None], "references": [["a"], ["b"]]}, r"predictions\[1\] is None: a prediction is one"),
        ({"predictions": ["a"], "references": [["a"], ["b"]]}, "predictions: 1, references: 2"),
        ({"predictions": ["a", 5], "references": [["a"], ["5"]]}, r"predictions\[1\] is 5: a prediction is one"),
        ({"predictions": ["a"], "references": ["a"]}, r"references\[0\] is 'a': give a list of strings"),
        ({"predictions": ["x"], "references": [["The"]]}, r"references\[0\] is \['The'\]: every accepted answer"),
        ({"predictions": ["x"]}, "references is None: give a list of lists"),
        ({"references": [["x"]]}, "predictions is None: give a list of strings"),
        ({"predictions": [], "references": []}, r"predictions is \[\]: give a list of strings"),
        ({"predictions": None, "references": None}, "predictions is None(.|\n)*references is None"),
        ({}, "predictions is None"),
        ({"predictions": ["\ud83d"], "references": [["x"]]}, "lone surrogate"),
    ],
)
def test_the_metric_raises_the_error_of_score_and_leaves_no_file(metric, inputs, words):
    with pytest.raises(ValueError, match=words):
        metric.compute(**inputs)
    assert metric.compute(predictions=PREDICTIONS, references=REFERENCES) == score(PREDICTIONS, REFERENCES)


@pytest.mark.parametrize(
    ("predictions", "references", "words"),
    [
        (["x", "Oslo"], [["Rome"], []], r"references\[1\] is \[\]"),
        (["x"], [["The"]], r"references\[0\] is \['The'\]: every accepted answer"),
    ],
)
def test_invalid_added_rows_are_an_error_of_compute(metric, predictions, references, words):
    metric.add_batch(predictions=predictions, references=references)
    with pytest.raises(ValueError, match=words):
        metric.compute()


LOAD = """
import doctest, json, os, sys
import evaluate
sys.modules["hf_knowlearn"] = None  # importing it fails: who loads the Space need not have the package
path, blocks, inputs = json.loads(sys.argv[1])
by_name = evaluate.load("hf_knowlearn/knowledge_recall").compute(**inputs)
example = doctest.DocTestParser().get_doctest(blocks, {}, "README.md", None, 0)
outcome = doctest.DocTestRunner().run(example)
os.chdir(os.environ["HF_HOME"])
by_path = evaluate.load(path).compute(**inputs)
print(json.dumps([by_name, by_path, outcome.attempted, outcome.failed]))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The scores after `evaluate.load` in a new process, by name from the project root and by path from elsewhere."""
    blocks = "\n".join(
        re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    )
    inputs = {"predictions": PREDICTIONS, "references": REFERENCES}
    home = {"HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([str(FOLDER), blocks, inputs])],
        cwd=REPO,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    *report, last = run.stdout.strip().split("\n")
    return dict(zip(["by_name", "by_path", "attempted", "failed"], json.loads(last), strict=True), report=report)


@pytest.mark.parametrize("way", ["by_name", "by_path"])
def test_evaluate_loads_the_folder(loaded, way):
    assert loaded[way] == score(PREDICTIONS, REFERENCES)


def test_the_examples_of_the_card_print_what_the_card_shows(loaded):
    assert loaded["attempted"] == 7
    assert loaded["failed"] == 0, "\n".join(loaded["report"])


def front_matter():
    _, header, _ = (FOLDER / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header)


def test_the_card_is_that_of_a_metric_space_with_an_existing_page():
    card = front_matter()
    assert {"evaluate", "metric"} <= set(card["tags"])
    # A gradio Space without its app shows an error page.
    assert card["sdk"] == "static" or (FOLDER / card["app_file"]).is_file()
    assert card["title"]
    assert len(card["short_description"]) <= 60


def test_the_card_lists_exactly_the_returned_scores():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    always, with_more = card.split("| with | key |")
    documented = re.findall(r"^\| `(\w+)` \|", always, re.MULTILINE)
    assert documented == list(score(PREDICTIONS, REFERENCES))
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \|$", with_more, re.MULTILINE)
    documented = re.findall(r"`(\w+)`", " ".join(rows))
    assert set(documented) == set(score(SAMPLES, REFERENCES, **IDS)) - set(score(PREDICTIONS, REFERENCES))
