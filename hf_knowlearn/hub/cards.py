"""Model cards: pages on the Hub that describe a run.

A card contains only data from `report.json` and from the file of responses in the same folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup

from hf_knowlearn.counts import number_of
from hf_knowlearn.hub.escaping import cell, fenced
from hf_knowlearn.hub.metadata import Published, metadata, single_run
from hf_knowlearn.hub.recipe_options import quantised_bits, training_sources
from hf_knowlearn.hub.redaction import public_name
from hf_knowlearn.hub.templates import render, spread
from hf_knowlearn.reports.findings import cost_in_words, forgotten, lost_abilities
from hf_knowlearn.reports.formatting import known, share
from hf_knowlearn.reports.schema import CARD_COLUMNS, states

TINY_BASE = "tiny_base"  # the name of the model in this package
# Values for keys that a report does not always have.
ABSENT = {"model": {}, "prompt": {}, "data": {}, "seeds": {}, "stages": [], "contamination": {"n": 0}}
Report = Mapping[str, Any]
Row = Mapping[str, Any]


def model_card(report: Report, about: Published, answers: Sequence[Row] = (), chart: bool = False) -> str:
    """Return the card of a fine-tuned model or adapter.

    Args:
        report: the redacted report of a single run.
        about: facts that the report does not contain.
        answers: the rows of `answers.after.jsonl`. Some of them become examples in the card.
        chart: whether the folder of the card contains `scores.png`.

    Raises:
        ValueError: the report has several runs or several seeds.
    """
    name = single_run(report)
    report = {**ABSENT, **report}
    after, recipe, model = report["runs"][name], report["recipes"][name], report["model"]
    about_documents = [row for row in answers if row.get("role") == "questions"]
    right = [row for row in about_documents if row["correct"]]
    return render(
        "model.md.jinja",
        metadata=Markup(metadata(report, about).to_yaml().strip()),
        repo=about,
        report=report,
        after=after,
        base=about.base_model or model.get("name") or "unknown",
        is_tiny_base=model.get("name") == TINY_BASE and not about.base_model,
        trained_on=" and ".join(_trained_on(report["counts"])) or "nothing",
        sources=list(map(public_name, training_sources(recipe))),
        table=list(_table(report, after)),
        has_chart=chart,
        forgotten=forgotten(report) if known(after.get("retention")) else "",
        lost=list(lost_abilities(report)),
        drift=share(after, "drift.kl", ""),
        right=spread(right),
        wrong=spread([row for row in about_documents if not row["correct"]]),
        question=next((row["question"] for row in [*right, *about_documents]), "Who is who?"),
        chat=report["prompt"].get("template") == "chat",
        instruction=report["prompt"].get("instruction"),
        cost=cost_in_words(after.get("cost") or {}),
        recipe=fenced(yaml.safe_dump(dict(recipe), sort_keys=True, allow_unicode=True), "yaml"),
        bits=quantised_bits(recipe),
        number_of=number_of,
    )


def _trained_on(counts: Mapping[str, int]) -> Iterator[str]:
    for name in ("documents", *(name for name in counts if name.startswith("train_"))):
        if counts.get(name):
            yield number_of(counts[name], name.removeprefix("train_").removesuffix("s"))


def _table(report: Report, after: Row) -> Iterator[list[Any]]:
    """Yield a header, then a row for each evaluated state of the model. Yield nothing if there is no such state."""
    columns = {name: title for name, title in CARD_COLUMNS.items() if known(after.get(name))}
    if after.get("knowledge_tokens"):
        columns["knowledge_tokens.probability"] = "knowledge tokens"
    if columns:
        yield ["", *columns.values()]
        for name, scores in states(report):
            # Why a cell: the name of a stage is text of the user. The card calls the last state `after`.
            state = cell(name) if name.startswith("after ") else name
            state = "after" if scores is after else state
            yield [state, *(share(scores, name, "") for name in columns)]
