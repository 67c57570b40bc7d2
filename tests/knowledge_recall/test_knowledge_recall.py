"""The metric: `evaluate` returns what `scoring` says, wherever it was loaded from; and the card tells the truth."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hf_knowlearn
from hf_knowlearn.knowledge_recall import KnowledgeRecall, score

REPO = Path(__file__).parents[2]
ROOM = REPO / "hf_knowlearn" / "knowledge_recall"
PREDICTIONS = ["Lyon\nthe end", "new york city", "\nI think it is Nice.", ""]
REFERENCES = [["Lyon", "Lugdunum"], ["New York"], ["Nice"], ["Oslo"]]


@pytest.fixture
def metric(tmp_path):
    return KnowledgeRecall(cache_dir=str(tmp_path))


def test_the_metric_returns_what_scoring_says(metric):
    assert metric.compute(predictions=PREDICTIONS, references=REFERENCES) == score(PREDICTIONS, REFERENCES)


def test_the_package_offers_the_same_class():
    assert hf_knowlearn.KnowledgeRecall is KnowledgeRecall


def test_answers_added_one_by_one_and_in_batches_score_as_one_list(metric):
    metric.add(prediction=PREDICTIONS[0], reference=REFERENCES[0])
    metric.add_batch(predictions=PREDICTIONS[1:], references=[tuple(answers) for answers in REFERENCES[1:]])
    assert metric.compute() == score(PREDICTIONS, REFERENCES)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"predictions": ["a", None], "references": [["a"], ["b"]]}, r"predictions\[1\] is None: a prediction is one"),
        ({"predictions": ["a"], "references": [["a"], ["b"]]}, "1 predictions, but 2 references"),
        ({"predictions": ["a", 5], "references": [["a"], ["5"]]}, r"predictions\[1\] is 5: a prediction is one"),
        ({"predictions": ["a"], "references": ["a"]}, r"references\[0\] is 'a': accepted answers are a list"),
        ({"predictions": ["x"], "references": [["The"]]}, r"references\[0\] is \['The'\]: without case"),
        ({"predictions": ["x"]}, "references is None: give a list of lists"),
        ({"references": [["x"]]}, "predictions is None: give a list of strings"),
        ({"predictions": [], "references": []}, r"predictions is \[\]: give a list of strings"),
        ({"predictions": None, "references": None}, "predictions is None(.|\n)*references is None"),
        ({}, "predictions is None"),
        ({"predictions": ["\ud83d"], "references": [["x"]]}, "lone surrogate"),
    ],
)
def test_bad_input_is_refused_in_the_words_of_scoring_and_leaves_no_trace(metric, inputs, words):
    with pytest.raises(ValueError, match=words):
        metric.compute(**inputs)
    assert metric.compute(predictions=PREDICTIONS, references=REFERENCES) == score(PREDICTIONS, REFERENCES)


def test_a_refused_row_is_not_added(metric):
    metric.add(prediction="Lyon", reference=["Lyon"])
    with pytest.raises(ValueError, match=r"predictions\[0\] is None"):
        metric.add(prediction=None, reference=["Oslo"])
    with pytest.raises(ValueError, match=r"references\[1\] is \[\]"):
        metric.add_batch(predictions=["Oslo", "Rome"], references=[["Rome"], []])
    assert metric.compute() == score(["Lyon"], [["Lyon"]])


LOAD = """
import doctest, json, os, sys
import evaluate
sys.modules["hf_knowlearn"] = None  # importing it fails: who loads the Space need not have the package
room, blocks, inputs = json.loads(sys.argv[1])
by_name = evaluate.load("hf_knowlearn/knowledge_recall").compute(**inputs)
example = doctest.DocTestParser().get_doctest(blocks, {}, "README.md", None, 0)
outcome = doctest.DocTestRunner().run(example)
os.chdir(os.environ["HF_HOME"])
by_path = evaluate.load(room).compute(**inputs)
print(json.dumps([by_name, by_path, outcome.attempted, outcome.failed]))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """What `evaluate.load` gives in a fresh process, from the project's root and by path from elsewhere."""
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", (ROOM / "README.md").read_text(encoding="utf-8"), re.DOTALL))
    inputs = {"predictions": PREDICTIONS, "references": REFERENCES}
    home = {"HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([str(ROOM), blocks, inputs])],
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
def test_evaluate_loads_the_folder_as_it_lies_in_the_project(loaded, way):
    assert loaded[way] == score(PREDICTIONS, REFERENCES)


def test_the_example_on_the_card_prints_what_the_card_says(loaded):
    assert loaded["attempted"] == 4
    assert loaded["failed"] == 0, "\n".join(loaded["report"])


def front_matter():
    _, header, _ = (ROOM / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header)


def test_the_card_is_that_of_a_metric_space_without_a_demo():
    card = front_matter()
    assert {"evaluate", "metric"} <= set(card["tags"])
    # A gradio Space without its app shows an error page.
    assert card["sdk"] == "static" or (ROOM / card["app_file"]).is_file()
    assert card["title"]
    assert len(card["short_description"]) <= 60


def test_the_card_lists_every_figure_that_is_returned_and_no_other():
    told = re.findall(r"^\| `(\w+)` \|", (ROOM / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert told == list(score(PREDICTIONS, REFERENCES))
