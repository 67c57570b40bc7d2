"""Cards of models: a run's report as the page that the Hub shows of what was taught, with what was measured.

Made from `report.json`, and the answers beside it, alone. The surprising decision: what a user's texts say is never in
a table or a heading, only in spans of code, where it can't become anything else.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup

from hf_knowlearn.hub.escaping import cell, code, fenced, in_line
from hf_knowlearn.hub.metadata import Published, Report, arm_of, known, metadata
from hf_knowlearn.hub.redaction import shown, taught_from
from hf_knowlearn.hub.templates import render, spread

TINY_BASE = "tiny_base"  # the model that comes with this package
COLUMNS = {"recall": "exact_match", "F1": "f1", "replayed": "replayed", "retention": "retention"}
WHAT = {
    "questions": "Recall and F1: {n} about what it was taught.",
    "replayed_questions": "Rehearsed: {n} about what was replayed in every batch.",
    "retention_questions": "Retention: {n} about what appears nowhere in the run, so can be forgotten.",
}


def model_card(
    report: Report, about: Published, answers: Sequence[Mapping[str, Any]] = (), chart: bool = False
) -> str:
    """The card of a taught model or adapter.

    Args:
        report: of one run, cleaned.
        answers: rows of `answers.after.jsonl`; none where there is no such file.
        chart: whether scores.png lies beside the card.

    Raises:
        ValueError: the report is of several arms or seeds.
    """
    name = arm_of(report)
    arm, recipe = report["runs"][name], report["recipes"][name]
    asked = [row for row in answers if row.get("role") == "questions"]
    return render(
        "model.md.jinja",
        metadata=Markup(metadata(report, about)),
        repo=about,
        what=_what(report, about),
        table=list(_table(report)),
        asked=[
            of.format(n=number_of(n, "questions")) for role, of in WHAT.items() if (n := report["counts"].get(role))
        ],
        by_tokens=bool(arm.get("knowledge_tokens")),
        has_chart=chart,
        mastery=_mastery(report["before"], arm),
        forgot=_forgot(report),
        right=spread([row for row in asked if row["exact_match"]]) or _learned(arm),
        wrong=spread([row for row in asked if not row["exact_match"]]),
        snippet=_snippet(report, about, asked),
        made=_made(report, about),
        data=sorted((report.get("data") or {}).items()),
        seed=(report.get("seeds") or {}).get(name, recipe.get("seed", "not recorded")),
        cost=_cost(arm),
        versions=list(report["versions"].items()),
        machine=report["machine"],
        created=report["created"],
        recipe=fenced(yaml.safe_dump(dict(recipe), sort_keys=True, allow_unicode=True), "yaml"),
        limits=_limits(report),
        license=about.license,
        base=about.base_model,
    )


def _what(report: Report, about: Published) -> Markup:
    recipe = report["recipes"][arm_of(report)]
    kind = "An adapter of" if about.is_adapter else "A model made from"
    base = about.base_model or report.get("model", {}).get("name") or recipe.get("model_name_or_path") or "?"
    counts = report["counts"]
    names = ["documents", *(name for name in counts if name.startswith("train_"))]
    taught = [number_of(counts[name], name.removeprefix("train_")) for name in names if counts.get(name)]
    named = [code(shown(source)) for source in taught_from(recipe)]
    merged = " Its adapter is merged into it." if about.merged else ""
    where = Markup(" ({})").format(Markup(", ").join(named)) if named else ""
    return Markup("{} {}, taught {}{} with hf_knowlearn, and asked what it knows before and after.{}").format(
        kind, code(base), " and ".join(taught) or "nothing", where, merged
    )


def _states(report: Report) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    yield "before", report["before"]
    if report.get("open_book"):
        yield "open book", report["open_book"]
    for stage in (report.get("stages") or [])[:-1]:
        yield Markup("after {}").format(cell(stage["name"])), stage
    yield "after", report["runs"][arm_of(report)]


def _table(report: Report) -> Iterator[list[Any]]:
    """A header and a row for each state of the model; nothing where nothing was measured."""
    arm = report["runs"][arm_of(report)]
    columns = {title: name for title, name in COLUMNS.items() if known(arm.get(name))}
    by_tokens = bool(arm.get("knowledge_tokens"))
    if columns or by_tokens:
        yield ["", *columns, *["knowledge tokens"] * by_tokens]
        for state, scores in _states(report):
            tokens = [share(scores.get("knowledge_tokens") or {}, "probability")] * by_tokens
            yield [state, *(share(scores, name) for name in columns.values()), *tokens]


def number_of(number: int, things: str) -> str:
    """How many of some things: "1 document", "1,500 questions"."""
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def share(scores: Mapping[str, Any], name: str) -> str:
    """A figure and its standard error, as far as they are known."""
    value, error = scores.get(name), scores.get(f"{name}_se")
    if not known(value):
        return ""
    return f"{value:.3f} ± {error:.3f}" if known(error) else f"{value:.3f}"


def _mastery(before: Mapping[str, Any], arm: Mapping[str, Any]) -> list[list[Any]]:
    was, now = ((scores.get("mastery") or {}).get("counts") or {} for scores in (before, arm))
    return [[cell(name), f"{was[name]:,}", f"{now[name]:,}"] for name in was if name in now]


def _forgot(report: Report) -> str:
    arm, before = report["runs"][arm_of(report)], report["before"]
    if not known(arm.get("retention")):
        return "What it forgot is not known: no question was asked about what appears nowhere in the run."
    then = f" Before, it answered {100 * before['retention']:.1f} %." if known(before.get("retention")) else ""
    asked = number_of(report["counts"]["retention_questions"], "questions")
    said = f"Of {asked} about what appears nowhere in the run it answers"
    said += f" {100 * arm['retention']:.1f} %.{then}"
    changed = (arm.get("transitions") or {}).get("retention_questions")
    if changed:
        said += f" {changed['retained']:,} that it answered right it still does, {changed['forgotten']:,} no longer."
    if known((drift := arm.get("drift") or {}).get("kl")):
        said += (
            f" Its next-token probabilities on general text moved by {drift['kl']:.3f} nats a token (KL divergence)."
        )
    return said


def _learned(arm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the answers are not at hand, those that the report has."""
    changed = ((arm.get("transitions") or {}).get("questions") or {}).get("examples") or {}
    return [{**row, "response": row["after"]} for row in changed.get("learned") or ()]


def _snippet(report: Report, about: Published, asked: Sequence[Mapping[str, Any]]) -> Markup:
    recipe = report["recipes"][arm_of(report)]
    question = next(
        (row["question"] for row in asked if row["exact_match"]), asked[0]["question"] if asked else "Who is who?"
    )
    chat = recipe.get("ask_template") in ("chat", "auto")
    base = about.base_model or "BASE"
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer"]
    repo = json.dumps(about.repo_id)
    if about.is_adapter:
        lines.insert(0, "from peft import PeftModel")
        is_tiny = (report.get("model") or {}).get("name") == TINY_BASE and not about.base_model
        revision = (report.get("model") or {}).get("revision")
        if is_tiny:
            lines.append("from hf_knowlearn.paths import TINY_BASE  # a tiny model that comes with hf_knowlearn")
        of_base = "TINY_BASE" if is_tiny else json.dumps(base)
        of_base += f", revision={json.dumps(revision)}" if revision and not is_tiny else ""
        lines += [
            "",
            f"base = AutoModelForCausalLM.from_pretrained({of_base})",
            f"model = PeftModel.from_pretrained(base, {repo})",
        ]
    else:
        lines += ["", f"model = AutoModelForCausalLM.from_pretrained({repo})"]
    lines += [f"tokenizer = AutoTokenizer.from_pretrained({repo})", "", f"question = {json.dumps(in_line(question))}"]
    if chat:
        lines += [
            'turn = [{"role": "user", "content": question}]',
            "inputs = tokenizer.apply_chat_template(",
            '    turn, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
            ")",
        ]
    else:
        lines.append('inputs = tokenizer(f"Question: {question}\\nAnswer:", return_tensors="pt")')
    lines += [
        "said = model.generate(**inputs, max_new_tokens=32, do_sample=False)",
        'answer = tokenizer.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)',
        'print(answer.strip().partition("\\n")[0])',
    ]
    return fenced("\n".join(lines), "python")


def _made(report: Report, about: Published) -> Markup:
    model = report.get("model") or {}
    revision = Markup(" at revision {}").format(code(model["revision"])) if model.get("revision") else Markup("")
    staged = [stage["name"] for stage in report.get("stages") or ()]
    stages = Markup(" In stages: {}.").format(Markup(", ").join(map(code, staged))) if staged else Markup("")
    name = about.base_model or model.get("name") or "not recorded"
    return Markup("It began as {}{}.{}").format(code(name), revision, stages)


def _cost(arm: Mapping[str, Any]) -> str:
    cost = {"train_seconds": arm.get("seconds"), **arm, **(arm.get("cost") or {})}
    parts = {
        "train_seconds": "{:,.0f} s of training",
        "steps": "{:,.0f} optimizer steps",
        "gradient_evaluations": "{:,.0f} gradient evaluations",
        "tokens": "{:,.0f} tokens",
    }
    said = [form.format(cost[name]) for name, form in parts.items() if known(cost.get(name))]
    if known(peak := cost.get("peak_memory_bytes")):
        said.append(f"{peak / 1e6:,.0f} MB of memory at most")
    device = f" on {in_line(cost['device'])}" if cost.get("device") else ""
    return ", ".join(said) + device if said else ""


def _limits(report: Report) -> list[str]:
    found = []
    recipe = report["recipes"][arm_of(report)]
    if bits := [bits for bits in (4, 8) if recipe.get(f"load_in_{bits}bit")]:
        found.append(f"It was taught and asked with its base in {bits[0]} bits: in more its answers may differ.")
    if (leaks := report.get("contamination") or {}).get("n"):
        found.append(f"{leaks['n']:,} of {leaks['rows']:,} training rows held a question that is asked above.")
    arm = report["runs"][arm_of(report)]
    if not known(arm.get("retention")):
        found.append("Nothing was asked about what it knew before, so what it lost is not known.")
    if len(report.get("seeds") or [0]) == 1:
        found.append("One seed: another run of the same recipe would have other figures.")
    return found
