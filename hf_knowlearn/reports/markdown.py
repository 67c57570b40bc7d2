"""Renders a report as text for a terminal and as a Markdown page."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from hf_knowlearn.reports.charts import has_scores
from hf_knowlearn.reports.findings import examples, findings, legend
from hf_knowlearn.reports.schema import Report, best_run
from hf_knowlearn.reports.tables import columns, difference_rows, headline_rows, tables


def summary(report: Report, folder: Path) -> str:
    """Return the text that `knowlearn` prints after a run: the headline tables, the legend and the written files."""
    names = ["report.html", "report.md", *(["scores.png"] if has_scores(report) else []), "report.json"]
    files = ", ".join(str(folder / name) for name in names)
    legend_text = "\n".join(legend(report))
    return f"\n{to_text(report)}\n\n{legend_text}\n\nWritten to {files}"


def next_step(report: Report, folder: Path) -> str:
    """Return a `knowlearn ask` command that asks the trained model a question with the prompt of the evaluation.

    If the report has examples of questions, the question is one of them.
    """
    recipe = report["recipes"][best_run(report)]
    template = (recipe.get("evaluation") or {}).get("template", "auto")
    questions = [row["question"] for _, rows in examples(report) for row in rows] or ["Who ...?"]
    words = ["knowlearn", "ask", str(folder), questions[0]]
    return f"Next: {shlex.join(words + ([] if template == 'auto' else ['--template', template]))}"


def to_text(report: Report) -> str:
    """Return the headline tables as text in columns, for a terminal."""
    return "\n\n".join(columns(rows) for rows in (headline_rows(report), difference_rows(report)) if rows)


def to_markdown(report: Report) -> str:
    """Return the content of report.md: findings, tables, chart and recipes."""
    lines = ["# What was learned, and what it cost", "", *(f"{_cell(finding)}\n" for finding in findings(report))]
    first, *others = tables(report)
    lines += [*markdown_table(first.rows), *(f"- {line}" for line in legend(report)), ""]
    lines += ["![Scores by run](scores.png)", ""] if has_scores(report) else []
    for table in others:
        lines += [f"## {table.title}", "", *markdown_table(table.rows), *([table.note, ""] if table.note else [])]
        if table.title == "Learned, retained, forgotten":
            lines += _examples(report)
    for name, recipe in report["recipes"].items():
        lines += [f"## Recipe of `{name}`", "", "```yaml", yaml.safe_dump(recipe, allow_unicode=True) + "```", ""]
    return "\n".join(lines)


def _examples(report: Report) -> list[str]:
    lines = []
    for title, rows in examples(report):
        cells = [[row["question"], " / ".join(row["answers"]), row["before"], row["after"]] for row in rows]
        lines += [f"### {_cell(title)}", "", *markdown_table([["question", "accepted", "before", "after"], *cells])]
    return lines


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, and an empty line. The first row is the header. Cells are escaped."""
    header, *body = rows
    return [_line(header), _line(["---"] * len(header)), *map(_line, body), ""]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    """Return the text on one line. Special characters of Markdown are escaped, so they are shown unchanged."""
    one_line = re.sub(r"[^\S\u00a0]+", " ", text).strip(" ")
    return re.sub(r"[\\|`*<&]|\](?=[(\[])", r"\\\g<0>", one_line)
