"""The command line `knowlearn`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import hf_knowlearn
from hf_knowlearn.console import command_console
from hf_knowlearn.paths import PACKAGE
from hf_knowlearn.prompts.option_names import TEACH, VIEWS, command_options

COMMANDS = (
    "quickstart", "teach", "views", "questions", "lab", "ask", "recall", "check", "merge", "export_lm_eval", "publish",
    "prepare_model",
)  # fmt: skip
# Commands that continue an interrupted run when they are repeated.
RESUMES = ("quickstart", "lab")
# Commands whose options have other names than the settings in messages.
OPTION_NAMES = {"quickstart": TEACH, "lab": TEACH, "views": VIEWS}


def version() -> str:
    """Return the version and the folder of the package, and the commit of a git checkout."""
    from hf_knowlearn.teach.provenance import commit

    checkout = f" (commit {commit()})" if commit() else ""
    return f"knowlearn {hf_knowlearn.__version__}{checkout} from {PACKAGE}"


class _Version(argparse.Action):
    """An action that prints the version and exits.

    Unlike argparse's `version` action, this action finds out the commit only when the user gives `--version`.
    """

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version())
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest the command or option of the most similar name. Options cannot be abbreviated."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "allow_abbrev": False})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments as argparse does, but end the command with an error if arguments are unknown.

        If the command accepts the options of `knowlearn teach`, the attribute `options_of_teach` of the result has the
        words of these options.
        """
        if "options_of_teach" not in self._defaults:
            parsed, unknown = super().parse_known_args(args, namespace)
            self._check_known(unknown, [])
            return parsed, unknown
        from hf_knowlearn.commands.teach_words import split_teach_words, teach_options

        words, of_teach, unknown = split_teach_words(args, self._option_string_actions)
        self._check_known(unknown, teach_options())
        parsed, unknown = super().parse_known_args(words, namespace)
        self._check_known(unknown, [])
        parsed.options_of_teach = of_teach
        return parsed, unknown

    def _check_known(self, unknown: Sequence[str], more: Sequence[str]) -> None:
        """End the command with an error if there are unknown arguments.

        Args:
            more: options that the error can suggest, in addition to the options of this parser.
        """
        from hf_knowlearn.config.parsing import did_you_mean

        known = {name.lstrip("-"): name for name in (*self._option_string_actions, *more)}
        hints = [did_you_mean(word[2:], known) if word.startswith("--") else "" for word in unknown]
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(map(''.join, zip(unknown, hints, strict=True)))}")

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
    with command_options(OPTION_NAMES.get(name)), command_console(resumes=name in RESUMES) as outcome:
        outcome.code = import_module(f"hf_knowlearn.commands.{name}").run(parsed, outcome.show)
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
