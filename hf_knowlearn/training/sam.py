"""Sharpness-aware minimisation (SAM, arXiv 2010.01412, eq. 2): descend with the gradient found `rho` up the slope.

SAM changes the gradient, not the optimizer, so clipping, schedules, 8-bit optimizers and checkpoints stay as they are.
The climb itself is one fused step of SGD, uphill: that step alone knows to leave the weights where they are, on the
device, if something isn't finite, and so the host never waits for an answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from math import nan
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


@dataclass(frozen=True)
class AscentStats:
    """What a climb did, in tensors without dimensions: who asks for their values waits for the device."""

    norm: Tensor  # ||g||, or ||T g|| if adaptive: what made the step one of length rho
    slope: Tensor | None = None  # ||g||; this and what follows only if it was to be measured
    realised: Tensor | None = None  # the length of the step that the weights made, of the one they were to make
    cosine: Tensor | None = None  # between the two; their product is the share of the step that survived rounding

    def __bool__(self) -> bool:
        """Whether the weights moved: not so where the gradient wasn't finite, or nothing had one."""
        return bool(torch.isfinite(self.norm))


@contextmanager
def sam_ascent(
    parameters: Iterable[Tensor],
    rho: float,
    adaptive: bool = False,
    eta: float = 0.0,
    *,
    noise: int | None = None,
    measured: bool = False,
) -> Iterator[AscentStats]:
    """Within the block the weights stand at w + rho * g / ||g||, and `.grad` is empty for the gradient up there.

    `adaptive` is ASAM (arXiv 2102.11600): w + rho * T^2 g / ||T g|| with T = |w| + eta. `noise`, a seed, puts Gaussian
    numbers in the gradient's place. On exit the weights are back, bit for bit. With a gradient that isn't finite they
    stay where they are: a second pass is then the first one again.
    """
    weights = [w for w in parameters if (w.grad is not None if noise is None else w.requires_grad)]
    if not weights:
        yield AscentStats(torch.tensor(nan))
        return
    with torch.no_grad():
        gradient = [w.grad for w in weights if w.grad is not None] if noise is None else gaussian(weights, noise)
        direction, norm = ascent(weights, gradient, adaptive, eta)
        here = local(weights)
        home = [torch.empty_like(w) for w in here]
        torch._foreach_copy_(home, here)
    try:
        ascend_(here, local(direction), rho, norm)
        climb = measure(weights, home, gradient, direction, rho, norm) if measured else AscentStats(norm)
        del gradient, direction  # the second pass should not have to find memory beside them
        for weight in weights:
            weight.grad = None
        # An autocast block that is still open keeps low-precision copies of the weights as they were before the climb.
        torch.clear_autocast_cache()
        yield climb
    finally:
        with torch.no_grad():
            torch._foreach_copy_(here, home)  # w + e - e is not w in floating point
        torch.clear_autocast_cache()


def ascent(weights: list[Tensor], gradient: list[Tensor], adaptive: bool, eta: float) -> tuple[list[Tensor], Tensor]:
    """Where up is, and the norm that makes it one step of length rho: g and ||g||, or T^2 g and ||T g||."""
    if not adaptive:
        return gradient, global_norm(gradient)
    scale = torch._foreach_abs(weights)
    torch._foreach_add_(scale, eta)
    direction = list(torch._foreach_mul(gradient, scale))
    norm = global_norm(direction)
    torch._foreach_mul_(direction, scale)
    return direction, norm


@torch.no_grad()
def ascend_(weights: list[Tensor], direction: list[Tensor], rho: float, norm: Tensor) -> None:
    """Moves `weights` by rho * direction / norm, or not at all if the norm isn't finite."""
    groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for w, d in zip(weights, direction, strict=True):
        for kept, tensor in zip(groups[w.device, w.dtype], (w, d), strict=True):
            kept.append(tensor)
    stride, finite = rho / norm.clamp_min(1e-12), torch.isfinite(norm)
    for (device, dtype), (ws, ds) in groups.items():
        length, moves = stride.to(device), finite.to(device)
        if dtype.itemsize < 4:  # 16-bit weights on a CPU stay where they are in the fused step of torch 2.13
            for w, d in zip(ws, ds, strict=True):
                w += torch.where(moves, d.float() * length, 0.0)
            continue
        torch._fused_sgd_(
            ws,
            ds,
            [],
            lr=length if device.type == "cpu" else length.float(),  # elsewhere the kernel reads a float32
            found_inf=(~moves).float(),
            maximize=True,
            weight_decay=0.0,
            momentum=0.0,
            dampening=0.0,
            nesterov=False,
            is_first_step=False,
        )


def global_norm(tensors: list[Tensor]) -> Tensor:
    """One L2 norm over all `tensors` together, in fp32 or wider, whether they are whole or cut over processes."""
    dtype = reduce(torch.promote_types, {t.dtype for t in tensors}, torch.float32)
    norms: dict[Any, list[Tensor]] = defaultdict(list)
    for tensor, norm in zip(tensors, torch._foreach_norm(tensors, 2, dtype), strict=True):
        norms[tensor.device_mesh if isinstance(tensor, DTensor) else None].append(norm.to(tensors[0].device))
    parts = [torch.linalg.vector_norm(torch.stack(of_one_mesh)) for of_one_mesh in norms.values()]
    return torch.linalg.vector_norm(torch.stack([p.full_tensor() if isinstance(p, DTensor) else p for p in parts]))


def local(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The part of each that this process holds."""
    return [t.to_local() if isinstance(t, DTensor) else t for t in tensors]


def gaussian(weights: Sequence[Tensor], seed: int) -> list[Tensor]:
    """The same numbers however the weights are cut over processes; no other generator has moved for them."""
    generators = {device: torch.Generator(device).manual_seed(seed) for device in {w.device for w in weights}}
    noise = []
    for w in weights:
        drawn = torch.randn(w.shape, generator=generators[w.device], device=w.device, dtype=w.dtype)
        if isinstance(w, DTensor):
            drawn = distribute_tensor(drawn, w.device_mesh, w.placements, src_data_rank=None)
        noise.append(drawn)
    return noise


@torch.no_grad()
def measure(
    weights: list[Tensor],
    home: list[Tensor],
    gradient: list[Tensor],
    direction: list[Tensor],
    rho: float,
    norm: Tensor,
) -> AscentStats:
    """How much of the step the weights have made, one tensor at a time: it must not cost another copy of all."""
    made: list[Tensor] = []
    wanted: list[Tensor] = []
    between: list[Tensor] = []
    for w, h, d in zip(weights, home, direction, strict=True):
        if isinstance(w, DTensor):
            h = DTensor.from_local(h, w.device_mesh, w.placements, run_check=False, shape=w.shape, stride=w.stride())
        step, ideal = (w - h).float(), (d * (rho / norm.to(d.device))).float()
        for kept, tensor in zip((made, wanted, between), (step, ideal, step - ideal), strict=True):
            kept.append(torch.linalg.vector_norm(tensor))
    length, whole, apart = (global_norm(norms) for norms in (made, wanted, between))
    cosine = (length**2 + whole**2 - apart**2) / (2 * length * whole).clamp_min(1e-30)
    return AscentStats(norm, global_norm(gradient), length / whole, cosine)
