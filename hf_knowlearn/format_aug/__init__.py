"""Format-augmented documents: the builder, and the folder that is published as its dataset.

The builder brings `datasets`, seconds of import, and is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import FormatAugmentedDataset, export, load_format_aug

__all__ = ["FormatAugmentedDataset", "export", "load_format_aug"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.builder"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
