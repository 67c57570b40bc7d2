"""The quickstart: trains one base model by three recipes, with the same number of steps, and writes one report.

Unlike a study, the quickstart trains in this process, one recipe after another. Its report has the same format as the
report of a run.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.lab.comparisons import mean_and_error, paired
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import Report, merge
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.pipeline import teach

logger = logging.getLogger(__name__)

QUICKSTART = tuple(RECIPES / "quickstart" / f"{name}.yaml" for name in ("raw", "formats", "order_self"))
MEASURES = ("correct", "exact_match", "replayed", "retention", "train_loss")


def run_recipes(recipes: Sequence[Path], folder: Path, options: Mapping[str, Any]) -> Report:
    """Run each recipe with these options, and return one report of all runs.

    Args:
        folder: the folder of the report. The run of each recipe has its own folder in it.

    Raises:
        ValueError: `folder` contains other files or another run. The error is raised before the first run.
    """
    _check_folder(folder, {path.stem for path in recipes})
    runs = [
        parse_recipe(["--config", str(path)], {**options, "output_dir": str(folder / path.stem)}) for path in recipes
    ]
    for run in runs:  # Why: all folders are checked before the first run starts
        run_folder.is_finished(run.output_dir, run.options, run.teach.overwrite)
    reports = []
    for number, (path, run) in enumerate(zip(recipes, runs, strict=True), 1):
        logger.info("\nRun %d of %d: %s", number, len(runs), path.stem)
        reports.append(teach(run))
    report = merge(reports)
    run_folder.write_report(folder, report)
    return report


def run_seeds(recipes: Sequence[Path], folder: Path, options: Mapping[str, Any], seeds: Sequence[int]) -> Report:
    """Call `run_recipes` for each seed, and return one report with means over seeds.

    The report also has the paired differences between each recipe and the first recipe.

    Raises:
        ValueError: there are fewer than two seeds, or a seed occurs twice. Or `run_recipes` raises an error.
    """
    if len(set(seeds)) != len(seeds) or len(seeds) < 2:
        raise ValueError(f"seeds={list(seeds)}: give two or more different seeds.")
    _check_folder(folder, {f"seed_{seed}" for seed in seeds})
    reports = [run_recipes(recipes, folder / f"seed_{seed}", {**options, "seed": seed}) for seed in seeds]
    report = over_seeds(reports, seeds)
    run_folder.write_report(folder, report)
    return report


def _check_folder(folder: Path, runs: set[str]) -> None:
    """Raise a `ValueError` if `folder` contains anything except the folders of these runs and their report."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if foreign := sorted(found - runs - set(run_folder.OURS)):
        raise ValueError(
            f"output_dir={str(folder)!r} contains {', '.join(foreign[:5])}, which this command did not write. Choose"
            " a new or an empty folder."
        )


def over_seeds(reports: Sequence[Report], seeds: Sequence[int]) -> Report:
    """Return one report with means and standard errors over seeds, and with paired differences from the first run.

    Args:
        reports: a report for each seed. All reports have the same runs.
    """
    runs = {name: _mean([report["runs"][name] for report in reports]) for name in reports[0]["runs"]}
    first, *others = runs
    differences = {f"{other} - {first}": _differences(reports, other, first) for other in others}
    by_seed = {str(seed): report["runs"] for seed, report in zip(seeds, reports, strict=True)}
    states = [key for key in ("before", "open_book", "retrieval") if key in reports[0]]
    means: Report = {key: _mean([report[key] for report in reports]) for key in states}
    if "stages" in reports[0]:
        of_stages = zip(*(report["stages"] for report in reports), strict=True)
        means["stages"] = [{"run": same[0]["run"], "name": same[0]["name"], **_mean(same)} for same in of_stages]
    return {**reports[0], **means, "runs": runs, "differences": differences, "by_seed": by_seed}


def _differences(reports: Sequence[Report], other: str, first: str) -> dict[str, dict[str, float]]:
    """Return the differences between two runs, paired by seed, in each score that both runs have for every seed."""
    found = {}
    for measure in MEASURES:
        pairs = [[report["runs"][name].get(measure) for name in (other, first)] for report in reports]
        if all(known(value) for pair in pairs for value in pair):
            found[measure] = paired([left - right for left, right in pairs])
    return found


def _mean(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean over seeds of each number, including nested numbers. `NAME_se` is the standard error over seeds.

    Lists and strings are left out. A number that is missing for at least one seed is left out too.
    """
    mean: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name in figures[0]:
        values: list[Any] = [of_seed.get(name) for of_seed in figures]
        if all(map(known, values)):
            mean[name], errors[f"{name}_se"] = mean_and_error(values)
        elif all(isinstance(value, Mapping) for value in values) and (nested := _mean(values)):
            mean[name] = nested
    return {**mean, **{name: error for name, error in errors.items() if name in mean}}
