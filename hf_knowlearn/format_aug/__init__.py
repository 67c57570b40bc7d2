"""Makes training rows from documents. The module `rows` builds the rows of a run. `load_format_aug` loads views of
documents as a dataset.

This folder is also published on the Hub as the dataset `format_aug`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import FormatAugmentedDataset, load_format_aug

__all__ = ["FormatAugmentedDataset", "load_format_aug"]


# Why: the builder imports `datasets`, which takes seconds.
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.builder"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
