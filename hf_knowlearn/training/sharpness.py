"""Sharpness: by how much the loss rises where the weights are moved a given length (arXiv 1609.04836, 2010.01412).

Along the gradient, and along random directions, which say what any noise of that length does. The surprising decision:
each random direction is taken both ways, since the slope along it says nothing of sharpness, and at a small radius is
most of what one sees; so it cancels, and what is left is the curvature, radius^2 * trace(H) / (2 * number of weights).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import nan, sqrt
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from datasets import Dataset
from torch import Tensor, nn

from hf_knowlearn.training.checks import narrow_weights
from hf_knowlearn.training.packing import undisturbed
from hf_knowlearn.training.sam import sam_ascent

if TYPE_CHECKING:
    from hf_knowlearn.training.trainer import SAMSFTTrainer

Batch = TypeVar("Batch")

DIRECTIONS = 8


@dataclass(frozen=True)
class Sharpness:
    """How the loss rises around the weights w, in the loss's own unit; nan where something wasn't finite.

    Args:
        radius: ||e||, over all trained weights together.
        loss: L(w).
        gradient: L(w + e) - L(w) with e along the gradient.
        random: its mean over Gaussian directions.
        random_se: the standard error of that mean, over directions.
    """

    radius: float
    loss: float
    gradient: float
    random: float
    random_se: float

    def figures(self) -> dict[str, float]:
        """The same in plain values."""
        return asdict(self)


def sharpness(
    model: nn.Module,
    batches: Sequence[Batch],
    loss: Callable[[Batch], Tensor],
    radius: float,
    directions: int = DIRECTIONS,
    seed: int = 0,
) -> Sharpness:
    """The sharpness of `model` without dropout, by its trained weights alone; L is the sum of `loss` over `batches`.

    The model is as before afterwards, bit for bit, and no weight has a gradient. A random direction is that of the
    seed and the weights' names, whatever their order and device. It takes a backward pass, and two passes forward a
    direction; beside the weights there is room for two copies of those that are trained.

    Args:
        directions: random ones, 2 or more.
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    weights = list(named.values())

    def total() -> float:
        return float(sum(loss(batch).detach().double() for batch in batches))

    def rise(direction: Sequence[Tensor]) -> float:
        for weight, along in zip(weights, direction, strict=True):
            weight.grad = along
        with sam_ascent(weights, radius) as climb:
            return total() - here if climb else nan

    with undisturbed(model):
        try:
            here = total()
            gradient = rise(_gradient(weights, batches, loss))
            curved = []
            for number in range(directions):
                direction = _gaussian(named, f"{seed}/{number}")
                up = rise(direction)
                torch._foreach_neg_(direction)
                curved.append((up + rise(direction)) / 2)
        finally:
            _clear(weights)
    means = torch.tensor(curved, dtype=torch.float64)
    return Sharpness(radius, here, gradient, float(means.mean()), float(means.std()) / sqrt(directions))


def _gradient(weights: Sequence[Tensor], batches: Sequence[Batch], loss: Callable[[Batch], Tensor]) -> list[Tensor]:
    _clear(weights)
    with torch.enable_grad():
        for batch in batches:
            loss(batch).backward()
    return [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]


def _clear(weights: Sequence[Tensor]) -> None:
    for weight in weights:
        weight.grad = None


def _gaussian(weights: Mapping[str, Tensor], seed: str) -> list[Tensor]:
    drawn = []
    for name, weight in weights.items():
        generator = torch.Generator().manual_seed(Random(f"{seed}/{name}").getrandbits(63))
        drawn.append(torch.randn(weight.shape, generator=generator).to(weight))
    return drawn


def sharpness_of(trainer: "SAMSFTTrainer", rows: Sequence[Mapping[str, Any]], radius: float) -> Sharpness:
    """The sharpness of the trainer's model on `rows`, in micro-batches and in the precision of the training.

    L is the loss that the trainer takes, a mean over all the tokens that `rows` train. Every process measures all of
    them, so that none needs another.

    Args:
        rows: as the trainer is given them: `prompt` and `completion`.
    """
    model, size = trainer.accelerator.unwrap_model(trainer.model), trainer.args.per_device_train_batch_size
    named = (trainer.processing_class, trainer.args, False, None, "sharpness")
    read = trainer._prepare_dataset(Dataset.from_list([dict(row) for row in rows]), *named)
    examples = read.select_columns(["input_ids", "labels"]).to_list()
    batches = [trainer.data_collator(examples[start : start + size]) for start in range(0, len(examples), size)]
    tokens = sum(int(_trained(batch)) for batch in batches)

    def loss(batch: Mapping[str, Any]) -> Tensor:
        inputs = trainer._prepare_inputs(dict(batch))
        share = _trained(inputs) / tokens
        with trainer.accelerator.autocast():
            mean: Tensor = trainer.compute_loss(model, inputs)
        return mean * share

    with trainer._muted():
        return sharpness(model, batches, loss, radius, seed=trainer.args.seed)


def _trained(batch: Mapping[str, Any]) -> Tensor:
    """How many tokens a batch trains."""
    labels: Tensor = batch["labels"]
    return labels[..., 1:].ne(-100).sum()


def refuse_unmeasurable(trainer: "SAMSFTTrainer", radius: float) -> None:
    """Raises ValueError with all that makes the sharpness of `trainer`'s model impossible to measure."""
    problems = []
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        problems.append("FSDP or DeepSpeed: no process holds the weights whole. Launch with DDP, or leave it out.")
    if narrow := narrow_weights(trainer.model):
        name, weight = narrow[0]
        dtype = str(weight.dtype).removeprefix("torch.")
        problems.append(
            f"trained weights in {dtype} ({name} and {len(narrow) - 1} others): they round most of a small step away."
            " Load the model in float32, train a LoRA adapter that PEFT keeps in float32, or leave it out."
        )
    if problems:
        raise ValueError(f"sharpness: {radius} can't be measured like this.\n" + "\n".join(problems))
