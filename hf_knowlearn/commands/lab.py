"""`knowlearn lab`: runs a study, and compares its runs at equal numbers of steps, gradient evaluations and seconds."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_knowlearn.commands.quickstart import positive


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "run the arms of a study over seeds, and compare them at equal steps, gradient evaluations and time"
    parser = subparsers.add_parser("lab", help=text, description=f"{text.capitalize()}.")
    add = parser.add_argument
    add("study", type=Path, metavar="STUDY.yaml", help="such as recipes/lab/ten_minutes.yaml")
    add("--output_dir", type=Path, help="folder of the runs and the tables (outputs/lab/NAME)")
    add("--phase", choices=("screening", "final"), help="only this phase (both)")
    add("--arms", nargs="+", metavar="ARM", help="only these arms")
    add("--seeds", nargs="+", type=int, metavar="SEED", help="only these seeds of the study")
    add("--steps", type=positive, help="optimizer steps of each run or stage, to try out a study")
    add("--jobs", type=positive, help="number of runs at the same time (one per core)")
    add("--record", type=Path, metavar="DIR", help="also write the results to DIR/lab-NAME-DATE.json")
    add("--list", action="store_true", dest="only_list", help="list the runs without running them")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Run the study, and print its progress and its tables."""
    from hf_knowlearn.lab.study import read_study

    # Why: the recipes of all arms are read with the libraries, which takes seconds.
    arms = read_study(arguments.study).arms
    if unknown := [arm for arm in arguments.arms or () if arm not in arms]:
        raise ValueError(f"--arms {' '.join(unknown)}: the study has no such arm. Its arms are {', '.join(arms)}.")
    from hf_knowlearn.lab.run_study import run_study

    options = {name: value for name, value in vars(arguments).items() if name != "command"}
    for line in run_study(**options):
        show(line)
    return 0
