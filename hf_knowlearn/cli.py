"""The command line `knowlearn`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import hf_knowlearn
from hf_knowlearn.console import command_console
from hf_knowlearn.paths import PACKAGE

COMMANDS = ("quickstart", "teach", "views", "lab", "ask", "recall", "merge", "export_lm_eval", "publish")
# Commands that continue an interrupted run when they are repeated.
RESUMES = ("quickstart", "lab")


def version() -> str:
    """Return the version and the folder of the package, and the commit of a git checkout."""
    from hf_knowlearn.teach.provenance import commit

    checkout = f" (commit {commit()})" if commit() else ""
    return f"knowlearn {hf_knowlearn.__version__}{checkout} from {PACKAGE}"


class _Version(argparse.Action):
    """Like argparse's `version` action, but the commit is looked up only when the option is used."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version())
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest the nearest command or option. Abbreviated options are not accepted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "allow_abbrev": False})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, but the parser of a command itself reports unknown arguments."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if "options_of_teach" in self._defaults:
            parsed.options_of_teach = unknown  # the command itself reads and checks them
            return parsed, []
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(map(self._with_suggestion, unknown))}")
        return parsed, unknown

    def _with_suggestion(self, word: str) -> str:
        from hf_knowlearn.config.parsing import did_you_mean

        return word + (did_you_mean(word, list(self._option_string_actions)) if word.startswith("--") else "")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        from hf_knowlearn.config.parsing import did_you_mean

        if action.dest == "command" and value not in (action.choices or ()):
            raise argparse.ArgumentError(
                action,
                f"there is no command {value!r}{did_you_mean(value, list(action.choices or ()))}.",
            )
        super()._check_value(action, value)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("knowlearn", description=(hf_knowlearn.__doc__ or "").splitlines()[0])
    # Why SUPPRESS: the namespace of a command then has only the options of this command.
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="version, commit and folder"
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        import_module(f"hf_knowlearn.commands.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`, by default in `sys.argv`. Return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["teach"]:
        from hf_knowlearn.commands import teach

        # Why: the options of `teach` come from TRL's configurations, and `teach` sets up its own console.
        return teach.run(argparse.Namespace(words=words[1:]), print)
    parsed = _parser().parse_args(words)
    name = parsed.command.replace("-", "_")
    with command_console(resumes=name in RESUMES) as outcome:
        outcome.code = import_module(f"hf_knowlearn.commands.{name}").run(parsed, outcome.show)
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
