"""The ascent step of sharpness-aware minimisation: SAM (arXiv 2010.01412, eq. 2) and ASAM (arXiv 2102.11600).

SAM computes the gradient at w + e, where e is a step of length rho along the gradient at w. The optimizer applies this
gradient at w. SAM changes only the gradient, so clipping, schedules, 8-bit optimizers and checkpoints work as without
SAM.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

ASAM_ETA = 0.01  # added to |w|: the value of the experiments in arXiv 2102.11600


@dataclass(frozen=True)
class AscentStats:
    """Measurements of an ascent step. `bool(stats)` is False if the weights did not move.

    Args:
        norm: ||g||, or ||T g|| for ASAM. If `norm` is not finite, the weights did not move.
        grad_norm: ||g||. This field and the next two are nan if `sam_ascent` was called without `measure`.
        realised_rho: length of the step after rounding, divided by the length of the exact step.
        cosine: cosine between the step after rounding and the exact step.
    """

    norm: float
    grad_norm: float = nan
    realised_rho: float = nan
    cosine: float = nan

    def __bool__(self) -> bool:
        return isfinite(self.norm)


@contextmanager
def sam_ascent(
    parameters: Iterable[Tensor],
    rho: float,
    adaptive: bool = False,
    *,
    random_seed: int | None = None,
    measure: bool = False,
) -> Iterator[AscentStats]:
    """Perturb the weights by an ascent step within the block, and restore them bit for bit after it.

    Within the block, each weight w with a gradient g has the value w + rho * g / ||g||, and its `.grad` is None. A
    second backward pass in the block computes the gradient for the optimizer. If a gradient is not finite, the weights
    do not move. The block needs memory for one copy of the weights.

    Args:
        parameters: trained weights, in fp32 or wider. They may be sharded (`DTensor`).
        rho: length of the step, as the L2 norm over all weights.
        adaptive: take the step of ASAM, w + rho * T^2 g / ||T g|| with T = |w| + 0.01.
        random_seed: seed of a random direction to use instead of the gradient. The weights then need no gradient.
        measure: whether to measure how much of the step remains after rounding.

    Example:

        loss(model).backward()
        with sam_ascent(model.parameters(), rho=0.05):
            loss(model).backward()
        optimizer.step()
    """
    weights = [w for w in parameters if (w.requires_grad if random_seed is not None else w.grad is not None)]
    if not weights:
        yield AscentStats(nan)
        return
    saved = [w.detach().clone() for w in weights]
    try:
        stats = perturb(weights, rho, adaptive, random_seed, saved if measure else None)
        for w in weights:
            w.grad = None
        # Why: an open autocast block caches low-precision copies of the weights from before the step.
        torch.clear_autocast_cache()
        yield stats
    finally:
        restore(weights, saved)


@torch.no_grad()
def perturb(
    weights: list[Tensor], rho: float, adaptive: bool, random_seed: int | None, saved: list[Tensor] | None
) -> AscentStats:
    """Add the ascent step to `weights`. To measure the step, pass the weights before the step as `saved`."""
    gradient: list[Any] = [w.grad for w in weights] if random_seed is None else random_gradient(weights, random_seed)
    if adaptive:
        scale = torch._foreach_abs(weights)
        torch._foreach_add_(scale, ASAM_ETA)
        direction = list(torch._foreach_mul(gradient, scale))
        norm = grad_norm(direction)
        torch._foreach_mul_(direction, scale)
    else:
        direction, norm = gradient, grad_norm(gradient)
    if not isfinite(norm):
        return AscentStats(norm)
    step_size = rho / max(norm, 1e-12)
    torch._foreach_add_(weights, direction, alpha=step_size)
    if saved is None:
        return AscentStats(norm)
    return AscentStats(norm, grad_norm(gradient), *compare_steps(weights, saved, direction, step_size))


@torch.no_grad()
def restore(weights: list[Tensor], saved: list[Tensor]) -> None:
    # Why a copy: w + e - e is not exactly w in floating point.
    torch._foreach_copy_(local(weights), local(saved))
    torch.clear_autocast_cache()


def grad_norm(gradient: Sequence[Tensor]) -> float:
    """Return the L2 norm over all tensors. If they are sharded, the norm includes the shards of all processes."""
    norm = torch.nn.utils.get_total_norm(gradient)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def local(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the shard of each tensor that this process holds."""
    return [t.to_local() if isinstance(t, DTensor) else t for t in tensors]


def random_gradient(weights: Sequence[Tensor], seed: int) -> list[Tensor]:
    """Return Gaussian random numbers in the shapes of the weights. Sharding does not change the numbers."""
    generators = {device: torch.Generator(device).manual_seed(seed) for device in {w.device for w in weights}}
    gradient = []
    for w in weights:
        g = torch.randn(w.shape, generator=generators[w.device], device=w.device, dtype=w.dtype)
        if isinstance(w, DTensor):
            g = distribute_tensor(g, w.device_mesh, w.placements, src_data_rank=None)
        gradient.append(g)
    return gradient


def compare_steps(
    weights: list[Tensor], saved: list[Tensor], direction: list[Tensor], step_size: float
) -> tuple[float, float]:
    """Compare the actual step of the weights with the exact step. Return the ratio of their lengths, and the cosine
    between them."""
    norms = []
    for w, before, d in zip(weights, saved, direction, strict=True):  # one at a time, to save memory
        made, exact = w - before, d * step_size
        norms.append([torch.linalg.vector_norm(t) for t in (made, exact, made - exact)])
    length, exact_length, difference = (grad_norm(of_weights) for of_weights in zip(*norms, strict=True))
    cosine = (length**2 + exact_length**2 - difference**2) / max(2 * length * exact_length, 1e-30)
    return (length / exact_length if exact_length else nan), cosine
