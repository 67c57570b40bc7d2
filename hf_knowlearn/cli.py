"""The command line: `knowlearn quickstart`, `knowlearn teach`. What the user can mend ends in exit code 2."""

import argparse
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hf_knowlearn

if TYPE_CHECKING:
    from hf_knowlearn.recall.report import Report

TEACH_EXAMPLE = "knowlearn teach --model MODEL --documents PATH [--questions FILE] --output_dir DIR"


@dataclass
class Outcome:
    """How a command ended, and where it shows what it made."""

    code: int = 0

    def show(self, report: "Report", folder: Path) -> None:
        """Print the report's table, what its columns mean, and where the files are; on the main process only."""
        from hf_knowlearn.recall.report import legend, to_text

        if _is_main_process():
            files = ", ".join(str(folder / name) for name in ("report.md", "recall.png", "report.json"))
            print(f"\n{to_text(report)}\n\n{legend(report)}\n\nWritten to {files}")


@contextmanager
def reporting() -> Iterator[Outcome]:
    """A command's surroundings: our messages on standard output, a `ValueError` as one message and exit code 2."""
    outcome = Outcome()
    handler = logging.StreamHandler(sys.stdout)
    logger = logging.getLogger("hf_knowlearn")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if _is_main_process() else logging.ERROR)
    try:
        with warnings.catch_warnings():
            # TRL sets both by their old names itself; whoever runs this can't mend it.
            warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
            yield outcome
    except ValueError as error:
        print(f"knowlearn: {error}", file=sys.stderr)
        outcome.code = 2
    except KeyboardInterrupt:
        print(
            "\nknowlearn: stopped. The same command goes on from the last checkpoint, if there is one.",
            file=sys.stderr,
        )
        outcome.code = 130  # what a shell gives a command that Ctrl-C ended
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0  # known before torch is loaded


def version() -> str:
    """The version, the commit if this is a checkout, and where the package lies: which copy is running."""
    package = Path(hf_knowlearn.__file__).parent
    command = ["git", "-C", str(package.parent), "rev-parse", "--short", "HEAD"]
    is_checkout = (package.parent / ".git").exists()
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() if is_checkout else ""
    return f"knowlearn {hf_knowlearn.__version__}{f' (commit {commit})' if commit else ''} from {package}"


def quickstart(arguments: argparse.Namespace) -> int:
    """Teach the tiny base 300 new people three times, and show what each way of telling it achieved."""
    with reporting() as outcome:
        from hf_knowlearn.lab import QUICKSTART, run_arms, run_seeds

        options: dict[str, Any] = {"overwrite": arguments.overwrite}
        options |= {} if arguments.steps is None else {"max_steps": arguments.steps}
        options |= {} if arguments.model is None else {"model_name_or_path": arguments.model}
        if arguments.seeds is not None:
            report = run_seeds(QUICKSTART, arguments.output_dir, options, arguments.seeds)
        else:
            report = run_arms(QUICKSTART, arguments.output_dir, options)
        outcome.show(report, arguments.output_dir)
    return outcome.code


def teach_command(arguments: Sequence[str]) -> int:
    """`knowlearn teach`: a user's own documents, or any recipe."""
    from hf_knowlearn.teach import main

    if {"-h", "--help"} & set(arguments):
        from transformers import HfArgumentParser

        from hf_knowlearn.recipe import TeachArguments

        epilog = "Beside these, every option of TRL's ModelConfig and of SAMConfig (TRL's SFTConfig and sam_*)."
        HfArgumentParser(TeachArguments, prog="knowlearn teach", usage=TEACH_EXAMPLE, epilog=epilog).print_help()
        return 0
    return main(arguments)


def _positive(word: str) -> int:
    if (number := int(word)) < 1:
        raise argparse.ArgumentTypeError(f"{word}: give 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("knowlearn", description=hf_knowlearn.__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=version(), help="version, commit and place")
    commands = parser.add_subparsers(dest="command", required=True)
    quick = commands.add_parser("quickstart", help="teach a tiny model 300 made-up people, in about five minutes")
    quick.add_argument("--output_dir", type=Path, default=Path("outputs/quickstart"), help="where the report goes")
    quick.add_argument("--steps", type=_positive, help="optimizer steps of each arm, instead of the recipes' own")
    quick.add_argument("--seeds", type=int, nargs="+", help="two to ten seeds: means and paired differences over them")
    quick.add_argument("--model", help="another model to start from than the packaged tiny base")
    quick.add_argument("--overwrite", action="store_true", help="delete the runs that the output folder holds")
    commands.add_parser("teach", help=TEACH_EXAMPLE, add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry of the console script. Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["teach"]:  # its options are a recipe's; argparse would have to load TRL to know them
        return teach_command(words[1:])
    return quickstart(_parser().parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
