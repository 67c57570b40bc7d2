"""Draws the charts of a report with matplotlib: the scores of each run, and loss and scores over optimizer steps.

The colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind readers can distinguish.
In a grey print, hatches, markers and line styles distinguish bars and lines.
"""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import COLUMNS, Report, column_titles, is_replayed, states

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.0  # inches; the text is still legible on a phone
INK = "#1b1f23"  # colour of text and axes; in the HTML page, they have the colour of the page's text
# For each bar: the name of the score, what its questions are about, the colour, the hatch.
BARS = (
    ("correct", "training documents", "#0072B2", ""),
    ("replayed", "replayed documents", "#E69F00", "//"),
    ("retention", "outside the training data", "#999999", ".."),
)
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":", "-", "--")
MARKERS = "osD^vP"
CURVES = {"loss": "training loss", **COLUMNS}

_ERROR_BAR = {"ecolor": INK, "capsize": 2, "elinewidth": 1}
_LEGEND: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "fontsize": 9}


def draw(report: Report, path: Path) -> None:
    """Draw the scores before and after training, with standard errors, and write the chart as a PNG.

    The report must have a score (see `has_scores`).
    """
    with style():
        scores_by_run(report).savefig(path, dpi=150, format="png")


def has_scores(report: Report) -> bool:
    """Return whether the report has a score that `draw` can show."""
    return any(known(scores.get(name)) for _, scores in states(report) for name in COLUMNS)


def charts(report: Report) -> dict[str, str]:
    """Return the charts for which the report has data, as SVG, by title."""
    found = {}
    with style():
        if has_scores(report):
            found["Scores by run"] = _svg(scores_by_run(report), "scores")
        if _logged(report):
            found["During training"] = _svg(curves(report), "curves")
    return found


def style() -> Any:
    """Return a context in which matplotlib draws charts in the style of a report."""
    from matplotlib import rc_context

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(inked, INK)
    style |= {"axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.6}
    style |= {"text.parse_math": False}  # a run name is not a formula
    # Why: text remains text in the SVG. It can be searched and read aloud, and it has the font of the page.
    style |= {"svg.fonttype": "none", "svg.hashsalt": "hf_knowlearn"}
    return rc_context(style)


def _svg(figure: "Figure", prefix: str) -> str:
    text = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Why: all charts are in the same page, and an id may occur only once in a page.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def scores_by_run(report: Report) -> "Figure":
    """Draw a group of bars for each evaluated state of the model (see `states`), with a bar for each known score."""
    rows = [(name, scores) for name, scores in states(report) if any(known(scores.get(bar[0])) for bar in BARS)]
    bars_of_rows = [[bar for bar in BARS if known(scores.get(bar[0]))] for _, scores in rows]
    titles = column_titles(report)
    # The bars of a state are adjacent. A gap of the height of a bar separates two states.
    starts = list(accumulate((len(bars) + 1 for bars in bars_of_rows), initial=0))
    figure, (axes,) = _panels([0.5 + 0.2 * starts[-1]])
    drawn: dict[str, Any] = {}
    for (_, scores), bars, start in zip(rows, bars_of_rows, starts[:-1], strict=True):
        for place, (name, meaning, colour, hatch) in enumerate(bars, start):
            label = f"{titles[name]}: {meaning}" if name != "replayed" or is_replayed(report) else titles[name]
            look: dict[str, Any] = {"color": colour, "hatch": hatch, "hatchcolor": INK, "error_kw": _ERROR_BAR}
            drawn[label] = axes.barh(place, scores[name], 0.9, xerr=_error(scores, name), label=label, **look)
            axes.bar_label(drawn[label], fmt="%.2f", padding=3, fontsize=8)
    centres = [(start + end) / 2 - 1 for start, end in pairwise(starts)]
    axes.set_yticks(centres, [_short(name) for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1.1), ylim=(starts[-1] - 1, -1), xlabel="share of questions")
    if drawn:
        figure.legend(list(drawn.values()), list(drawn), **_LEGEND)
    return figure


def curves(report: Report) -> "Figure":
    """Draw a panel for each figure that was logged during training, with a line for each run."""
    of_runs = {name: curve for name, figures in report["runs"].items() if (curve := figures.get("curve"))}
    names = _logged(report)
    figure, panels = _panels([1.7] * len(names), sharex=True)
    for axes, name in zip(panels, names, strict=True):
        axes.set_prop_cycle(color=LINES, linestyle=STYLES, marker=list(MARKERS))
        lines = [_line(axes, curve, name) for curve in of_runs.values()]
        axes.set_title(CURVES[name], loc="left", fontsize=10)
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("optimizer steps")
    if len(of_runs) > 1:
        figure.legend(lines, list(map(_short, of_runs)), ncols=2, **_LEGEND)
    return figure


def _line(axes: "Axes", curve: Sequence[Mapping[str, Any]], name: str) -> Any:
    """Draw the line of a run with error bars, and return it for the legend."""
    points = [point for point in curve if known(point.get(name))]
    steps, values = ([point[key] for point in points] for key in ("step", name))
    errors = [_error(point, name) for point in points]
    return axes.errorbar(steps, values, errors, markersize=3.5, linewidth=1.4, elinewidth=0.8, capsize=2)


def _logged(report: Report) -> list[str]:
    """Return the names of the figures that at least one run logged during training."""
    points = [point for figures in report["runs"].values() for point in figures.get("curve") or ()]
    return [name for name in CURVES if any(known(point.get(name)) for point in points)]


def _error(figures: Mapping[str, Any], name: str) -> float:
    """Return the standard error of a figure, or 0 if the error is unknown."""
    error = figures.get(f"{name}_se")
    return error if known(error) else 0


def _panels(heights: Sequence[float], sharex: bool = False) -> "tuple[Figure, list[Axes]]":
    """Return a matplotlib figure with panels in one column. Heights are in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    grid = figure.subplots(len(heights), sharex=sharex, squeeze=False, height_ratios=heights)
    return figure, list(grid[:, 0])


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
