"""`SAMMixin`: sharpness-aware minimisation (SAM, arXiv 2010.01412) for trainers built on transformers' `Trainer`."""

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

from hf_knowlearn.training.checks import cast_adapter_to_fp32, check_sam, check_sam_options
from hf_knowlearn.training.finite import StopOnNonFinite
from hf_knowlearn.training.rng_state import GradientEvaluations, MicroBatch, RandomState
from hf_knowlearn.training.sam import AscentStats, sam_ascent

logger = logging.getLogger("hf_knowlearn.training")


class SAMMixin(Trainer):
    """Adds SAM to a trainer class. The training arguments `args` must have the options of `SAMOptions`.

    A SAM step runs the micro-batches of an accumulation window twice: first at the weights, and then at the weights
    perturbed by `sam_rho`. The optimizer uses the second gradient. Logged losses and metrics come from the first pass
    over each micro-batch. Dropout is the same in both passes. Callbacks, checkpoints and evaluations see the
    unperturbed weights.

    Trainers that sample their batches inside `training_step` (GRPO, RLOO) are not supported.

    Raises:
        ValueError: `args` has no SAM options, or SAM cannot run with the optimizer, precision or launch.

    Example:

        class SAMDPOTrainer(SAMMixin, DPOTrainer):
            pass

        SAMDPOTrainer("MODEL", args=SAMDPOConfig("outputs/sam", sam_rho=0.05), train_dataset=pairs).train()
    """

    args: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_sam_options(self.args)
        self.add_callback(GradientEvaluations())
        self._window: list[MicroBatch] = []
        self._window_run = self.state
        self._sam_stats: AscentStats | None = None  # the latest measurements that are not yet logged
        self._has_warned_of_rounding = False
        if self.args.sam_rho > 0:
            cast_adapter_to_fp32(self)
            check_sam(self)

    @property
    def gradient_evaluations(self) -> float:
        """Number of passes over accumulation windows in this run, including those before the run was resumed.

        A plain step has one pass, and a SAM step has two. With `sam_ascent_batches: a`, a SAM step over n
        micro-batches has 1 + a / n passes.
        """
        count = round(self._passes.count, 6)
        return int(count) if count == int(count) else count

    @property
    def _passes(self) -> GradientEvaluations:
        # Why: the callback is searched for each time, because Trainer may replace it when a run is resumed.
        return next(c for c in self.callback_handler.callbacks if isinstance(c, GradientEvaluations))

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        if self._window_run is not self.state:  # an earlier run of this trainer was interrupted inside a window
            self._window, self._window_run = [], self.state
        is_last = self.accelerator.gradient_state.sync_gradients
        if self.args.sam_rho == 0 or self.state.global_step < ceil(self.args.sam_start * self.state.max_steps):
            loss = super().training_step(model, inputs, num_items_in_batch)
            self._passes.count += is_last
            return self._checked(loss)
        self._window.append(MicroBatch(inputs, num_items_in_batch))
        if not is_last:
            return torch.zeros((), device=self.args.device)  # Trainer sums the losses of the micro-batches
        window, self._window = self._window, []
        return self._checked(self._sam_step(model, window))

    def _checked(self, loss: torch.Tensor) -> torch.Tensor:
        """Pass the loss to every `StopOnNonFinite` callback. Return the loss."""
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, StopOnNonFinite):
                callback.add(loss)
        return loss

    def _sam_step(self, model: nn.Module, window: list[MicroBatch]) -> torch.Tensor:
        """Compute the SAM gradient of an accumulation window. Return the loss of the first pass over the window."""
        before = RandomState.get()
        num_run, loss = self._ascent_pass(model, window)
        after = RandomState.get()
        with self._perturbed_weights():
            model.zero_grad()  # `sam_ascent` clears the gradients of the optimizer's weights only
            before.set()
            with self._without_metrics():
                self._run(model, window[:num_run], sync=num_run == len(window))
            if num_run:
                after.set()
            loss = loss + self._run(model, window[num_run:])
            self._passes.count += 1
        return loss

    def _ascent_pass(self, model: nn.Module, window: list[MicroBatch]) -> tuple[int, torch.Tensor]:
        """Compute the gradient of the ascent step. Return the number of its complete micro-batches, and their loss."""
        no_loss = torch.zeros((), device=self.args.device)
        batches = self.args.sam_ascent_batches
        if self.args.sam_direction == "random":
            return 0, no_loss
        if batches and self.args.gradient_accumulation_steps == 1:
            part, share = self.first_rows(window[0].inputs, batches)
            if share < 1:
                with self._without_metrics():
                    self._run(model, [window[0]._replace(inputs=part)])
                self._passes.count += share
                return 0, no_loss
        ascent = window[: batches or None]
        loss = self._run(model, ascent)
        self._passes.count += len(ascent) / len(window)
        return len(ascent), loss

    def rows_cannot_be_split(self) -> str | None:
        """Return the reason why a micro-batch cannot be split into rows, or None if it can be split.

        A subclass that returns None must define `first_rows`.
        """
        return f"{type(self).__name__} does not define how to split its rows"

    def first_rows(self, inputs: Any, rows: int) -> tuple[Any, float]:
        """Return the first `rows` rows of a micro-batch, and their number divided by the number of all its rows."""
        raise NotImplementedError

    def _run(self, model: nn.Module, micro_batches: list[MicroBatch], sync: bool = True) -> torch.Tensor:
        """Run a forward and a backward pass on each micro-batch. Return the sum of the losses.

        Args:
            sync: whether to average the gradients over all processes after the last micro-batch.
        """
        loss = torch.zeros((), device=self.args.device)
        sync_each = sync and self.accelerator.gradient_state.plugin_kwargs.get("sync_each_batch", False)
        for micro_batch in micro_batches:
            syncs = sync_each or (sync and micro_batch is micro_batches[-1])
            with nullcontext() if syncs else self._no_sync(model):
                loss = loss + super().training_step(model, copy(micro_batch.inputs), micro_batch.num_items_in_batch)
        return loss

    def _no_sync(self, model: nn.Module) -> AbstractContextManager[Any]:
        if self.is_distributed_loading_by_transformers and is_fsdp_managed_module(self.model):
            return self._defer_fsdp_gradient_reduction()
        return self.accelerator.no_sync(model)

    @contextmanager
    def _perturbed_weights(self) -> Iterator[None]:
        # In an fp16 run the gradients are multiplied by the loss scale. This does not change their direction.
        assert self.optimizer is not None
        args, step = self.args, self.state.global_step
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        seed = hash((args.seed, step, 0)) % 2**63 if args.sam_direction == "random" else None
        measure = self._sam_stats is None or (step + 1) % max(int(self.state.logging_steps), 1) == 0
        with sam_ascent(weights, args.sam_rho, args.sam_adaptive, random_seed=seed, measure=measure) as stats:
            if measure:
                self._sam_stats = stats
            yield

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs and self._sam_stats is not None:
            self._log_ascent(logs, self._sam_stats)
            self._sam_stats = None
        super().log(logs, *args, **kwargs)

    def _log_ascent(self, logs: dict[str, float], stats: AscentStats) -> None:
        logs.update({"sam/realised_rho": stats.realised_rho, "sam/cosine": stats.cosine})
        if self.args.sam_direction == "gradient":
            scaler = self.accelerator.scaler
            logs["sam/grad_norm"] = stats.grad_norm / scaler.get_scale() if scaler else stats.grad_norm
        share = stats.realised_rho * stats.cosine
        if share < 0.5 and not self._has_warned_of_rounding and self.is_world_process_zero():
            self._has_warned_of_rounding = True
            message = "SAM: after rounding, only %.0f %% of a step of sam_rho %g remains. Use a larger sam_rho."
            logger.warning(message, 100 * share, self.args.sam_rho)

    @contextmanager
    def _without_metrics(self) -> Iterator[None]:
        """Discard the token counts and metrics that TRL's trainers record in `compute_loss` within the block."""
        # Why: the second pass runs on the same data as the first, so it must not count twice.
        counters = {name: n for name, n in self.__dict__.items() if name in ("_metrics", "_total_train_tokens")}
        if "_metrics" in counters:
            self._metrics: Any = {mode: defaultdict(list) for mode in counters["_metrics"]}
        try:
            yield
        finally:
            self.__dict__.update(counters)
