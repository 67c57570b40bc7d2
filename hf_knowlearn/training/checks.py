"""Checks, before the first step, whether a trainer can run SAM: its libraries, launch, options and weights."""

import logging
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from hf_knowlearn.training.options import SAMOptions

logger = logging.getLogger("hf_knowlearn.training")


def check_sam_options(args: Any) -> None:
    """Raise a `ValueError` if the training arguments `args` have no SAM options."""
    if missing := [option.name for option in fields(SAMOptions) if not hasattr(args, option.name)]:
        name = type(args).__name__
        raise ValueError(
            f"args: {name} has no {', '.join(missing)}. Pass a config that has these options: "
            f"`@dataclass class SAM{name}(SAMOptions, {name}): pass`."
        )


def check_sam(trainer: Any) -> None:
    """Raise a `ValueError` that lists all reasons why `trainer` cannot run SAM."""
    checks = (_library_problems, _launch_problems, _option_problems, _weight_problems)
    if problems := [problem for check in checks for problem in check(trainer)]:
        raise ValueError(
            f"SAM (sam_rho={trainer.args.sam_rho}) cannot run in this setting. Fix the following, or set sam_rho: 0.\n"
            + "\n".join(problems)
        )


def _library_problems(trainer: Any) -> Iterator[str]:
    expected = ["self", "model", "inputs", "num_items_in_batch"]
    name = type(trainer).__name__
    if list(signature(Trainer.training_step).parameters) != expected:
        yield (
            f"transformers {version('transformers')}: Trainer.training_step does not take {', '.join(expected[1:])}. "
            "Install transformers 5.23."
        )
    is_from_trl = any(kind.__module__.startswith("trl.") for kind in type(trainer).__mro__)
    missing = [counter for counter in ("_metrics", "_total_train_tokens") if counter not in vars(trainer)]
    if is_from_trl and missing:
        yield (
            f"trl {version('trl')}: {name} has no {', '.join(missing)}, so SAM would count tokens twice. "
            "Install trl 1.16."
        )
    if hasattr(trainer, "_generate_and_score_completions"):
        yield (
            f"{name}: this trainer samples its batches inside training_step, so the second pass of SAM would use"
            " another batch. Use SFT, DPO or reward training."
        )


def _launch_problems(trainer: Any) -> Iterator[str]:
    if trainer.args.n_gpu > 1:
        yield (
            "SAM does not support DataParallel, whose gradients are not those of one accumulation window."
            " Launch one process per GPU with `accelerate launch`."
        )
    if trainer.is_deepspeed_enabled:
        yield (
            "SAM does not support DeepSpeed, because DeepSpeed partitions the gradients and steps inside backward."
            " Launch with DDP or FSDP2."
        )
    if trainer.is_fsdp_enabled and getattr(trainer.accelerator.state.fsdp_plugin, "fsdp_version", 1) < 2:
        yield "FSDP1: each process would compute the norm of its own shard only. Set fsdp_version: 2."


def _option_problems(trainer: Any) -> Iterator[str]:
    optimizer, args = _optimizer_name(trainer), trainer.args
    if "lomo" in optimizer.lower() or "layerwise" in optimizer.lower():
        yield (
            f"optimizer {optimizer}: this optimizer updates the weights during backward, before the SAM gradient is"
            " known. Set optim: adamw_torch or adamw_8bit."
        )
    uses_rows = args.sam_ascent_batches and args.gradient_accumulation_steps == 1
    if uses_rows and (cause := trainer.rows_cannot_be_split()):
        yield (
            f"sam_ascent_batches: {args.sam_ascent_batches} with gradient_accumulation_steps: 1 is a number of rows "
            f"of the micro-batch. This micro-batch cannot be split into rows, because {cause}. Accumulate "
            "over several micro-batches, or set sam_ascent_batches: 0."
        )


def _weight_problems(trainer: Any) -> Iterator[str]:
    if narrow := _narrow_weights(trainer.model):
        name, weight = narrow[0]
        yield (
            f"trained weights in {str(weight.dtype).removeprefix('torch.')} ({len(narrow)}, such as {name}): "
            "rounding removes most of a small ascent step. Load the model in float32 (with bf16: true for "
            "autocast), or train a LoRA adapter, which PEFT holds in float32."
        )


def _narrow_weights(model: Any) -> list[tuple[str, nn.Parameter]]:
    """Return the trained weights with fewer than 32 bits, and their names."""
    return [(n, p) for n, p in model.named_parameters() if p.requires_grad and torch.finfo(p.dtype).bits < 32]


def _optimizer_name(trainer: Any) -> str:
    """Return the class name of the optimizer that the user passed, or else the value of the option `optim`."""
    if trainer.optimizer is not None:
        return type(trainer.optimizer).__name__
    if trainer.optimizer_cls_and_kwargs is not None:
        return str(trainer.optimizer_cls_and_kwargs[0].__name__)
    return str(getattr(trainer.args.optim, "value", trainer.args.optim))


def cast_adapter_to_fp32(trainer: Any) -> None:
    """Cast the adapter of a quantised model to fp32, because TRL has cast it to bf16. Call this before training."""
    model = trainer.model
    if not (getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)):
        return
    narrow = _narrow_weights(model)
    for _, weight in narrow:
        weight.data = weight.data.float()
    if narrow and trainer.is_world_process_zero():
        logger.warning(
            "SAM: the adapter is cast to float32 (%d tensors), because TRL casts it to bfloat16.", len(narrow)
        )
