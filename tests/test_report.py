"""The report: the table, the page and the chart of one dictionary."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_knowlearn import __version__
from hf_knowlearn.recall.report import (
    arm_scores,
    differences,
    draw,
    legend,
    merge,
    new_report,
    table,
    to_markdown,
    to_text,
)

SCORES = {
    "questions": {"exact_match": 0.5, "exact_match_se": 0.1, "f1": 0.6, "f1_se": 0.05, "contains": 0.7, "n": 20},
    "retention_questions": {"exact_match": 0.9, "exact_match_se": 0.03, "f1": 0.95, "f1_se": 0.01, "n": 100},
}
COUNTS = {"documents": 3, "questions": 20, "rehearsed_questions": 0, "retention_questions": 100}
RECIPE = {"arm": "formats", "max_length": None, "note": "yes: it's a | b", "lora_target_modules": ["all-linear"]}


def report(name: str = "formats", **changes: Any) -> dict[str, Any]:
    arm = {**arm_scores(SCORES), "train_loss": 1.25, "steps": 250, "gradient_evaluations": 500, "seconds": 61.4}
    return new_report({"exact_match": 0.0, "exact_match_se": 0.0}, {name: {**arm, **changes}}, RECIPE, COUNTS)


def test_the_scores_of_an_arm_are_named_by_role_and_a_role_not_asked_has_none():
    assert arm_scores(SCORES) == {
        "exact_match": 0.5,
        "exact_match_se": 0.1,
        "f1": 0.6,
        "f1_se": 0.05,
        "contains": 0.7,
        "retention": 0.9,
        "retention_se": 0.03,
    }
    assert arm_scores({}) == {}


def test_the_report_says_with_what_it_was_made():
    made = report()
    assert made["versions"]["hf_knowlearn"] == __version__
    assert set(made["versions"]) >= {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "evaluate"}
    assert made["recipes"] == {"formats": RECIPE}
    assert made["counts"] == COUNTS


def test_the_table_has_a_row_for_before_and_one_for_each_arm():
    assert table(merge([report("as_written", train_loss=None), report("formats", steps=250.0)])) == [
        ["", "recall", "rehearsed", "retention", "loss", "steps", "gradient evals", "time"],
        ["before", "0.000 ± 0.000", "not asked", "not asked", "", "", "", ""],
        ["as_written", "0.500 ± 0.100", "not asked", "0.900 ± 0.030", "", "250", "500", "61 s"],
        ["formats", "0.500 ± 0.100", "not asked", "0.900 ± 0.030", "1.250", "250", "500", "61 s"],
    ]


def test_merging_keeps_each_arm_with_its_recipe_and_the_first_ones_before():
    first, second = report("a"), report("b")
    second["before"] = {"exact_match": 1.0}
    merged = merge([first, second])
    assert list(merged["arms"]) == list(merged["recipes"]) == ["a", "b"]
    assert merged["before"] == first["before"]
    assert list(first["arms"]) == ["a"]


def test_in_a_terminal_the_columns_stand_under_each_other():
    header, rule, *rows = to_text(merge([report("a"), report("a_longer_name")])).splitlines()
    assert set(rule) == {"-"}
    assert len({row.index("±") for row in rows}) == 1
    ends = [header.index("recall") + len("recall"), *(row.index("±") + len("± 0.000") for row in rows)]
    assert len(set(ends)) == 1  # figures stand to the right, under the end of their heading
    assert [row.split()[0] for row in rows] == ["before", "a", "a_longer_name"]


def test_the_legend_explains_what_was_asked_and_no_more():
    lines = legend(report()).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "recall, rehearsed, retention",
        "recall",
        "retention",
        "loss",
    ]
    assert "standard error over questions" in lines[0]
    assert "20 questions about the 3 taught documents" in lines[1]
    assert "100 questions" in lines[2]
    assert "standard error over seeds" in legend({**report(), "by_seed": {}})


def test_the_page_is_markdown_whatever_an_arm_is_called():
    page = to_markdown(report("a|b"))
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}
    assert "![Recall by arm](recall.png)" in page
    assert f"hf_knowlearn {__version__}" in page


def test_the_recipe_on_the_page_can_be_run_again():
    block = to_markdown(report()).partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(block) == RECIPE


@pytest.mark.parametrize("name", ["formats", "a $x^ of {cost}", "b_c"])
def test_the_chart_is_drawn_whatever_an_arm_is_called(tmp_path: Path, name: str):
    draw(report(name), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_questions_has_a_report_too(tmp_path: Path):
    arm = {"train_loss": 1.0, "steps": 1, "gradient_evaluations": 1, "seconds": 1.0}
    made = new_report({}, {"taught": arm}, {}, dict.fromkeys(COUNTS, 0))
    assert table(made)[1:] == [
        ["before", *["not asked"] * 3, "", "", "", ""],
        ["taught", *["not asked"] * 3, "1.000", "1", "1", "1 s"],
    ]
    assert legend(made).startswith("loss:")
    draw(made, tmp_path / "chart.png")


def test_the_chart_shows_every_figure_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    draw(merge([report("a"), report("b", exact_match=0.75)]), tmp_path / "chart.png")
    (axes,) = drawn[0].axes
    bar_containers = [container for container in axes.containers if isinstance(container, BarContainer)]
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in bar_containers}
    assert list(heights.values()) == [[0.0, 0.5, 0.75], [0.9, 0.9]]  # retention was not asked before: no bar of 0
    assert [text.get_text() for text in axes.get_xticklabels()] == ["before", "a", "b"]


def test_a_study_shows_the_paired_differences_in_a_table_of_their_own():
    study = report("a")
    assert differences(study) == []
    interval = {"mean": 0.1, "low": -0.02, "high": 0.22}
    study["differences"] = {"b - a": {"exact_match": interval, "retention": {**interval, "mean": -0.25}}}
    header, row = differences(study)
    assert row == ["b - a", "+0.100 [-0.020, +0.220]", "not asked", "-0.250 [-0.020, +0.220]"]
    assert header == ["difference [95 % interval]", "recall", "rehearsed", "retention"]
    assert "+0.100 [-0.020, +0.220]" in to_text(study)
    assert "| b - a | +0.100 [-0.020, +0.220] | not asked |" in to_markdown(study)
