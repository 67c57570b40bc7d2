"""Reports all problems of the user's input in one error."""

from collections.abc import Iterable


def raise_problems(problems: Iterable[str]) -> None:
    """Raise a `ValueError` with one line for each distinct problem. Do nothing if there are no problems."""
    if lines := list(dict.fromkeys(problems)):
        raise ValueError("\n".join(lines))
