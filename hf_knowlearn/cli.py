"""The command line, `knowlearn`, and its commands. What the user can mend ends in exit code 2."""

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import hf_knowlearn
from hf_knowlearn.commands.model_arguments import add_commands
from hf_knowlearn.console import TEACH_EXAMPLE, command_console
from hf_knowlearn.paths import PACKAGE


def version() -> str:
    """The version, the commit if this is a checkout, and where the package lies: which copy is running."""
    from hf_knowlearn.teach.provenance import commit

    of_it = f" (commit {short})" if (short := commit()) else ""
    return f"knowlearn {hf_knowlearn.__version__}{of_it} from {PACKAGE}"


def quickstart(arguments: argparse.Namespace) -> int:
    """Teach the tiny base 300 new people three times, and show what each way of telling it achieved."""
    with command_console() as outcome:
        from hf_knowlearn.lab.quickstart import QUICKSTART, run_arms, run_seeds
        from hf_knowlearn.reports.report import summary

        options: dict[str, Any] = {"overwrite": arguments.overwrite}
        options |= {} if arguments.steps is None else {"max_steps": arguments.steps}
        options |= {} if arguments.model is None else {"model_name_or_path": arguments.model}
        if arguments.seeds is not None:
            report = run_seeds(QUICKSTART, arguments.output_dir, options, arguments.seeds)
        else:
            report = run_arms(QUICKSTART, arguments.output_dir, options)
        outcome.show(summary(report, arguments.output_dir))
    return outcome.code


def lab(arguments: argparse.Namespace) -> int:
    """Run a study, and show its tables as they fill."""
    with command_console() as outcome:
        from hf_knowlearn.lab.command import run

        options = {name: value for name, value in vars(arguments).items() if name != "command"}
        for line in run(**options):
            print(line, flush=True)
    return outcome.code


def views(arguments: argparse.Namespace) -> int:
    """Show one document in its views, or count what the views of all of them hold."""
    with command_console(resumes=False) as outcome:
        from hf_knowlearn.commands.views import Request, said

        options = {name: value for name, value in vars(arguments).items() if name not in ("command", "color")}
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal that can't show a letter gets its number
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            for block in said(Request(**options), _has_colour(arguments.color)):
                print(block)
            sys.stdout.flush()
        except BrokenPipeError:  # `knowlearn views ... | head`: who reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return outcome.code


def export_lm_eval(arguments: argparse.Namespace) -> int:
    """Write questions as tasks of EleutherAI's lm-evaluation-harness."""
    with command_console(resumes=False) as outcome:
        from hf_knowlearn.commands.export_lm_eval import export
        from hf_knowlearn.teach.sources import load_questions

        options = dict(vars(arguments))
        del options["command"]
        export(load_questions(options.pop("questions")), options.pop("output_dir"), **options)
    return outcome.code


def publish(arguments: argparse.Namespace) -> int:
    """Publish a taught model, views, questions or the metric on the Hub."""
    with command_console(resumes=False) as outcome:
        from hf_knowlearn.teach.publishing import Request, publish

        publish(Request(**{name: value for name, value in vars(arguments).items() if name != "command"}))
    return outcome.code


def use(arguments: argparse.Namespace) -> int:
    """Ask a taught model, measure it again, or merge it."""
    with command_console(resumes=False) as outcome:
        from importlib import import_module

        outcome.code = import_module(f"hf_knowlearn.commands.{arguments.command}").run(arguments, print)
    return outcome.code


def _has_colour(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"  # https://no-color.org
    return sys.stdout.isatty() and not plain


def _positive(word: str) -> int:
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word!r}: give a whole number, 1 or more")
    return int(word)


def _listed(word: str) -> list[str]:
    return word.split(",")


def _add_views(commands: Any) -> None:
    text = "show one document in several views in colour, or (--stats, --export) what the views of all of them hold"
    parser = commands.add_parser("views", help=text, description=text.capitalize() + ".")
    add = parser.add_argument
    add("path", metavar="PATH", help="a folder or file of documents, or world:SPLIT")
    add("--family", type=_listed, action="extend", help="formats (the default), order, masked, mixed: one or more")
    add("--num_views", type=int, default=6, help="views of a document (%(default)s)")
    add("--groups", type=_listed, action="extend", help="groups of formats to draw from, such as lists,headings")
    add("--hold_out", metavar="GROUP", help="a group of formats never drawn")
    add("--seed", type=int, default=0, help="what the views are drawn by (%(default)s)")
    add("--language", metavar="CODE", help="of all documents, in place of their own")
    add("--max_length", type=int, metavar="TOKENS", help="cut what is longer into parts, as teach does (not cut)")
    add("--part_tokens", type=int, metavar="TOKENS", help="tokens of such a part before it is laid out (512)")
    add("--tokenizer", default="tiny_base", metavar="NAME_OR_PATH", help="what counts tokens (%(default)s)")
    show = parser.add_argument_group("one document")
    show.add_argument("--document", metavar="ID", help="which (the first); with --stats, it alone is counted")
    show.add_argument("--part", type=int, metavar="NUMBER", help="which of its parts, if it is cut (0)")
    show.add_argument("--excerpt", type=int, metavar="CHARACTERS", help="shown of a view, 0 for all (1500)")
    show.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="on a terminal (auto)")
    count = parser.add_argument_group("all documents")
    count.add_argument("--stats", action="store_true", help="views, tokens, layout, by family")
    count.add_argument("--questions", metavar="FILE", help="which of these the views answer, and how often")
    count.add_argument("--epochs", type=int, help="of the run that would read the views (num_views)")
    count.add_argument("--json", metavar="FILE", help="write the figures, and those of each question, there too")
    count.add_argument("--export", metavar="DIR", help="write the views there as a dataset: parquet and a card")


def _add_lab(commands: Any) -> None:
    text = "run the arms of a study over seeds, and compare them at equal steps, gradient evaluations and time"
    parser = commands.add_parser("lab", help=text, description=f"{text.capitalize()}.")
    add = parser.add_argument
    add("study", type=Path, metavar="STUDY.yaml", help="such as recipes/lab/ten_minutes.yaml")
    add("--output_dir", type=Path, help="of the runs and the study's tables (outputs/lab/NAME)")
    add("--phase", choices=("screening", "final"), help="this phase alone (both)")
    add("--arms", nargs="+", metavar="ARM", help="these arms alone")
    add("--seeds", nargs="+", type=int, metavar="SEED", help="of the study's seeds, these alone")
    add("--steps", type=_positive, help="optimizer steps of each run or stage, instead of its own: for a trial")
    add("--jobs", type=_positive, help="runs side by side, which share the cores (one a core)")
    add("--record", type=Path, metavar="DIR", help="write the results there, too, as lab-NAME-DATE.json")
    add("--list", action="store_true", dest="only_list", help="say which runs there are, and run none")


def _add_export(commands: Any) -> None:
    text = "write questions as tasks of EleutherAI's lm-evaluation-harness"
    # What isn't given is left out, so that its default stands in one place, `export`.
    parser = commands.add_parser(
        "export-lm-eval", help=text, description=f"W{text[1:]}.", argument_default=argparse.SUPPRESS
    )
    add = parser.add_argument
    add("--questions", required=True, metavar="FILE", help="a file or folder of questions, or world:SPLIT")
    add("--output_dir", type=Path, default=Path("lm_eval_tasks"), help="a new folder (%(default)s)")
    add("--name", default="knowlearn", help="of the group of tasks (%(default)s)")
    add("--shots", type=int, help="examples of the same relation before each question (none)")
    add("--seed", type=int, help="what the examples are drawn by (0)")
    add("--max_new_tokens", type=int, help="an answer is cut after so many (32)")


def _add_publish(commands: Any) -> None:
    text = "put a taught model, views, questions or the metric on the Hub, with a card of what was measured"
    parser = commands.add_parser("publish", help=text, description=f"P{text[1:]}.", allow_abbrev=False)
    add = parser.add_argument
    add("kind", choices=("adapter", "views", "questions", "metric"), help="what; adapter is any taught model, too")
    add("source", nargs="?", metavar="SOURCE", help="a run's output_dir; a folder of views; a file of questions")
    add("--namespace", required=True, help="your name on the Hub, or your organisation's")
    add("--name", help="of the repository (that of SOURCE)")
    who = parser.add_mutually_exclusive_group()
    # Not given, it depends on whether what was taught is public already.
    who.add_argument("--private", action="store_true", default=None, help="a repository that nobody else may read")
    who.add_argument("--public", action="store_false", dest="private", help="one that all may read")
    add("--license", help="of what is published, such as cc-by-4.0 (that of the documents, if it is known)")
    add("--merged", action="store_true", help="adapter: publish the whole model, with the adapter made part of it")
    add("--base_model", metavar="OWNER/NAME", help="adapter: what its base, a folder here, is called on the Hub")
    add("--train", metavar="FILE", help="questions: those to train on (split qa_train)")
    add("--retention", metavar="FILE", help="questions: those that ask what was kept (split retention)")
    add("--dry_run", action="store_true", help="push nothing; write what would be pushed into --output_dir")
    add("--output_dir", type=Path, metavar="DIR", help="a new folder, for --dry_run")


class _Version(argparse.Action):
    """As argparse's own, but looks for the commit only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version())
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("knowlearn", description=hf_knowlearn.__doc__.splitlines()[0])
    # It leaves nothing among what was given: commands hand that on whole.
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="version, commit and place"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    quick = commands.add_parser("quickstart", help="teach a tiny model 300 made-up people, in about five minutes")
    quick.add_argument("--output_dir", type=Path, default=Path("outputs/quickstart"), help="where the report goes")
    quick.add_argument("--steps", type=_positive, help="optimizer steps of each arm, instead of the recipes' own")
    quick.add_argument("--seeds", type=int, nargs="+", help="two to ten seeds: means and paired differences over them")
    quick.add_argument("--model", help="another model to start from than the packaged tiny base")
    quick.add_argument("--overwrite", action="store_true", help="delete the runs that the output folder holds")
    commands.add_parser("teach", help=TEACH_EXAMPLE, add_help=False)
    _add_views(commands)
    _add_lab(commands)
    _add_export(commands)
    _add_publish(commands)
    add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry of the console script. Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["teach"]:  # its options are a recipe's; argparse would have to load TRL to know them
        from hf_knowlearn.teach.pipeline import main as teach

        return teach(words[1:])
    given = _parser().parse_args(words)
    own = {
        "quickstart": quickstart,
        "views": views,
        "lab": lab,
        "export-lm-eval": export_lm_eval,
        "publish": publish,
    }
    return own.get(given.command, use)(given)


if __name__ == "__main__":
    sys.exit(main())
