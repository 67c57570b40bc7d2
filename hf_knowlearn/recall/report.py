"""The report of a run or of several arms: one plain dictionary, from which the table, the page and the chart are made.

Recall stands beside what it cost (steps, gradient evaluations, time) and what it took away: *rehearsed* knowledge was
replayed in every batch; *retention* is asked about what appears nowhere in the run, and is the honest figure.
"""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn import __version__

Report = dict[str, Any]

# What is asked, and what the report calls its exact match.
ROLES = {"questions": "exact_match", "rehearsed_questions": "rehearsed", "retention_questions": "retention"}
# Okabe and Ito's palette, told apart by the colour-blind; the hatches tell the bars apart in grey.
BARS = (
    ("exact_match", "recall: the new documents", "#0072B2", ""),
    ("rehearsed", "rehearsed: replayed in every batch", "#E69F00", "//"),
    ("retention", "retention: nowhere in the run", "#999999", ".."),
)
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "evaluate")


def arm_scores(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The scores of a report's arm from the metric's, by role: all of them for the new documents' questions, exact
    match and its standard error for the others."""
    flat: dict[str, float] = dict(scores.get("questions", {}))
    # The report's recall is the headline, exact match; the metric's (an answer anywhere in the words) is `contains`.
    for name in ("n", "recall", "recall_se"):
        flat.pop(name, None)
    for role in ("rehearsed_questions", "retention_questions"):
        if role in scores:
            flat[ROLES[role]] = scores[role]["exact_match"]
            flat[f"{ROLES[role]}_se"] = scores[role]["exact_match_se"]
    return flat


def new_report(
    before: Mapping[str, float],
    arms: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Any],
    counts: Mapping[str, int],
) -> Report:
    """The report of one run: its scores `before`, its arm (one), its recipe, and how much was taught and asked."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "before": dict(before),
        "arms": {name: dict(arm) for name, arm in arms.items()},
        "recipes": {name: dict(recipe) for name in arms},
        "counts": dict(counts),
        "versions": {"hf_knowlearn": __version__, **{name: version(name) for name in PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def merge(reports: Sequence[Report]) -> Report:
    """One report of all the arms; what is not of an arm is the first report's."""
    return {
        **reports[0],
        "arms": {name: arm for report in reports for name, arm in report["arms"].items()},
        "recipes": {name: recipe for report in reports for name, recipe in report["recipes"].items()},
    }


def table(report: Report) -> list[list[str]]:
    """The report's table: a header, a row for the model before, and one for each arm."""
    header = ["", "recall", "rehearsed", "retention", "loss", "steps", "gradient evals", "time"]
    rows = [["before", *_shares(report["before"]), "", "", "", ""]]
    for name, arm in report["arms"].items():
        loss = "" if arm["train_loss"] is None else f"{arm['train_loss']:.3f}"
        cost = [f"{arm['steps']:.0f}", f"{arm['gradient_evaluations']:.0f}", f"{arm['seconds']:.0f} s"]
        rows.append([name, *_shares(arm), loss, *cost])
    return [header, *rows]


def _shares(scores: Mapping[str, Any]) -> list[str]:
    return [f"{scores[name]:.3f} ± {scores[f'{name}_se']:.3f}" if name in scores else "not asked" for name, *_ in BARS]


def legend(report: Report) -> str:
    """What the columns of the table mean, for someone who sees it for the first time."""
    counts = report["counts"]
    over = "seeds" if "by_seed" in report else "questions"
    asked = {
        "questions": f"recall: {{n}} questions about the {counts['documents']} taught documents.",
        "rehearsed_questions": "rehearsed: {n} questions about documents that were replayed in every batch.",
        "retention_questions": "retention: {n} questions about what appears nowhere in the run, so can be forgotten.",
    }
    lines = [text.format(n=counts[role]) for role, text in asked.items() if counts[role]]
    if lines:
        how = "share of questions answered word for word (exact match of the answer's first line)"
        lines.insert(0, f"recall, rehearsed, retention: {how}, ± standard error over {over}.")
    lines.append("loss: training loss over the last logged steps. gradient evals: passes over a batch; SAM takes two.")
    return "\n".join(lines)


def differences(report: Report) -> list[list[str]]:
    """A study's second table: what each arm has over the first one, by the mean of paired differences over seeds."""
    if "differences" not in report:
        return []
    shown = "{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    rows = [
        [arms, *(shown.format(**by[name]) if name in by else "not asked" for name, *_ in BARS)]
        for arms, by in report["differences"].items()
    ]
    return [["difference [95 % interval]", "recall", "rehearsed", "retention"], *rows]


def to_text(report: Report) -> str:
    """The tables in columns, for a terminal."""
    return "\n\n".join(_columns(rows) for rows in (table(report), differences(report)) if rows)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)


def to_markdown(report: Report) -> str:
    """The report as a page: tables, legend, chart, recipes, versions."""
    lines = ["# What was learned, and what it cost", ""]
    for header, *rows in filter(None, (table(report), differences(report))):
        lines += [_line(header), _line(["---"] * len(header)), *map(_line, rows), ""]
    lines += [*(f"- {line}" for line in legend(report).splitlines()), "", "![Recall by arm](recall.png)", ""]
    for name, recipe in report["recipes"].items():
        lines += [f"## Recipe of `{name}`", "", "```yaml", yaml.safe_dump(recipe, allow_unicode=True) + "```", ""]
    packages = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    lines += [f"Made {report['created']} on {report['machine']} with {packages}.", ""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def draw(report: Report, path: Path) -> None:
    """A chart of recall, rehearsed and retention, before and by arm, with error bars of one standard error."""
    from matplotlib.figure import Figure

    columns = {"before": report["before"], **report["arms"]}
    bars = [bar for bar in BARS if any(bar[0] in scores for scores in columns.values())]
    figure = Figure(figsize=(1.8 + 1.9 * len(columns), 4), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, label, colour, hatch) in enumerate(bars):
        asked = [(x, scores) for x, scores in enumerate(columns.values()) if name in scores]
        places = [x + 0.27 * (i - (len(bars) - 1) / 2) for x, _ in asked]
        shares = [scores[name] for _, scores in asked]
        errors = [scores[f"{name}_se"] for _, scores in asked]
        drawn = axes.bar(places, shares, 0.25, yerr=errors, capsize=3, color=colour, hatch=hatch, label=label)
        axes.bar_label(drawn, fmt="%.2f", padding=2, fontsize=8)
    axes.set_xticks(range(len(columns)), list(columns), parse_math=False)
    axes.set(ylim=(0, 1.12), ylabel="share of questions answered")
    axes.spines[["top", "right"]].set_visible(False)
    if bars:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(bars), frameon=False, fontsize=8)
    figure.savefig(path, dpi=150, format="png")
