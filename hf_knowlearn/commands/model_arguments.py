"""Arguments: what `knowlearn ask`, `recall` and `merge` understand, as argparse has it.

The surprising decision: what isn't typed is None, so that defaults stand in one place (`Asking`), and so that an
option which would change nothing can be refused.
"""

import argparse
from pathlib import Path
from typing import Any

MODEL = "a run's output folder, a folder with a model or an adapter, a name on the Hub, or tiny_base"
# By its name in `Asking`, each option of it that is given.
ASKING = ("shots", "samples", "template", "instruction", "max_new_tokens", "batch_size", "seed")


def add_commands(commands: Any) -> None:
    """Add the parsers of the three commands."""
    _add_ask(commands)
    _add_recall(commands)
    _add_merge(commands)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """How to ask, as far as it was typed."""
    typed = {name: getattr(arguments, name, None) for name in ASKING}
    return {name: value for name, value in typed.items() if value is not None}


def _add_ask(commands: Any) -> None:
    text = "ask a model questions, closed book"
    parser = commands.add_parser("ask", help=text, description=f"{text.capitalize()}, and print its answers.")
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("questions", metavar="QUESTION", nargs="+", help="what is asked; - reads a question a line")
    _add_asking(parser)
    _add_loading(parser)


def _add_recall(commands: Any) -> None:
    text = "measure models by the same questions; or whether the figures of a card hold"
    more = (
        "With --questions: one table of all models, each with its paired difference to the first. Without: ask what"
        " each was measured by once more, in the same way, and say of every figure of its card whether it holds. Exit"
        " code 0: all hold; 1: not all; 2: it can't be repeated."
    )
    parser = commands.add_parser("recall", help=text, description=more)
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help=MODEL)
    add("--questions", metavar="FILE", help="questions about what was taught: a file, or world:SPLIT")
    add("--replayed_questions", metavar="FILE", help="about what was replayed")
    add("--retention_questions", metavar="FILE", help="about what appears nowhere in the run")
    add("--card", action="store_true", help="check the card, with the files given in place of those it names")
    add("--merged", action="store_true", help="a row more for each adapter: merged into its unquantised base")
    add("--output_dir", metavar="DIR", type=Path, help="write recall.json there")
    _add_asking(parser)
    parser.add_argument("--shots", type=int, help="answered questions of the same relation that go before (0)")
    parser.add_argument("--examples", metavar="FILE", help="where those are from (the questions that are asked)")
    parser.add_argument("--language", help="whose articles and punctuation don't count in an answer (en)")
    parser.add_argument("--batch_size", type=int, help="questions asked at once (128)")
    _add_loading(parser, "a row more for each model, loaded in 4 bits (an adapter: over its base in 4 bits)")


def _add_merge(commands: Any) -> None:
    text = "merge an adapter into its unquantised base"
    parser = commands.add_parser("merge", help=text, description=f"{text.capitalize()}, and write the whole model.")
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--output_dir", metavar="DIR", type=Path, required=True, help="a new folder")
    _add_dtype(parser, "of the merged weights (the base's own)")
    _add_revision(parser)


def _add_asking(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--template", choices=("plain", "chat", "auto"), help='"Question: ... Answer:" (plain), or the chat template')
    add("--instruction", help="what stands before every question")
    add("--max_answer_tokens", dest="max_new_tokens", type=int, help="an answer is cut here (32)")
    add("--samples", type=int, help="sampled answers to each question, beside the greedy one (0)")
    add("--seed", type=int, help="of samples and examples (0)")


def _add_loading(parser: argparse.ArgumentParser, in_4bit: str = "quantised by bitsandbytes") -> None:
    parser.add_argument("--load_in_4bit", action="store_true", help=in_4bit)
    _add_dtype(parser, "weights are loaded in (as stored; under an adapter, of the computation)")
    _add_revision(parser)


def _add_dtype(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help=text)


def _add_revision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--revision", help="of a model on the Hub: a branch, a tag or a commit")
