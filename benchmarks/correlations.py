"""Correlations with the main score over several studies: `python benchmarks/correlations.py RESULT... [--chart FILE]`.

RESULT is a file that `knowlearn lab --record` wrote. The results of each study contain such a table. This script
computes one table for all of them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hf_knowlearn.lab.comparisons import Run, pairs
from hf_knowlearn.lab.correlations import PREDICTORS, correlation_rows, correlations
from hf_knowlearn.reports.charts import LINES, MARKERS, style
from hf_knowlearn.reports.markdown import markdown_table

PANELS = ("knowledge tokens", "training loss")


def runs_of(result: Path) -> list[Run]:
    """The runs of all phases of a study."""
    phases = json.loads(result.read_text(encoding="utf-8"))["phases"].values()
    return [Run(run["arm"], run["seed"], run, {}) for phase in phases for run in phase["runs"]]


def draw(studies: dict[str, list[Run]], score: str, path: Path) -> None:
    """Draw the score against each of two figures, with a mark for each run."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(8.4, 3.8), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2, sharey=True), PANELS, strict=True):
            for number, (study, runs) in enumerate(studies.items()):
                points = pairs([run.figures for run in runs], PREDICTORS[name], score)
                across, up = zip(*points, strict=True)
                axes.plot(across, up, MARKERS[number], color=LINES[number], label=study, markersize=5)
            axes.set(xlabel=name)
        figure.axes[0].set(ylabel=score.replace("_", " "))
        figure.axes[0].legend(frameon=False)
        figure.savefig(path, dpi=150, format="png")


def main(words: Sequence[str] | None = None) -> None:
    """Print the table over all runs, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--chart", type=Path)
    parser.add_argument(
        "--score",
        choices=("correct", "exact_match"),
        default="correct",
        help="results that were recorded before 29 November 2026 have exact_match only",
    )
    options = parser.parse_args(words)
    studies = {result.stem.split("-")[1]: runs_of(result) for result in options.results}
    every = [run for runs in studies.values() for run in runs]
    if not any(options.score in run.figures for run in every):
        parser.error(
            f"--score {options.score}: no run of these results has it. Use --score exact_match, or run again."
        )
    found = correlations(every, options.score)
    print("\n".join(markdown_table(list(correlation_rows(found)))))
    if options.chart:
        draw(studies, options.score, options.chart)


if __name__ == "__main__":
    main()
