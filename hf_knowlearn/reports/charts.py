"""Charts of a report by matplotlib: scores by run, loss and exact match over steps, transitions, mastery.

The colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind readers can distinguish;
hatches and line styles distinguish them in grey.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import COLUMNS, ROLES, states
from hf_knowlearn.reports.tables import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.0  # inches: still legible when a phone scales it down
INK = "#1b1f23"  # text and axes; on the page it becomes the colour of the page's text
# Figure, name, colour, hatch.
BARS = (
    ("exact_match", "exact match: training documents", "#0072B2", ""),
    ("replayed", "replayed: replayed documents", "#E69F00", "//"),
    ("retention", "retention: nowhere in the run", "#999999", ".."),
)
TRANSITIONS = (
    ("learned", "#0072B2", ""),
    ("retained", "#56B4E9", "//"),
    ("never", "#DDDDDD", ""),
    ("forgotten", "#D55E00", "xx"),
)
# Why: darker means better known, so that the order of the classes is visible in grey too.
SHADES = ("#0072B2", "#56B4E9", "#F0C36D", "#E4E4E4")
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vP"
CURVES = {"loss": "training loss", **COLUMNS}

_ERROR_BAR = {"ecolor": INK, "capsize": 2, "elinewidth": 1}
_OUTLINE: dict[str, Any] = {"hatchcolor": INK, "edgecolor": INK, "linewidth": 0.4}
# Why: a count has a white background, so that it is legible on any colour and hatch.
_BACKGROUND = {"boxstyle": "round,pad=0.15", "facecolor": "#FFFFFF", "edgecolor": "none"}
_COUNT: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": "#000000", "bbox": _BACKGROUND}
_LEGEND: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "fontsize": 9}

Flow = Mapping[str, Mapping[str, int]]  # class before -> class after -> number of questions, best class first


def draw(report: Report, path: Path) -> None:
    """Write scores.png: exact match, replayed and retention for each state of the model, with standard errors."""
    with style():
        scores_by_run(report).savefig(path, dpi=150, format="png")


def charts(report: Report) -> Iterator[tuple[str, str]]:
    """The title and the SVG of each chart that has something to show."""
    has_scores = any(known(scores.get(name)) for _, scores in states(report) for name in COLUMNS)
    available: list[tuple[str, Callable[[Report], Figure], bool]] = [
        ("Scores by run", scores_by_run, has_scores),
        ("Loss and exact match over steps", curves, bool(_curves(report))),
        ("Learned, retained, forgotten", transitions, any(run.get("transitions") for run in report["runs"].values())),
        ("Mastery", mastery_flows, any(_mastery_flows(report))),
    ]
    for title, make, has_content in available:
        if has_content:
            with style():
                yield title, _svg(make(report), title)


def style() -> Any:
    """A context in which figures get the style of a report."""
    from matplotlib import rc_context

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(inked, INK)
    style |= {"axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.6}
    # Why: text stays text in the SVG, so that it can be searched and read aloud, and has the page's font.
    style |= {"svg.fonttype": "none", "svg.hashsalt": "hf_knowlearn"}
    return rc_context(style)


def _svg(figure: "Figure", title: str) -> str:
    text = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Why: all charts are in one page, where an id must be unique.
    prefix = re.sub(r"\W+", "-", title.lower())
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def scores_by_run(report: Report) -> "Figure":
    """A group of bars for each state of the model, one bar for each headline figure that is known."""
    rows = states(report)
    names_of_rows = [[bar[0] for bar in BARS if known(scores.get(bar[0]))] for _, scores in rows]
    # The bars of a state are adjacent; a gap as high as a bar separates them from the next state's.
    heights = [max(1, len(names)) + 1 for names in names_of_rows]
    starts = [sum(heights[:i]) for i in range(len(rows))]
    figure, (axes,) = _panels([0.5 + 0.2 * sum(heights)])
    for name, label, colour, hatch in BARS:
        shown = [
            (start + names.index(name), scores)
            for start, names, (_, scores) in zip(starts, names_of_rows, rows, strict=True)
            if name in names
        ]
        if shown:
            places, of_rows = zip(*shown, strict=True)
            values = [scores[name] for scores in of_rows]
            errors = [_error(scores, name) for scores in of_rows]
            look: dict[str, Any] = {"color": colour, "hatch": hatch, "hatchcolor": INK, "error_kw": _ERROR_BAR}
            bars = axes.barh(places, values, 0.9, xerr=errors, label=label, **look)
            axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    centres = [start + (height - 2) / 2 for start, height in zip(starts, heights, strict=True)]
    _name_rows(axes, centres, [name for name, _ in rows])
    axes.set(xlim=(0, 1.1), ylim=(sum(heights) - 1, -1), xlabel="share of questions")
    if any(names_of_rows):
        figure.legend(**_LEGEND)
    return figure


def _error(figures: Mapping[str, Any], name: str) -> float:
    """The standard error of a figure; 0 if it is not known."""
    error = figures.get(f"{name}_se")
    return error if known(error) else 0


def curves(report: Report) -> "Figure":
    """A panel for each figure that was logged during training, over the same steps, with a line for each run."""
    from matplotlib.lines import Line2D

    of_runs = _curves(report)
    looks: list[dict[str, Any]] = [
        {"color": LINES[i % len(LINES)], "linestyle": STYLES[i % len(STYLES)], "marker": MARKERS[i % len(MARKERS)]}
        for i in range(len(of_runs))
    ]
    names = [name for name in CURVES if any(_points(curve, name) for curve in of_runs.values())]
    figure, panels = _panels([1.7] * len(names), sharex=True)
    for axes, name in zip(panels, names, strict=True):
        for look, curve in zip(looks, of_runs.values(), strict=True):
            if points := _points(curve, name):
                steps, values, errors = zip(*points, strict=True)
                axes.errorbar(steps, values, errors, **look, markersize=3.5, linewidth=1.4, elinewidth=0.8, capsize=2)
        axes.set_title(CURVES[name], loc="left", fontsize=10)
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("optimizer steps")
    if len(of_runs) > 1:
        _legend(figure, [Line2D([], [], **look, markersize=3.5) for look in looks], list(of_runs))
    return figure


def _curves(report: Report) -> dict[str, list[Mapping[str, Any]]]:
    found = {name: figures.get("curve") or [] for name, figures in report["runs"].items()}
    return {name: curve for name, curve in found.items() if any(_points(curve, figure) for figure in CURVES)}


def _points(curve: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float, float]]:
    """Step, value and standard error of each point at which the figure was measured."""
    return [(point["step"], point[name], _error(point, name)) for point in curve if known(point.get(name))]


def transitions(report: Report) -> "Figure":
    """A panel for each role, with a bar for each run: how many questions were learned, retained, forgotten, never."""
    from matplotlib.patches import Patch

    of_runs = [(name, figures.get("transitions") or {}) for name, figures in report["runs"].items()]
    by_role = {role: [(name, of[role]) for name, of in of_runs if of.get(role)] for role in ROLES}
    by_role = {role: rows for role, rows in by_role.items() if rows}
    figure, panels = _panels([0.5 + 0.32 * len(rows) for rows in by_role.values()], sharex=True)
    for axes, (role, rows) in zip(panels, by_role.items(), strict=True):
        for place, (_, counts) in enumerate(rows):
            _stacked_bar(axes, place, counts)
        _name_rows(axes, range(len(rows)), [name for name, _ in rows])
        axes.set_title(COLUMNS[ROLES[role]], loc="left", fontsize=10)
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    panels[-1].set_xlabel("share of questions")
    looks = [Patch(facecolor=colour, hatch=hatch, **_OUTLINE) for _, colour, hatch in TRANSITIONS]
    _legend(figure, looks, [kind for kind, *_ in TRANSITIONS])
    return figure


def _stacked_bar(axes: "Axes", place: float, counts: Mapping[str, float]) -> None:
    total = sum(counts[kind] for kind, *_ in TRANSITIONS) or 1
    start = 0.0
    for kind, colour, hatch in TRANSITIONS:
        part = counts[kind] / total
        axes.barh(place, part, 0.62, start, color=colour, hatch=hatch, **_OUTLINE)
        if part >= 0.06:
            axes.text(start + part / 2, place, f"{counts[kind]:.0f}", **_COUNT)
        start += part


# Units of the mastery chart: the bars are at x = 0 and x = 1, and all questions are 1 high.
BAR, GAP, LINE = 0.16, 0.025, 0.06  # width of a bar, gap between blocks, height of a line of text


def mastery_flows(report: Report) -> "Figure":
    """A panel for each run whose questions were classified before and after: how many moved between which classes."""
    flows = _mastery_flows(report)
    figure, panels = _panels([2.6] * len(flows))
    for axes, (name, flow) in zip(panels, flows.items(), strict=True):
        classes = list(flow)
        after: Flow = {now: {was: flow[was][now] for was in classes} for now in classes}
        left, right = _blocks(axes, -BAR, flow, "right"), _blocks(axes, 1.0, after, "left")
        for was, shade in zip(classes, SHADES, strict=True):
            for now in classes:
                if height := flow[was][now] / _total(flow):
                    _band(axes, left[was], right[now], height, shade)
                    left[was] += height
                    right[now] += height
        axes.set(xlim=(-0.8, 1.8), ylim=(1 + 3 * GAP + 0.01, -0.1))
        axes.axis("off")
        for place, when in ((-BAR / 2, "before"), (1 + BAR / 2, "after")):
            axes.text(place, -0.03, when, ha="center", va="bottom", fontsize=9)
        axes.set_title(_short([name])[0], loc="left", fontsize=10, parse_math=False)
    return figure


def _mastery_flows(report: Report) -> dict[str, Flow]:
    flows = {name: (figures.get("mastery") or {}).get("flow") for name, figures in report["runs"].items()}
    return {name: flow for name, flow in flows.items() if flow}


def _total(flow: Flow) -> int:
    return sum(count for counts in flow.values() for count in counts.values()) or 1


def _blocks(axes: "Axes", left: float, flow: Flow, side: str) -> dict[str, float]:
    """Draw a bar with a block for each class, its name and count beside it. Returns the top of each block."""
    total, start, line = _total(flow), 0.0, -1.0
    outside = left - 0.04 if side == "right" else left + BAR + 0.04
    starts: dict[str, float] = {}
    for (category, counts), shade in zip(flow.items(), SHADES, strict=True):
        count = sum(counts.values())
        height = count / total
        axes.bar(left, height, BAR, start, align="edge", color=shade, edgecolor=INK, linewidth=0.4)
        # Why: the blocks of small classes are close together, and their names must not overlap.
        line = max(start + height / 2, line + LINE)
        axes.text(outside, line, f"{category} {count:,}", ha=side, va="center", fontsize=8)
        starts[category] = start
        start += height + GAP
    return starts


def _band(axes: "Axes", start: float, end: float, height: float, shade: str) -> None:
    """A band from the left bar to the right one, as high as its share of the questions."""
    from numpy import linspace

    x = linspace(0, 1)
    upper = start + (end - start) * x**2 * (3 - 2 * x)
    axes.fill_between(x, upper, upper + height, facecolor=(shade, 0.6), edgecolor=INK, linewidth=0.2)


def _panels(heights: Sequence[float], sharex: bool = False) -> "tuple[Figure, list[Axes]]":
    """A figure with one column of panels, with these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    grid = figure.subplots(len(heights), sharex=sharex, squeeze=False, height_ratios=heights)
    return figure, list(grid[:, 0])


def _name_rows(axes: "Axes", places: Sequence[float], names: Sequence[str]) -> None:
    """Put the names beside the rows, as plain text and not as formulas."""
    axes.set_yticks(places, _short(names), parse_math=False)
    axes.tick_params(axis="y", length=0)


def _short(names: Sequence[str]) -> list[str]:
    return [name if len(name) <= 24 else f"{name[:23]}…" for name in names]


def _legend(figure: "Figure", looks: Sequence[Any], names: Sequence[str]) -> None:
    short = _short(names)
    per_line = max(1, 50 // max(map(len, short)))
    legend = figure.legend(looks, short, ncols=min(len(short), per_line), **_LEGEND)
    for text in legend.get_texts():
        text.set_parse_math(False)
