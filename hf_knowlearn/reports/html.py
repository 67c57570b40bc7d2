"""The page: a report as one HTML file that needs nothing beside it, for someone who has never seen one.

It says in words what was learned, what was forgotten and what it cost, then shows it. The surprising decisions: there
is no script in it, and its own security policy forbids any; and text is escaped where an element is made, by type, so
that no question, document or name can be forgotten.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import yaml

from hf_knowlearn.reports.charts import charts
from hf_knowlearn.reports.report import Report, best_run, examples, findings, legend, number_of, percent
from hf_knowlearn.reports.tables import Table, by_knowledge_tokens, known, tables

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# What stands together: a chart is shown above the table of its name.
SECTIONS = {
    "What was learned": (
        "Recall by arm",
        "Before and after",
        "Differences over seeds",
        "Stage by stage",
        "Loss beside recall over steps",
    ),
    "The answers": (
        "Learned, kept, forgotten",
        "Mastery",
        "Acquired, kept, lost by class",
        "Recall by relation",
        "The answers more closely",
    ),
    "What else changed": ("Drift", "Editing", "Questions that leak"),
    "What it cost": ("Cost",),
    "How to check it": ("Data", "Made with"),
}


class Html(str):
    """Text that is HTML already."""


def element(name: str, *children: str, **attributes: str) -> Html:
    """An element of HTML. A child that isn't `Html` is text, and escaped; `class_` is the attribute `class`."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    inside = "".join(child if isinstance(child, Html) else escape(child) for child in children)
    return Html(f"<{name}{given}>{inside}</{name}>")


def to_html(report: Report) -> str:
    """The whole page."""
    head = element(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", "What was learned, and what it cost"),
        element("style", Html(STYLE)),
    )
    body = element("body", element("main", _top(report), *_sections(report), _recipes(report), _foot(report)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _top(report: Report) -> Html:
    learned, *others = findings(report)
    model = (report.get("model") or {}).get("name")
    return element(
        "header",
        element("p", f"knowlearn{f' · {model}' if model else ''}", class_="kicker"),
        element("h1", "What was learned, and what it cost"),
        element("p", learned, class_="lead"),
        *(element("p", said) for said in others),
        _tiles(report),
    )


def _tiles(report: Report) -> Html:
    """Before, open book and after side by side, and the honest figure of what was lost."""
    before, arm = report["before"], report["runs"][best_run(report)]
    if by_knowledge_tokens(report):
        tokens = {
            title: scores.get("knowledge_tokens") or {} for title, scores in (("Before", before), ("After", arm))
        }
        caption = "of the words that hold the facts"
        tiles = [_tile(title, figures, "probability", caption) for title, figures in tokens.items()]
        return element("dl", *tiles, class_="tiles")
    was = f"before: {percent(before['retention'])}" if known(before.get("retention")) else "of what was not taught"
    tiles = [
        _tile("Before", before, "exact_match", "of the questions"),
        _tile("Open book", report.get("open_book") or {}, "exact_match", "document in front of it"),
        _tile("After", arm, "exact_match", "of the questions", class_="tile after"),
        _tile("Retention after", arm, "retention", was),
    ]
    return element("dl", *tiles, class_="tiles")


def _tile(title: str, scores: Mapping[str, Any], name: str, caption: str, class_: str = "tile") -> Html:
    value, error = scores.get(name), scores.get(f"{name}_se")
    if not known(value):
        return element("div", element("dt", title), element("dd", "not asked", class_="none"), class_=class_)
    points = f"± {100 * error:.1f}, " if known(error) else ""
    return element(
        "div", element("dt", title), element("dd", percent(value)), element("dd", f"{points}{caption}"), class_=class_
    )


def _sections(report: Report) -> Iterator[Html]:
    drawn, written = dict(charts(report)), {table.title: table for table in tables(report)}
    for title, names in SECTIONS.items():
        inside = [part for name in names for part in _parts(report, name, drawn.get(name), written.get(name))]
        inside = inside[1:] if len(names) == 1 else inside  # one heading is enough
        if inside:
            yield element("section", element("h2", title), *inside)


def _parts(report: Report, name: str, chart: str | None, table: Table | None) -> Iterator[Html]:
    leaks = report.get("contamination")
    if name == "Questions that leak" and leaks:
        yield element("h3", name)
        found = f"{number_of(leaks['n'], 'passage')} in {number_of(leaks['rows'], 'training row')}"
        yield element("p", f"{found} hold a question that is asked, or ask the same in other words.")
    elif chart or table:
        yield element("h3", name)
    if chart:
        yield element("figure", Html(chart), role="img", aria_label=name)
    if table:
        yield _table(table)
    if name == "Before and after":
        yield element("dl", *_explained(report), class_="legend")
    if name == "Learned, kept, forgotten":
        yield from _won_and_lost(report)


def _explained(report: Report) -> Iterator[Html]:
    for line in legend(report).splitlines():
        term, colon, said = line.partition(": ")
        yield element("div", *([element("dt", term), element("dd", said)] if colon else [element("dd", line)]))


def _table(table: Table) -> Html:
    header, *rows = table.rows
    head = element("thead", element("tr", *(element("th", cell, scope="col") for cell in header)))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    ]
    kind = "figures" if table.figures else "words"
    shown = element("table", *([head] if any(header) else []), element("tbody", *body), class_=kind)
    note = [element("p", table.note, class_="note")] if table.note else []
    return Html("".join([element("div", shown, class_="wide", tabindex="0"), *note]))


def _won_and_lost(report: Report) -> Iterator[Html]:
    for title, rows in examples(report):
        cards = [
            element(
                "li",
                element("p", row["question"], class_="question"),
                element(
                    "dl",
                    *_said("accepted", " / ".join(row["answers"])),
                    *_said("before", row["before"]),
                    *_said("after", row["after"]),
                ),
            )
            for row in rows
        ]
        yield element("h4", title)
        yield element("ul", *cards, class_="cards")


def _said(when: str, text: str) -> tuple[Html, Html]:
    shown = text.strip() or "(nothing)"
    return element("dt", when), element("dd", shown if len(shown) <= 300 else f"{shown[:299]}…")


def _recipes(report: Report) -> Html:
    blocks = [
        element(
            "details",
            element("summary", f"Recipe of {name}"),
            element("pre", yaml.safe_dump(recipe, allow_unicode=True)),
        )
        for name, recipe in report["recipes"].items()
    ]
    return Html("".join(blocks))


def _foot(report: Report) -> Html:
    return element("footer", f"Every figure of this page is in report.json. Made {report['created']} by hf_knowlearn.")


STYLE = """
:root { --paper: #fcfbf8; --ink: #1b1f23; --soft: #5c656e; --rule: #e2dfd7; --card: #f4f2ec; --shade: #d8d4ca;
  --blue: #005a8f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e7e5df; --soft: #a0a8b0; --rule: #31363b; --card: #1d2125; --shade: #000;
    --blue: #6cb8ea; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 3.5rem 1.25rem 4rem; }
h1, h2, .lead { font-family: Charter, "Iowan Old Style", Palatino, Georgia, "DejaVu Serif", serif; font-weight: 600; }
h1 { font-size: clamp(1.7rem, 5vw, 2.4rem); line-height: 1.15; margin: 0 0 1.25rem; letter-spacing: -0.01em; }
h2 { font-size: 1.5rem; margin: 0 0 1rem; }
h3 { font-size: 1rem; margin: 2rem 0 0.75rem; }
h4 { font-size: 0.9rem; margin: 1.75rem 0 0.5rem; color: var(--soft); font-weight: 600; }
p { margin: 0 0 0.75rem; max-width: 42rem; }
p { overflow-wrap: anywhere; }
.kicker { color: var(--soft); font-size: 0.85rem; letter-spacing: 0.04em; margin-bottom: 0.5rem; }
.lead { font-size: clamp(1.1rem, 3vw, 1.3rem); font-weight: 400; line-height: 1.5; }
.note { color: var(--soft); font-size: 0.85rem; margin-top: 0.5rem; }
section { border-top: 1px solid var(--rule); margin-top: 3rem; padding-top: 2rem; }
dl, dd, ul, figure { margin: 0; padding: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.75rem; margin-top: 2rem; }
.tile { background: var(--card); border-radius: 0.5rem; padding: 0.9rem 1rem; border-top: 3px solid var(--rule); }
.tile.after { border-top-color: var(--blue); }
.tile dt, .tile dd + dd { color: var(--soft); font-size: 0.82rem; }
.tile dd { font-size: 1.65rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.tile dd + dd { line-height: 1.4; }
.tile .none { color: var(--soft); font-size: 1.1rem; line-height: 2; }
/* Scrolls where it is wider than the screen; a shadow at an edge says that there is more. */
.wide { overflow-x: auto; background:
  linear-gradient(90deg, var(--paper) 2rem, transparent) 0 0 / 4rem 100% no-repeat local,
  linear-gradient(270deg, var(--paper) 2rem, transparent) 100% 0 / 4rem 100% no-repeat local,
  linear-gradient(90deg, var(--shade), transparent) 0 0 / 0.9rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--shade), transparent) 100% 0 / 0.9rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
.figures { width: 100%; }
th, td { padding: 0.42rem 0.9rem 0.42rem 0; text-align: left; vertical-align: top; font-weight: 400; }
.figures td { white-space: nowrap; }
.figures thead th { max-width: 10rem; overflow-wrap: break-word; vertical-align: bottom; }
.figures th:first-child { min-width: 7rem; overflow-wrap: anywhere; }
.figures :is(th, td):not(:first-child) { text-align: right; padding: 0.42rem 0 0.42rem 0.9rem; }
thead th { color: var(--soft); font-size: 0.8rem; border-bottom: 1px solid var(--ink); }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
.words td { overflow-wrap: anywhere; }
.words th { white-space: nowrap; }
.legend { color: var(--soft); font-size: 0.85rem; margin-top: 1rem; }
.legend div { margin-bottom: 0.2rem; }
.legend dt { display: inline; color: var(--ink); }
.legend dt::after { content: ": "; }
.legend dd { display: inline; }
figure svg { display: block; width: 100%; max-width: 36rem; height: auto; }
figure svg text { font-family: inherit !important; }
.cards { list-style: none; display: grid; gap: 0.75rem; }
.cards { grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); }
.cards li { background: var(--card); border-radius: 0.5rem; padding: 0.8rem 1rem; min-width: 0; }
.cards dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 0.8rem; font-size: 0.88rem; }
.cards dt { color: var(--soft); }
.cards dd, h4 { overflow-wrap: anywhere; }
.question { font-weight: 600; margin-bottom: 0.4rem; }
details { margin-top: 0.75rem; }
section + details { border-top: 1px solid var(--rule); margin-top: 3rem; padding-top: 1.5rem; }
summary { cursor: pointer; color: var(--blue); overflow-wrap: anywhere; }
pre { overflow-x: auto; background: var(--card); border-radius: 0.5rem; padding: 1rem; }
pre { font-size: 0.8rem; line-height: 1.45; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.82rem; }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #ccc; --card: #fff; --shade: #fff; --blue: #000; }
  main { max-width: none; padding: 0; }
  section { break-inside: auto; }
  figure, tr, li, .tile { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  .tile, .cards li { border: 1px solid var(--rule); }
}
"""
