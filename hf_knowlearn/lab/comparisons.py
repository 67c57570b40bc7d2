"""Differences between the arms of a study, paired over seeds, at equal steps, gradient evaluations or time.

Arms that differ only in their number of steps are one method at several budgets. At equal cost, the method's value is
interpolated linearly between its two nearest budgets, seed by seed. Outside the range of its budgets the value is
unknown.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan, sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student_t

from hf_knowlearn.reports.formatting import known

# The figures that are compared.
MEASURES = ("correct", "consistency_all", "replayed", "retention")
# The costs at which two methods are compared, and their titles.
COSTS = {"steps": "steps", "gradient_evaluations": "gradient evaluations", "train_seconds": "time"}
# Options that do not change the method.
BUDGET = ("max_steps", "num_train_epochs", "run_name", "seed", "output_dir")

Figures = Mapping[str, Any]


class Run(NamedTuple):
    """A finished run: the arm, the seed, the figures and the options."""

    arm: str
    seed: int
    figures: Figures
    options: Mapping[str, Any]


class Comparison(NamedTuple):
    """The differences between an arm and the method of its baseline arm, at an equal cost.

    For each measure, `differences` has the mean and the number of `seeds`. With two or more seeds, it also has the 95
    % interval (`low`, `high`).
    """

    arm: str
    against: str
    cost: str
    differences: Mapping[str, Mapping[str, float]]


def paired(differences: Sequence[float]) -> dict[str, float]:
    """The mean of paired differences over two or more seeds, and its 95 % interval by Student's t.

    Example:
        >>> paired([0.1, 0.2, 0.3])
        {'mean': 0.2, 'low': -0.048, 'high': 0.448}
    """
    mean, error = mean_and_error(differences)
    half = student_t.ppf(0.975, len(differences) - 1) * (error or 0.0)
    return {"mean": mean, "low": float(mean - half), "high": float(mean + half)}


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and its standard error. The error is None for a single value."""
    error = statistics.stdev(values) / sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def figure(figures: Figures, name: str) -> Any:
    """The figure `name` of a run, or None if the run lacks it. For `knowledge_tokens`, their probability."""
    value = figures.get(name)
    return value.get("probability") if isinstance(value, Mapping) else value


def pairs(runs: Iterable[Figures], one: str, other: str) -> list[tuple[float, float]]:
    """A pair of two figures for each run that has both."""
    found = [(figure(run, one), figure(run, other)) for run in runs]
    return [(left, right) for left, right in found if known(left) and known(right)]


def over_seeds(runs: Sequence[Run], name: str) -> tuple[float, float | None] | None:
    """The mean of a figure over an arm's seeds, and the standard error of the mean. None if the figure is unknown."""
    values = [value for run in runs if known(value := figure(run.figures, name))]
    return mean_and_error(values) if values else None


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each arm, in the order of the arms."""
    return {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}


def compare(runs: Sequence[Run], against: Mapping[str, str]) -> list[Comparison]:
    """Compare every arm with the method of its baseline, at each cost.

    Args:
        runs: The finished runs. Runs with the same seed are paired.
        against: The baseline arm of each arm.
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
    """The differences in each measure that both methods have."""
    differences: dict[str, dict[str, float]] = {}
    for measure in MEASURES:
        values = list(_differences(cost, measure, of_arm, method))
        if values:
            interval = paired(values) if len(values) > 1 else {"mean": values[0]}
            differences[measure] = {**interval, "seeds": len(values)}
    return differences


def _differences(cost: str, measure: str, of_arm: Sequence[Run], method: Sequence[Run]) -> Iterator[float]:
    """The difference for each seed that both methods have."""
    for run in of_arm:
        curve = [other.figures for other in method if other.seed == run.seed]
        for at, value in pairs([run.figures], cost, measure):
            other_value = value_at(curve, cost, at, measure)
            if other_value is not None:
                yield value - other_value


def value_at(curve: Sequence[Figures], cost: str, at: float, measure: str) -> float | None:
    """A method's value at a cost, interpolated linearly between its two nearest budgets. None outside these budgets.

    At equal steps nothing is interpolated.
    """
    points = sorted(pairs(curve, cost, measure))
    if cost == "steps" or not points:
        return dict(points).get(at)
    costs, values = zip(*points, strict=True)
    value = np.interp(at, costs, values, left=nan, right=nan)
    return float(value) if known(value) else None
