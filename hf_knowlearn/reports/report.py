"""The report of a run or of several arms: one plain dictionary, from which tables, page and charts are made.

Recall stands beside what it cost (steps, gradient evaluations, time) and what it took away: *rehearsed* knowledge was
replayed in every batch; *retention* is asked about what appears nowhere in the run, and is the honest figure. The
surprising decision: what was learned is said in words first, computed from the figures, and a difference within twice
its standard error is called nothing.
"""

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from math import hypot
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn import __version__
from hf_knowlearn.reports.tables import (
    KNOWLEDGE_TOKENS_NOTE,
    by_knowledge_tokens,
    columns,
    cost_of,
    difference_rows,
    duration,
    headline_rows,
    knowledge_share,
    known,
    size,
)
from hf_knowlearn.reports.tables import ROLES as ROLES
from hf_knowlearn.reports.tables import tables as all_tables

Report = dict[str, Any]

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "evaluate")


def run_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The scores of a report's arm from the metric's, by role: all of them for the new documents' questions, exact
    match and its standard error for the others."""
    flat = _renamed(scores.get("questions", {}))
    flat.pop("n", None)  # the report counts what was asked
    if "by_relation" in flat:
        flat["by_relation"] = {relation: _renamed(of_it) for relation, of_it in flat["by_relation"].items()}
    for role in ("replayed_questions", "retention_questions"):
        if role in scores:
            flat[ROLES[role]] = scores[role]["exact_match"]
            flat[f"{ROLES[role]}_se"] = scores[role]["exact_match_se"]
    return flat


def _renamed(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The report's recall is exact match, the headline; the metric's (an answer anywhere) is `contains`."""
    names = {"recall": "contains", "recall_se": "contains_se"}
    return {names.get(name, name): value for name, value in figures.items()}


def new_report(
    before: Mapping[str, Any],
    arms: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Any],
    counts: Mapping[str, int],
) -> Report:
    """The report of one run: its scores `before`, its arm (one), its recipe, and how much was taught and asked."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "before": dict(before),
        "runs": {name: dict(arm) for name, arm in arms.items()},
        "recipes": {name: dict(recipe) for name in arms},
        "counts": dict(counts),
        **made_with(),
    }


def made_with() -> dict[str, Any]:
    """The versions and the machine that figures are made with."""
    return {
        "versions": {"hf_knowlearn": __version__, **{name: version(name) for name in PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def merge(reports: Sequence[Report]) -> Report:
    """One report of all the arms; what is not of an arm is the first report's."""
    of_arms = [key for key in ("runs", "recipes", "seeds") if any(key in report for report in reports)]
    merged = {key: {n: of for report in reports for n, of in report.get(key, {}).items()} for key in of_arms}
    stages = [stage for report in reports for stage in report.get("stages", ())]
    return {**reports[0], **merged, **({"stages": stages} if stages else {})}


def legend(report: Report) -> str:
    """What the columns of the table mean, for someone who sees it for the first time."""
    counts = report["counts"]
    over = "seeds" if "by_seed" in report else "questions"
    asked = {
        "questions": f"recall: {{n}} questions{_about(counts)}.",
        "replayed_questions": f"rehearsed: {{n}} questions about documents that were replayed{_by_whom(report)}.",
        "retention_questions": "retention: {n} questions about what appears nowhere in the run, so can be forgotten.",
    }
    lines = [text.format(n=counts[role]) for role, text in asked.items() if counts[role]]
    if lines:
        how = "share of questions answered word for word (exact match of the answer's first line)"
        lines.insert(0, f"recall, rehearsed, retention: {how}, ± standard error over {over}.")
    if by_knowledge_tokens(report):
        lines.append(KNOWLEDGE_TOKENS_NOTE)
    if report.get("open_book"):
        lines.append("open book: the model before, asked with the document in front of the question; not a limit.")
    if report.get("retention_source"):
        lines.append(report["retention_source"])
    lines.append("loss: training loss over the last logged steps. gradient evals: passes over a batch; SAM takes two.")
    return "\n".join(lines)


def _by_whom(report: Report) -> str:
    """Which arms replayed what is rehearsed: one that replays its own text alone, or nothing, did not."""
    recipes = report.get("recipes", {})
    without = [name for name, recipe in recipes.items() if not _replays(recipe)]
    if not without:
        return " in every batch"
    return f" (by all arms but {', '.join(without)})" if len(without) < len(recipes) else " (by no arm)"


def _replays(recipe: Mapping[str, Any]) -> bool:
    stages = recipe.get("stages") or [{}]
    of_stages = [{**recipe, **stage} for stage in stages]
    return any(stage.get("replay_documents") or stage.get("replay_questions") for stage in of_stages)


def _about(counts: Mapping[str, int]) -> str:
    return f" about the {counts['documents']} taught documents" if counts["documents"] else ""


# In words


def findings(report: Report) -> list[str]:
    """What was learned, what was forgotten and what it cost, in words computed from the figures of the best arm."""
    return [_learned(report), _forgotten(report), _spent(report), *_whose(report)]


def best_run(report: Report) -> str:
    """The arm with the highest recall; the first of equals, and the first of all where nothing was asked."""
    arms: Mapping[str, Mapping[str, Any]] = report["runs"]
    recalls = {name: arm["exact_match"] for name, arm in arms.items() if known(arm.get("exact_match"))}
    return max(recalls, key=recalls.__getitem__) if recalls else next(iter(arms))


def percent(value: float) -> str:
    """A share in per cent, with a space that does not break."""
    return f"{100 * value:.1f}\u00a0%"


def _change(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> int | None:
    """Which way a figure went: up 1, down -1, 0 within two standard errors of the difference; None if not known."""
    if not (known(before.get(name)) and known(after.get(name))):
        return None
    errors: list[Any] = [scores.get(f"{name}_se") for scores in (before, after)]
    if not all(map(known, errors)):
        return None
    apart = after[name] - before[name]
    return 0 if abs(apart) <= 2 * hypot(*errors) else 1 if apart > 0 else -1


def _learned(report: Report) -> str:
    counts, before, arm = report["counts"], report["before"], report["runs"][best_run(report)]
    documents = number_of(counts["documents"], "document")
    other = "question" if counts.get("train_questions") else "conversation"
    taught = documents if counts["documents"] else number_of(counts.get(f"train_{other}s", 0), other)
    if by_knowledge_tokens(report):
        return f"The model was taught {taught} and asked nothing. {_more_probable(before, arm)}"
    if not known(arm.get("exact_match")):
        return f"The model was taught {taught} and asked nothing: what it learned is not known."
    now = f"{percent(arm['exact_match'])} of {number_of(counts['questions'], 'question')}"
    now += f" about the {documents} it was taught" if counts["documents"] else f", after it was taught {taught}"
    seeds = f" (mean of {len(report['by_seed'])} seeds)" if "by_seed" in report else ""
    change = _change(before, arm, "exact_match")
    said = {
        1: f"The model learned: it answers {now}{seeds}.",
        0: f"The model learned nothing that could be measured: it answers {now}{seeds}.",
        -1: f"The model learned nothing, and knows less than before: it answers {now}{seeds}.",
        None: f"Whether the model learned can't be told: it answers {now}{seeds}.",
    }[change]
    if known(before.get("exact_match")):
        chance = ", no further away than chance explains" if change == 0 else ""
        said += f" Before, it answered {percent(before['exact_match'])}{chance}."
    book = report.get("open_book") or {}
    if known(book.get("exact_match")):
        said += f" With the document in front of it, the untaught model answers {percent(book['exact_match'])}."
    return said


def _more_probable(before: Mapping[str, Any], arm: Mapping[str, Any]) -> str:
    was, now = (scores.get("knowledge_tokens") or {} for scores in (before, arm))
    opening = {
        1: "The words that hold the facts have become more probable",
        0: "The words that hold the facts are as probable as before, as far as can be told",
        -1: "The words that hold the facts have become less probable",
        None: "How probable it finds the words that hold the facts",
    }[_change(was, now, "probability")]
    return f"{opening}: {knowledge_share(before)} before, {knowledge_share(arm)} after."


def _whose(report: Report) -> Iterator[str]:
    """Of several arms: which one is spoken of, and which are as good as it, as far as can be told."""
    arms, best = report["runs"], best_run(report)
    equals = [name for name in arms if name != best and _change(arms[name], arms[best], "exact_match") == 0]
    if len(arms) > 1:
        equal = f"; no further from it than chance explains: {', '.join(equals)}" if equals else ""
        yield f"These are the figures of {best}, the highest recall of {len(arms)} arms{equal}."


def _forgotten(report: Report) -> str:
    arm, before = report["runs"][best_run(report)], report["before"]
    if not known(arm.get("retention")):
        return f"What it forgot is not known. {report.get('retention_source') or 'No retention questions were asked.'}"
    asked = number_of(report["counts"]["retention_questions"], "question")
    opening = {
        1: "It forgot nothing that was asked for",
        0: "It forgot nothing that could be measured",
        -1: "It forgot",
        None: "Whether it forgot can't be told",
    }[_change(before, arm, "retention")]
    then = f", before {percent(before['retention'])}" if known(before.get("retention")) else ""
    now = f"of {asked} about what appears nowhere in the run it answers {percent(arm['retention'])}"
    return f"{opening}: {now}{then}."


def _spent(report: Report) -> str:
    cost = cost_of(report["runs"][best_run(report)])
    told: dict[str, Callable[[float], str]] = {
        "train_seconds": lambda seconds: f"{duration(seconds)} of training",
        "steps": lambda number: number_of(number, "step"),
        "gradient_evaluations": lambda number: number_of(number, "gradient evaluation"),
        "tokens": lambda number: number_of(number, "token"),
        "peak_memory_bytes": lambda count: f"{size(count)} of memory at most",
    }
    parts = [tell(cost[name]) for name, tell in told.items() if known(cost.get(name))]
    device = f" on {cost['device']}" if cost.get("device") else ""
    return f"It took {', '.join(parts)}{device}." if parts else "What it cost was not measured."


def number_of(number: float, thing: str) -> str:
    """How many of a thing: "1 step", "1,500 steps"."""
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"


# In columns and in Markdown


def summary(report: Report, folder: Path) -> str:
    """The tables, what their columns mean, and where the files of the report are; for a terminal."""
    files = ", ".join(str(folder / name) for name in ("report.html", "report.md", "scores.png", "report.json"))
    return f"\n{to_text(report)}\n\n{legend(report)}\n\nWritten to {files}"


def to_text(report: Report) -> str:
    """The tables in columns, for a terminal."""
    return "\n\n".join(columns(rows) for rows in (headline_rows(report), difference_rows(report)) if rows)


def to_markdown(report: Report) -> str:
    """The report as a page: findings, tables, legend, charts, recipes, versions."""
    lines = ["# What was learned, and what it cost", "", *(f"{_cell(said)}\n" for said in findings(report))]
    first, *others = all_tables(report)
    lines += [*markdown_table(first.rows), *(f"- {line}" for line in legend(report).splitlines()), ""]
    lines += ["![Recall by arm](scores.png)", ""]
    for table in others:
        lines += [f"## {table.title}", "", *markdown_table(table.rows), *([table.note, ""] if table.note else [])]
        if table.title == "Learned, kept, forgotten":
            lines += _examples(report)
    for name, recipe in report["recipes"].items():
        lines += [f"## Recipe of `{name}`", "", "```yaml", yaml.safe_dump(recipe, allow_unicode=True) + "```", ""]
    return "\n".join(lines)


def examples(report: Report) -> list[tuple[str, list[dict[str, Any]]]]:
    """Answers won and lost, of the arm that the findings speak of: a title and examples for each role and kind."""
    name = best_run(report)
    what = {
        "questions": "about what was taught",
        "replayed_questions": "about what was replayed",
        "retention_questions": "about what was not taught",
    }
    whose = f" ({name})" if len(report["runs"]) > 1 else ""
    return [
        (f"{kind.capitalize()}, {what[role]}{whose}", rows)
        for role, counts in (report["runs"][name].get("transitions") or {}).items()
        for kind, rows in (counts.get("examples") or {}).items()
        if rows
    ]


def _examples(report: Report) -> list[str]:
    lines = []
    for title, rows in examples(report):
        cells = [[row["question"], " / ".join(row["answers"]), row["before"], row["after"]] for row in rows]
        lines += [f"### {_cell(title)}", "", *markdown_table([["question", "accepted", "before", "after"], *cells])]
    return lines


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, of a header and rows, and an empty one behind it."""
    header, *body = rows
    return [_line(header), _line(["---"] * len(header)), *map(_line, body), ""]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    """Any text on one line of Markdown, as text: no markup, no link, no picture, no other cell."""
    one_line = re.sub(r"[^\S\u00a0]+", " ", text).strip(" ")
    return re.sub(r"[\\|`*<&]|\](?=[(\[])", r"\\\g<0>", one_line)
