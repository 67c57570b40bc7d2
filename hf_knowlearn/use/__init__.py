"""`knowlearn ask`, `recall` and `merge`: a taught model loaded back, to be asked, measured again, and merged."""

import argparse
from collections.abc import Callable
from importlib import import_module

# By command, the module whose `run` does it. Each waits for torch; who only asks for help does not.
COMMANDS = {"ask": "asked", "recall": "recalled", "merge": "merged"}


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Do what was asked for, as `arguments.add_commands` has parsed it; returns the exit code.

    Args:
        show: is given what is to be printed, block by block.

    Raises:
        ValueError: whatever the user can mend.
    """
    code: int = import_module(f"{__name__}.{COMMANDS[arguments.command]}").run(arguments, show)
    return code
