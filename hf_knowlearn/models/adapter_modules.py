"""Checks that the modules named by the options of an adapter exist in the model."""

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from torch import nn

MOST_NAMES = 20  # listed in one message


def adapter_module_problems(model: nn.Module, config: Any) -> Iterator[str]:
    """Yield a message for each module of a LoRA configuration that the model does not have.

    Why: PEFT ignores a name in `modules_to_save` that the model does not have.

    Args:
        config: a `peft.LoraConfig`, or None without an adapter.
    """
    names = [name for name, _ in model.named_modules() if name]
    targets = getattr(config, "target_modules", None) or ()
    if isinstance(targets, str):
        if targets != "all-linear" and not any(re.fullmatch(targets, name) for name in names):
            yield _missing("lora_target_modules", targets, names)
        targets = ()
    named = {"lora_target_modules": targets, "lora_modules_to_save": getattr(config, "modules_to_save", None) or ()}
    for option, wanted in named.items():
        for module in sorted(wanted):
            if not any(f".{name}".endswith(f".{module}") for name in names):
                yield _missing(option, module, names)


def _missing(option: str, module: str, names: Collection[str]) -> str:
    known = sorted({part for name in names if not (part := name.rpartition(".")[2]).isdigit()})
    near = get_close_matches(module, known, 3) or known[:MOST_NAMES]
    return (
        f"--{option} {module}: the model has no module with this name. Names of modules in the model:"
        f" {', '.join(near)}. Change --{option}."
    )
