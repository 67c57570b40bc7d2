"""A report as one HTML file that needs no other file.

The page has no script, and its content security policy forbids scripts. The template escapes every value.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup

from hf_knowlearn.reports.charts import charts
from hf_knowlearn.reports.findings import examples, findings, legend
from hf_knowlearn.reports.formatting import known, percent
from hf_knowlearn.reports.schema import Report, best_run, by_knowledge_tokens
from hf_knowlearn.reports.tables import Table, tables
from hf_knowlearn.reports.templates import environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST = 300  # characters of a response that the page shows
# The tables and charts of each section. A chart is shown above the table of the same title.
SECTIONS = {
    "What was learned": (
        "Scores by run",
        "Before and after",
        "Differences over seeds",
        "Stage by stage",
        "Loss and exact match over steps",
    ),
    "The answers": (
        "Learned, retained, forgotten",
        "Mastery",
        "Acquired, retained, lost by class",
        "Exact match by relation",
        "Details of the answers",
    ),
    "What else changed": ("Drift", "Editing", "Contamination"),
    "Cost": ("Cost",),
    "How to check it": ("Data", "Made with"),
}


class Tile(NamedTuple):
    """A headline figure at the top of the page; `value` is empty if it was not evaluated."""

    title: str
    value: str
    caption: str
    highlighted: bool = False


class Part(NamedTuple):
    """A chart, a table or both under one heading, with an optional sentence above them."""

    title: str
    sentence: str
    chart: Markup | None
    table: Table | None


def to_html(report: Report) -> str:
    """The whole page."""
    template = environment(Path(__file__).parent).get_template("report.html.jinja")
    return template.render(
        policy=POLICY,
        model=(report.get("model") or {}).get("name"),
        findings=findings(report),
        tiles=list(_tiles(report)),
        sections=dict(_sections(report)),
        legend=[line.partition(": ") for line in legend(report)],
        examples=examples(report),
        shorten=_shorten,
        recipes={name: yaml.safe_dump(recipe, allow_unicode=True) for name, recipe in report["recipes"].items()},
        created=report["created"],
    )


def _tiles(report: Report) -> Iterator[Tile]:
    before, after = report["before"], report["runs"][best_run(report)]
    if by_knowledge_tokens(report):
        for title, scores in (("Before", before), ("After", after)):
            tokens = scores.get("knowledge_tokens") or {}
            yield _tile(title, tokens, "probability", "probability of the words that carry the facts")
        return
    was = f"before: {percent(before['retention'])}" if known(before.get("retention")) else "outside the run"
    yield _tile("Before", before, "exact_match", "exact match")
    yield _tile("Open book", report.get("open_book") or {}, "exact_match", "exact match, document in the prompt")
    yield _tile("After", after, "exact_match", "exact match", highlighted=True)
    yield _tile("Retention after", after, "retention", was)


def _tile(title: str, scores: Mapping[str, Any], name: str, caption: str, highlighted: bool = False) -> Tile:
    value, error = scores.get(name), scores.get(f"{name}_se")
    points = f"± {100 * error:.1f}, " if known(error) else ""
    return Tile(title, percent(value) if known(value) else "", f"{points}{caption}", highlighted)


def _sections(report: Report) -> Iterator[tuple[str, list[Part]]]:
    """The sections that have content, with their parts."""
    svgs, rows = dict(charts(report)), {table.title: table for table in tables(report)}
    for section, titles in SECTIONS.items():
        parts = []
        for title in titles:
            sentence = _contamination(report) if title == "Contamination" else ""
            chart = Markup(svgs[title]) if title in svgs else None
            if sentence or chart or title in rows:
                parts.append(Part(title, sentence, chart, rows.get(title)))
        if parts:
            yield section, parts


def _contamination(report: Report) -> str:
    found = report.get("contamination")
    if not found:
        return ""
    rows = f"{found['n']:,} of {found['rows']:,}"
    return f"Training rows that contain an evaluation question or a paraphrase of it: {rows}."


def _shorten(text: str) -> str:
    text = text.strip() or "(nothing)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
