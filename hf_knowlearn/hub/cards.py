"""Model cards: the report of a run as a page on the Hub.

A card is made only from `report.json` and the responses beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup

from hf_knowlearn.hub.escaping import cell, fenced
from hf_knowlearn.hub.metadata import Published, metadata, single_run
from hf_knowlearn.hub.recipe_options import base_model, quantised_bits, training_sources, uses_chat_template
from hf_knowlearn.hub.redaction import public_name
from hf_knowlearn.hub.templates import render, spread
from hf_knowlearn.reports.findings import cost_in_words, forgotten
from hf_knowlearn.reports.formatting import knowledge_share, known, number_of, share
from hf_knowlearn.reports.schema import CARD_COLUMNS, ROLES

TINY_BASE = "tiny_base"  # the model in this package
Report = Mapping[str, Any]
Row = Mapping[str, Any]


def model_card(report: Report, about: Published, answers: Sequence[Row] = (), chart: bool = False) -> str:
    """The card of a fine-tuned model or adapter.

    Args:
        report: of one run, redacted.
        answers: rows of `answers.after.jsonl`.
        chart: whether scores.png is beside the card.

    Raises:
        ValueError: the report has several runs or seeds.
    """
    name = single_run(report)
    after, recipe, model = report["runs"][name], report["recipes"][name], report.get("model") or {}
    about_documents = [row for row in answers if row.get("role") == "questions"]
    right = [row for row in about_documents if row["exact_match"]]
    return render(
        "model.md.jinja",
        metadata=Markup(metadata(report, about)),
        repo=about,
        base=about.base_model or model.get("name") or base_model(recipe) or "unknown",
        is_tiny_base=model.get("name") == TINY_BASE and not about.base_model,
        revision=model.get("revision"),
        trained_on=" and ".join(_trained_on(report["counts"])) or "nothing",
        sources=list(map(public_name, training_sources(recipe))),
        table=list(_table(report, name)),
        questions={role: number_of(n, "question") if (n := report["counts"].get(role)) else "" for role in ROLES},
        by_tokens=bool(after.get("knowledge_tokens")),
        has_chart=chart,
        mastery=_mastery(report["before"], after),
        forgotten=forgotten(report) if known(after.get("retention")) else "",
        transitions=(after.get("transitions") or {}).get("retention_questions"),
        drift=share(after.get("drift") or {}, "kl", ""),
        right=spread(right) or _learned(after),
        wrong=spread([row for row in about_documents if not row["exact_match"]]),
        question=next((row["question"] for row in [*right, *about_documents]), "Who is who?"),
        chat=uses_chat_template(recipe),
        stages=[stage["name"] for stage in report.get("stages") or ()],
        data=sorted((report.get("data") or {}).items()),
        seeds=list((report.get("seeds") or {}).values()),
        cost=cost_in_words(after.get("cost") or {}),
        device=(after.get("cost") or {}).get("device"),
        versions=report["versions"],
        machine=report["machine"],
        created=report["created"],
        recipe=fenced(yaml.safe_dump(dict(recipe), sort_keys=True, allow_unicode=True), "yaml"),
        bits=quantised_bits(recipe),
        contamination=report.get("contamination") or {"n": 0},
    )


def _trained_on(counts: Mapping[str, int]) -> Iterator[str]:
    for name in ("documents", *(name for name in counts if name.startswith("train_"))):
        if counts.get(name):
            yield number_of(counts[name], name.removeprefix("train_").removesuffix("s"))


def _states(report: Report, run: str) -> Iterator[tuple[Any, Row]]:
    yield "before", report["before"]
    if report.get("open_book"):
        yield "open book", report["open_book"]
    for stage in (report.get("stages") or [])[:-1]:
        yield Markup("after {}").format(cell(stage["name"])), stage
    yield "after", report["runs"][run]


def _table(report: Report, run: str) -> Iterator[list[Any]]:
    """A header and a row for each state of the model; nothing if nothing was evaluated."""
    after = report["runs"][run]
    columns = {name: title for name, title in CARD_COLUMNS.items() if known(after.get(name))}
    tokens = ["knowledge tokens"] if after.get("knowledge_tokens") else []
    if columns or tokens:
        yield ["", *columns.values(), *tokens]
        for state, scores in _states(report, run):
            yield [state, *(share(scores, name, "") for name in columns), *(knowledge_share(scores) for _ in tokens)]


def _mastery(before: Row, after: Row) -> list[tuple[str, int, int]]:
    was, now = ((scores.get("mastery") or {}).get("counts") or {} for scores in (before, after))
    return [(name, was[name], now[name]) for name in was if name in now]


def _learned(after: Row) -> list[dict[str, Any]]:
    """The learned examples of the report, for a run without answers."""
    transitions = (after.get("transitions") or {}).get("questions") or {}
    return [{**row, "response": row["after"]} for row in (transitions.get("examples") or {}).get("learned") or ()]
