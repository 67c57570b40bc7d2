"""Writes options of prompts and generation in messages as the user writes them, on a command line or in Python."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

OptionNames = Mapping[str, tuple[str, ...]]

# The options of each command by the name of the setting. Other settings have the same name as their option.
TEACH: OptionNames = {
    "template": ("evaluation.template", "document_template"),
    "batch_size": ("per_device_eval_batch_size",),
    **{name: (f"evaluation.{name}",) for name in ("shots", "instruction", "max_new_tokens", "open_book")},
}
VIEWS: OptionNames = {"template": ("document_template",)}
# The names of the command in use. None means that the caller is a Python program.
_names: ContextVar[OptionNames | None] = ContextVar("option_names", default=None)


@contextmanager
def command_options(names: OptionNames | None = None) -> Iterator[None]:
    """Within the block, write options as on the command line.

    Args:
        names: The options of settings that have another name on the command line. Several options can set one setting
            for different texts, such as questions and documents.
    """
    token = _names.set(names or {})
    try:
        yield
    finally:
        _names.reset(token)


def option(setting: str, value: object = None) -> str:
    """Return the option for a setting, with its value if one is given.

    Example:
        >>> option("template", "plain")
        "template='plain'"
        >>> with command_options(TEACH):
        ...     option("max_new_tokens", 40)
        '--evaluation.max_new_tokens 40'
    """
    names = _names.get()
    if names is None:
        return setting if value is None else f"{setting}={value!r}"
    given = "" if value is None else f" {str(value).lower() if isinstance(value, bool) else value}"
    return " and ".join(f"--{name}{given}" for name in names.get(setting, (setting,)))
