"""The results of a study as JSON and Markdown: a table of all arms, and the differences between them.

An unfinished study has the same tables, over the runs that are finished, and the number of missing runs.
"""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from hf_knowlearn import __version__, atomic_files, run_files
from hf_knowlearn.lab.comparisons import COSTS, Comparison, Figures, Run, compare, over_seeds
from hf_knowlearn.lab.correlations import correlation_rows, correlations
from hf_knowlearn.lab.study import PHASES, PlannedRun, Study
from hf_knowlearn.reports.formatting import duration, known, size
from hf_knowlearn.reports.markdown import markdown_table
from hf_knowlearn.reports.schema import PACKAGES
from hf_knowlearn.reports.tables import moves
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.provenance import commit

# The figures of a run that a record has.
RECORDED = (
    "exact_match", "exact_match_se", "f1", "f1_se", "consistency_all", "replayed", "replayed_se", "retention",
    "retention_se", "train_loss", "stopped", "mastery", "drift", "knowledge_tokens",
)  # fmt: skip
RECORDED_COSTS = (
    "train_seconds", "evaluation_seconds", "self_replay_seconds", "steps", "gradient_evaluations", "tokens",
    "peak_memory_bytes", "device",
)  # fmt: skip
# The columns of the table: titles, and where a run has the figure.
FIGURES: dict[str, Callable[[Figures], Any]] = {
    "exact match": lambda figures: figures.get("exact_match"),
    "all wordings": lambda figures: figures.get("consistency_all"),
    "replayed": lambda figures: figures.get("replayed"),
    "retention": lambda figures: figures.get("retention"),
    "knowledge tokens": lambda figures: (figures.get("knowledge_tokens") or {}).get("probability"),
    "loss": lambda figures: figures.get("train_loss"),
}
COST: dict[str, tuple[str, Callable[[float], str]]] = {
    "steps": ("steps", "{:,.0f}".format),
    "gradient_evaluations": ("gradient evals", "{:,.0f}".format),
    "tokens": ("tokens", "{:,.0f}".format),
    "train_seconds": ("time", duration),
    "peak_memory_bytes": ("memory", size),
}
MEASURE_TITLES = {"exact_match": "exact match", "consistency_all": "all wordings"}


def read_run(planned: PlannedRun) -> Run:
    """The figures of a finished run."""
    report = run_folder.read_report(planned.recipe.output_dir)
    figures = report["runs"][planned.arm]
    found: dict[str, Any] = {name: figures[name] for name in RECORDED if figures.get(name) is not None}
    found |= {name: figures["cost"][name] for name in RECORDED_COSTS if name in figures["cost"]}
    found["train_seconds"] += found.get("self_replay_seconds", 0)  # generating replayed text is part of the method
    before = {name: report["before"][name] for name in RECORDED if name in report["before"]}
    before.pop("knowledge_tokens", None)
    return Run(planned.arm, planned.seed, {**found, "before": before}, planned.recipe.options)


def record(study: Study, planned: Sequence[PlannedRun], failed: Mapping[str, str]) -> dict[str, Any]:
    """The results of a study as plain values: its runs, and the tables of each phase.

    Args:
        planned: The runs to report.
        failed: The error of each failed run, by key.
    """
    phases: dict[str, Any] = {}
    every: list[Run] = []
    for phase in PHASES:
        of_phase = [run for run in planned if run.phase == phase]
        runs = [read_run(run) for run in of_phase if run.key not in failed and _has_report(run)]
        every += runs
        if of_phase:
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
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {"hf_knowlearn": __version__, **{name: version(name) for name in PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "phases": phases,
        "correlations": correlations(every),
    }


def _has_report(run: PlannedRun) -> bool:
    return (run.recipe.output_dir / run_files.REPORT).is_file()


def arm_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A header, and a row of means for each arm, ± the standard error over seeds, or over questions."""
    if not runs:
        return
    figures = {title: of for title, of in FIGURES.items() if any(known(of(run.figures)) for run in runs)}
    costs = {key: of for key, of in COST.items() if any(known(run.figures.get(key)) for run in runs)}
    yield ["arm", "seeds", *figures, *(title for title, _ in costs.values())]
    for arm, of_arm in _by_arm(runs).items():
        cells = [_cell(of_arm, title, of) for title, of in figures.items()]
        yield [arm, str(len(of_arm)), *cells, *(_cost(of_arm, key, form) for key, (_, form) in costs.items())]


def _by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}


def _cell(runs: Sequence[Run], title: str, figure: Callable[[Figures], Any]) -> str:
    found = over_seeds(runs, figure)
    if found is None:
        return ""
    mean, error = found
    if error is None:
        error = runs[0].figures.get(f"{title.replace(' ', '_')}_se")
    return f"{number(mean)} ± {number(error)}" if known(error) else number(mean)


def number(value: float) -> str:
    """Three decimals, or two significant digits if these would be zeros."""
    return f"{value:.3f}" if not value or abs(value) >= 0.0005 else f"{value:.1e}"


def _cost(runs: Sequence[Run], key: str, form: Callable[[float], str]) -> str:
    found = over_seeds(runs, lambda figures: figures.get(key))
    return form(found[0]) if found else ""


def mastery_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A header, and for each arm and mastery class: how many questions moved up, stayed or moved down, on average."""
    flows = {
        arm: [flow for run in of_arm if (flow := (run.figures.get("mastery") or {}).get("flow"))]
        for arm, of_arm in _by_arm(runs).items()
    }
    if any(flows.values()):
        yield ["arm", "class before", "questions", "acquired", "retained", "lost"]
    for arm, of_arm in flows.items():
        for same in zip(*map(moves, of_arm), strict=False):
            counts = [fmean(column) for column in list(zip(*same, strict=True))[1:]]
            yield [arm, same[0][0], *(f"{count:,.0f}" for count in counts)]


def comparison_rows(comparisons: Sequence[Comparison]) -> Iterator[list[str]]:
    """A header, and a row of mean differences for each comparison, with their 95 % intervals over seeds."""
    measures = list(dict.fromkeys(measure for one in comparisons for measure in one.differences))
    if comparisons:
        yield ["arm", "minus", "at equal", *(MEASURE_TITLES.get(measure, measure) for measure in measures)]
    for one in comparisons:
        differences = (_difference(one.differences.get(measure)) for measure in measures)
        yield [one.arm, one.against, COSTS[one.cost], *differences]


def _difference(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    interval = f" [{found['low']:+.3f}, {found['high']:+.3f}]" if "low" in found else ""
    return f"{found['mean']:+.3f}{interval}"


def to_markdown(record: Mapping[str, Any]) -> str:
    """The results as a page of Markdown."""
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
    "± one standard error, over seeds if there are several, else over questions. Differences pair runs of equal seeds;"
    " in brackets their 95 % interval by Student's t. At equal gradient evaluations or time, the other method is"
    " interpolated linearly between its two nearest budgets; without a budget on both sides, there is no row. Time is"
    " that of training and of generating replayed text, while the study's runs share the machine."
)


def write(folder: Path, record: Mapping[str, Any]) -> None:
    """Write study.md, study.json and, if there are finished runs, study.png."""
    from hf_knowlearn.lab.charts import draw

    atomic_files.write_text(folder / "study.md", to_markdown(record))
    if any(phase["runs"] for phase in record["phases"].values()):
        with atomic_files.atomic_write(folder / "study.png") as draft:
            draw(record, draft)
    atomic_files.write_text(folder / "study.json", as_json(record))


def as_json(record: Mapping[str, Any]) -> str:
    """The results as JSON."""
    return json.dumps(atomic_files.json_values(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
