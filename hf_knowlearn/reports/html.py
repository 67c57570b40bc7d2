"""A report as one HTML file that needs no other file.

The page has no script, and its content security policy forbids scripts. The template escapes every value.
"""

from pathlib import Path

import yaml
from markupsafe import Markup

from hf_knowlearn.reports.charts import charts
from hf_knowlearn.reports.findings import examples, findings, legend
from hf_knowlearn.reports.formatting import known, percent
from hf_knowlearn.reports.schema import Report, best_run, by_knowledge_tokens
from hf_knowlearn.reports.tables import tables
from hf_knowlearn.reports.templates import environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST = 300  # characters of a response that the page shows


def to_html(report: Report) -> str:
    """The whole page."""
    template = environment(Path(__file__).parent).get_template("report.html.jinja")
    return template.render(
        policy=POLICY,
        report={"model": None, "open_book": {}, "contamination": None, **report},
        after=report["runs"][best_run(report)],
        by_tokens=by_knowledge_tokens(report),
        findings=findings(report),
        charts={title: Markup(svg) for title, svg in charts(report).items()},
        tables={table.title: table for table in tables(report)},
        legend=[line.partition(": ") for line in legend(report)],
        examples=examples(report),
        recipes={name: yaml.safe_dump(recipe, allow_unicode=True) for name, recipe in report["recipes"].items()},
        known=known,
        percent=percent,
        shorten=_shorten,
    )


def _shorten(text: str) -> str:
    text = text.strip() or "(nothing)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
