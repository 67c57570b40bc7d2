"""Stops training if the loss or a weight is not finite, before the next checkpoint is saved."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainingArguments


class NonFiniteError(RuntimeError):
    """Raised if the loss or a weight becomes nan or infinite during training.

    Args:
        step: the optimizer step after which the problem was found.
        what: `loss`, or the name of a weight.
        checkpoint: the last checkpoint with finite weights, or None if there is no such checkpoint.
    """

    def __init__(self, step: int, what: str, checkpoint: Path | None, args: TrainingArguments) -> None:
        self.step, self.what, self.checkpoint = step, what, checkpoint
        resume = f"The last good checkpoint is {checkpoint}." if checkpoint else "There is no earlier checkpoint."
        super().__init__(
            f"Training stopped at step {step}: {what} is not finite. {resume} Use a lower learning_rate (now"
            f" {args.learning_rate:g}), a lower max_grad_norm (now {args.max_grad_norm:g}), or bf16 instead of fp16."
        )


class StopOnNonFinite(TrainerCallback):
    """A callback that raises `NonFiniteError` if a loss is not finite, or if weights to be saved are not finite.

    The trainer must pass the loss of each micro-batch to `add`, because `Trainer` logs a nan loss as 0
    (`logging_nan_inf_filter`).

    Example:
        >>> trainer.add_callback(StopOnNonFinite())
    """

    def __init__(self) -> None:
        self._is_finite: torch.Tensor | None = None

    def add(self, loss: torch.Tensor) -> None:
        """Record whether the loss of a micro-batch is finite. This method does not wait for the GPU."""
        finite = torch.isfinite(loss.detach()).all()
        self._is_finite = finite if self._is_finite is None else self._is_finite & finite

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._is_finite = None

    def on_step_end(self, args: Any, state: Any, control: Any, model: nn.Module | None = None, **_: Any) -> None:
        if self._is_finite is not None and not bool(self._is_finite):
            raise NonFiniteError(state.global_step, "the loss", _last_checkpoint(args), args)
        self._is_finite = None
        is_last = state.global_step >= state.max_steps
        if (control.should_save or is_last) and model is not None and (name := _not_finite(model)):
            raise NonFiniteError(state.global_step, f"the weight {name}", _last_checkpoint(args), args)


def _not_finite(model: nn.Module) -> str | None:
    """Return the name of the first trained weight with a value that is not finite, or None."""
    trained = ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    return next((name for name, weight in trained if not torch.isfinite(weight).all()), None)


def _last_checkpoint(args: TrainingArguments) -> Path | None:
    checkpoints = sorted(Path(str(args.output_dir)).glob("checkpoint-[0-9]*"), key=lambda path: int(path.name[11:]))
    return checkpoints[-1] if checkpoints else None
