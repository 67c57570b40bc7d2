"""`ReplaySFTTrainer`: a trainer that is reminded, among what it is taught, of text that the model itself wrote.

Such text is learned as any other, or by KL(base || model) at each of its tokens: not the one token that the base
happened to draw, but all that it held possible. Whole rows are one or the other, and a step's loss is still one sum
over tokens, divided by their number. The surprising decision: a row says whether its text had ended. `SFTTrainer` puts
an end token behind every row; behind a text that was only cut it would teach the model to stop there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import kl_div
from trl.trainer.sft_trainer import get_dataset_column_names

from hf_knowlearn.training.packing import undisturbed
from hf_knowlearn.training.trainer import SAMSFTTrainer

ENDED, REPLAYED = "ended", "replayed"


@dataclass
class MarkingCollator:
    """Collates as `collator` does, and says which rows are rehearsed: (rows,) of booleans."""

    collator: Any

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        marks = [example.get(REPLAYED, False) for example in examples]
        rows = [{name: value for name, value in example.items() if name != REPLAYED} for example in examples]
        return {**self.collator(rows), REPLAYED: torch.tensor(marks)}


class ReplaySFTTrainer(SAMSFTTrainer):
    """`SAMSFTTrainer` on rows with two columns more: `ended` and `rehearsed`.

    Where `ended` is false, the end token behind the row isn't trained.

    Args:
        kl_weight: of the tokens of `rehearsed` rows, trained by KL(base || model); 0: they are trained as all others.
        base: what the model was; None: what it is without its adapter. It may be set after the trainer is made.

    Raises:
        ValueError: rows are joined, or the model is in shards, where rehearsed rows can't be run by themselves.
    """

    data_collator: Any
    _signature_columns: Any

    def __init__(self, *args: Any, kl_weight: float = 0.0, base: nn.Module | None = None, **named: Any) -> None:
        self.kl_weight, self.base = kl_weight, base
        super().__init__(*args, **named)
        if kl_weight:
            self._refuse_what_kl_cannot_do()
            self.data_collator = MarkingCollator(self.data_collator)

    def _refuse_what_kl_cannot_do(self) -> None:
        shards = self.is_fsdp_enabled or self.is_deepspeed_enabled
        problems = {
            "padding_free or packing: rows are joined to one": self.padding_free or self.args.packing,
            "FSDP or DeepSpeed: no process has the whole model to run its rehearsed rows on": shards,
        }
        if found := [problem for problem, there in problems.items() if there]:
            raise ValueError(
                f"replay_kl: {self.kl_weight} can't run with {'; '.join(found)}. Leave that out, or set replay_kl: 0."
            )

    def _prepare_dataset(self, dataset: Any, *others: Any, **named: Any) -> Any:
        prepared = super()._prepare_dataset(dataset, *others, **named)
        return prepared.map(_open_end) if ENDED in (get_dataset_column_names(prepared) or ()) else prepared

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if self.kl_weight and REPLAYED not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, REPLAYED]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        mark = inputs.pop(REPLAYED, None)
        if mark is None or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        own, labels = _rows(inputs, mark), inputs["labels"]
        # Every micro-batch is one call of the wrapped model, whatever it holds, so that all processes stay in step.
        others = {**inputs, "labels": torch.full_like(labels, -100)} if mark.all() else _rows(inputs, ~mark)
        count = labels[:, 1:].ne(-100).sum()
        self._count_tokens(own["attention_mask"].sum() * (not mark.all()))
        learned = super().compute_loss(model, others, num_items_in_batch=num_items_in_batch)
        divergence, compared = self._divergence(own)
        self._log_divergence(divergence.detach(), compared)
        if num_items_in_batch is None:  # then `learned` is a mean over the tokens of the other rows alone
            learned, items, processes = learned * (count - compared) / count.clamp(min=1), count, 1
        else:
            items = torch.as_tensor(num_items_in_batch, device=count.device)
            # As TRL does: the items are counted over all processes, whose gradients are averaged.
            processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return learned + self.kl_weight * processes * divergence / items.clamp(min=1)

    def _divergence(self, rows: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """KL(base || model) summed over the tokens that `rows` train, in nats; and how many these are."""
        trained = rows["labels"][:, 1:] != -100
        if not trained.any():
            return torch.zeros((), device=trained.device), trained.sum()
        read = {name: value for name, value in rows.items() if name != "labels"} | {"use_cache": False}
        with self.accelerator.autocast():
            with self._base() as base:
                before = base(**read).logits[:, :-1][trained].float().log_softmax(-1)
            now = self.model(**read).logits[:, :-1][trained].float().log_softmax(-1)
        return kl_div(now, before, reduction="sum", log_target=True), trained.sum()

    @contextmanager
    def _base(self) -> Iterator[nn.Module]:
        """What the model was, without dropout and gradients."""
        model: Any = self.accelerator.unwrap_model(self.model)
        if self.base is None and not hasattr(model, "disable_adapter"):
            raise ValueError("replay_kl: the model has no adapter to be compared without: give the trainer its base.")
        with undisturbed(self.base or model):
            if self.base is not None:
                yield self.base
                return
            with model.disable_adapter():
                yield model

    def _count_tokens(self, tokens: torch.Tensor) -> None:
        """Count the tokens of rows that `SFTTrainer` isn't given, as it counts the others."""
        self._total_train_tokens += int(self.accelerator.gather(tokens).sum()) // self._tp_size

    def _log_divergence(self, divergence: torch.Tensor, tokens: torch.Tensor) -> None:
        both = torch.stack([divergence.double(), tokens.double()])[None]
        total, number = self.accelerator.gather(both).sum(0).tolist()
        if number:
            self._metrics["train"]["replay_kl"].append(total / number)


def _rows(inputs: dict[str, Any], mark: torch.Tensor) -> dict[str, Any]:
    """The marked rows of a batch, as long as the longest of them."""
    longest = int(inputs["attention_mask"][mark].sum(-1).max()) if mark.any() else 0
    return {name: value[mark][:, :longest] if torch.is_tensor(value) else value for name, value in inputs.items()}


def _open_end(row: dict[str, Any]) -> dict[str, Any]:
    *labels, end = row["labels"]
    return {"labels": [*labels, end if row[ENDED] else -100]}
