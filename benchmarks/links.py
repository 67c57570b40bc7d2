"""What foretells recall, over several studies: `python benchmarks/links.py RESULT... [--chart FILE]`.

RESULT is what `knowlearn lab --record` wrote. One study has such a table of its own; here several become one.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hf_knowlearn.lab.comparisons import Run
from hf_knowlearn.lab.correlations import FORETELLS, link_rows, links
from hf_knowlearn.reports.charts import LINES, MARKERS, style
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.markdown import markdown_table

PANELS = ("knowledge tokens", "training loss")


def runs_of(result: Path) -> list[Run]:
    """The runs of all phases of a study's record."""
    phases = json.loads(result.read_text(encoding="utf-8"))["phases"].values()
    return [Run(run["arm"], run["seed"], run, {}) for phase in phases for run in phase["runs"]]


def draw(studies: dict[str, list[Run]], path: Path) -> None:
    """Recall against each of two figures, a mark for each run."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(8.4, 3.8), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
            for number, (study, runs) in enumerate(studies.items()):
                pairs = [(FORETELLS[name](run.figures), run.figures.get("exact_match")) for run in runs]
                across, up = zip(*(pair for pair in pairs if all(map(known, pair))), strict=True)
                axes.plot(across, up, MARKERS[number], color=LINES[number], label=study, markersize=5)
            axes.set(xlabel=name)
        figure.axes[0].set(ylabel="recall")
        figure.axes[0].legend(frameon=False)
        figure.savefig(path, dpi=150, format="png")


def main(words: Sequence[str] | None = None) -> None:
    """Print the table over all runs, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--chart", type=Path)
    given = parser.parse_args(words)
    studies = {result.stem.split("-")[1]: runs_of(result) for result in given.results}
    print("\n".join(markdown_table([*link_rows(links([run for runs in studies.values() for run in runs]))])))
    if given.chart:
        draw(studies, given.chart)


if __name__ == "__main__":
    main()
