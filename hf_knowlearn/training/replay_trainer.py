"""`ReplaySFTTrainer`: trains on replayed text with KL(base model, fine-tuned model) instead of cross-entropy.

The loss of a step is the sum over the trained tokens of all rows, divided by the number of these tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import kl_div
from trl.trainer.sft_trainer import get_dataset_column_names

from hf_knowlearn.training.packing import evaluation_mode
from hf_knowlearn.training.trainer import SAMSFTTrainer

ENDED, REPLAYED = "ended", "replayed"  # columns of the training rows


@dataclass
class ReplayCollator:
    """A collator that calls `collator` and adds the tensor `replayed`: one boolean for each row."""

    collator: Any

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        replayed = [example.get(REPLAYED, False) for example in examples]
        rows = [{name: value for name, value in example.items() if name != REPLAYED} for example in examples]
        return {**self.collator(rows), REPLAYED: torch.tensor(replayed)}


class ReplaySFTTrainer(SAMSFTTrainer):
    """`SAMSFTTrainer` for rows with two additional boolean columns, `ended` and `replayed`.

    If `ended` is false, the text of the row was truncated. The loss then excludes its end token, which would teach the
    model to stop in the middle of a text. If `replayed` is true, the loss of the row is KL(base model, fine-tuned
    model), summed over its trained tokens.

    Args:
        kl_weight: weight of the KL divergence, 0 or more. With 0, replayed rows have the same loss as all other rows.
        base: the base model. If `base` is None, the base model is the trained model without its adapter. The attribute
            `base` can also be set after construction, before training.

    Raises:
        ValueError: `kl_weight` is above 0, and either packing joins the rows or the model is sharded.

    Example:

        rows = Dataset.from_list([{"prompt": "", "completion": "The river", "ended": False, "replayed": True}])
        args = SAMConfig("outputs/replay")
        ReplaySFTTrainer("MODEL", args, train_dataset=rows, peft_config=LoraConfig(), kl_weight=1.0).train()
    """

    data_collator: Any
    _signature_columns: Any

    def __init__(self, *args: Any, kl_weight: float = 0.0, base: nn.Module | None = None, **named: Any) -> None:
        self.kl_weight, self.base = kl_weight, base
        super().__init__(*args, **named)
        if kl_weight:
            self._check_kl()
            self.data_collator = ReplayCollator(self.data_collator)

    def _check_kl(self) -> None:
        problems = []
        if self.padding_free or self.args.packing:
            problems.append("padding_free and packing join rows. Set both to false.")
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            problems.append("With FSDP or DeepSpeed, no process has the whole model. Use DDP.")
        if problems:
            raise ValueError(
                f"replay_kl: {self.kl_weight} cannot be used here. {' '.join(problems)} Or set replay_kl: 0."
            )

    def _prepare_dataset(self, dataset: Any, *others: Any, **named: Any) -> Any:
        prepared = super()._prepare_dataset(dataset, *others, **named)
        has_column = ENDED in (get_dataset_column_names(prepared) or ())
        return prepared.map(_without_end_of_cut_text) if has_column else prepared

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if self.kl_weight and REPLAYED not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, REPLAYED]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        mask = inputs.pop(REPLAYED, None)
        if mask is None or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        replayed, labels = _select_rows(inputs, mask), inputs["labels"]
        # Why: each micro-batch calls the wrapped model once, even if all rows are replayed, because under DDP all
        # processes must make the same calls.
        others = {**inputs, "labels": torch.full_like(labels, -100)} if mask.all() else _select_rows(inputs, ~mask)
        # `SFTTrainer` counts the tokens itself if all rows are replayed.
        self._count_tokens(replayed["attention_mask"].sum() * ~mask.all())
        loss = super().compute_loss(model, others, num_items_in_batch=num_items_in_batch)
        divergence, num_replayed = self._divergence(replayed)
        self._log_divergence(divergence.detach(), num_replayed)
        if num_items_in_batch is None:  # `loss` is then the mean over the tokens of the other rows
            items, processes = labels[:, 1:].ne(-100).sum(), 1
            loss = loss * (items - num_replayed) / items.clamp(min=1)
        else:
            items = torch.as_tensor(num_items_in_batch, device=labels.device)
            # As in TRL: the number of tokens is summed over all processes, but the gradients of the processes are
            # averaged.
            processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return loss + self.kl_weight * processes * divergence / items.clamp(min=1)

    def _divergence(self, rows: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return KL(base model, fine-tuned model) in nats, summed over the trained tokens of `rows`, and the number of
        these tokens."""
        trained = rows["labels"][:, 1:] != -100
        if not trained.any():
            return torch.zeros((), device=trained.device), trained.sum()
        inputs = {name: value for name, value in rows.items() if name != "labels"} | {"use_cache": False}
        with self.accelerator.autocast():
            with self._base_model() as base:
                expected = base(**inputs).logits[:, :-1][trained].float().log_softmax(-1)
            predicted = self.model(**inputs).logits[:, :-1][trained].float().log_softmax(-1)
        return kl_div(predicted, expected, reduction="sum", log_target=True), trained.sum()

    @contextmanager
    def _base_model(self) -> Iterator[nn.Module]:
        """Provide the base model within the block, without dropout and gradients."""
        model: Any = self.accelerator.unwrap_model(self.model)
        if self.base is None and not hasattr(model, "disable_adapter"):
            raise ValueError("replay_kl: the model has no adapter to disable. Pass the base model to the trainer.")
        with evaluation_mode(self.base or model):
            if self.base is not None:
                yield self.base
                return
            with model.disable_adapter():
                yield model

    def _count_tokens(self, tokens: torch.Tensor) -> None:
        """Add the tokens of replayed rows, which `SFTTrainer` does not count, to the token count of `SFTTrainer`."""
        self._total_train_tokens += int(self.accelerator.gather(tokens).sum()) // self._tp_size

    def _log_divergence(self, divergence: torch.Tensor, tokens: torch.Tensor) -> None:
        sums = torch.stack([divergence.double(), tokens.double()])[None]
        total, number = self.accelerator.gather(sums).sum(0).tolist()
        if number:
            self._metrics["train"]["replay_kl"].append(total / number)


def _select_rows(inputs: dict[str, Any], mask: torch.Tensor) -> dict[str, Any]:
    """Return the rows of a batch for which `mask`, of shape (rows,), is true. Remove the columns that only contain
    padding."""
    longest = int(inputs["attention_mask"][mask].sum(-1).max()) if mask.any() else 0
    return {name: value[mask][:, :longest] if torch.is_tensor(value) else value for name, value in inputs.items()}


def _without_end_of_cut_text(row: dict[str, Any]) -> dict[str, Any]:
    *labels, end = row["labels"]
    return {"labels": [*labels, end if row[ENDED] else -100]}
