"""The quickstart: three arms from one base, for the same number of optimizer steps, in one report.

The surprising decision: it is no study of the laboratory. Its runs follow one another in this process, where whoever
tries it can watch them, and end in the report that every run has.
"""

import logging
import statistics
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.lab.comparisons import T_95, paired
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import Report, merge
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.pipeline import teach

logger = logging.getLogger(__name__)

QUICKSTART = tuple(RECIPES / "quickstart" / f"{arm}.yaml" for arm in ("raw", "formats", "order_self"))
MEASURES = ("exact_match", "replayed", "retention", "train_loss", "seconds")


def run_arms(recipes: Sequence[Path], folder: Path, options: Mapping[str, Any]) -> Report:
    """Run each recipe in a folder of its own below `folder`, with `options` on top; report all of them as one."""
    _refuse_foreign(folder, {path.stem for path in recipes})
    runs = [
        parse_recipe(["--config", str(path)], {**options, "output_dir": str(folder / path.stem)}) for path in recipes
    ]
    for run in runs:
        run_folder.is_finished(run.output_dir, run.options, run.teach.overwrite)  # refused now rather than in its turn
    reports = []
    for number, run in enumerate(runs, 1):
        logger.info("\nArm %d of %d: %s", number, len(runs), run.teach.arm)
        reports.append(teach(run))
    report = merge(reports)
    run_folder.write_report(folder, report)
    return report


def run_seeds(recipes: Sequence[Path], folder: Path, options: Mapping[str, Any], seeds: Sequence[int]) -> Report:
    """`run_arms` for each seed; the arms' means over seeds, and each arm's difference to the first one."""
    if not 2 <= len(set(seeds)) == len(seeds) <= len(T_95) + 1:
        raise ValueError(f"seeds={list(seeds)}: give two to {len(T_95) + 1} different ones.")
    _refuse_foreign(folder, {f"seed_{seed}" for seed in seeds})
    reports = [run_arms(recipes, folder / f"seed_{seed}", {**options, "seed": seed}) for seed in seeds]
    report = over_seeds(reports, seeds)
    run_folder.write_report(folder, report)
    return report


def _refuse_foreign(folder: Path, runs: set[str]) -> None:
    """A study writes its report beside its runs; a folder that holds anything else is not its own."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if foreign := sorted(there - runs - set(run_folder.OURS)):
        raise ValueError(
            f"output_dir={str(folder)!r} holds {', '.join(foreign[:5])}, which this study doesn't write:"
            f" choose a folder that is new or empty."
        )


def over_seeds(reports: Sequence[Report], seeds: Sequence[int]) -> Report:
    """Means over seeds in place of each arm's figures, their standard errors over seeds, and paired differences."""
    arms = {name: _mean([report["runs"][name] for report in reports]) for name in reports[0]["runs"]}
    first, *others = arms
    differences = {
        f"{other} - {first}": {
            measure: paired([r["runs"][other][measure] - r["runs"][first][measure] for r in reports])
            for measure in MEASURES
            if all(known(report["runs"][name].get(measure)) for report in reports for name in (first, other))
        }
        for other in others
    }
    by_seed = {str(seed): report["runs"] for seed, report in zip(seeds, reports, strict=True)}
    asked = [key for key in ("before", "open_book") if key in reports[0]]
    means: Report = {key: _mean([report[key] for report in reports]) for key in asked}
    if "stages" in reports[0]:
        of_stages = zip(*(report["stages"] for report in reports), strict=True)
        means["stages"] = [{"run": same[0]["run"], "name": same[0]["name"], **_mean(same)} for same in of_stages]
    return {**reports[0], **means, "runs": arms, "differences": differences, "by_seed": by_seed}


def _mean(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of each number that every seed has, also of those within. Lists and texts are left out.

    `_se` of a measure becomes the standard error over seeds.
    """
    mean: dict[str, Any] = {}
    for name in figures[0]:
        values: list[Any] = [of_seed.get(name) for of_seed in figures]
        if all(map(known, values)):
            mean[name] = statistics.fmean(values)
        elif all(isinstance(value, Mapping) for value in values) and (inside := _mean(values)):
            mean[name] = inside
    for name in mean:
        if f"{name}_se" in mean:
            mean[f"{name}_se"] = statistics.stdev(of_seed[name] for of_seed in figures) / sqrt(len(figures))
    return mean
