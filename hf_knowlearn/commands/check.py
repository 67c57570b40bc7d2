"""`knowlearn check`: compares the figures of a finished run with the bars that the user sets, for use in a pipeline.

Exit codes: 0 if all bars are met, 3 if at least one bar is missed, 2 for an error. A bar on a figure that the run did
not measure is an error.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.run_files import REPORT

MISSED = 3  # exit code
Figures = Mapping[str, Any]


def _correct(before: Figures, after: Figures) -> float | None:
    return after.get("correct")


def _retention(before: Figures, after: Figures) -> float | None:
    counts = (after.get("transitions") or {}).get("retention_questions") or {}
    before_right = counts.get("retained", 0) + counts.get("forgotten", 0)
    return counts["retained"] / before_right if before_right else after.get("retention")


def _chat(before: Figures, after: Figures) -> float | None:
    old, new = ((figures.get("chat") or {}).get("fulfilled") for figures in (before, after))
    return new / old if known(old) and known(new) and old > 0 else None


def _reading(before: Figures, after: Figures) -> float | None:
    return after.get("open_book")


def _drift(before: Figures, after: Figures) -> float | None:
    return (after.get("drift") or {}).get("kl")


@dataclass(frozen=True)
class Bar:
    """A bar that a user can set.

    Args:
        value: Returns the figure from the figures before and after training. None if it was not measured.
        words: The name of the figure in a sentence.
        fix: How to make a run measure the figure.
        is_maximum: Whether the figure must be at most the bar. Otherwise, it must be at least the bar.
    """

    value: Callable[[Figures, Figures], float | None]
    words: str
    fix: str
    is_maximum: bool = False


BARS = {
    "min_correct": Bar(
        _correct,
        "the share of questions answered correctly after training",
        "Give the run --questions.",
    ),
    "min_retention": Bar(
        _retention,
        "the share of retention questions known before training that are still answered correctly",
        "Give the run --evaluation.retention_questions, or do not turn off --evaluation.general_knowledge.",
    ),
    "min_chat": Bar(
        _chat,
        "the number of fulfilled instructions after training divided by the number before",
        "It is measured with --evaluation.general_knowledge if the model has a chat template and fulfils at least one"
        " instruction before training.",
    ),
    "min_reading": Bar(
        _reading,
        "the share of questions answered correctly after training with the document in the prompt",
        "Give the run --evaluation.open_book true.",
    ),
    "max_drift": Bar(
        _drift,
        "the drift from the base model, in nats per token",
        "A run measures it if the base model generates words.",
        is_maximum=True,
    ),
}


@dataclass(frozen=True)
class Result:
    """A figure and its bar.

    Args:
        option: The option that sets the bar, such as `min_correct`.
        value: The figure of the run.
        met: Whether the figure meets the bar.
    """

    option: str
    value: float
    bar: float
    met: bool

    def sentence(self) -> str:
        """Return the measured figure and the bar as a sentence."""
        kind = BARS[self.option]
        words, limit = kind.words[0].upper() + kind.words[1:], "most" if kind.is_maximum else "least"
        but = "and" if self.met else "but"
        return f"{words} is {self.value:.4f}, {but} --{self.option} requires at {limit} {self.bar:g}."


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "compare the figures of a run with bars, for use in a pipeline"
    more = (
        f"{text.capitalize()}. The exit code is 0 if all bars are met, {MISSED} if at least one bar is missed, and 2"
        " for an error, such as a bar on a figure that the run did not measure."
    )
    parser = subparsers.add_parser("check", help=text, description=more)
    parser.add_argument("run", metavar="RUN", type=Path, help="the output folder of a finished run")
    for name, bar in BARS.items():
        side = "largest" if bar.is_maximum else "smallest"
        parser.add_argument(f"--{name}", type=float, metavar="BAR", help=f"{side} accepted value of {bar.words}")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print a sentence for each missed bar, or JSON. Return the exit code."""
    bars = {name: bar for name in BARS if (bar := getattr(arguments, name)) is not None}
    results = check(read_run(arguments.run), bars)
    missed = [result for result in results if not result.met]
    if arguments.json:
        content = {"run": str(arguments.run), "met": not missed, "bars": list(map(asdict, results))}
        show(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        for result in missed or results:
            show(result.sentence())
    return MISSED if missed else 0


def check(report: Mapping[str, Any], bars: Mapping[str, float]) -> list[Result]:
    """Compare the figures of a report with bars.

    Args:
        report: The report of a single run.
        bars: The bars by the names in `BARS`.

    Raises:
        ValueError: There is no bar, a bar is out of range, or a figure was not measured. The message lists all
            problems.

    Example:
        >>> check(report, {"min_correct": 0.6})
        [Result(option='min_correct', value=0.72, bar=0.6, met=True)]
    """
    names = ", ".join(f"--{name}" for name in BARS)
    problems = [] if bars else [f"There is no bar to check. Give at least one of {names}."]
    (after,) = report["runs"].values()
    results = []
    for option, bar in bars.items():
        kind = BARS[option]
        highest = float("inf") if kind.is_maximum else 1
        if not 0 <= bar <= highest or bar == float("inf"):
            limits = "a number of at least 0" if kind.is_maximum else "a number from 0 to 1"
            problems.append(f"--{option} {bar:g}: give {limits}.")
        value = kind.value(report["before"], after)
        if not known(value):
            problems.append(f"--{option}: the run did not measure {kind.words}. {kind.fix}")
            continue
        # Why with a tolerance: 0.38 / 0.4 is a little below 0.95 in floating point.
        met = value <= bar + 1e-9 if kind.is_maximum else value >= bar - 1e-9
        results.append(Result(option, value, bar, met))
    raise_problems(problems)
    return results


def read_run(folder: Path) -> dict[str, Any]:
    """Read the report of a single run from its output folder.

    Raises:
        ValueError: There is no report, the file is not a report, or the report has several runs or seeds.
    """
    path = folder / REPORT
    if not path.is_file():
        raise ValueError(f"{folder}: there is no {REPORT}. Give the output folder of a finished run.")
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        runs, _ = report["runs"], report["before"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: this file is not the report of a run. Give the output folder of a run.") from None
    if len(runs) != 1 or report.get("by_seed"):
        raise ValueError(f"{path}: the report is about several runs. Give the output folder of one of these runs.")
    return report
