"""Writes the results of a study as JSON and Markdown: a table of all arms, and the differences between them.

While a study is unfinished, its tables cover the finished runs, and the page states how many runs are missing.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from hf_knowlearn import atomic_files, run_files
from hf_knowlearn.lab.comparisons import COSTS, Comparison, Run, by_arm, compare, over_seeds
from hf_knowlearn.lab.correlations import correlation_rows, correlations
from hf_knowlearn.lab.study import PlannedRun, Study
from hf_knowlearn.reports.formatting import duration, known, size
from hf_knowlearn.reports.markdown import markdown_table
from hf_knowlearn.reports.schema import made_with
from hf_knowlearn.reports.tables import moves
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.provenance import commit

# Figures of a report that are left out of the results, because they are large.
NOT_RECORDED = ("by_relation", "cost", "curve", "transitions")
# The columns of scores in the table of arms, with their titles. Scores have standard errors.
SCORES = {
    "correct": "correct",
    "exact_match": "exact match",
    "consistency_all": "all wordings",
    "replayed": "replayed",
    "retention": "retention",
    "knowledge_tokens": "knowledge tokens",
    "train_loss": "loss",
}
# The columns of costs in the table of arms, with their titles and formats.
COST_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "steps": ("steps", "{:,.0f}".format),
    "gradient_evaluations": ("gradient evals", "{:,.0f}".format),
    "tokens": ("tokens", "{:,.0f}".format),
    "train_seconds": ("time", duration),
    "peak_memory_bytes": ("memory", size),
}


def read_run(planned: PlannedRun) -> Run:
    """Return a finished run with the figures from its report."""
    report = run_folder.read_report(planned.recipe.output_dir)
    before, after = ({**scores} for scores in (report["before"], report["runs"][planned.arm]))
    cost = dict(after["cost"])
    cost["train_seconds"] += cost.get("self_replay_seconds", 0)  # Why: generating text is part of the method
    for name in NOT_RECORDED:
        before.pop(name, None)
        after.pop(name, None)
    return Run(planned.arm, planned.seed, {**after, **cost, "before": before}, planned.recipe.options)


def record(study: Study, planned: Sequence[PlannedRun], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return the results of a study as plain values: for each phase, its runs and its tables.

    Args:
        planned: all runs of the study. A run without a report is missing.
        failed: the error message of each failed run, by the key of the run.
    """
    phases: dict[str, Any] = {}
    every: list[Run] = []
    for phase in dict.fromkeys(run.phase for run in planned):
        of_phase = [run for run in planned if run.phase == phase]
        runs = [read_run(run) for run in of_phase if (run.recipe.output_dir / run_files.REPORT).is_file()]
        every += runs
        phases[phase] = {
            "planned": len(of_phase),
            "failed": {run.key: failed[run.key] for run in of_phase if run.key in failed},
            "runs": [{"arm": run.arm, "seed": run.seed, **run.figures} for run in runs],
            "table": list(arm_rows(runs)),
            "mastery": list(mastery_rows(runs)),
            "comparisons": list(comparison_rows(compare(runs, study.against))),
        }
    return {
        "study": study.name,
        "question": study.question,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        **made_with(),
        "phases": phases,
        "correlations": correlations(every),
    }


def arm_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """Yield a header, then a row for each arm: means over seeds, with standard errors.

    The errors are over seeds. With a single seed, they are over questions.
    """
    titles = [*SCORES.values(), *(title for title, _ in COST_COLUMNS.values())]
    rows = [["arm", "seeds", *titles]]
    for arm, of_arm in by_arm(runs).items():
        scores = [_score(of_arm, name) for name in SCORES]
        costs = [_cost(of_arm, name, form) for name, (_, form) in COST_COLUMNS.items()]
        rows.append([arm, str(len(of_arm)), *scores, *costs])
    filled = [place for place in range(len(rows[0])) if any(row[place] for row in rows[1:])]
    yield from ([row[place] for place in filled] for row in rows if filled)


def _score(runs: Sequence[Run], name: str) -> str:
    mean, error = over_seeds(runs, name) or (None, None)
    if error is None:
        error = runs[0].figures.get(f"{name}_se")  # over questions
    if mean is None:
        return ""
    return f"{number(mean)} ± {number(error)}" if known(error) else number(mean)


def _cost(runs: Sequence[Run], name: str, form: Callable[[float], str]) -> str:
    found = over_seeds(runs, name)
    return form(found[0]) if found else ""


def number(value: float) -> str:
    """Return the value with three decimals. If these decimals would all be 0, return two significant digits."""
    return f"{value:.3f}" if not value or abs(value) >= 0.0005 else f"{value:.1e}"


def mastery_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """Yield a header, then a row for each arm and each mastery class of questions before training.

    A row counts the questions that are in a better, in the same, or in a worse class after training, as means over
    seeds.
    """
    classified = [run for run in runs if (run.figures.get("mastery") or {}).get("flow")]
    if classified:
        yield ["arm", "class before", "questions", "acquired", "retained", "lost"]
    for arm, of_arm in by_arm(classified).items():
        for same in zip(*(moves(run.figures["mastery"]["flow"]) for run in of_arm), strict=False):
            name, *counts = zip(*same, strict=True)
            yield [arm, name[0], *(f"{fmean(column):,.0f}" for column in counts)]


def comparison_rows(comparisons: Sequence[Comparison]) -> Iterator[list[str]]:
    """Yield a header, then a row for each comparison: the mean differences, with 95 % intervals over seeds."""
    measures = list(dict.fromkeys(measure for one in comparisons for measure in one.differences))
    if comparisons:
        yield ["arm", "minus", "at equal", *(SCORES.get(measure, measure) for measure in measures)]
    for one in comparisons:
        differences = (_difference(one.differences.get(measure)) for measure in measures)
        yield [one.arm, one.against, COSTS[one.cost], *differences]


def _difference(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    interval = f" [{found['low']:+.3f}, {found['high']:+.3f}]" if "low" in found else ""
    return f"{found['mean']:+.3f}{interval}"


def to_markdown(record: Mapping[str, Any]) -> str:
    """Return the results as a page of Markdown."""
    lines = [f"# {record['study']}", "", *([record["question"], ""] if record["question"] else [])]
    for name, phase in record["phases"].items():
        missing = phase["planned"] - len(phase["runs"])
        lines += [f"## {name.capitalize()}", ""]
        lines += [f"{missing} of {phase['planned']} runs are missing.", ""] if missing else []
        lines += [f"- {run} failed: {error}" for run, error in phase["failed"].items()]
        for rows in (phase["table"], phase["mastery"], phase["comparisons"]):
            lines += markdown_table(rows) if rows else []
    if rows := list(correlation_rows(record["correlations"])):
        lines += ["## Over all runs", "", *markdown_table(rows)]
    made = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    of_commit = f" (commit {record['commit']})" if record["commit"] else ""
    return "\n".join([*lines, NOTE, "", f"{record['date'][:10]}. {made}{of_commit}; {record['machine']}.", ""])


NOTE = (
    "± is the standard error: over seeds if there are several, otherwise over questions. Differences are paired by"
    " seed, and brackets contain their 95 % intervals by Student's t. At equal gradient evaluations or time, the"
    " scores of the baseline are interpolated linearly between its two nearest numbers of steps. Outside the range of"
    " these numbers, there is no row. Time is the time of training and of generating replayed text. The runs of a"
    " study share the machine, so it is longer than the time of a single run."
)


def write(folder: Path, study: Study, planned: Sequence[PlannedRun], failed: Mapping[str, str]) -> dict[str, Any]:
    """Write study.md, study.json and, if a run is finished, study.png. Return the results, as `record` does."""
    from hf_knowlearn.lab.charts import draw

    results = record(study, planned, failed)
    atomic_files.write_text(folder / "study.md", to_markdown(results))
    if any(phase["runs"] for phase in results["phases"].values()):
        with atomic_files.atomic_write(folder / "study.png") as draft:
            draw(results, draft)
    atomic_files.write_text(folder / "study.json", as_json(results))
    return results


def as_json(record: Mapping[str, Any]) -> str:
    """Return the results as JSON."""
    return json.dumps(atomic_files.json_values(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
