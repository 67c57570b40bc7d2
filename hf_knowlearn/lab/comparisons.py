"""Computes differences between the arms of a study at equal steps, gradient evaluations or time.

Runs with the same seed are compared with each other. Arms that differ only in their number of steps are one method at
several budgets. The score of a method at a cost between two budgets is interpolated linearly. Outside the
range of the budgets, the score is unknown.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan, sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student_t

from hf_knowlearn.reports.formatting import known

# The scores that are compared.
MEASURES = ("correct", "consistency_all", "replayed", "retention")
# The costs at which two methods are compared, and their titles.
COSTS = {"steps": "steps", "gradient_evaluations": "gradient evaluations", "train_seconds": "time"}
# Options that do not change the method.
BUDGET = ("max_steps", "num_train_epochs", "run_name", "seed", "output_dir")

Figures = Mapping[str, Any]


class Run(NamedTuple):
    """A finished run: its arm, its seed, its measured figures and its options."""

    arm: str
    seed: int
    figures: Figures
    options: Mapping[str, Any]


class Comparison(NamedTuple):
    """The differences between an arm and its baseline, at equal cost.

    Args:
        arm: the name of the arm.
        against: the name of its baseline arm.
        cost: the cost that is equal, a key of `COSTS`.
        differences: for each measure, the `mean` difference and the number of `seeds`. With two or more seeds, also
            the limits `low` and `high` of its 95 % interval.
    """

    arm: str
    against: str
    cost: str
    differences: Mapping[str, Mapping[str, float]]


def paired(differences: Sequence[float]) -> dict[str, float]:
    """Return the mean of the differences and its 95 % interval by Student's t.

    Args:
        differences: the difference for each seed, for at least two seeds.

    Example:
        >>> paired([0.1, 0.2, 0.3])
        {'mean': 0.2, 'low': -0.048, 'high': 0.448}
    """
    mean, error = mean_and_error(differences)
    half = student_t.ppf(0.975, len(differences) - 1) * (error or 0.0)
    return {"mean": mean, "low": float(mean - half), "high": float(mean + half)}


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error, which is None for a single value."""
    error = statistics.stdev(values) / sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def figure(figures: Figures, name: str) -> Any:
    """Return the figure of a run with this name, or None. The figure "knowledge_tokens" is a mean probability."""
    value = figures.get(name)
    return value.get("probability") if isinstance(value, Mapping) else value


def pairs(runs: Iterable[Figures], one: str, other: str) -> list[tuple[float, float]]:
    """Return the values of the figures named `one` and `other`, for each run that has both figures."""
    found = [(figure(run, one), figure(run, other)) for run in runs]
    return [(left, right) for left, right in found if known(left) and known(right)]


def over_seeds(runs: Sequence[Run], name: str) -> tuple[float, float | None] | None:
    """Return the mean of a figure over runs, and the standard error of the mean. Return None if no run has it."""
    values = [value for run in runs if known(value := figure(run.figures, name))]
    return mean_and_error(values) if values else None


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each arm, by the name of the arm."""
    return {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}


def compare(runs: Sequence[Run], against: Mapping[str, str]) -> list[Comparison]:
    """Compare every arm with its baseline, at each kind of cost.

    Args:
        runs: the finished runs of a phase.
        against: the name of the baseline arm of each arm.
    """
    arms = by_arm(runs)
    found = []
    for arm, of_arm in arms.items():
        baseline = arms.get(against[arm])
        if baseline and not _is_same_method(of_arm[0], baseline[0]):
            method = [run for run in runs if _is_same_method(run, baseline[0])]
            found += [Comparison(arm, against[arm], cost, _at_equal(cost, of_arm, method)) for cost in COSTS]
    return [comparison for comparison in found if comparison.differences]


def _is_same_method(one: Run, other: Run) -> bool:
    first, second = ({k: v for k, v in run.options.items() if k not in BUDGET} for run in (one, other))
    return first == second


def _at_equal(cost: str, of_arm: Sequence[Run], method: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return, for each score, the difference between an arm and the method of its baseline at equal cost.

    Args:
        method: the runs of the baseline, and of all arms that differ from the baseline only in their number of steps.
    """
    differences: dict[str, dict[str, float]] = {}
    for measure in MEASURES:
        values = list(_differences(cost, measure, of_arm, method))
        if values:
            interval = paired(values) if len(values) > 1 else {"mean": values[0]}
            differences[measure] = {**interval, "seeds": len(values)}
    return differences


def _differences(cost: str, measure: str, of_arm: Sequence[Run], method: Sequence[Run]) -> Iterator[float]:
    """Yield the difference in one score for each seed with which both the arm and the method were run."""
    for run in of_arm:
        curve = [other.figures for other in method if other.seed == run.seed]
        for at, value in pairs([run.figures], cost, measure):
            other_value = value_at(curve, cost, at, measure)
            if other_value is not None:
                yield value - other_value


def value_at(curve: Sequence[Figures], cost: str, at: float, measure: str) -> float | None:
    """Return the score of a method at a cost, or None if the cost is outside the range of its budgets.

    The score is interpolated linearly between the two nearest budgets. For the cost "steps", nothing is interpolated:
    the score is known only if a budget has exactly this number of steps.

    Args:
        curve: the figures of the method at each budget.
        cost: the kind of cost, a key of `COSTS`.
        at: the amount of this cost, such as a number of steps.
        measure: the name of the score.
    """
    points = sorted(pairs(curve, cost, measure))
    if cost == "steps" or not points:
        return dict(points).get(at)
    costs, values = zip(*points, strict=True)
    value = np.interp(at, costs, values, left=nan, right=nan)
    return float(value) if known(value) else None
