"""`knowlearn teach`: train a model on documents, and measure what it learned and forgot."""

import argparse
from collections.abc import Callable
from typing import Any


def add_parser(subparsers: Any) -> None:
    """List the command. Its options are those of a recipe, which `hf_knowlearn.teach` parses itself."""
    text = "train a model on documents, and evaluate what it learned and forgot"
    subparsers.add_parser("teach", help=text, add_help=False)


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Run `python -m hf_knowlearn.teach` with `arguments.words`."""
    from hf_knowlearn.teach.pipeline import main

    return main(arguments.words)
