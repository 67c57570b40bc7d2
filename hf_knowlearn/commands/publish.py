"""`knowlearn publish`: uploads a fine-tuned model, views, questions or the metric to the Hub, with a card."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "upload a fine-tuned model, views, questions or the metric to the Hub, with a card of what was measured"
    parser = subparsers.add_parser("publish", help=text, description=f"{text.capitalize()}.", allow_abbrev=False)
    add = parser.add_argument
    add("kind", choices=("adapter", "views", "questions", "metric"), help="adapter: any fine-tuned model")
    add("source", nargs="?", metavar="SOURCE", help="a run's output_dir, a folder of views, or a file of questions")
    add("--namespace", required=True, help="your name on the Hub, or your organisation's")
    add("--name", help="name of the repository (that of SOURCE)")
    # The default depends on whether the training documents are public.
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--private", action="store_true", default=None, help="only you can read the repository")
    who.add_argument("--public", action="store_false", dest="private", help="everyone can read it")
    add("--license", help="a licence, such as cc-by-4.0 (the licence of the documents, if known)")
    add("--merged", action="store_true", help="merge the adapter into its base model, and publish the whole model")
    add("--base_model", metavar="OWNER/NAME", help="Hub name of the base model, if the run used a local folder")
    add("--train", metavar="FILE", help="training questions (split qa_train)")
    add("--retention", metavar="FILE", help="retention questions (split retention)")
    add("--dry_run", action="store_true", help="upload nothing; write the repository's files into --output_dir")
    add("--output_dir", type=Path, metavar="DIR", help="a new folder, for --dry_run")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Upload the repository, or with --dry_run write its files into a folder."""
    from hf_knowlearn.teach.publishing import PublishOptions, publish

    publish(PublishOptions(**{name: value for name, value in vars(arguments).items() if name != "command"}))
    return 0
