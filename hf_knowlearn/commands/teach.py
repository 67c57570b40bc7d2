"""`knowlearn teach`: trains a model on documents, and measures what it has learned and forgotten."""

import argparse
from collections.abc import Callable
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to the help. `hf_knowlearn.teach` parses the options of the command."""
    text = "train a model on documents, and evaluate what it learned and forgot"
    subparsers.add_parser("teach", help=text, add_help=False)


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Run `python -m hf_knowlearn.teach` with `arguments.words`."""
    from hf_knowlearn.teach.pipeline import main

    return main(arguments.words)
