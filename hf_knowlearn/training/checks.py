"""What SAM can't do, said before the first step: each setting under which a climb would be wrong, and the way out.

It looks at a trainer that is made but not running, so that nothing is refused in the middle of a run.
"""

import logging
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from hf_knowlearn.training.config import SAMOptions

logger = logging.getLogger("hf_knowlearn.training")


def refuse_other_args(args: Any) -> None:
    """Raises ValueError if `args` lacks options of SAM."""
    if missing := [option.name for option in fields(SAMOptions) if not hasattr(args, option.name)]:
        name = type(args).__name__
        raise ValueError(
            f"args: {name} has no {', '.join(missing)}. Pass a config that has: "
            f"`@dataclass class SAM{name}(SAMOptions, {name}): pass`."
        )


def refuse_what_sam_cannot_do(trainer: Any) -> None:
    """Raises ValueError with all that stands in the way of `trainer`'s SAM or MSAM."""
    problems = [
        *_of_the_libraries(trainer),
        *_of_the_launch(trainer),
        *_of_the_options(trainer),
        *_of_weights(trainer),
    ]
    if problems:
        kind = "sam_rho" if trainer.args.sam_rho > 0 else "msam_rho"
        on = f"{kind.removesuffix('_rho').upper()} ({kind}={getattr(trainer.args, kind)})"
        raise ValueError(f"{on} can't run like this; {kind}: 0 turns it off.\n" + "\n".join(problems))


OFF = "or turn it off"


def _of_the_libraries(trainer: Any) -> Iterator[str]:
    expected = ["self", "model", "inputs", "num_items_in_batch"]
    if list(signature(Trainer.training_step).parameters) != expected:
        yield (
            f"transformers {version('transformers')}: Trainer.training_step no longer takes "
            f"{', '.join(expected[1:])}, where SAM hooks in. Install transformers 5.23, {OFF}."
        )
    if _is_from_trl(trainer) and (moved := [n for n in ("_metrics", "_total_train_tokens") if n not in vars(trainer)]):
        yield (
            f"trl {version('trl')}: {type(trainer).__name__} has no {', '.join(moved)}, where SAM keeps the second "
            f"pass from being counted. Install trl 1.16, {OFF}."
        )
    if hasattr(trainer, "_generate_and_score_completions"):
        yield (
            f"{type(trainer).__name__}: it draws its batches inside training_step, so the second pass would be "
            f"another batch. Use a trainer whose batches are given (SFT, DPO, Reward), {OFF}."
        )


def _is_from_trl(trainer: Any) -> bool:
    return any(kind.__module__.startswith("trl.") for kind in type(trainer).__mro__)


def _of_the_launch(trainer: Any) -> Iterator[str]:
    if trainer.args.n_gpu > 1:
        yield (
            "DataParallel: one process drives several GPUs and the loss is that of all, so gradients are not those "
            f"of a window. Launch one process a GPU with `accelerate launch`, {OFF}."
        )
    if trainer.is_deepspeed_enabled:
        yield (
            "DeepSpeed: it steps inside backward and keeps the gradients in partitions of its own, so there is no "
            f"moment to climb. Launch with DDP or FSDP2, {OFF}."
        )
    if trainer.is_fsdp_enabled:
        if getattr(trainer.accelerator.state.fsdp_plugin, "fsdp_version", 1) < 2:
            yield (
                "FSDP1: each process would climb along its own shard of flattened weights, to a wrong length. "
                f"Set fsdp_version: 2, {OFF}."
            )
        elif trainer.args.sam_scope == "local":
            yield (
                "sam_scope: local with FSDP2: no process holds all weights, so none can climb by itself. "
                f"Set sam_scope: global, {OFF}."
            )


def _of_the_options(trainer: Any) -> Iterator[str]:
    if steps_early := sorted(filter(_updates_inside_backward, _optimizer_names(trainer))):
        yield (
            f"optimizer {', '.join(steps_early)}: it updates the weights during backward, before the gradient uphill "
            f"is known. Set optim: adamw_torch or adamw_8bit, {OFF}."
        )
    args = trainer.args
    if args.sam_ascent_batches and args.gradient_accumulation_steps == 1 and (cause := trainer.cannot_cut_rows()):
        yield (
            f"sam_ascent_batches: {args.sam_ascent_batches} with gradient_accumulation_steps: 1 takes rows of the one "
            f"micro-batch, but {cause}. Accumulate over several micro-batches, set sam_ascent_batches: 0, {OFF}."
        )


def _of_weights(trainer: Any) -> Iterator[str]:
    accepted = {torch.bfloat16} if trainer.args.sam_bf16_weights else set()
    if narrow := [(name, weight) for name, weight in narrow_weights(trainer.model) if weight.dtype not in accepted]:
        name, weight = narrow[0]
        bf16 = " set sam_bf16_weights: true to climb all the same," if weight.dtype == torch.bfloat16 else ""
        yield (
            f"trained weights in {str(weight.dtype).removeprefix('torch.')} ({name} and {len(narrow) - 1} others): "
            "they round most of a small step away. Load the model in float32 and keep bf16: true for autocast, or "
            f"train a LoRA adapter that PEFT keeps in float32,{bf16} {OFF}."
        )


def narrow_weights(model: Any) -> list[tuple[str, nn.Parameter]]:
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad and torch.finfo(p.dtype).bits < 32]


def _optimizer_names(trainer: Any) -> set[str]:
    """What the run will optimize with: an optimizer or a class if one was passed in, else what `optim` names."""
    if trainer.optimizer is not None:
        return {type(trainer.optimizer).__name__}
    if trainer.optimizer_cls_and_kwargs is not None:
        return {trainer.optimizer_cls_and_kwargs[0].__name__}
    return {str(getattr(trainer.args.optim, "value", trainer.args.optim))}


def _updates_inside_backward(optimizer: str) -> bool:
    return "lomo" in optimizer.lower() or "layerwise" in optimizer.lower()


def bring_adapter_back_to_fp32(trainer: Any) -> None:
    """Undoes the cast to bf16 that TRL gives the adapter of a quantised model; the optimizer isn't made yet."""
    model = trainer.model
    if not (getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)):
        return
    narrow = [weight for _, weight in narrow_weights(model)]
    for weight in narrow:
        weight.data = weight.data.float()
    if narrow and trainer.is_world_process_zero():
        logger.warning(
            "TRL casts the adapter of a quantised model to bfloat16; its %d tensors are float32 again, because "
            "bfloat16 rounds most of a small SAM step away.",
            len(narrow),
        )
