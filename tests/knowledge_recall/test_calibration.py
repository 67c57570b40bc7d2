"""`correct` compared with the labels of people: agreement of the labels, precision and recall.

Each line of `labelled_responses.jsonl` has a question, its accepted answers, a response, the relation of the question,
two independent labels (`label_a`, `label_b`) and the final label (`label`). A label is true if the response is right.
The labels were given without seeing the score.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.knowledge_recall import correct
from hf_knowlearn.paths import PACKAGE

FILE = Path(__file__).with_name("labelled_responses.jsonl")
HANDBOOK = PACKAGE / "worlds" / "handbook" / "questions.jsonl"
LEAST = 0.95  # of agreement, precision and recall

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the labelled responses are not in this checkout")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def competitors(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The accepted answers of each relation, in the labelled responses and in the questions of the handbook."""
    found: dict[str, list[str]] = {}
    for row in [*rows, *read(HANDBOOK)]:
        if row.get("relation"):
            found.setdefault(row["relation"], []).extend(row["answers"])
    return found


def is_true(label: Any) -> bool:
    return label in (True, 1, "1", "right", "true", "yes", "correct")


@pytest.fixture(scope="module")
def judged() -> list[tuple[bool, bool, dict[str, Any]]]:
    """The label, the score and the row of each labelled response."""
    rows = read(FILE)
    others = competitors(rows)
    return [
        (
            is_true(row["label"]),
            correct(
                row["response"],
                row["answers"],
                question=row["question"],
                competitors=others.get(row.get("relation") or "", ()),
            ),
            row,
        )
        for row in rows
    ]


def test_two_people_agree_on_the_labels(judged):
    agreed = [is_true(row["label_a"]) == is_true(row["label_b"]) for _, _, row in judged]
    assert len(judged) >= 300
    assert sum(agreed) / len(agreed) >= LEAST


def test_precision_and_recall_of_correct_are_at_least_95_percent(judged):
    true_positives = sum(label and score for label, score, _ in judged)
    precision = true_positives / sum(score for _, score, _ in judged)
    recall = true_positives / sum(label for label, _, _ in judged)
    differ = [
        (row["question"], row["answers"], row["response"], label) for label, score, row in judged if label != score
    ]
    assert min(precision, recall) >= LEAST, f"precision {precision:.3f}, recall {recall:.3f}: {differ}"
