"""What one arm has over another: paired over seeds, at equal steps, equal gradient evaluations and equal time.

The surprising decision: who takes part in a comparison at equal cost is not written down. Arms that differ in nothing
but their number of steps are one method at several budgets; between two of these its figures are read off a straight
line, seed by seed, and beyond them they are not known.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import Any, NamedTuple

from hf_knowlearn.reports.formatting import known

# Two-sided 95 % points of Student's t by degrees of freedom, for up to ten seeds.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
# What is compared, by its key in the figures of a run.
MEASURES = ("exact_match", "consistency_all", "replayed", "retention")
# What two methods are brought to equal, by the key of the figures.
COSTS = {"steps": "steps", "gradient_evaluations": "gradient evaluations", "train_seconds": "time"}
# Options that only say for how long an arm trains, or what it is called.
BUDGET = ("max_steps", "num_train_epochs", "arm", "seed", "output_dir")

Figures = Mapping[str, Any]


class Run(NamedTuple):
    """A finished run: its arm, its seed, its figures, and the options that it had."""

    arm: str
    seed: int
    figures: Figures
    options: Mapping[str, Any]


class Comparison(NamedTuple):
    """What `arm` has over the method of `against` at an equal `cost`, by measure: mean, 95 % interval, seeds."""

    arm: str
    against: str
    cost: str
    differences: Mapping[str, Mapping[str, float]]


def paired(differences: Sequence[float]) -> dict[str, float]:
    """The mean of paired differences and its 95 % interval, by Student's t over 2 to 10 seeds."""
    mean = statistics.fmean(differences)
    half = T_95[len(differences) - 2] * statistics.stdev(differences) / sqrt(len(differences))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def compare(runs: Sequence[Run], against: Mapping[str, str]) -> list[Comparison]:
    """Every arm against the method of its twin (`against`), at each cost where that was measured around it.

    Runs pair by seed. Of one seed there is a difference without an interval.
    """
    first = {run.arm: run for run in reversed(runs)}
    found = []
    for name in dict.fromkeys(run.arm for run in runs):
        twin = against[name]
        if twin in first and not _is_same_method(first[name], first[twin]):
            method = [run for run in runs if _is_same_method(run, first[twin])]
            found += [_at_equal(cost, name, runs, method, twin) for cost in COSTS]
    return [comparison for comparison in found if comparison.differences]


def _is_same_method(one: Run, other: Run) -> bool:
    return _method(one.options) == _method(other.options)


def _method(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in BUDGET}


def _at_equal(cost: str, name: str, runs: Iterable[Run], method: Sequence[Run], against: str) -> Comparison:
    of_arm = {run.seed: run.figures for run in runs if run.arm == name}
    differences = {}
    for measure in MEASURES:
        values = list(_differences(cost, measure, of_arm, method))
        if len(values) > 1:
            differences[measure] = {**paired(values), "seeds": len(values)}
        elif values:
            differences[measure] = {"mean": values[0], "seeds": 1}
    return Comparison(name, against, cost, differences)


def _differences(cost: str, measure: str, of_arm: Mapping[int, Figures], method: Sequence[Run]) -> Iterator[float]:
    """One a seed, of the seeds that both have."""
    for seed, figures in of_arm.items():
        curve = [run.figures for run in method if run.seed == seed]
        other = read_off(curve, cost, figures[cost], measure) if known(figures.get(cost)) else None
        if other is not None and known(figures.get(measure)):
            yield figures[measure] - other


def read_off(curve: Sequence[Figures], cost: str, at: float, measure: str) -> float | None:
    """A measure of a method at a cost, on the straight line between the two budgets next to it.

    None: it was not measured there, or on one side only. At equal steps nothing is read between budgets.
    """
    points = sorted((run[cost], run[measure]) for run in curve if known(run.get(cost)) and known(run.get(measure)))
    for place, value in points:
        if place == at:
            return float(value)
    if cost == "steps":
        return None
    for (left, low), (right, high) in pairwise(points):
        if left < at < right:
            return float(low + (high - low) * (at - left) / (right - left))
    return None


def over_seeds(runs: Sequence[Run], of_run: Callable[[Figures], float | None]) -> tuple[float, float | None] | None:
    """The mean of a figure over an arm's seeds and its standard error, which one seed has not; None where unknown."""
    values = [value for run in runs if known(value := of_run(run.figures))]
    if not values:
        return None
    error = statistics.stdev(values) / sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error
