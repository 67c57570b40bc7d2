"""Finds the options of `knowlearn teach` on the command line of another command."""

from collections.abc import Collection, Sequence


def split_teach_words(words: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str], list[str]]:
    """Split a command line into three lists: the words of the command itself, the options of `knowlearn teach` with
    their values, and the unknown options.

    Args:
        own: the options of the command itself, with dashes.

    Example:
        >>> split_teach_words(["--num_views", "2", "docs", "--stats", "--lost"], ["--stats"])
        (['docs', '--stats'], ['--num_views', '2'], ['--lost'])
    """
    of_command: list[str] = []
    of_teach: list[str] = []
    unknown: list[str] = []
    at = 0
    while at < len(words):
        option, equals, _ = words[at].partition("=")
        if not option.startswith("--") or option in own:
            of_command.append(words[at])
            at += 1
            continue
        end = at + 1 if equals else _end_of_values(words, at)
        if is_teach_option(option):
            of_teach += words[at:end]
        else:
            unknown.append(option)
        at = end
    return of_command, of_teach, unknown


def teach_options() -> list[str]:
    """Return the options of `knowlearn teach`, with dashes, except options of the evaluation and of stages."""
    from hf_knowlearn.config.parsing import run_options
    from hf_knowlearn.config.recipes import SHORT_NAMES

    return [f"--{name}" for name in (*run_options(), *SHORT_NAMES, "config", "curriculum")]


def is_teach_option(option: str) -> bool:
    """Return whether `knowlearn teach` may have this option. This is assumed of every option with a dot."""
    return "." in option or f"--{option[2:].replace('-', '_')}" in teach_options()


def _end_of_values(words: Sequence[str], at: int) -> int:
    """Return the position of the first word after the values of the option at position `at`."""
    from hf_knowlearn.config.library_options import BOOLS
    from hf_knowlearn.config.parsing import evaluation_options, run_options

    name = words[at][2:].replace("-", "_").rpartition(".")[2]
    option = run_options().get(name) or evaluation_options().get(name)
    later = range(at + 1, len(words))
    end = next((number for number in later if words[number].startswith("--")), len(words))
    if option is not None and option.nargs == "+":
        return end
    if option is not None and option.nargs == "?" and words[at + 1 : end] and words[at + 1].lower() not in BOOLS:
        return at + 1
    return min(end, at + 2)
