"""The precision of a run: chooses the default precision, and describes the precision in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_knowlearn.training import SAMConfig


def precision_words(options: Mapping[str, Any]) -> list[str]:
    """Command-line words for the default precision: bf16 on GPUs that support it, fp16 on other GPUs, fp32 on a CPU.
    Empty if the options set the precision.

    Raises:
        ValueError: fp16 without a GPU.
    """
    # Why: TRL's default is always bf16, which raises an error on a machine without a GPU.
    import torch

    cuda = torch.cuda.is_available() and not options.get("use_cpu")
    accelerator = torch.accelerator.is_available() and not options.get("use_cpu")
    if options.get("fp16") and not accelerator:
        raise ValueError("fp16=True needs a GPU, and this run has none: remove fp16 and bf16 to use the default.")
    if options.get("bf16") or options.get("fp16"):
        return []
    native = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = native and options.get("bf16") is not False
    fp16 = cuda and not native and options.get("fp16") is not False
    words = [f"--bf16={bf16}", f"--fp16={fp16}"]
    return words if accelerator else [*words, "--use_cpu=True"]


def describe_precision(training: "SAMConfig", model: "PreTrainedModel") -> str:
    """The precision of a run in words: "bf16 autocast on cuda, weights loaded in 4 bits"."""
    compute = {"no": "fp32"}.get(training.mixed_precision, f"{training.mixed_precision} autocast")
    bits = [f"{bits} bits" for bits in (4, 8) if getattr(model, f"is_loaded_in_{bits}bit", False)]
    weights = bits[0] if bits else str(model.dtype).removeprefix("torch.")
    return f"{compute} on {training.device.type}, weights loaded in {weights}"
