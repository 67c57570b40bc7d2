"""Sharpness-aware minimisation (SAM, arXiv 2010.01412, eq. 2): descend with the gradient found `rho` up the slope.

SAM changes the gradient, not the optimizer, so clipping, schedules, 8-bit optimizers and checkpoints stay as they are.
The climb follows the gradient of the whole accumulation window, and the window's micro-batches are replayed up there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


@contextmanager
def uphill(parameters: Iterable[torch.Tensor], rho: float, adaptive: bool = False, eta: float = 0.0) -> Iterator[bool]:
    """Within the block the weights stand at w + rho * g / ||g||, and `.grad` is empty for the gradient up there.

    `adaptive` is ASAM (arXiv 2102.11600): w + rho * T^2 g / ||T g|| with T = |w| + eta. On exit the weights are back,
    bit for bit. Yields whether they climbed: with a gradient that isn't finite, weights and `.grad` stay as they are.
    """
    weights = [w for w in parameters if w.grad is not None]
    direction, norm = ascent(weights, adaptive, eta)
    if not torch.isfinite(norm):  # the one answer a window waits for
        yield False
        return
    with torch.no_grad():
        here = [w.to_local() if isinstance(w, DTensor) else w for w in weights]  # the part that this process holds
        home = [torch.empty_like(w) for w in here]
        torch._foreach_copy_(home, here)
    try:
        climb(weights, direction, rho / norm.clamp_min(1e-12))
        del direction  # the second pass should not have to find memory beside it
        yield True
    finally:
        with torch.no_grad():
            torch._foreach_copy_(here, home)  # w + e - e is not w in floating point
        torch.clear_autocast_cache()


@torch.no_grad()
def ascent(weights: list[torch.Tensor], adaptive: bool, eta: float) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Where up is, and the norm that makes it one step of length rho: g and ||g||, or T^2 g and ||T g||."""
    gradient = [w.grad for w in weights if w.grad is not None]
    if not adaptive or not gradient:
        return gradient, global_norm(gradient)
    scale = torch._foreach_abs(weights)
    torch._foreach_add_(scale, eta)
    direction = list(torch._foreach_mul(gradient, scale))
    norm = global_norm(direction)
    torch._foreach_mul_(direction, scale)
    return direction, norm


def global_norm(tensors: list[torch.Tensor]) -> torch.Tensor:
    """One L2 norm over all `tensors` together, in fp32 or wider; of none at all it is NaN: there is no way up."""
    if not tensors:
        return torch.tensor(torch.nan)
    dtype = reduce(torch.promote_types, {t.dtype for t in tensors}, torch.float32)
    norms = [norm.to(tensors[0].device) for norm in torch._foreach_norm(tensors, 2, dtype)]
    norm: Any = torch.linalg.vector_norm(torch.stack(norms))
    total: torch.Tensor = norm.full_tensor() if isinstance(norm, DTensor) else norm  # shards lie in several processes
    return total


@torch.no_grad()
def climb(weights: list[torch.Tensor], direction: list[torch.Tensor], stride: torch.Tensor) -> None:
    """Moves `weights` by stride * direction and clears their gradients; `direction` is used up."""
    for device in {d.device for d in direction}:
        torch._foreach_mul_([d for d in direction if d.device == device], stride.to(device))
    torch._foreach_add_(weights, direction)
    for weight in weights:
        weight.grad = None
    # An autocast block that is still open keeps its low-precision copies of the weights as they were before the climb.
    torch.clear_autocast_cache()


class GradientEvaluations(TrainerCallback, ExportableState):
    """Counts the passes over accumulation windows: one for a plain step, two for a SAM step; kept in checkpoints."""

    def __init__(self) -> None:
        self.count = 0

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"count": self.count}}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # Trainer itself restores callbacks only on request. A checkpoint of a plain trainer holds no count: its steps
        # were one pass each.
        callbacks: Any = state.stateful_callbacks
        saved = callbacks.get(type(self).__name__) if state.global_step else None
        self.count = saved["attributes"]["count"] if saved else state.global_step
        callbacks[type(self).__name__] = self.state()


class RandomState(NamedTuple):
    """Where the generators stand from which dropout and noise are drawn."""

    cpu: torch.Tensor
    cuda: list[torch.Tensor]

    @classmethod
    def now(cls) -> "RandomState":
        cuda = torch.cuda.is_initialized()
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else [])

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


class MicroBatch(NamedTuple):
    """All that a second `training_step` needs to be the first one again, but for the weights."""

    inputs: Any
    num_items_in_batch: Any
    rng: RandomState


class SAMMixin(Trainer):
    """Put before a trainer class, gives it SAM; `args` must have `sam_rho`, `sam_adaptive` and `sam_eta`.

    A trainer that draws its batches inside `training_step` (GRPO, RLOO) would draw new ones for the replay: not those.
    """

    args: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(GradientEvaluations())
        self._window: list[MicroBatch] = []
        self._window_of = self.state

    @property
    def gradient_evaluations(self) -> int:
        """Passes over accumulation windows in this run, those before a resume included."""
        return self._passes.count

    @property
    def _passes(self) -> GradientEvaluations:
        # Looked up, because Trainer may put another instance in its place when it resumes.
        return next(c for c in self.callback_handler.callbacks if isinstance(c, GradientEvaluations))

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        if self._window_of is not self.state:  # a run that stopped inside a window left its micro-batches behind
            self._window, self._window_of = [], self.state
        self._window.append(MicroBatch(inputs, num_items_in_batch, RandomState.now()))
        loss = super().training_step(model, copy(inputs), num_items_in_batch)
        if self.accelerator.gradient_state.sync_gradients:
            window, self._window = self._window, []
            self._passes.count += 1
            if self.args.sam_rho > 0:
                self._second_pass(model, window)
        return loss

    def _second_pass(self, model: nn.Module, window: list[MicroBatch]) -> None:
        # Gradients of an fp16 run are still multiplied by the loss scale here, and stay so: the direction is the same.
        assert self.optimizer is not None
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        after_first_pass = RandomState.now()
        with uphill(weights, self.args.sam_rho, self.args.sam_adaptive, self.args.sam_eta) as climbed, self._muted():
            if climbed:
                model.zero_grad()  # `uphill` has cleared the optimizer's weights; there may be others
                self._replay(model, window)
                self._passes.count += 1
        after_first_pass.restore()

    def _replay(self, model: nn.Module, window: list[MicroBatch]) -> None:
        each = self.accelerator.gradient_state.plugin_kwargs.get("sync_each_batch", False)
        for micro_batch in window:
            micro_batch.rng.restore()
            with nullcontext() if each or micro_batch is window[-1] else self.accelerator.no_sync(model):
                super().training_step(model, copy(micro_batch.inputs), micro_batch.num_items_in_batch)

    @contextmanager
    def _muted(self) -> Iterator[None]:
        """TRL's trainers count tokens and gather metrics inside `compute_loss`; a replay is no new data."""
        counters = ("_metrics", "_total_train_tokens")
        first_pass = {name: self.__dict__[name] for name in counters if name in self.__dict__}
        if "_metrics" in first_pass:
            self._metrics: Any = {mode: defaultdict(list) for mode in first_pass["_metrics"]}
        try:
            yield
        finally:
            self.__dict__.update(first_pass)
