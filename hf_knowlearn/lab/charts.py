"""The chart of a study: retention against exact match, and exact match against its cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.lab.comparisons import mean_and_error
from hf_knowlearn.reports.charts import LINES, MARKERS, style
from hf_knowlearn.reports.formatting import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("exact_match", "exact match", "retention", "retention"),
    ("gradient_evaluations", "gradient evaluations", "exact_match", "exact match"),
    ("knowledge_tokens", "probability of knowledge tokens in new views", "exact_match", "exact match"),
)


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draw the last phase that has runs as a PNG, with one mark and error bars of one standard error for each arm."""
    from matplotlib.figure import Figure

    *_, runs = [[*map(_flat, phase["runs"])] for phase in record["phases"].values() if phase["runs"]]
    panels = [panel for panel in PANELS if any(known(run.get(panel[0])) and known(run.get(panel[2])) for run in runs)]
    arms = {arm: [run for run in runs if run["arm"] == arm] for arm in dict.fromkeys(run["arm"] for run in runs)}
    count, legend_rows = max(1, len(panels)), -(-len(arms) // 3)
    with style():
        figure = Figure(figsize=(4.2 * count, 3.4 + 0.22 * legend_rows), layout="constrained")
        all_axes = figure.subplots(1, count, squeeze=False)[0]
        for axes, (x, x_label, y, y_label) in zip(all_axes, panels, strict=False):
            _draw_arms(axes, arms, x, y)
            axes.set(xlabel=x_label, ylabel=y_label)
            axes.margins(0.12)
        if panels:
            handles, labels = all_axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        figure.savefig(path, dpi=150, format="png")


def _flat(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run, with the probability of its knowledge tokens in place of all their figures."""
    return {**run, "knowledge_tokens": (run.get("knowledge_tokens") or {}).get("probability")}


def _draw_arms(axes: "Axes", arms: Mapping[str, Sequence[Mapping[str, Any]]], x: str, y: str) -> None:
    for number, (arm, runs) in enumerate(arms.items()):
        points = [(run[x], run[y]) for run in runs if known(run.get(x)) and known(run.get(y))]
        if not points:
            continue
        (across, x_error), (up, y_error) = (mean_and_error(values) for values in zip(*points, strict=True))
        turn = number // len(LINES)
        axes.errorbar(
            across,
            up,
            xerr=x_error,
            yerr=y_error,
            label=arm,
            color=LINES[number % len(LINES)],
            marker=MARKERS[(number + turn) % len(MARKERS)],
            fillstyle="none" if turn % 2 else "full",
            linestyle="none",
            markersize=6,
            elinewidth=1,
            capsize=2,
        )
