"""The chart of a study: what is kept against what is learned, and what is learned for how many gradient evaluations.

The surprising decision: the two that users must trade stand against each other, so that an arm is better only if it
lies up and to the right.
"""

import statistics
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.reports.charts import LINES, MARKERS, style
from hf_knowlearn.reports.formatting import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("exact_match", "recall", "retention", "retention: nowhere in the run"),
    ("gradient_evaluations", "gradient evaluations", "exact_match", "recall"),
    ("knowledge_tokens", "probability of knowledge tokens, unread tellings", "exact_match", "recall"),
)


def draw(record: Mapping[str, Any], path: Path) -> None:
    """The last phase that has runs, as a PNG; a mark for each arm, with bars of one standard error over seeds."""
    from matplotlib.figure import Figure

    *_, runs = [[*map(_flat, phase["runs"])] for phase in record["phases"].values() if phase["runs"]]
    panels = [panel for panel in PANELS if any(known(run.get(panel[0])) and known(run.get(panel[2])) for run in runs)]
    arms = {arm: [run for run in runs if run["arm"] == arm] for arm in dict.fromkeys(run["arm"] for run in runs)}
    with style():
        rows = -(-len(arms) // 3)
        figure = Figure(figsize=(4.2 * max(1, len(panels)), 3.4 + 0.22 * rows), layout="constrained")
        for axes, (x, x_label, y, y_label) in zip(
            figure.subplots(1, max(1, len(panels)), squeeze=False)[0], panels, strict=False
        ):
            _marks(axes, arms, x, y)
            axes.set(xlabel=x_label, ylabel=y_label)
            axes.margins(0.12)
        if panels:
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        figure.savefig(path, dpi=150, format="png")


def _flat(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run with the one figure of its knowledge tokens that is drawn in place of all of them."""
    return {**run, "knowledge_tokens": (run.get("knowledge_tokens") or {}).get("probability")}


def _marks(axes: "Axes", arms: Mapping[str, Sequence[Mapping[str, Any]]], x: str, y: str) -> None:
    for number, (arm, runs) in enumerate(arms.items()):
        points = [(run[x], run[y]) for run in runs if known(run.get(x)) and known(run.get(y))]
        if not points:
            continue
        across, up = ([point[side] for point in points] for side in (0, 1))
        filled = number // len(LINES) % 2 == 0
        axes.errorbar(
            statistics.fmean(across),
            statistics.fmean(up),
            xerr=_error(across),
            yerr=_error(up),
            label=arm,
            color=LINES[number % len(LINES)],
            marker=MARKERS[(number + number // len(LINES)) % len(MARKERS)],
            fillstyle="full" if filled else "none",
            linestyle="none",
            markersize=6,
            elinewidth=1,
            capsize=2,
        )


def _error(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / sqrt(len(values)) if len(values) > 1 else None
