"""Tests of reports: schema, findings, tables, Markdown and charts."""

import math
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_knowlearn import __version__
from hf_knowlearn.knowledge_recall import score
from hf_knowlearn.reports.charts import BARS, curves, draw, scores_by_run, style
from hf_knowlearn.reports.findings import findings, legend
from hf_knowlearn.reports.formatting import duration, size
from hf_knowlearn.reports.markdown import to_markdown, to_text
from hf_knowlearn.reports.schema import best_run, merge, new_report, run_scores
from hf_knowlearn.reports.tables import Table, difference_rows, headline_rows, tables

SCORES = {
    "questions": {
        "correct": 0.5,
        "correct_se": 0.1,
        "f1": 0.6,
        "f1_se": 0.05,
        "n": 20,
        "contains": 0.7,
        "contains_se": 0.2,
    },
    "retention_questions": {"correct": 0.9, "correct_se": 0.03, "f1": 0.95, "f1_se": 0.01, "n": 100},
}
COUNTS = {"documents": 3, "questions": 20, "replayed_questions": 0, "retention_questions": 100}
COST = {"train_seconds": 61.4, "steps": 250, "gradient_evaluations": 500}
RECIPE = {"run": "formats", "max_length": None, "note": "yes: it's a | b", "lora_target_modules": ["all-linear"]}


def report(name: str = "formats", **changes: Any) -> dict[str, Any]:
    figures = {**run_scores(SCORES), "train_loss": 1.25, "cost": COST}
    return new_report({"correct": 0.0, "correct_se": 0.0}, {name: {**figures, **changes}}, RECIPE, COUNTS)


def test_figures_are_named_by_role_and_a_role_without_scores_has_none():
    assert run_scores(SCORES) == {
        "correct": 0.5,
        "correct_se": 0.1,
        "f1": 0.6,
        "f1_se": 0.05,
        "contains": 0.7,
        "contains_se": 0.2,
        "retention": 0.9,
        "retention_se": 0.03,
    }
    assert run_scores({}) == {}


def test_the_metrics_scores_get_the_names_of_the_report():
    metric = score(
        ["rye", "it is six or seven"],
        [["rye"], ["six"]],
        fact_ids=["a", "b"],
        relations=["grain", "hour"],
        documents=["mill", "ferry"],
    )
    flat = run_scores({"questions": metric})
    assert flat["correct"] == 0.5
    assert flat["contains"] == metric["contains"] == 1
    assert flat["contains_se"] == metric["contains_se"]
    assert flat["n_facts"] == flat["n_documents"] == 2
    assert "n" not in flat
    assert flat["by_relation"]["hour"]["contains"] == 1
    assert flat["by_relation"]["hour"]["correct"] == 0
    assert flat["by_relation"]["hour"]["n"] == 1


def test_the_report_holds_versions_recipe_and_counts():
    made = report()
    assert made["versions"]["hf_knowlearn"] == __version__
    assert set(made["versions"]) >= {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "evaluate"}
    assert made["recipes"] == {"formats": RECIPE}
    assert made["counts"] == COUNTS


def test_the_table_has_a_row_for_before_and_one_for_each_run():
    assert headline_rows(
        merge([report("raw", train_loss=None), report("formats", cost={**COST, "steps": 250.0})])
    ) == [
        ["", "correct", "retention", "loss", "steps", "gradient evals", "time"],
        ["before", "0.000 ± 0.000", "not evaluated", "", "", "", ""],
        ["raw", "0.500 ± 0.100", "0.900 ± 0.030", "", "250", "500", "61 s"],
        ["formats", "0.500 ± 0.100", "0.900 ± 0.030", "1.250", "250", "500", "61 s"],
    ]


def test_a_merged_report_has_every_run_and_recipe_and_the_first_before():
    first, second = report("a"), report("b")
    second["before"] = {"correct": 1.0}
    merged = merge([first, second])
    assert list(merged["runs"]) == list(merged["recipes"]) == ["a", "b"]
    assert merged["before"] == first["before"]
    assert list(first["runs"]) == ["a"]


def test_terminal_columns_are_aligned():
    header, rule, *rows = to_text(merge([report("a"), report("a_longer_name")])).splitlines()
    assert set(rule) == {"-"}
    assert len({row.index("±") for row in rows}) == 1
    ends = [header.index("correct") + len("correct"), *(row.index("±") + len("± 0.000") for row in rows)]
    assert len(set(ends)) == 1  # figures are aligned to the right, under the end of their heading
    assert [row.split()[0] for row in rows] == ["before", "a", "a_longer_name"]


def test_the_legend_names_the_runs_that_replayed_documents():
    def of(*recipes: dict[str, Any]) -> str:
        named = {f"run {number}": recipe for number, recipe in enumerate(recipes)}
        made = {**report(), "recipes": named, "counts": {**COUNTS, "replayed_questions": 5}}
        (line,) = [line for line in legend(made) if line.startswith(("replayed:", "replayed_questions:"))]
        return line.removeprefix("replayed: 5 questions about documents that were replayed")

    old, own = {"replay_documents": "old.jsonl"}, {"replay_self": 100}
    assert of(old, {"replay_questions": "old.jsonl"}) == " in every batch."
    assert of(old, own, {}) == " (by all runs except run 1, run 2)."
    nothing = "replayed_questions: 5 questions about other documents. No run replayed documents or questions."
    assert of(own) == of({**old, "replay_share": 0}) == nothing
    assert of({**own, "stages": [{"name": "read"}, {"name": "again", **old}]}) == " in every batch."


def test_the_legend_explains_only_columns_with_figures():
    lines = legend(report())
    assert [line.partition(":")[0] for line in lines] == [
        "correct, retention",
        "correct",
        "retention",
        "loss",
        "gradient evals",
    ]
    assert "standard error over questions" in lines[0]
    assert "20 questions about the 3 training documents" in lines[1]
    assert "100 questions" in lines[2]
    assert "standard error over seeds" in legend({**report(), "by_seed": {}})[0]


def test_a_run_name_does_not_break_the_markdown():
    page = to_markdown(report("a|b"))
    rows = [line for line in page.split("\n- ")[0].splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {row.replace("\\|", "").count("|") for row in rows} == {8}
    assert "![Scores by run](scores.png)" in page
    assert f"| hf_knowlearn | {__version__} |" in page


def test_the_recipe_in_the_markdown_is_valid_yaml():
    block = to_markdown(report()).partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(block) == RECIPE


@pytest.mark.parametrize("name", ["formats", "$x^$ of {cost}", "b_c"])
def test_a_run_name_does_not_break_the_chart(tmp_path: Path, name: str):
    draw(report(name), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_questions_has_a_report():
    figures = {"train_loss": 1.0, "cost": {"train_seconds": 1.0, "steps": 1, "gradient_evaluations": 1}}
    made = new_report({}, {"tuned": figures}, {}, dict.fromkeys(COUNTS, 0))
    assert headline_rows(made)[1:] == [
        ["before", *["not evaluated"] * 2, "", "", "", ""],
        ["tuned", *["not evaluated"] * 2, "1.000", "1", "1", "1 s"],
    ]
    assert legend(made)[0].startswith("loss:")


def test_the_chart_shows_every_figure_of_the_report():
    from matplotlib.container import BarContainer

    (axes,) = scores_by_run(merge([report("a"), report("b", correct=0.75)])).axes
    bars: dict[str, list[float]] = {}
    for container in axes.containers:
        if isinstance(container, BarContainer):
            bars.setdefault(container.get_label(), []).extend(bar.get_width() for bar in container)
    assert list(bars.values()) == [
        [0.0, 0.5, 0.75],
        [0.9, 0.9],
    ]  # retention was not evaluated before: there is no bar of 0
    assert [text.get_text() for text in axes.get_yticklabels()] == ["before", "a", "b"]


def test_a_study_has_a_table_of_paired_differences():
    study = report("a")
    assert difference_rows(study) == []
    interval = {"mean": 0.1, "low": -0.02, "high": 0.22}
    study["differences"] = {"b - a": {"correct": interval, "retention": {**interval, "mean": -0.25}}}
    header, row = difference_rows(study)
    assert row == ["b - a", "+0.100 [-0.020, +0.220]", "-0.250 [-0.020, +0.220]"]
    assert header == ["difference [95 % interval]", "correct", "retention"]
    assert "+0.100 [-0.020, +0.220]" in to_text(study)
    assert "| b - a | +0.100 [-0.020, +0.220] | -0.250" in to_markdown(study)


# Words


def scores(recall: float | None, retention: float | None = None, error: float = 0.01) -> dict[str, Any]:
    named = {"correct": recall, "retention": retention}
    return {
        f"{name}{end}": v
        for name, value in named.items()
        if value is not None
        for end, v in (("", value), ("_se", error))
    }


def findings_of(before: dict[str, Any], runs: dict[str, dict[str, Any]], **more: Any) -> str:
    cost = {"train_loss": 1.0, "cost": COST}
    one = report()
    found = findings(
        {**one, "before": before, "runs": {name: {**cost, **figures} for name, figures in runs.items()}, **more}
    )
    return " ".join(found).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("before", "after", "start"),
    [
        (
            0.1,
            0.5,
            "The model learned: 50.0 % of 20 questions about the 3 documents it was trained on are answered"
            " correctly.",
        ),
        (0.1, 0.12, "The model learned nothing measurable: 12.0 % of 20 questions"),
        (0.1, 0.08, "The model learned nothing measurable: 8.0 % of 20 questions"),
        (0.5, 0.1, "The model learned nothing and knows less than before: 10.0 % of 20 questions"),
        (None, 0.5, "It is unknown whether the model learned: 50.0 % of 20 questions"),
        (
            None,
            None,
            "The model was trained on 3 documents. No questions were evaluated, so what it learned is unknown.",
        ),
    ],
)
def test_the_first_finding_is_about_learning(before: float | None, after: float | None, start: str):
    text = findings_of(scores(before), {"tuned": scores(after)})
    assert text.startswith(start)
    assert ("Before training, it was" in text) == (before is not None)
    assert ("within two standard errors" in text) == ("nothing measurable" in start)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (1.0, 0.4, "The model forgot: retention is 40.0 % on 100 questions about facts outside the training data."),
        (1.0, 0.99, "The model forgot nothing measurable: retention is 99.0 % on 100 questions"),
        (0.4, 0.6, "The model forgot nothing that was evaluated: retention is 60.0 % on 100 questions"),
        (None, 0.6, "It is unknown whether the model forgot: retention is 60.0 % on 100 questions"),
        (1.0, None, "It is unknown what the model forgot. No retention questions were evaluated."),
    ],
)
def test_the_second_finding_is_about_forgetting(before: float | None, after: float | None, sentence: str):
    assert sentence in findings_of(scores(0.1, before), {"tuned": scores(0.5, after)})


@pytest.mark.parametrize(
    ("after", "error", "start"),
    [
        (0.3, 0.01, "The words that carry the facts became more probable: 0.100 ± 0.010 before, 0.300 ± 0.010 after"),
        (
            0.11,
            0.01,
            "of the words that carry the facts did not change measurably: 0.100 ± 0.010 before, 0.110 ± 0.010 after",
        ),
        (0.05, 0.01, "became less probable: 0.100 ± 0.010 before, 0.050 ± 0.010 after"),
        (0.3, None, "Mean probability of the words that carry the facts: 0.100 before, 0.300 after"),  # one document
    ],
)
def test_without_questions_the_finding_is_about_knowledge_tokens(after: float, error: float | None, start: str):
    def tokens_of(probability: float) -> dict[str, Any]:
        return {"knowledge_tokens": {"probability": probability, "probability_se": error}}

    counts = report()["counts"] | {"questions": 0}
    text = findings_of(tokens_of(0.1), {"tuned": tokens_of(after)}, counts=counts)
    assert text.startswith("The model was trained on 3 documents. No questions were evaluated.")
    assert start in text
    with_questions = findings_of(tokens_of(0.1) | scores(0.1), {"tuned": tokens_of(after) | scores(0.5)})
    assert with_questions.startswith("The model learned: 50.0 %")

    one = {**report(), "before": tokens_of(0.1), "runs": {"tuned": tokens_of(after)}, "counts": counts}
    shown, explained = to_text(one), "\n".join(legend(one))
    assert "knowledge tokens" in shown
    assert "0.100" in shown
    assert "knowledge tokens: mean probability" in explained


def test_the_reason_for_missing_retention_is_reported():
    why = "Retention was not evaluated: there were no questions."
    assert f"It is unknown what the model forgot. {why}" in findings_of(
        scores(0.1), {"a": scores(0.5)}, retention_source=why
    )
    assert why in legend({**report(), "retention_source": why})


def test_a_change_needs_more_than_two_standard_errors():
    # Errors 0.03 and 0.04: of the difference 0.05.
    before = {"correct": 0.2, "correct_se": 0.03}
    for gain, word in ((0.099, "learned nothing measurable"), (0.101, "learned: 30")):
        after = {"correct": 0.2 + gain, "correct_se": 0.04}
        assert f"The model {word}" in findings_of(before, {"tuned": after})


def test_without_a_standard_error_no_change_is_claimed():
    single = {"correct": 0.9, "correct_se": math.nan}
    assert "It is unknown whether the model learned: 90.0 %" in findings_of(scores(0.1), {"tuned": single})


def test_the_findings_are_about_the_best_run_and_name_its_equals():
    runs = {"plain": scores(0.2), "formats": scores(0.5), "sam": scores(0.51)}
    text = findings_of(scores(0.1), runs)
    assert "51.0 %" in text
    assert "These are the figures of sam, which has the most correct responses of 3 runs." in text
    assert "These runs are within two standard errors of it: formats." in text
    assert "most correct responses" not in findings_of(scores(0.1), {"plain": scores(0.2)})
    assert best_run({"runs": {"a": {}, "b": {}}}) == "a"


def test_open_book_is_in_the_findings_the_table_and_the_legend():
    study = {**report(), "open_book": {"correct": 0.95, "correct_se": 0.02}}
    assert "With the document in the prompt, the base model reaches 95.0 %." in findings(study)[0].replace(
        "\u00a0", " "
    )
    names = [row[0] for row in headline_rows(study)]
    assert names == ["", "before", "open book", "formats"]
    assert headline_rows(study)[2] == ["open book", "0.950 ± 0.020", "", "", "", "", ""]
    widths = [max(map(len, to_text(one).splitlines())) for one in (study, report("open book"))]
    assert widths[0] == widths[1]  # the row makes the table no wider than its name does
    assert any(line.startswith("open book:") for line in legend(study))
    assert "open book" not in "\n".join([*legend(report()), to_text(report())])


def test_the_last_finding_is_about_cost():
    assert findings(report())[2] == "The run took 61 s of training, 250 steps, 500 gradient evaluations."
    cost = {"train_seconds": 7200.0, "steps": 1, "gradient_evaluations": 2, "tokens": 1e6, "peak_memory_bytes": 3.2e9}
    assert findings(report(cost={**cost, "device": "H100"}))[2] == (
        "The run took 2.0 h of training, 1 step, 2 gradient evaluations, 1,000,000 tokens, 3.20 GB of peak memory"
        " on H100."
    )
    assert [duration(s) for s in (0, 119, 120, 7199, 7200)] == ["0 s", "119 s", "2.0 min", "120.0 min", "2.0 h"]
    assert [size(count) for count in (5e6, 1e9)] == ["5 MB", "1.00 GB"]


@pytest.mark.parametrize(
    ("guess", "sentence"),
    [
        (0.07, "The most common answer to each type of question scores 7.0 %. "),
        (
            0.48,
            "The most common answer to each type of question scores 48.0 %, and the model is not clearly above it. ",
        ),
        (
            0.6,
            "The most common answer to each type of question scores 60.0 %, and the model is not clearly above it. ",
        ),
    ],
)
def test_a_gain_is_compared_with_guessing(guess: float, sentence: str):
    control = {"guessing": {"correct": guess, "correct_se": 0.01}}
    text = findings_of(scores(0.1), {"tuned": scores(0.5)}, **control)
    assert sentence in f"{text} "
    learned = (
        "The model learned: 50.0 %" if guess < 0.4 else "The model learned no more than which answers are common: "
    )
    assert text.startswith(learned)
    # Without a gain, there is nothing to explain.
    assert findings_of(scores(0.5), {"tuned": scores(0.5)}, **control).startswith(
        "The model learned nothing measurable"
    )
    assert any(line.startswith("guessing: ") for line in legend({**report(), **control}))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((0.2, 0.9, 0.4), ["Chat ability fell: the model fulfils 20.0 % of the simple instructions. Before"]),
        ((0.4, 0.5, 0.4), ["Fewer responses end by themselves: 50.0 %. Before training, it was 90.0 %."]),
        (
            (0.4, 0.9, 0.2),
            ["Reading fell: with the document in the prompt, the model answers 20.0 % of the questions"],
        ),
        ((0.39, 0.89, 0.39), []),
        ((0.6, 1.0, 0.6), []),
    ],
)
def test_an_ability_that_falls_clearly_is_a_finding(after: tuple[float, ...], expected: list[str]):
    def abilities(fulfilled: float, ended: float, book: float) -> dict[str, Any]:
        chat = {"fulfilled": fulfilled, "fulfilled_se": 0.02, "ended": ended, "ended_se": 0.02}
        return scores(0.3) | {"chat": chat, "open_book": book, "open_book_se": 0.02}

    text = findings_of(abilities(0.4, 0.9, 0.4), {"tuned": abilities(*after)})
    assert all(sentence in text for sentence in expected)
    assert sum(word in text for word in ("Chat ability", "by themselves", "Reading")) == len(expected)


def test_retention_of_untouched_knowledge_is_stated_apart():
    figures = scores(0.5, 0.6) | {"retention_untouched": 0.4, "retention_untouched_n": 12}
    assert "On general knowledge that replay does not touch, it is 40.0 %." in findings_of(
        scores(0.1, 1), {"a": figures}
    )
    assert "replay" not in findings_of(scores(0.1, 1), {"a": scores(0.5, 0.6)})


# Tables


def full() -> dict[str, Any]:
    """A report with every key."""
    metric = score(["rye", "no"] * 10, [["rye"], ["six"]] * 10, fact_ids=list("ab") * 10, relations=["x", "y"] * 10)
    figures = report()["runs"]["formats"] | run_scores({"questions": metric})
    examples = [{"id": "1", "question": "Why?", "answers": ["so", "thus"], "before": "", "after": "so"}]
    counts = {"learned": 9, "retained": 1, "forgotten": 2, "never": 8}
    figures |= {
        "cost": {
            **COST,
            "evaluation_seconds": 5,
            "tokens": 1234567,
            "peak_memory_bytes": 2e9,
            "device": "cpu",
        },
        "transitions": {"questions": {**counts, "examples": {"learned": examples, "forgotten": []}}},
        "curve": [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5, "correct": 0.5, "correct_se": 0.1}],
        "drift": {"kl": 0.25, "kl_se": 0.01, "tokens": 4000, "texts": 12},
        "editing": {
            "reliability": {"teacher_forced": 0.9, "teacher_forced_se": 0.05, "generated": 0.8, "n": 40},
            "fluency": {"before": {"bits": 5.5}, "after": {"bits": 5.25}},
        },
        "knowledge_tokens": {"probability": 0.75, "probability_se": 0.05, "documents": 3, "tokens": 90},
        "answer_logprob": -7.25,
        "answer_logprob_se": 0.5,
        "retention_untouched": 0.8,
        "retention_untouched_se": 0.05,
        "retention_untouched_n": 60,
        "open_book": 0.85,
        "open_book_se": 0.02,
        "chat": {"fulfilled": 0.25, "fulfilled_se": 0.04, "ended": 0.5, "ended_se": 0.05, "n": 100},
        "perplexity": {"perplexity": 18.5, "perplexity_se": 0.75, "nll": 2.9, "nll_se": 0.04},
    }
    return {
        **report(),
        "before": {"correct": 0.0, "correct_se": 0.0, "open_book": 0.95, "open_book_se": 0.02},
        "runs": {"formats": figures},
        "guessing": {"correct": 0.05, "correct_se": 0.01, "n": 20, "examples": []},
        "open_book": {"correct": 0.95, "correct_se": 0.02},
        "contamination": {
            "n": 1,
            "rows": 7000,
            "examples": [{"row": 5, "question": "Why?", "overlap": 0.8, "text": "why so?"}],
        },
        "data": {"documents": {"source": "docs/", "sha256": "9f86d0", "n": 3}},
        "model": {"name": "org/model", "revision": "abc123"},
        "seeds": {"formats": 7},
    }


def by_title(made: dict[str, Any]) -> dict[str, Table]:
    return {table.title: table for table in tables(made)}


def test_every_figure_of_a_report_is_in_a_table():
    found = by_title(full())
    header, *rows = found["Details of the answers"].rows
    assert header == ["", "before", "open book", "formats"]
    assert rows[0] == ["correct", "0.000 ± 0.000", "0.950 ± 0.020", "0.500 ± 0.112"]
    cells = {row[0]: row[-1] for row in rows}
    assert cells["right in all wordings"] == "0.500 ± 0.354"  # binomial, over two facts
    assert cells["contains (words of the response)"] == "0.500 ± 0.112 (1.0)"
    assert cells["log-probability of the answer"] == "-7.250 ± 0.500"
    assert cells["knowledge tokens"] == "0.750 ± 0.050"
    assert found["Correct by relation"].rows == [
        ["relation", "questions", "formats"],
        ["x", "10", "1.000 ± 0.000"],
        ["y", "10", "0.000 ± 0.000"],
    ]
    assert found["Learned, retained, forgotten"].rows[1] == ["formats", "correct", "9", "1", "2", "8"]
    assert found["General abilities"].rows == [
        ["", "before", "formats"],
        ["retention", "", "0.900 ± 0.030"],
        ["retention, untouched relations", "", "0.800 ± 0.050"],
        ["instructions fulfilled", "", "0.250 ± 0.040"],
        ["responses that end", "", "0.500 ± 0.050"],
        ["reading", "0.950 ± 0.020", "0.850 ± 0.020"],
        ["perplexity", "", "18.500 ± 0.750"],
    ]
    assert found["Before and after"].rows == [
        ["", "correct", "retention", "chat", "loss", "steps", "gradient evals", "time"],
        ["before", "0.000 ± 0.000", "not evaluated", "not evaluated", "", "", "", ""],
        ["guessing", "0.050 ± 0.010", "", "", "", "", "", ""],
        ["open book", "0.950 ± 0.020", "", "", "", "", "", ""],
        ["formats", "0.500 ± 0.112", "0.900 ± 0.030", "0.250 ± 0.040", "1.250", "250", "500", "61 s"],
    ]
    assert found["Drift"].rows[1] == ["formats", "0.250 ± 0.010", "4,000", "12"]
    assert found["Editing"].rows[1] == ["formats", "0.900 ± 0.050 / 0.800 of 40", "5.500 → 5.250"]
    assert dict(found["Cost"].rows) == {
        "": "formats",
        "training": "61 s",
        "evaluation": "5 s",
        "optimizer steps": "250",
        "gradient evaluations": "500",
        "training tokens": "1,234,567",
        "peak memory of a process": "2.00 GB",
        "device": "cpu",
    }
    assert found["Contamination"].rows[1] == ["5", "Why?", "0.8", "why so?"]
    assert found["Data"].rows[1] == ["documents", "docs/", "3", "9f86d0"]
    made_with = dict(found["Made with"].rows)
    assert made_with["model"] == "org/model, revision abc123"
    assert made_with["seed"] == "7"
    assert made_with["hf_knowlearn"] == __version__


def test_a_table_without_rows_is_left_out():
    made = new_report({}, {"tuned": {"train_loss": 1.0, "cost": COST}}, {}, COUNTS)
    assert list(by_title(made)) == ["Before and after", "Cost", "Made with"]


@pytest.mark.parametrize("make", [report, full])
def test_every_row_has_the_length_of_its_header(make: Any):
    for table in tables(make()):
        assert {len(row) for row in table.rows} == {len(table.rows[0])}, table.title


def test_a_figure_that_is_not_finite_is_not_shown(tmp_path: Path):
    made = report(train_loss=math.nan, correct_se=math.nan, retention=None)
    assert headline_rows(made)[2] == ["formats", "0.500", "not evaluated", "", "250", "500", "61 s"]
    assert "nan" not in to_markdown(made)
    draw(made, tmp_path / "chart.png")


def test_the_seeds_of_all_runs_are_listed():
    made = {**report(), "seeds": {"a": 1, "b": 2}}
    assert dict(by_title(made)["Made with"].rows)["seed"] == "1 (a), 2 (b)"
    assert dict(by_title({**made, "by_seed": {"3": {}, "4": {}}})["Made with"].rows)["seeds"] == "3, 4"
    merged = merge([{**report("a"), "seeds": {"a": 1}}, {**report("b"), "seeds": {"b": 2}}])
    assert merged["seeds"] == {"a": 1, "b": 2}
    assert "seeds" not in merge([report("a"), report("b")])


def figure(cell: str) -> float | None:
    """Return the value of a cell that contains only a share; otherwise None."""
    found = re.fullmatch(r"([01]\.\d+)( ± \d\.\d+)?", cell)
    return float(found[1]) if found else None


def compared(table: Table, one: str, other: str) -> Iterator[tuple[str, float, float]]:
    """The shares of two runs in a table, whether runs are rows or columns: the name of each share and both values."""
    rows = table.rows if one in table.rows[0] else [list(column) for column in zip(*table.rows, strict=True)]
    header = rows[0]
    for row in rows[1:] if one in header and other in header else []:
        shares = [figure(row[header.index(name)]) for name in (one, other)]
        if None not in shares:
            yield row[0], *shares


def test_a_response_that_lists_every_value_has_the_best_score_in_no_table():
    values = [f"town {i}" for i in range(20)]
    columns: dict[str, Any] = {"references": [[value] for value in values], "relations": ["born in"] * 20}
    columns["fact_ids"] = [f"fact {i // 2}" for i in range(20)]
    responses = {"knows": values[:12] + ["elsewhere"] * 8, "lists": [", ".join(values)] * 20}
    runs = {name: run_scores({"questions": score(text, **columns)}) for name, text in responses.items()}
    assert runs["lists"]["contains"] == 1  # which would make it the best
    cost = {"train_loss": 2.0, "cost": COST}
    made = {**report(), "runs": {name: {**cost, **figures} for name, figures in runs.items()}}
    shares = {name: pair for table in tables(made) for name, *pair in compared(table, "knows", "lists")}
    assert {"correct", "F1", "right in all wordings", "wrong", "born in"} <= set(shares)
    assert {name for name, (knows, lists) in shares.items() if lists > knows} == {"wrong"}
    assert shares["correct"] == shares["born in"] == [0.6, 0]
    assert best_run(made) == "knows"
    (contains,) = [row[-2:] for row in by_title(made)["Details of the answers"].rows if row[0].startswith("contains")]
    assert contains == ["0.600 ± 0.110 (1.6)", "1.000 ± 0.000 (40.0)"]  # 12 x 2 words and 8 x 1; 20 x 2
    assert "1.000" not in to_text(made)


def test_contains_is_shown_only_with_the_length_of_the_responses():
    assert "0.700" not in to_markdown(report())
    assert "0.700 ± 0.200 (3.5)" in to_markdown(report(mean_answer_words=3.5))


def test_questions_are_escaped_in_markdown():
    made = full()
    markup = "![x](http://far/away.png) <img src=x> | [a](b) `c`\n# no"
    made["runs"]["formats"]["transitions"]["questions"]["examples"]["learned"][0]["question"] = markup
    row = next(line for line in to_markdown(made).splitlines() if "far/away" in line)
    assert row.startswith("| ![x\\](http://far/away.png) \\<img src=x> \\| [a\\](b) \\`c\\` # no | so / thus |")


# Charts


def test_the_curve_chart_has_a_panel_per_measure_and_a_point_per_figure():
    figure = curves(full())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["training loss", "correct"]
    lines = [axes.get_lines()[0] for axes in figure.axes]
    assert [list(line.get_xdata()) for line in lines] == [[1, 2], [2]]
    assert [list(line.get_ydata()) for line in lines] == [[2.5, 1.5], [0.5]]


@pytest.mark.parametrize("name", ["_hidden", "$x^$ of {cost}", "a run with a name much longer than any chart is wide"])
def test_a_run_name_breaks_no_chart(name: str):
    made = full()
    made["runs"] = {name: made["runs"]["formats"], "other": made["runs"]["formats"]}
    with style():
        for chart in (scores_by_run, curves):
            chart(made).savefig(BytesIO())


def test_bars_differ_in_grey():
    from matplotlib.colors import to_rgb

    def grey(colour: str) -> float:
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True))

    looks = [bar[-2:] for bar in BARS]
    for i, (colour, hatch) in enumerate(looks):
        for other, another in looks[i + 1 :]:
            assert hatch != another or abs(grey(colour) - grey(other)) > 0.2
