"""`knowlearn quickstart`: trains a tiny model on 300 made-up people in three ways, and compares the results."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "train a tiny model on 300 made-up people in three ways, in about five minutes"
    parser = subparsers.add_parser("quickstart", help=text, description=f"{text.capitalize()}.")
    add = parser.add_argument
    add("--output_dir", type=Path, default=Path("outputs/quickstart"), help="folder of the report (%(default)s)")
    add("--steps", type=positive, help="optimizer steps of each run, instead of those in the recipes")
    add("--seeds", type=int, nargs="+", help="two or more seeds: means and paired differences over them")
    add("--model", help="another model than the packaged tiny base")
    add("--overwrite", action="store_true", help="delete the runs in the output folder first")


def positive(word: str) -> int:
    """Parse an option that is a whole number of at least 1."""
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number of at least 1")
    return int(word)


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Train the three runs, and print the summary of their report."""
    if arguments.model is not None:
        from hf_knowlearn.models.hub_access import check_hub
        from hf_knowlearn.models.loading import model_path

        label = f"--model {arguments.model}"
        check_hub(model_path(arguments.model, label), label)
    from hf_knowlearn.lab.quickstart import QUICKSTART, run_recipes, run_seeds
    from hf_knowlearn.reports.markdown import next_step, summary
    from hf_knowlearn.reports.schema import best_run

    options = {
        "overwrite": arguments.overwrite,
        "max_steps": arguments.steps,
        "model_name_or_path": arguments.model,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if arguments.seeds is None:
        report = run_recipes(QUICKSTART, arguments.output_dir, options)
    else:
        report = run_seeds(QUICKSTART, arguments.output_dir, options, arguments.seeds)
    show(summary(report, arguments.output_dir))
    if arguments.seeds is None:
        show(next_step(report, arguments.output_dir / best_run(report)))
    return 0
