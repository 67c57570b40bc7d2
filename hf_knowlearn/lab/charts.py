"""Draws the chart of a study. The panels plot retention against `correct`, and `correct` against the cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.lab.comparisons import Run, by_arm, mean_and_error, pairs
from hf_knowlearn.reports.charts import LINES, MARKERS, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("correct", "correct", "retention", "retention"),
    ("gradient_evaluations", "gradient evaluations", "correct", "correct"),
    ("knowledge_tokens", "probability of knowledge tokens in new views", "correct", "correct"),
)


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draw the chart of a study as a PNG. It shows the runs of the last phase that has finished runs.

    Each arm is a marker at the mean over its seeds, with error bars of one standard error.
    """
    from matplotlib.figure import Figure

    *_, runs = [phase["runs"] for phase in record["phases"].values() if phase["runs"]]
    panels = [panel for panel in PANELS if pairs(runs, panel[0], panel[2])]
    arms = by_arm([Run(run["arm"], run["seed"], run, {}) for run in runs])
    count, legend_rows = max(1, len(panels)), -(-len(arms) // 3)
    with style():
        figure = Figure(figsize=(4.2 * count, 3.4 + 0.22 * legend_rows), layout="constrained")
        all_axes = figure.subplots(1, count, squeeze=False)[0]
        for axes, (x, x_label, y, y_label) in zip(all_axes, panels, strict=False):
            for number, (arm, of_arm) in enumerate(arms.items()):
                _draw_arm(axes, number, arm, pairs([run.figures for run in of_arm], x, y))
            axes.set(xlabel=x_label, ylabel=y_label)
            axes.margins(0.12)
        if panels:
            handles, labels = all_axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        figure.savefig(path, dpi=150, format="png")


def _draw_arm(axes: "Axes", number: int, arm: str, points: Sequence[tuple[float, float]]) -> None:
    """Draw the mean of an arm's points. No two of the first 36 arms have the same colour and marker."""
    if not points:
        return
    (x, x_error), (y, y_error) = (mean_and_error(values) for values in zip(*points, strict=True))
    color, marker = LINES[number % len(LINES)], MARKERS[(number + number // len(LINES)) % len(MARKERS)]
    axes.errorbar(x, y, xerr=x_error, yerr=y_error, label=arm, color=color, marker=marker, linestyle="none", capsize=2)
