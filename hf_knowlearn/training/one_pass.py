"""Relatives of SAM that cost one pass, as callbacks for any trainer: MSAM (arXiv 2401.12033) and nBAR (2410.14802).

MSAM takes the gradient a little further along the momentum: minus, not plus, as its paper and code have it. nBAR is no
sharpness step at all: it scales the factors of LoRA against each other, as SAM would in the long run.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_knowlearn.training.sam import ascend_, global_norm, local


class MSAM(TrainerCallback):
    """The gradient of each step is taken at w - rho * m / ||m||, where m is the optimizer's momentum.

    Weights are back for the optimizer's step and all that follows it, and at the end of an epoch; after an exception
    in the step they are if the trainer has `SAMMixin`, elsewhere call `restore`. Nothing of it is saved: a resumed run
    finds m in the optimizer.
    """

    def __init__(self, rho: float) -> None:
        if not 0 < rho < float("inf"):
            raise ValueError(f"rho: {rho!r} is not a finite number above 0. Leave MSAM out to train without it.")
        self.rho = rho
        self._away: tuple[list[Tensor], list[Tensor]] | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        _refuse_beside_sam(self, args)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, optimizer: Any = None, **_: Any
    ) -> None:
        weights = [w for group in optimizer.param_groups for w in group["params"] if optimizer.state.get(w)]
        if not weights:  # before the first step there is no momentum
            return
        momentum = [_momentum(optimizer, w) for w in weights]
        with torch.no_grad():
            here = local(weights)
            home = [torch.empty_like(w) for w in here]
            torch._foreach_copy_(home, here)
        self._away = here, home
        ascend_(here, local(momentum), -self.rho, global_norm(momentum))
        torch.clear_autocast_cache()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.restore()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.restore()  # where a run was stopped inside a window, or a stream ends in one

    @torch.no_grad()
    def restore(self) -> None:
        """Puts the weights back, bit for bit, if they are away."""
        if self._away:
            torch._foreach_copy_(*self._away)
            self._away = None
            torch.clear_autocast_cache()


def _momentum(optimizer: Any, weight: Tensor) -> Tensor:
    state = optimizer.state[weight]
    for name in ("exp_avg", "momentum_buffer"):
        if torch.is_tensor(found := state.get(name)) and found.is_floating_point():
            return found
    name = type(getattr(optimizer, "optimizer", optimizer)).__name__
    raise ValueError(
        f"MSAM: {name} keeps no momentum in floating point (it has {', '.join(map(str, state))}). "
        "Set optim: adamw_torch, or leave MSAM out."
    )


class LoRABalancedness(TrainerCallback):
    """nBAR: before each step, of LoRA's factors the one with the larger gradient grows by 1 + alpha * lr.

    The other shrinks by 1 - alpha * lr, so their product stays, but for (alpha * lr)^2. `alpha` is 0 or more, and
    alpha * lr should be far below 1.
    """

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha < float("inf"):
            raise ValueError(f"alpha: {alpha!r} is not a finite number above 0. Leave it out to train without nBAR.")
        self.alpha = alpha
        self._factors: list[tuple[Tensor, Tensor]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: Any = None, **_: Any
    ) -> None:
        _refuse_beside_sam(self, args)
        refuse_without_lora(model)
        self._factors = list(_factors(model))

    @torch.no_grad()
    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        rates = {id(w): group["lr"] for group in optimizer.param_groups for w in group["params"]}
        pairs = [(a, b) for a, b in self._factors if a.grad is not None and b.grad is not None and id(a) in rates]
        if not pairs:
            return
        downs, ups = zip(*pairs, strict=True)
        is_larger = torch.stack(_norms(downs)) >= torch.stack(_norms(ups))
        signs = torch.where(is_larger, 1.0, -1.0).unbind()
        shares = torch._foreach_mul(signs, [self.alpha * rates[id(a)] for a in downs])
        for weights, their_shares in ((downs, shares), (ups, torch._foreach_neg(shares))):
            factors = torch._foreach_add(their_shares, 1.0)
            torch._foreach_mul_(local(weights), [f.to(w) for w, f in zip(local(weights), factors, strict=True)])


def _norms(weights: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each gradient, whole if it is cut over processes, on the device of the first."""
    norms = torch._foreach_norm([w.grad for w in weights if w.grad is not None], 2, torch.float32)
    return [(n.full_tensor() if isinstance(n, DTensor) else n).to(weights[0].device) for n in norms]


def _factors(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """The A and B of each adapter of each module that is trained."""
    for module in model.modules():
        down, up = getattr(module, "lora_A", None), getattr(module, "lora_B", None)
        if isinstance(down, nn.ModuleDict) and isinstance(up, nn.ModuleDict):
            for adapter in down:
                a: Any = down[adapter].weight
                b: Any = up[adapter].weight
                if a.requires_grad and b.requires_grad:
                    yield a, b


def refuse_without_lora(model: nn.Module) -> None:
    """Raises ValueError if nBAR would have nothing to do."""
    if not list(_factors(model)):
        raise ValueError("nBAR: the model has no LoRA to balance. Pass a peft_config, or leave nBAR out.")


def _refuse_beside_sam(callback: TrainerCallback, args: Any) -> None:
    if getattr(args, "sam_rho", 0) > 0:
        raise ValueError(
            f"{type(callback).__name__} with sam_rho={args.sam_rho}: each takes the place of the other. "
            "Set sam_rho: 0, or leave the callback out."
        )
