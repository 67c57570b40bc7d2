"""Retrieval in a report: the finding, the tables and the pages."""

from typing import Any

import pytest

from hf_knowlearn.reports.findings import findings, legend
from hf_knowlearn.reports.html import to_html
from hf_knowlearn.reports.markdown import to_markdown
from hf_knowlearn.reports.schema import new_report, states
from hf_knowlearn.reports.tables import headline_rows, tables

COUNTS = {"documents": 3, "questions": 20, "replayed_questions": 0, "retention_questions": 0}
TOP_1 = {"correct": 0.3, "correct_se": 0.1, "found": 0.5, "found_se": 0.11, "passages": 1.0, "prompt_tokens": 120.25}
TOP_3 = {**TOP_1, "correct": 0.4, "found": 0.75, "document_found": 0.8, "passages": 2.9, "shortened": 2}


def report(correct: float, difference: float, error: float | None) -> dict[str, Any]:
    figures = {
        "correct": correct,
        "correct_se": 0.1,
        "over_retrieval": {"top_1": difference + 0.1, "top_1_se": 0.9, "top_3": difference, "top_3_se": error},
    }
    made = new_report({"correct": 0.0, "correct_se": 0.0}, {"formats": figures}, {}, COUNTS)
    return {**made, "retrieval": {"top_1": TOP_1, "top_3": TOP_3}}


@pytest.mark.parametrize(
    ("correct", "error", "finding"),
    [
        (
            0.6,
            0.05,
            "The fine-tuned model is a better tool for these documents than retrieval: the fine-tuned model answers"
            " 60.0 % of the questions correctly, and the base model with the 3 best passages in the prompt answers"
            " 40.0 % correctly. The difference is +20.0 ± 5.0 percentage points.",
        ),
        (
            0.1,
            0.1,
            "Retrieval is a better tool for these documents than the fine-tuned model: the fine-tuned model answers"
            " 10.0 % of the questions correctly, and the base model with the 3 best passages in the prompt answers"
            " 40.0 % correctly. The difference is -30.0 ± 10.0 percentage points.",
        ),
        (
            0.6,
            0.1,
            "There is no clear difference between the fine-tuned model and retrieval: the fine-tuned model answers"
            " 60.0 % of the questions correctly, and the base model with the 3 best passages in the prompt answers"
            " 40.0 % correctly. The difference is +20.0 ± 10.0 percentage points, within two standard errors.",
        ),
        (
            0.6,
            None,
            "It is unknown whether the fine-tuned model or retrieval is the better tool: the fine-tuned model answers"
            " 60.0 % of the questions correctly, and the base model with the 3 best passages in the prompt answers"
            " 40.0 % correctly.",
        ),
    ],
)
def test_the_finding_states_the_better_tool(correct: float, error: float | None, finding: str):
    made = report(correct, correct - 0.4, error)
    assert findings(made)[2].replace("\u00a0", " ") == finding


def test_the_finding_is_about_the_better_number_of_passages():
    made = report(0.6, 0.2, 0.05)
    made["retrieval"]["top_1"] = {**TOP_1, "correct": 0.45}
    assert "the base model with the best passage in the prompt answers 45.0" in findings(made)[2]


def test_without_retrieval_or_its_scores_there_is_no_finding():
    made = report(0.6, 0.2, 0.05)
    length = len(findings(made))
    for changes in ({"retrieval": None}, {"retrieval": {"top_1": {}}}):
        assert len(findings({**made, **changes})) == length - 1


def test_the_tables_have_every_figure_of_retrieval():
    made = report(0.6, 0.2, 0.05)
    assert [name for name, _ in states(made)] == ["before", "retrieval, top 1", "retrieval, top 3", "formats"]
    assert headline_rows(made)[2] == ["retrieval, top 1", "0.300 ± 0.100", "", "", "", "", ""]
    [table] = [table for table in tables(made) if table.title == "Retrieval"]
    assert table.rows == [
        [
            "",
            "correct",
            "answer found",
            "document found",
            "passages",
            "prompt tokens",
            "shortened",
            "formats - retrieval",
        ],
        ["top 1", "0.300 ± 0.100", "0.500 ± 0.110", "", "1.0", "120.2", "", "+0.300 ± 0.900"],
        ["top 3", "0.400 ± 0.100", "0.750 ± 0.110", "0.800", "2.9", "120.2", "2", "+0.200 ± 0.050"],
    ]


def test_the_pages_have_the_table_and_the_legend():
    made = report(0.6, 0.2, 0.05)
    assert any(line.startswith("retrieval: the base model with the passages") for line in legend(made))
    assert "## Retrieval" in to_markdown(made)
    page = to_html(made)
    assert "Retrieval, top 3" in page
    assert "formats - retrieval" in page
    without = {**made, "retrieval": {}}
    assert "retrieval:" not in "\n".join(legend(without))
    assert "Retrieval, top" not in to_html(without)
