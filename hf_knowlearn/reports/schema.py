"""The report: one plain dictionary that holds everything a run or a study measured.

Keys:
    created: time of writing, ISO 8601, UTC.
    before: figures of the base model.
    runs: figures after training, by run name.
    stages: figures after each stage, in order, with the keys `run` and `name`; absent if the run has one stage.
    open_book: figures of the base model with the document in the prompt; absent if not evaluated.
    recipes, seeds: options and seed, by run name.
    counts: numbers of documents and of questions, by role.
    data: `source`, `n` and `sha256` of each data set, by the option that names it.
    model: `name` and `revision` of the base model.
    contamination: training rows that contain an evaluation question (`n` of `rows`), with examples.
    retention_source: where the retention questions come from, in one sentence.
    versions, machine: of the packages and the computer.
    differences, by_seed: of a study over several seeds only; see `lab.quickstart`.

Figures (shares are from 0 to 1; `_se` marks the standard error of a figure):
    correct, exact_match, f1, contains: on the questions about the training documents.
    replayed, retention: `correct` on questions about replayed documents, and about documents outside the run.
    transitions: for each role, the number of questions `learned`, `retained`, `forgotten` and `never` right.
    mastery: number of questions by class; `flow` counts them by class before and class after.
    knowledge_tokens, drift, editing: see `evaluation`.
    cost: `train_seconds`, `evaluation_seconds`, `self_replay_seconds`, `steps`, `tokens`, `peak_memory_bytes`, ...
    curve: loss, `correct` and exact match, by optimizer step.
    train_loss: mean loss over the last logged steps.
"""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from hf_knowlearn import __version__
from hf_knowlearn.reports.formatting import known

Report = dict[str, Any]

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "evaluate")
# Role of a set of questions -> the figure that holds its share of correct responses.
ROLES = {"questions": "correct", "replayed_questions": "replayed", "retention_questions": "retention"}
# Headline figure -> its name in tables, charts and cards.
COLUMNS = {"correct": "correct", "replayed": "replayed", "retention": "retention"}
# The same with exact match and F1: the figures that cards and model comparisons show.
CARD_COLUMNS = {
    "correct": "correct",
    "exact_match": "exact match",
    "f1": "F1",
    "replayed": "replayed",
    "retention": "retention",
}

# Options that name what is replayed, besides self-generated text.
REPLAYED = ("replay_documents", "replay_questions", "replay_categories")


def run_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of a run from the metric's scores by role.

    For the role `questions`, all scores are included. For other roles, only exact match and its standard error are
    included.
    """
    figures = dict(scores.get("questions", {}))
    figures.pop("n", None)  # `counts` has it
    for role in ("replayed_questions", "retention_questions"):
        if role in scores:
            figures[ROLES[role]] = scores[role]["correct"]
            figures[f"{ROLES[role]}_se"] = scores[role]["correct_se"]
    return figures


def new_report(
    before: Mapping[str, Any],
    runs: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Any],
    counts: Mapping[str, int],
) -> Report:
    """The report of one run.

    Args:
        before: figures of the base model.
        runs: figures after training, by run name.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "before": dict(before),
        "runs": {name: dict(figures) for name, figures in runs.items()},
        "recipes": {name: dict(recipe) for name in runs},
        "counts": dict(counts),
        **made_with(),
    }


def made_with() -> dict[str, Any]:
    """The versions of the packages, and the machine."""
    return {
        "versions": {"hf_knowlearn": __version__, **{name: version(name) for name in PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def merge(reports: Sequence[Report]) -> Report:
    """One report with the runs of all reports. Values that do not belong to a run are taken from the first report."""
    by_run = [key for key in ("runs", "recipes", "seeds") if any(key in report for report in reports)]
    merged = {key: {name: of for report in reports for name, of in report.get(key, {}).items()} for key in by_run}
    stages = [stage for report in reports for stage in report.get("stages", ())]
    return {**reports[0], **merged, **({"stages": stages} if stages else {})}


def states(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each measured state of the model with its figures: before, open book, after each stage, after each run."""
    book, runs = report.get("open_book"), report["runs"]
    found = [("before", report["before"]), *([("open book", book)] if book else [])]
    for name, figures in runs.items():
        whose = f"{name}, " if len(runs) > 1 else ""
        # Why not by name alone: redaction may change the name of the only run.
        of_run = [stage for stage in report.get("stages") or () if stage["run"] == name or len(runs) == 1]
        # The figures after the last stage are those of the run.
        found += [(f"{whose}after {stage['name']}", stage) for stage in of_run[:-1]]
        found.append((name, figures))
    return found


def best_run(report: Mapping[str, Any]) -> str:
    """The run with the most correct responses; the first one if several are equal or no question was evaluated."""
    runs: Mapping[str, Mapping[str, Any]] = report["runs"]
    scores = {name: figures["correct"] for name, figures in runs.items() if known(figures.get("correct"))}
    return max(scores, key=scores.__getitem__) if scores else next(iter(runs))


def by_knowledge_tokens(report: Mapping[str, Any]) -> bool:
    """Whether knowledge tokens are the headline: no questions were evaluated, and their probability is known."""
    measured = (figures.get("knowledge_tokens") or {} for _, figures in states(report))
    return not report["counts"]["questions"] and any(known(tokens.get("probability")) for tokens in measured)


def replays(recipe: Mapping[str, Any]) -> bool:
    """Whether a run replays documents or questions. A run that replays only self-generated text does not count."""
    stages = [{**recipe, **stage} for stage in recipe.get("stages") or [{}]]
    return any(stage.get(name) and stage.get("replay_share", 1) for stage in stages for name in REPLAYED)


def is_replayed(report: Mapping[str, Any]) -> bool:
    """Whether any run replayed documents or questions."""
    return any(map(replays, report.get("recipes", {}).values()))


def column_titles(report: Mapping[str, Any]) -> dict[str, str]:
    """The headline figures of this report with their titles.

    The questions of `replayed_questions` are called replayed only if a run replayed something; without such questions
    they have no column.
    """
    figures = [scores.get("replayed") for _, scores in states(report)]
    if not report["counts"].get("replayed_questions") and not any(map(known, figures)):
        return {name: title for name, title in COLUMNS.items() if name != "replayed"}
    return COLUMNS if is_replayed(report) else {**COLUMNS, "replayed": "replayed_questions"}
