"""Renders a report as one HTML file that loads no other files.

The page contains no scripts, and its content security policy forbids scripts. The template escapes every value.
"""

from pathlib import Path

import yaml
from markupsafe import Markup

from hf_knowlearn.reports.charts import charts
from hf_knowlearn.reports.figures import Figure, knowledge_of, share_of
from hf_knowlearn.reports.findings import examples, findings, legend
from hf_knowlearn.reports.schema import ROLES, Report, best_run, by_knowledge_tokens, in_words, retrieved
from hf_knowlearn.reports.tables import tables
from hf_knowlearn.reports.templates import environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST = 300  # maximum number of characters of a response that the page shows


def to_html(report: Report) -> str:
    """Return the HTML page of a report."""
    template = environment(Path(__file__).parent).get_template("report.html.jinja")
    return template.render(
        policy=POLICY,
        report={"model": None, **report},
        tiles=_tiles(report),
        contamination=report.get("contamination") if _has_questions(report) else None,
        findings=findings(report),
        charts={title: Markup(svg) for title, svg in charts(report).items()},
        tables={table.title: table for table in tables(report)},
        legend=[line.partition(": ") for line in legend(report)],
        examples=examples(report),
        recipes={name: yaml.safe_dump(recipe, allow_unicode=True) for name, recipe in report["recipes"].items()},
        shorten=_shorten,
    )


def _tiles(report: Report) -> list[tuple[str, Figure | None, str]]:
    """Return the title, the text and the caption of each headline figure at the top of the page."""
    before, after = report["before"], report["runs"][best_run(report)]
    if by_knowledge_tokens(report):
        caption = "mean probability of the words that carry the facts"
        return [("Before", knowledge_of(before), caption), ("After", knowledge_of(after), caption)]
    retained, chat = share_of(before, "retention"), share_of(before, "chat.fulfilled")
    guess = share_of(report.get("guessing") or {}, "correct")
    book = share_of(report.get("open_book") or {}, "correct")
    return [
        ("Before", share_of(before, "correct"), "correct"),
        *([("Guessing", guess, "correct, most common answer")] if guess else []),
        ("Open book", book, "correct, document in the prompt"),
        *(
            (f"Retrieval, {in_words(top)}", share_of(figures, "correct"), "correct, passages in the prompt")
            for top, figures in retrieved(report).items()
        ),
        ("After", share_of(after, "correct"), "correct"),
        (
            "Retention after",
            share_of(after, "retention"),
            f"before: {retained.short}" if retained else "outside the training data",
        ),
        *([("Chat after", share_of(after, "chat.fulfilled"), f"before: {chat.short}")] if chat else []),
    ]


def _has_questions(report: Report) -> bool:
    return any(report["counts"].get(role) for role in ROLES)


def _shorten(text: str) -> str:
    text = text.strip() or "(nothing)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
