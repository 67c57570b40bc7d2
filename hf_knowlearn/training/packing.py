"""Checks, by running the model, that no token of a packed row attends to another document.

The check packs three short documents in the same way as the trainer packs its rows, and then replaces one of the
documents. The logits of the other documents must not change. The check finds attention masks that ignore the
boundaries between documents, recurrent layers, and collators that lose these boundaries. It does not find leaks that
occur only in longer rows.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch import nn
from trl import pack_dataset

from hf_knowlearn.training.rng_state import fork_rng

logger = logging.getLogger("hf_knowlearn.training")

Tokens = list[int]
LENGTH = 8  # number of tokens of each document of the check
# Accepted change of a logit, relative to the largest logit. A leak changes logits by some tenths of it. Rounding in
# float32 changes them by less than a millionth.
TOLERANCE = 1e-4
# In lower precision, rounding depends on the shape of the batch. It changes the logits of a deep model by some
# hundredths.
LOW_PRECISION_TOLERANCE = 0.1


class Layout(NamedTuple):
    """A way in which a trainer puts several documents into one row."""

    option: str  # the option that causes it, with its value
    strategy: str | None  # `packing_strategy`, or None if the collator joins the rows


class Evidence(NamedTuple):
    """How much the logits of a document change in four comparisons. The changes are relative to the largest logit.

    Args:
        neighbour: change if another document of the packed row is replaced. It is 0 if packing isolates documents.
        alone: change from a packed row to a row with only this document. It is large if the positions do not restart
            at each document.
        rounding: change if another row of an unpacked batch is replaced. It is not 0 if rows share experts or scales.
        joined: change if the beginning of the same document is replaced. A leak between documents has about this size.
        low_precision: whether the model computes in less than float32.
    """

    neighbour: float
    alone: float
    rounding: float
    joined: float
    low_precision: bool

    @property
    def limits(self) -> tuple[float, float]:
        """The largest accepted values of `neighbour` and `alone`."""
        if not self.low_precision:
            return TOLERANCE, TOLERANCE
        # Why: `neighbour` compares batches of the same shape. Low precision then adds no error except `rounding`.
        return min(max(TOLERANCE, 4 * self.rounding), LOW_PRECISION_TOLERANCE), LOW_PRECISION_TOLERANCE

    @property
    def isolates(self) -> bool:
        return self.neighbour <= self.limits[0] and self.alone <= self.limits[1]

    @property
    def is_conclusive(self) -> bool:
        """Whether the check can find a leak. If the logits do not depend on earlier tokens, no leak can be found."""
        return self.joined > self.limits[0]

    def __str__(self) -> str:
        return (
            f"the logits of a document change by {self.neighbour:.1g} if another document of the row is replaced"
            f" (limit {self.limits[0]:.1g}; without isolation {self.joined:.1g}), and differ by {self.alone:.1g} from"
            f" those of the document alone (limit {self.limits[1]:.1g}), relative to the largest logit"
        )


def check_packing(trainer: Any, model: nn.Module) -> None:
    """Raise a `ValueError` if a token of a packed row of `trainer` attends to another document of the row.

    The check does not change the modes and gradients of the model or the random number generators. If `trainer` does
    not pack rows, the check does not run the model.
    """
    problems = []
    for layout in layouts(trainer):
        evidence = probe(trainer, model, layout.strategy)
        if problem := _problem(layout, evidence, trainer.model):
            problems.append(problem)
        elif trainer.is_world_process_zero():
            logger.info("%s: packed documents are isolated: %s.", layout.option, evidence)
    if problems:
        raise ValueError("\n".join(problems))


def _problem(layout: Layout, evidence: Evidence, model: Any) -> str | None:
    attention = getattr(model.config.get_text_config(), "_attn_implementation", None)
    setting = f"{layout.option} ({type(model).__name__}, attention {attention})"
    fix = "Set packing: false, padding_free: false and eval_packing: false"
    if not evidence.is_conclusive:
        return f"{setting}: the check of packing is not conclusive: no logit depends on earlier tokens. {fix}."
    if not evidence.isolates:
        return (
            f"{setting}: a packed document attends to other documents: {evidence}. {fix}. Or set packing_strategy: "
            "bfd and attn_implementation: sdpa or eager, which isolates documents in most models without recurrence."
        )
    return None


def layouts(trainer: Any) -> Iterator[Layout]:
    """Yield the ways in which the trainer packs rows in training and in evaluation, without duplicates."""
    args = trainer.args
    eval_packing = args.packing if args.eval_packing is None else args.eval_packing
    found = set()
    for option, packing, dataset in (
        ("packing", args.packing, trainer.train_dataset),
        ("eval_packing", eval_packing, trainer.eval_dataset),
    ):
        if packing and not trainer._skip_prepare_dataset:
            layout = Layout(f"{option}: true, packing_strategy: {args.packing_strategy}", args.packing_strategy)
        elif _is_packed(dataset):
            layout = Layout(f"rows with seq_lengths, {option}: {str(packing).lower()}", "bfd")
        elif trainer.padding_free:
            layout = Layout("padding_free: true", None)
        else:
            continue
        if layout.strategy not in found:
            found.add(layout.strategy)
            yield layout


def _is_packed(dataset: Any) -> bool:
    """Return whether the dataset has packed rows. A streaming dataset without known columns counts as not packed."""
    datasets = dataset.values() if isinstance(dataset, dict) else [dataset]
    return any("seq_lengths" in (getattr(rows, "column_names", None) or ()) for rows in datasets)


def probe(trainer: Any, model: nn.Module, strategy: str | None) -> Evidence:
    """Pack and collate three random documents as `trainer` does. Compare their logits with the logits of each document
    alone."""
    *documents, other = _random_documents(trainer)
    packed = partial(_pack_and_collate, trainer, strategy)

    def relative(difference: torch.Tensor) -> float:
        return float(difference.abs().max() / alone.abs().max())

    def change(batch: Callable[[list[Tokens]], dict[str, Any]], *replaced: int) -> float:
        """Replace the documents with the indices `replaced`, one at a time. Return the largest change of a logit of
        the other documents."""
        logits, changes = _logits(trainer, model, batch(documents), documents), []
        for index in replaced:
            others = [i for i in range(len(documents)) if i != index]
            changed = batch([*documents[:index], other, *documents[index + 1 :]])
            changes.append(logits[others] - _logits(trainer, model, changed, [documents[i] for i in others]))
        return relative(torch.cat(changes))

    with evaluation_mode(model), trainer.accelerator.autocast():
        alone = torch.cat([_logits(trainer, model, _separate([tokens]), [tokens]) for tokens in documents])
        return Evidence(
            neighbour=change(packed, 0, 1, 2),
            alone=relative(_logits(trainer, model, packed(documents), documents) - alone),
            rounding=change(_separate, 0),
            joined=change(_joined, 0),
            low_precision=_is_low_precision(trainer, model),
        )


def _random_documents(trainer: Any) -> list[Tokens]:
    """Return three random documents, and a fourth one that replaces one of them."""
    tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
    tokens = sorted(set(range(tokenizer.vocab_size)) - set(tokenizer.all_special_ids))
    random = Random(0)
    return [random.choices(tokens, k=LENGTH) for _ in range(4)]


def _separate(documents: list[Tokens]) -> dict[str, Any]:
    return {"input_ids": torch.tensor(documents)}


def _joined(documents: list[Tokens]) -> dict[str, Any]:
    return _separate([[token for document in documents for token in document]])


def _pack_and_collate(trainer: Any, strategy: str | None, documents: list[Tokens]) -> dict[str, Any]:
    rows: Any = [{"input_ids": tokens, "labels": tokens} for tokens in documents]
    if strategy:
        # Why: a stream shows no progress bar and writes no cache.
        rows = list(pack_dataset(Dataset.from_list(rows).to_iterable_dataset(), 2 * LENGTH, strategy))
    return trainer._get_collator_with_removed_columns(trainer.data_collator)(rows)


def _logits(trainer: Any, model: nn.Module, inputs: dict[str, Any], documents: Sequence[Tokens]) -> torch.Tensor:
    """Return the logits of `documents` in a batch, in the shape (documents, tokens, vocabulary)."""
    rows = inputs["input_ids"].tolist()
    places = [place for document in documents for place in _places(rows, document)]
    if len(places) != len(documents):
        raise ValueError(
            f"data_collator {type(trainer.data_collator).__name__}: its batch does not contain each row once and "
            "unchanged, so packing cannot be checked. Set packing: false, or use the default collator."
        )
    inputs = trainer._prepare_inputs({name: value for name, value in inputs.items() if name != "labels"})
    logits = model(**inputs, use_cache=False).logits[:, -len(rows[0]) :]  # prompt tuning adds tokens before the row
    return torch.stack([logits[row, start : start + LENGTH].float().cpu() for row, start in places])


def _places(rows: list[Tokens], document: Tokens) -> Iterator[tuple[int, int]]:
    """Yield the row and the start of each occurrence of `document` in `rows`."""
    for index, row in enumerate(rows):
        for start in range(len(row) - LENGTH + 1):
            if row[start : start + LENGTH] == document:
                yield index, start


def _is_low_precision(trainer: Any, model: nn.Module) -> bool:
    """Return whether the model computes in less than float32: with autocast, TF32, or 16-bit or quantised weights."""
    dtypes = {weight.dtype for weight in model.parameters()}
    tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
    return trainer.accelerator.native_amp or tf32 or not dtypes <= {torch.float32, torch.float64}


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Disable dropout and gradients within the block. Restore the modes and the random number generators after it."""
    modes = [(module, module.training) for module in model.modules()]
    with fork_rng(), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
