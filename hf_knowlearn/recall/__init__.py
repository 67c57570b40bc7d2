"""Recall: asking a model what it knows, and reporting what it answered."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_knowlearn.recall.asking import ask, prompt_for

__all__ = ["ask", "prompt_for"]


def __getattr__(name: str) -> Any:  # asking needs torch; the report of a run that is finished does not
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.asking"), name)
