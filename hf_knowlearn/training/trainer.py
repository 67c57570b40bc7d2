"""`SAMSFTTrainer`: TRL's `SFTTrainer` with sharpness-aware minimisation, refusing what would make it wrong in silence.

With `sam_rho = 0` it is `SFTTrainer` bit for bit; all that is refused then is packing that lets documents see others.
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from trl import SFTTrainer

from hf_knowlearn.training.config import SAMConfig
from hf_knowlearn.training.packing import refuse_leaks
from hf_knowlearn.training.sam import SAMMixin

logger = logging.getLogger("hf_knowlearn.training")


class SAMSFTTrainer(SAMMixin, SFTTrainer):
    """`SFTTrainer` whose `args` are a `SAMConfig`; everything else as TRL documents it.

    `gradient_evaluations` counts the passes over accumulation windows: one for a plain step, two for a SAM step.
    """

    def __init__(self, model: Any, args: SAMConfig | None = None, *others: Any, **named: Any) -> None:
        if not isinstance(args, SAMConfig):
            # SFTTrainer would go on with a config of its own, and SAM would be off without a word.
            raise ValueError(f"args: expected a SAMConfig, got {type(args).__name__}. Pass SAMConfig(output_dir=…).")
        super().__init__(model, args, *others, **named)
        if args.sam_rho > 0:
            self._bring_adapter_back_to_fp32()
            if problems := list(_problems(self)):
                raise ValueError(f"SAM (sam_rho={args.sam_rho}) can't run like this:\n" + "\n".join(problems))
        # What Trainer doesn't place itself (FSDP, DeepSpeed, device maps) is whole, and where it will run, only after
        # it is prepared: under FSDP the other processes may hold no weights yet.
        self._packing_is_unproven = not self.place_model_on_device
        if self.place_model_on_device:
            refuse_leaks(self, self.model)

    def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
        if self._packing_is_unproven:
            refuse_leaks(self, model)
            self._packing_is_unproven = False
        return super().compute_loss(model, inputs, *others, **named)

    def _bring_adapter_back_to_fp32(self) -> None:
        """Undoes the cast to bf16 that TRL gives the adapter of a quantised model; the optimizer isn't made yet."""
        model = self.model
        if not (getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)):
            return
        narrow = [weight for _, weight in _narrow_weights(model)]
        for weight in narrow:
            weight.data = weight.data.float()
        if narrow and self.is_world_process_zero():
            logger.warning(
                "TRL casts the adapter of a quantised model to bfloat16; its %d tensors are float32 again, because "
                "bfloat16 rounds most of a small SAM step away.",
                len(narrow),
            )


def _problems(trainer: SAMSFTTrainer) -> Iterator[str]:
    """Each setting under which a climb would be wrong: what it is, why, and the way out."""
    off = "or set sam_rho: 0"
    if trainer.is_deepspeed_enabled:
        yield (
            "DeepSpeed: it steps inside backward and keeps the gradients in partitions of its own, so there is no "
            f"moment to climb. Launch with DDP or FSDP2, {off}."
        )
    if trainer.is_fsdp_enabled and getattr(trainer.accelerator.state.fsdp_plugin, "fsdp_version", 1) < 2:
        yield (
            "FSDP1: each process would climb along its own shard of flattened weights, to a wrong length. "
            f"Set fsdp_version: 2, {off}."
        )
    if steps_early := sorted(filter(_updates_inside_backward, _optimizer_names(trainer))):
        yield (
            f"optimizer {', '.join(steps_early)}: it updates the weights during backward, before the gradient uphill "
            f"is known. Set optim: adamw_torch or adamw_8bit, {off}."
        )
    if narrow := _narrow_weights(trainer.model):
        name, weight = narrow[0]
        yield (
            f"trained weights in {str(weight.dtype).removeprefix('torch.')} ({name} and {len(narrow) - 1} others): "
            "they round most of a small step away. Load the model in float32 and keep bf16: true for autocast, or "
            f"train a LoRA adapter that PEFT keeps in float32, {off}."
        )


def _narrow_weights(model: Any) -> list[tuple[str, nn.Parameter]]:
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad and torch.finfo(p.dtype).bits < 32]


def _optimizer_names(trainer: SAMSFTTrainer) -> set[str]:
    """What the run will optimize with: an optimizer or a class if one was passed in, else what `optim` names."""
    if trainer.optimizer is not None:
        return {type(trainer.optimizer).__name__}
    if trainer.optimizer_cls_and_kwargs is not None:
        return {trainer.optimizer_cls_and_kwargs[0].__name__}
    return {str(getattr(trainer.args.optim, "value", trainer.args.optim))}


def _updates_inside_backward(optimizer: str) -> bool:
    return "lomo" in optimizer.lower() or "layerwise" in optimizer.lower()
