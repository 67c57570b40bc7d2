"""Training: TRL's supervised trainer with sharpness-aware minimisation (SAM) and replay.

The names are imported on first use, so that `import hf_knowlearn.training` does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_knowlearn.training.config import SAMConfig
    from hf_knowlearn.training.mixin import SAMMixin
    from hf_knowlearn.training.options import SAMOptions
    from hf_knowlearn.training.replay_trainer import ReplaySFTTrainer
    from hf_knowlearn.training.sam import sam_ascent
    from hf_knowlearn.training.settings import ReplaySettings
    from hf_knowlearn.training.trainer import SAMSFTTrainer

__all__ = ["ReplaySFTTrainer", "ReplaySettings", "SAMConfig", "SAMMixin", "SAMOptions", "SAMSFTTrainer", "sam_ascent"]

_MODULES = {
    "ReplaySFTTrainer": "replay_trainer",
    "ReplaySettings": "settings",
    "SAMConfig": "config",
    "SAMMixin": "mixin",
    "SAMOptions": "options",
    "SAMSFTTrainer": "trainer",
    "sam_ascent": "sam",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
