"""`SAMMixin`: SAM for any trainer that steps as transformers' does.

`training_step` keeps the micro-batches of an accumulation window until the last has come, and runs them all there:
once where the weights are, then again uphill. So nothing outside of one call ever meets weights that are not its own.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from math import ceil
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.integrations.fsdp import is_fsdp_managed_module

from hf_knowlearn.training.checks import bring_adapter_back_to_fp32, refuse_other_args, refuse_what_sam_cannot_do
from hf_knowlearn.training.one_pass import MSAM, LoRABalancedness, refuse_without_lora
from hf_knowlearn.training.rng_state import GradientEvaluations, MicroBatch, RandomState
from hf_knowlearn.training.sam import AscentStats, sam_ascent

logger = logging.getLogger("hf_knowlearn.training")


class SAMMixin(Trainer):
    """Put before a trainer class, gives it SAM; `args` must have the options of `SAMOptions`.

    A trainer that draws its batches inside `training_step` (GRPO, RLOO) would draw new ones for the replay: not those.
    """

    args: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_other_args(self.args)
        self.add_callback(GradientEvaluations())
        self._window: list[MicroBatch] = []
        self._window_of = self.state
        self._sam_log: dict[str, torch.Tensor] = {}  # of the last climb that was measured
        self._sam_has_warned = False
        if self.args.sam_rho > 0 or self.args.msam_rho > 0:
            bring_adapter_back_to_fp32(self)
            refuse_what_sam_cannot_do(self)
        if self.args.msam_rho > 0:
            self.add_callback(MSAM(self.args.msam_rho))
        if self.args.nbar_alpha > 0:
            refuse_without_lora(self.model)
            self.add_callback(LoRABalancedness(self.args.nbar_alpha))

    @property
    def gradient_evaluations(self) -> float:
        """Passes over accumulation windows in this run, those before a resume included.

        One for a plain step, two for exact SAM, 1 + a / n if it climbs from a of n micro-batches.
        """
        count = round(self._passes.count, 6)
        return int(count) if count == int(count) else count

    @property
    def _passes(self) -> GradientEvaluations:
        # Looked up, because Trainer may put another instance in its place when it resumes.
        return next(c for c in self.callback_handler.callbacks if isinstance(c, GradientEvaluations))

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        if self._window_of is not self.state:  # a run that stopped inside a window left its micro-batches behind
            self._window, self._window_of = [], self.state
        is_last = self.accelerator.gradient_state.sync_gradients
        if not self._climbs():
            with self._restoring_after_an_error():
                loss = super().training_step(model, inputs, num_items_in_batch)
            self._passes.count += is_last
            return loss
        self._window.append(MicroBatch(inputs, num_items_in_batch))
        if not is_last:
            return torch.zeros((), device=self.args.device)  # Trainer adds up what each micro-batch returns
        window, self._window = self._window, []
        return self._climb_and_step(model, window)

    @contextmanager
    def _restoring_after_an_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, MSAM):
                    callback.restore()
            raise

    def _climbs(self) -> bool:
        """Whether this is a step of SAM."""
        since_start = self.state.global_step - ceil(self.args.sam_start * self.state.max_steps)
        return self.args.sam_rho > 0 and since_start >= 0 and since_start % self.args.sam_interval == 0

    def _climb_and_step(self, model: nn.Module, window: list[MicroBatch]) -> torch.Tensor:
        """Leaves the gradient of all of `window` taken uphill; each micro-batch is logged as it is first run."""
        before = RandomState.now()
        known, loss = self._first_pass(model, window)
        after = RandomState.now()
        with self._uphill():
            model.zero_grad()  # `sam_ascent` has cleared the optimizer's weights; there may be others
            before.restore()
            with self._muted():
                self._run(model, window[:known], exchange=known == len(window))
            if known:
                after.restore()
            loss = loss + self._run(model, window[known:])
            self._passes.count += 1
        return loss

    def _first_pass(self, model: nn.Module, window: list[MicroBatch]) -> tuple[int, torch.Tensor]:
        """Leaves the gradient to climb along; returns how many micro-batches were run whole, and their loss."""
        ascent, exchange = self.args.sam_ascent_batches or len(window), self.args.sam_scope == "global"
        if self.args.sam_direction == "random":
            return 0, self._run(model, [])
        if self.args.gradient_accumulation_steps == 1 and self.args.sam_ascent_batches:
            part, share = self.first_rows(window[0].inputs, ascent)
            if share < 1:
                with self._muted():
                    self._run(model, [window[0]._replace(inputs=part)], exchange)
                self._passes.count += share
                return 0, self._run(model, [])
        loss = self._run(model, window[:ascent], exchange)
        self._passes.count += min(ascent, len(window)) / len(window)
        return min(ascent, len(window)), loss

    def cannot_cut_rows(self) -> str | None:
        """Why a micro-batch can't be cut, if it can't; a preference trainer's rows are halves of pairs, for one."""
        return f"{type(self).__name__} doesn't say how to cut them"

    def first_rows(self, inputs: Any, rows: int) -> tuple[Any, float]:
        """The first `rows` of a micro-batch, and which share of it that is; a trainer that can cut overrides both."""
        raise NotImplementedError

    def _run(self, model: nn.Module, window: list[MicroBatch], exchange: bool = True) -> torch.Tensor:
        """A forward and backward of each micro-batch; returns their loss, and adds to the gradients.

        With `exchange` the last one gives the processes the gradient of all.
        """
        loss = torch.zeros((), device=self.args.device)
        each = exchange and self.accelerator.gradient_state.plugin_kwargs.get("sync_each_batch", False)
        for micro_batch in window:
            exchanges = each or (exchange and micro_batch is window[-1])
            with nullcontext() if exchanges else self._no_exchange(model):
                loss = loss + super().training_step(model, copy(micro_batch.inputs), micro_batch.num_items_in_batch)
        return loss

    def _no_exchange(self, model: nn.Module) -> AbstractContextManager[Any]:
        if self.is_distributed_loading_by_transformers and is_fsdp_managed_module(self.model):
            return self._defer_fsdp_gradient_reduction()
        return self.accelerator.no_sync(model)

    @contextmanager
    def _uphill(self) -> Iterator[AscentStats]:
        # Gradients of an fp16 run are still multiplied by the loss scale here, and stay so: the direction is the same.
        assert self.optimizer is not None
        args, step = self.args, self.state.global_step
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        noise = None
        if args.sam_direction == "random":
            stream = self.accelerator.process_index if args.sam_scope == "local" else 0
            noise = hash((args.seed, step, stream)) % 2**63
        measured = not self._sam_log or (step + 1) % max(int(self.state.logging_steps), 1) == 0
        with sam_ascent(
            weights, args.sam_rho, args.sam_adaptive, args.sam_eta, noise=noise, measured=measured
        ) as climb:
            if climb.slope is not None:
                self._keep_for_the_log(climb)
            yield climb

    def _keep_for_the_log(self, climb: AscentStats) -> None:
        assert climb.slope is not None
        assert climb.realised is not None
        assert climb.cosine is not None
        scaler = self.accelerator.scaler
        self._sam_log = {"sam/realised_rho": climb.realised, "sam/cosine": climb.cosine}
        if self.args.sam_direction == "gradient":
            self._sam_log["sam/grad_norm"] = climb.slope / scaler.get_scale() if scaler else climb.slope

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs and self._sam_log:
            logs.update({name: value.item() for name, value in self._sam_log.items()})
            self._sam_log = {}
            self._warn_of_rounding(logs["sam/realised_rho"], logs["sam/cosine"])
        super().log(logs, *args, **kwargs)

    def _warn_of_rounding(self, realised: float, cosine: float) -> None:
        if realised * cosine < 0.5 and not self._sam_has_warned and self.is_world_process_zero():
            self._sam_has_warned = True
            logger.warning(
                "SAM: only %.0f %% of a step of sam_rho %g survives rounding (sam/realised_rho %.2f times sam/cosine "
                "%.2f). Raise sam_rho, or train float32 weights.",
                100 * realised * cosine,
                self.args.sam_rho,
                realised,
                cosine,
            )

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
