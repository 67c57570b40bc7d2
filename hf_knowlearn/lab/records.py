"""The results of a study as JSON and Markdown: a table of all arms, and the differences between them.

An unfinished study has the same tables, over the runs that are finished, and the number of missing runs.
"""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
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

# Figures of a report that are too large for a record.
NOT_RECORDED = ("by_relation", "cost", "curve", "transitions")
Figure = Callable[[Figures], Any]
# The columns of the table: where a run has the figure, and for costs its format.
COLUMNS: dict[str, tuple[Figure] | tuple[Figure, Callable[[float], str]]] = {
    "exact match": (lambda figures: figures.get("exact_match"),),
    "all wordings": (lambda figures: figures.get("consistency_all"),),
    "replayed": (lambda figures: figures.get("replayed"),),
    "retention": (lambda figures: figures.get("retention"),),
    "knowledge tokens": (lambda figures: (figures.get("knowledge_tokens") or {}).get("probability"),),
    "loss": (lambda figures: figures.get("train_loss"),),
    "steps": (lambda figures: figures.get("steps"), "{:,.0f}".format),
    "gradient evals": (lambda figures: figures.get("gradient_evaluations"), "{:,.0f}".format),
    "tokens": (lambda figures: figures.get("tokens"), "{:,.0f}".format),
    "time": (lambda figures: figures.get("train_seconds"), duration),
    "memory": (lambda figures: figures.get("peak_memory_bytes"), size),
}
MEASURE_TITLES = {"exact_match": "exact match", "consistency_all": "all wordings"}


def read_run(planned: PlannedRun) -> Run:
    """The figures of a finished run."""
    report = run_folder.read_report(planned.recipe.output_dir)
    figures = report["runs"][planned.arm]
    before, after = (
        {name: value for name, value in of.items() if name not in NOT_RECORDED} for of in (report["before"], figures)
    )
    cost = dict(figures["cost"])
    cost["train_seconds"] += cost.get("self_replay_seconds", 0)  # generating replayed text is part of the method
    return Run(planned.arm, planned.seed, {**after, **cost, "before": before}, planned.recipe.options)


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
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
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
    rows = [
        [arm, str(len(of_arm)), *(_cell(of_arm, title, *of) for title, of in COLUMNS.items())]
        for arm, of_arm in _by_arm(runs).items()
    ]
    table = [["arm", "seeds", *COLUMNS], *rows]
    filled = [place for place in range(len(table[0])) if any(row[place] for row in rows)]
    yield from ([row[place] for place in filled] for row in table)


def _by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}


def _cell(runs: Sequence[Run], title: str, figure: Figure, form: Callable[[float], str] | None = None) -> str:
    found = over_seeds(runs, figure)
    if found is None:
        return ""
    mean, error = found
    if form:
        return form(mean)
    if error is None:
        error = runs[0].figures.get(f"{title.replace(' ', '_')}_se")
    return f"{number(mean)} ± {number(error)}" if known(error) else number(mean)


def number(value: float) -> str:
    """Three decimals, or two significant digits if these would be zeros."""
    return f"{value:.3f}" if not value or abs(value) >= 0.0005 else f"{value:.1e}"


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
