"""The precision of a run: chooses the default precision, and describes the precision in words."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_knowlearn.training import SAMConfig

# Files in /dev that the drivers of GPUs and other accelerators create on Linux.
DEVICES = ("nvidia*", "dxg", "kfd", "dri", "accel*", "davinci*")
NO_GPU = "fp16=True needs a GPU, and this run has none. Remove fp16 and bf16 to use the default precision."


def fp16_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message if the options set fp16 and the run certainly has no GPU. This function does not load torch."""
    has_none = sys.platform == "linux" and not any(any(Path("/dev").glob(name)) for name in DEVICES)
    if options.get("fp16") and (options.get("use_cpu") or has_none):
        yield NO_GPU


def precision_words(options: Mapping[str, Any]) -> list[str]:
    """Return the default precision as words of a command line, or no words if the options set the precision.

    The default is bf16 on GPUs that support it, fp16 on other GPUs, and fp32 on a CPU.

    Raises:
        ValueError: the options set fp16, and there is no GPU.
    """
    # Why: TRL's default is always bf16, which raises an error on a machine without a GPU.
    import torch

    cuda = torch.cuda.is_available() and not options.get("use_cpu")
    accelerator = torch.accelerator.is_available() and not options.get("use_cpu")
    if options.get("fp16") and not accelerator:
        raise ValueError(NO_GPU)
    if options.get("bf16") or options.get("fp16"):
        return []
    native = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = native and options.get("bf16") is not False
    fp16 = cuda and not native and options.get("fp16") is not False
    words = [f"--bf16={bf16}", f"--fp16={fp16}"]
    return words if accelerator else [*words, "--use_cpu=True"]


def describe_precision(training: "SAMConfig", model: "PreTrainedModel") -> str:
    """Describe the precision of a run in words, such as "bf16 autocast on cuda, weights loaded in 4 bits"."""
    compute = {"no": "fp32"}.get(training.mixed_precision, f"{training.mixed_precision} autocast")
    bits = [f"{bits} bits" for bits in (4, 8) if getattr(model, f"is_loaded_in_{bits}bit", False)]
    weights = bits[0] if bits else str(model.dtype).removeprefix("torch.")
    return f"{compute} on {training.device.type}, weights loaded in {weights}"
