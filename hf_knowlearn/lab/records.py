"""The figures of a study: a table of all arms, what each has over one of them, and where it was measured.

The surprising decision: a study that is not finished has the same tables, over the runs that there are, and says how
many are missing; so results land as they come.
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
from hf_knowlearn.lab.correlations import link_rows, links
from hf_knowlearn.lab.study import PHASES, Planned, Study
from hf_knowlearn.reports.formatting import duration, known, size
from hf_knowlearn.reports.markdown import markdown_table
from hf_knowlearn.reports.schema import PACKAGES
from hf_knowlearn.reports.tables import moves
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.provenance import commit

# What of a run's figures is kept: not its curve, its answers or its parts.
KEPT = (
    "exact_match", "exact_match_se", "f1", "f1_se", "consistency_all", "replayed", "replayed_se", "retention",
    "retention_se", "train_loss", "steps", "gradient_evaluations", "seconds", "stopped",
)  # fmt: skip
OF_COST = ("train_seconds", "evaluation_seconds", "self_replay_seconds", "tokens", "peak_memory_bytes", "device")
SHARES: dict[str, Callable[[Figures], Any]] = {
    "recall": lambda figures: figures.get("exact_match"),
    "all wordings": lambda figures: figures.get("consistency_all"),
    "replayed": lambda figures: figures.get("replayed"),
    "retention": lambda figures: figures.get("retention"),
    "knowledge tokens": lambda figures: (figures.get("knowledge_tokens") or {}).get("probability"),
    "sharpness: gradient": lambda figures: (figures.get("sharpness") or {}).get("gradient"),
    "random": lambda figures: (figures.get("sharpness") or {}).get("random"),
    "loss": lambda figures: figures.get("train_loss"),
}
COST: dict[str, tuple[str, Callable[[float], str]]] = {
    "steps": ("steps", "{:,.0f}".format),
    "gradient_evaluations": ("gradient evals", "{:,.0f}".format),
    "tokens": ("tokens", "{:,.0f}".format),
    "train_seconds": ("time", duration),
    "peak_memory_bytes": ("memory", size),
}


def read_run(planned: Planned) -> Run:
    """The figures of a finished run."""
    report = run_folder.read_report(planned.recipe.output_dir)
    arm = report["runs"][planned.arm]
    kept: dict[str, Any] = {name: arm[name] for name in KEPT if name in arm}
    kept |= {name: arm["cost"][name] for name in OF_COST if name in arm["cost"]}
    kept["train_seconds"] += kept.get("self_replay_seconds", 0)  # to write what is replayed is a part of the method
    kept |= {name: arm[name] for name in ("sharpness", "mastery", "drift") if arm.get(name)}
    if tokens := arm.get("knowledge_tokens"):
        kept["knowledge_tokens"] = tokens
    before = {name: report["before"][name] for name in KEPT if name in report["before"]}
    if mastery := report["before"].get("mastery"):
        before["mastery"] = mastery
    return Run(planned.arm, planned.seed, {**kept, "before": before}, planned.recipe.options)


def record(study: Study, planned: Sequence[Planned], failed: Mapping[str, str]) -> dict[str, Any]:
    """All that is known of a study, as JSON: its runs one by one, and the tables of each phase."""
    phases, everything = {}, []
    for phase in PHASES:
        of_phase = [run for run in planned if run.phase == phase]
        runs = [read_run(run) for run in of_phase if run.key not in failed and _has_report(run)]
        everything += runs
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
        "links": links(everything),
    }


def _has_report(run: Planned) -> bool:
    return (run.recipe.output_dir / run_files.REPORT).is_file()


def arm_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A header, and a row for each arm: means over its seeds, ± the standard error over them where there are several,
    else over questions."""
    if not runs:
        return
    shares = {name: of for name, of in SHARES.items() if any(known(of(run.figures)) for run in runs)}
    costs = {key: of for key, of in COST.items() if any(known(run.figures.get(key)) for run in runs)}
    yield ["arm", "seeds", *shares, *(title for title, _ in costs.values())]
    for arm, of_arm in _by_arm(runs).items():
        cells = [_share(of_arm, name, of) for name, of in shares.items()]
        yield [arm, str(len(of_arm)), *cells, *(_cost(of_arm, key, shown) for key, (_, shown) in costs.items())]


def _by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}


def _share(runs: Sequence[Run], name: str, of: Callable[[Figures], Any]) -> str:
    found = over_seeds(runs, of)
    if found is None:
        return ""
    mean, error = found
    if error is None:
        key = {"recall": "exact_match_se"}.get(name, f"{name}_se")
        error = runs[0].figures.get(key)
    return f"{number(mean)} ± {number(error)}" if known(error) else number(mean)


def number(value: float) -> str:
    """Three places, or what is left of a number that has none there."""
    return f"{value:.3f}" if not value or abs(value) >= 0.0005 else f"{value:.1e}"


def _cost(runs: Sequence[Run], key: str, shown: Callable[[float], str]) -> str:
    found = over_seeds(runs, lambda figures: figures.get(key))
    return shown(found[0]) if found else ""


def mastery_rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A header, and for each arm and class before it: how many questions rose, stayed and fell; means over seeds."""
    flows = {
        arm: [flow for run in of_arm if (flow := (run.figures.get("mastery") or {}).get("flow"))]
        for arm, of_arm in _by_arm(runs).items()
    }
    if any(flows.values()):
        yield ["arm", "class before", "questions", "acquired", "kept", "lost"]
    for arm, of_arm in flows.items():
        for same in zip(*map(moves, of_arm), strict=False):
            counts = [fmean(column) for column in list(zip(*same, strict=True))[1:]]
            yield [arm, same[0][0], *(f"{count:,.0f}" for count in counts)]


def comparison_rows(comparisons: Sequence[Comparison]) -> Iterator[list[str]]:
    """A header, and a row for each comparison: mean differences, with their 95 % intervals over seeds."""
    names = {"exact_match": "recall", "consistency_all": "all wordings"}
    measures = list(dict.fromkeys(measure for one in comparisons for measure in one.differences))
    if comparisons:
        yield ["arm", "minus", "at equal", *(names.get(measure, measure) for measure in measures)]
    for one in comparisons:
        differences = (_difference(one.differences.get(measure)) for measure in measures)
        yield [one.arm, one.against, COSTS[one.cost], *differences]


def _difference(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    interval = f" [{found['low']:+.3f}, {found['high']:+.3f}]" if "low" in found else ""
    return f"{found['mean']:+.3f}{interval}"


def to_markdown(record: Mapping[str, Any]) -> str:
    """The study as a page of Markdown."""
    lines = [f"# {record['study']}", "", *([record["question"], ""] if record["question"] else [])]
    for phase, of_phase in record["phases"].items():
        missing = of_phase["planned"] - len(of_phase["runs"])
        lines += [f"## {phase.capitalize()}", ""]
        lines += [f"{missing} of {of_phase['planned']} runs are missing.", ""] if missing else []
        lines += [f"- {run} failed: {why}" for run, why in of_phase["failed"].items()]
        for rows in (of_phase["table"], of_phase["mastery"], of_phase["comparisons"]):
            lines += markdown_table(rows) if rows else []
    if of_all := list(link_rows(record["links"])):
        lines += ["## Over all runs", "", *markdown_table(of_all)]
    made = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    of_commit = f" (commit {record['commit']})" if record["commit"] else ""
    return "\n".join([*lines, NOTE, "", f"{record['date'][:10]}. {made}{of_commit}; {record['machine']}.", ""])


NOTE = (
    "± one standard error, over seeds where there are several, else over questions. Differences pair runs of one seed;"
    " in brackets their 95 % interval by Student's t. At equal gradient evaluations or time, the other method is read"
    " off the straight line between its two budgets next to it; where it has none on both sides, there is no row. Time"
    " is that of training and of writing what is replayed, on as many runs side by side as the study ran."
)


def write(folder: Path, record: Mapping[str, Any]) -> None:
    """study.md and study.json, and the chart of the last phase that has runs."""
    from hf_knowlearn.lab.charts import draw

    atomic_files.write_text(folder / "study.md", to_markdown(record))
    if any(phase["runs"] for phase in record["phases"].values()):
        with atomic_files.atomic_write(folder / "study.png") as draft:
            draw(record, draft)
    atomic_files.write_text(folder / "study.json", as_json(record))


def as_json(record: Mapping[str, Any]) -> str:
    """The record as text."""
    return json.dumps(atomic_files.json_values(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
