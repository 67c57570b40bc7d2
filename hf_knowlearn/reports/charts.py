"""Charts of a report by matplotlib: recall by arm, loss beside recall over steps, what became of each question and
of its class of mastery.

Colours are Okabe and Ito's, told apart by the colour-blind (https://jfly.uni-koeln.de/color/); hatches and line styles
tell them apart in grey. The surprising decision: a chart on the page is drawn in the colour of the page's text, which
turns light where the page turns dark.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.evaluation.mastery import CATEGORIES
from hf_knowlearn.reports.tables import COLUMNS, ROLES, Report, known, states

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.0  # inches: what a phone scales down and can still be read
INK = "#1b1f23"  # text and axes; on the page, the colour of its text
# Measure, its name, colour, hatch.
BARS = (
    ("exact_match", "recall: the new documents", "#0072B2", ""),
    ("replayed", "rehearsed: documents that are replayed", "#E69F00", "//"),
    ("retention", "retention: nowhere in the run", "#999999", ".."),
)
FATES = (
    ("learned", "#0072B2", ""),
    ("retained", "#56B4E9", "//"),
    ("never", "#DDDDDD", ""),
    ("forgotten", "#D55E00", "xx"),
)
# The better known, the darker: their order is seen in grey too.
SHADES = ("#0072B2", "#56B4E9", "#F0C36D", "#E4E4E4")
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vP"
CURVES = {"loss": "training loss", **COLUMNS}


def draw(report: Report, path: Path) -> None:
    """Recall, rehearsed and retention, before and by arm, with error bars of one standard error; as a PNG."""
    with style():
        by_arm(report).savefig(path, dpi=150, format="png")


def charts(report: Report) -> Iterator[tuple[str, str]]:
    """The title of each chart that has something to show, and its SVG, to be put into a page."""
    drawn: list[tuple[str, Callable[[Report], Figure], bool]] = [
        ("Recall by arm", by_arm, any(known(s.get(name)) for _, s in states(report) for name in COLUMNS)),
        ("Loss beside recall over steps", over_steps, bool(_curves(report))),
        ("Learned, kept, forgotten", fates, any(arm.get("transitions") for arm in report["runs"].values())),
        ("Mastery", mastery_flows, any(_mastery_flows(report))),
    ]
    for title, make, has_content in drawn:
        if has_content:
            with style():
                yield title, _svg(make(report), title)


def style() -> Any:
    """Within it, figures are drawn as all of ours are."""
    from matplotlib import rc_context

    style: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    )
    style |= {"axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.6}
    # Text stays text: it is found by a search, read aloud, and set in the page's type.
    style |= {"svg.fonttype": "none", "svg.hashsalt": "hf_knowlearn"}
    return rc_context(style)


def _svg(figure: "Figure", title: str) -> str:
    text = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Several charts share a page, and an id is one thing's.
    prefix = re.sub(r"\W+", "-", title.lower())
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def by_arm(report: Report) -> "Figure":
    """A bar for each measure that was asked, before, open book and by arm."""
    rows = states(report)
    asked = [[bar[0] for bar in BARS if known(scores.get(bar[0]))] for _, scores in rows]
    # Bars of a row lie side by side, a bar's height apart from the next row's.
    starts = [sum(max(1, len(names)) + 1 for names in asked[:i]) for i in range(len(rows))]
    height = sum(max(1, len(names)) + 1 for names in asked)
    figure, (axes,) = _panels([0.5 + 0.2 * height])
    for name, label, colour, hatch in BARS:
        of_rows = [
            (start + names.index(name), scores)
            for start, names, (_, scores) in zip(starts, asked, rows, strict=True)
            if name in names
        ]
        if not of_rows:
            continue
        shares = [scores[name] for _, scores in of_rows]
        errors = [scores[f"{name}_se"] if known(scores.get(f"{name}_se")) else 0 for _, scores in of_rows]
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "hatchcolor": INK, "error_kw": _ERROR}
        drawn = axes.barh([place for place, _ in of_rows], shares, 0.9, xerr=errors, label=label, **look)
        axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
    centres = [start + (max(1, len(names)) - 1) / 2 for start, names in zip(starts, asked, strict=True)]
    _name_rows(axes, centres, [name for name, _ in rows])
    axes.set(xlim=(0, 1.1), ylim=(height - 1, -1), xlabel="share of questions answered")
    if any(asked):
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return figure


_ERROR = {"ecolor": INK, "capsize": 2, "elinewidth": 1}


def over_steps(report: Report) -> "Figure":
    """A panel for each measure that was followed, over the same steps; a line for each arm."""
    from matplotlib.lines import Line2D

    curves = _curves(report)
    looks: list[dict[str, Any]] = [
        {"color": LINES[i % len(LINES)], "linestyle": STYLES[i % len(STYLES)], "marker": MARKERS[i % len(MARKERS)]}
        for i in range(len(curves))
    ]
    names = [name for name in CURVES if any(_points(curve, name) for curve in curves.values())]
    figure, panels = _panels([1.7] * len(names), sharex=True)
    for axes, name in zip(panels, names, strict=True):
        for look, curve in zip(looks, curves.values(), strict=True):
            if points := _points(curve, name):
                steps, values, errors = zip(*points, strict=True)
                axes.errorbar(steps, values, errors, **look, markersize=3.5, linewidth=1.4, elinewidth=0.8, capsize=2)
        axes.set_title(CURVES[name], loc="left", fontsize=10)
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("optimizer steps")
    if len(curves) > 1:
        lines = [Line2D([], [], **look, markersize=3.5) for look in looks]
        _legend(figure, lines, list(curves))
    return figure


def _curves(report: Report) -> dict[str, list[Mapping[str, Any]]]:
    curves = {name: arm.get("curve") or [] for name, arm in report["runs"].items()}
    return {name: curve for name, curve in curves.items() if any(_points(curve, measure) for measure in CURVES)}


def _points(curve: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float, float]]:
    """Steps, values and their errors (0 where not known), of the steps at which it was measured."""
    errors = [at.get(f"{name}_se") for at in curve]
    return [
        (at["step"], at[name], error if known(error) else 0)
        for at, error in zip(curve, errors, strict=True)
        if known(at.get(name))
    ]


def fates(report: Report) -> "Figure":
    """A panel for each role that was asked, and in it a bar for each arm: what became of the questions."""
    from matplotlib.patches import Patch

    by_role = {
        role: [(name, of) for name, arm in report["runs"].items() if (of := (arm.get("transitions") or {}).get(role))]
        for role in ROLES
    }
    by_role = {role: rows for role, rows in by_role.items() if rows}
    figure, panels = _panels([0.5 + 0.32 * len(rows) for rows in by_role.values()], sharex=True)
    for axes, (role, rows) in zip(panels, by_role.items(), strict=True):
        for place, (_, counts) in enumerate(rows):
            total = sum(counts[kind] for kind, *_ in FATES) or 1
            start = 0.0
            for kind, colour, hatch in FATES:
                part = counts[kind] / total
                axes.barh(place, part, 0.62, start, color=colour, hatch=hatch, **_OUTLINE)
                if part >= 0.06:
                    axes.text(start + part / 2, place, f"{counts[kind]:.0f}", **_ON_BAR)
                start += part
        _name_rows(axes, range(len(rows)), [name for name, _ in rows])
        axes.set_title(COLUMNS[ROLES[role]], loc="left", fontsize=10)
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    panels[-1].set_xlabel("share of questions")
    looks = [Patch(facecolor=colour, hatch=hatch, **_OUTLINE) for _, colour, hatch in FATES]
    _legend(figure, looks, [kind for kind, *_ in FATES])
    return figure


Flow = Mapping[str, Mapping[str, int]]  # class before -> class after -> questions


def draw_flow(flow: Flow, path: Path) -> None:
    """How many questions went from each class of mastery to each (`mastery.flow`); as a PNG."""
    with style():
        _flows({"": flow}).savefig(path, dpi=150, format="png")


def mastery_flows(report: Report) -> "Figure":
    """A panel for each arm whose questions were classified before and after."""
    return _flows(_mastery_flows(report))


def _mastery_flows(report: Report) -> dict[str, Flow]:
    flows = {name: (arm.get("mastery") or {}).get("flow") for name, arm in report["runs"].items()}
    return {name: flow for name, flow in flows.items() if flow}


BAR, GAP = 0.16, 0.025  # width of a bar, where 1 lies between the two; room between blocks, where 1 is all questions
LINE = 0.06  # height of a line of text, in the same unit


def _flows(flows: Mapping[str, Flow]) -> "Figure":
    figure, panels = _panels([2.6] * len(flows))
    for axes, (name, flow) in zip(panels, flows.items(), strict=True):
        after: Flow = {now: {was: flow[was][now] for was in CATEGORIES} for now in CATEGORIES}
        here, there = _blocks(axes, -BAR, flow, "right"), _blocks(axes, 1.0, after, "left")
        for was, shade in zip(CATEGORIES, SHADES, strict=True):
            for now in CATEGORIES:
                if height := flow[was][now] / _total(flow):
                    _band(axes, here[was], there[now], height, shade)
                    here[was] += height
                    there[now] += height
        axes.set(xlim=(-0.8, 1.8), ylim=(1 + 3 * GAP + 0.01, -0.1))
        axes.axis("off")
        for place, when in ((-BAR / 2, "before"), (1 + BAR / 2, "after")):
            axes.text(place, -0.03, when, ha="center", va="bottom", fontsize=9)
        axes.set_title(_short([name])[0], loc="left", fontsize=10, parse_math=False)
    return figure


def _total(flow: Flow) -> int:
    return sum(count for of_class in flow.values() for count in of_class.values()) or 1


def _blocks(axes: "Axes", left: float, flow: Flow, side: str) -> dict[str, float]:
    """Draw a bar of a block for each class, its name and count on the outer side; return where each block begins."""
    total, start, line = _total(flow), 0.0, -1.0
    outside = left - 0.04 if side == "right" else left + BAR + 0.04
    starts: dict[str, float] = {}
    for category, shade in zip(CATEGORIES, SHADES, strict=True):
        number = sum(flow[category].values())
        height = number / total
        axes.bar(left, height, BAR, start, align="edge", color=shade, edgecolor=INK, linewidth=0.4)
        # Classes of few questions lie close, and their names below one another.
        line = max(start + height / 2, line + LINE)
        axes.text(outside, line, f"{category} {number:,}", ha=side, va="center", fontsize=8)
        starts[category] = start
        start += height + GAP
    return starts


def _band(axes: "Axes", here: float, there: float, height: float, shade: str) -> None:
    """A band from one bar to the other, as high as its share of the questions."""
    from numpy import linspace

    across = linspace(0, 1)
    upper = here + (there - here) * across**2 * (3 - 2 * across)
    axes.fill_between(across, upper, upper + height, facecolor=(shade, 0.6), edgecolor=INK, linewidth=0.2)


_OUTLINE: dict[str, Any] = {"hatchcolor": INK, "edgecolor": INK, "linewidth": 0.4}
# A count stands on a plate of its own, so that it can be read on any colour and hatch.
_PLATE = {"boxstyle": "round,pad=0.15", "facecolor": "#FFFFFF", "edgecolor": "none"}
_ON_BAR: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": "#000000", "bbox": _PLATE}


def _panels(heights: Sequence[float], sharex: bool = False) -> "tuple[Figure, list[Axes]]":
    """A figure of one column of panels, of so many inches each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    grid = figure.subplots(len(heights), sharex=sharex, squeeze=False, height_ratios=heights)
    return figure, list(grid[:, 0])


def _name_rows(axes: "Axes", places: Sequence[float], names: Sequence[str]) -> None:
    """The names beside the rows; as they are, not as formulas."""
    axes.set_yticks(places, _short(names), parse_math=False)
    axes.tick_params(axis="y", length=0)


def _short(names: Sequence[str]) -> list[str]:
    return [name if len(name) <= 24 else f"{name[:23]}…" for name in names]


def _legend(figure: "Figure", looks: Sequence[Any], names: Sequence[str]) -> None:
    look: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "fontsize": 9}
    short = _short(names)
    in_a_line = max(1, 50 // max(map(len, short)))
    legend = figure.legend(looks, short, ncols=min(len(short), in_a_line), **look)
    for text in legend.get_texts():
        text.set_parse_math(False)
