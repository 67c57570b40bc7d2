"""Training: TRL's supervised trainer with sharpness-aware minimisation.

The names are loaded when first used: `import hf_knowlearn.training` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_knowlearn.training.config import SAMConfig, SAMOptions
    from hf_knowlearn.training.mixin import SAMMixin
    from hf_knowlearn.training.one_pass import MSAM, LoRABalancedness
    from hf_knowlearn.training.sam import sam_ascent
    from hf_knowlearn.training.trainer import SAMSFTTrainer

__all__ = ["MSAM", "LoRABalancedness", "SAMConfig", "SAMMixin", "SAMOptions", "SAMSFTTrainer", "sam_ascent"]

_FILE = {
    "LoRABalancedness": "one_pass",
    "MSAM": "one_pass",
    "SAMConfig": "config",
    "SAMMixin": "mixin",
    "SAMOptions": "config",
    "SAMSFTTrainer": "trainer",
    "sam_ascent": "sam",
}


def __getattr__(name: str) -> Any:
    if name not in _FILE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
