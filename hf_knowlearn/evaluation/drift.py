"""Drift: KL(base || model) in nats per token, on text that has nothing to do with the training documents.

Drift compares the predictions of the two models on these texts. The base model can generate the texts at temperature
1. The sum over such a text then estimates the divergence between the distributions of the two models over whole texts.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.generation.batching import longest_first, row_logits, run_batches
from hf_knowlearn.generation.causal_lm import check_causal_lm, eval_mode, pad_token_id
from hf_knowlearn.prompts.limits import context_length, smallest_limit, token_lengths
from hf_knowlearn.prompts.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Drift:
    """How far a model moved from its base model.

    Args:
        kl: mean over tokens of KL(base || model), in nats. 0 for a model that did not change.
        kl_se: standard error of `kl`, clustered by text; nan for a single text.
        tokens: number of compared predictions: one for every token of a text except the first.
        texts: number of texts.
    """

    kl: float
    kl_se: float
    tokens: int
    texts: int

    def figures(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def drift(
    model: "PreTrainedModel",
    base: "PreTrainedModel | None",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    *,
    batch_size: int = 8,
    max_length: int | None = None,
    progress: str | None = None,
) -> Drift:
    """The mean over tokens of KL(base || model): the sum over the vocabulary of p (log p - log q), with p from the
    base model and q from the model.

    Both models predict each token of each text from the tokens before it. At any time, memory holds the logits of both
    models for one batch only.

    Args:
        base: the base model. None: `model` is a PEFT model, and its adapter is disabled to get the base model.
        texts: texts that are unrelated to the training documents, such as `sample_texts` of the base model. Long texts
            are split.
        batch_size: number of texts, or parts of texts, that each process computes at once.
        max_length: maximum number of tokens of a part. None: the model's context.
        progress: label of the progress bar. None: no bar.

    Raises:
        ValueError: there is neither a base model nor an adapter, the vocabularies differ, or no text has two tokens.
        MemoryError: one part does not fit.

    Example:
        >>> texts = sample_texts(base, tokenizer, 64)
        >>> drift(model, base, tokenizer, texts).kl
        0.12
    """
    check_causal_lm(model)
    if base is None and not hasattr(model, "disable_adapter"):
        raise ValueError(
            f"base=None needs a model with an adapter, but {type(model).__name__} has none. Pass the base model as"
            " base."
        )
    if not texts:
        raise ValueError("texts is empty. Pass general texts, or generate them with sample_texts of the base model.")
    limit = smallest_limit(max_length, context_length(model), context_length(base or model))
    lengths = token_lengths(tokenizer)
    parts = [
        part
        for i, text in enumerate(texts)
        for part in split_document(Document(str(i), text), lambda own: lengths([own])[0], limit or sys.maxsize)
    ]
    rows = [tuple(ids) for ids in encode(tokenizer, [part.text for part in parts])]
    if all(len(ids) < 2 for ids in rows):
        raise ValueError(
            f"None of the {len(texts)} texts has two tokens, so there is nothing to predict. Pass longer texts."
        )

    def compute(batch: list[int], _: int) -> list[float]:
        return _row_sums(model, base, [rows[i] for i in batch], pad_token_id(tokenizer))

    with eval_mode(base) if base is not None else nullcontext():
        divergences = run_batches(longest_first(rows), batch_size, compute, model=model, progress=progress)
    sums = [[0.0, 0] for _ in texts]
    for part, ids, total in zip(parts, rows, divergences, strict=True):
        sums[int(part.id)][0] += total
        sums[int(part.id)][1] += len(ids) - 1
    return _summary(sums)


def divergence(base: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """KL(base || model) of each row in nats, from logits (rows, vocabulary). Tokens with probability 0 in `base` add
    0."""
    p, q = base.float().log_softmax(-1), model.float().log_softmax(-1)
    return torch.where(p == -math.inf, 0.0, p.exp() * (p - q)).double().sum(-1)


def _row_sums(
    model: "PreTrainedModel", base: "PreTrainedModel | None", rows: Sequence[Sequence[int]], pad: int
) -> list[float]:
    """The sum of the divergences over the tokens of each row."""
    with _base_model(model, base) as base_model:
        expected = row_logits(base_model, rows, pad)
    found = row_logits(model, rows, pad)
    if expected.shape != found.shape:
        raise ValueError(
            f"The base model has a vocabulary of {expected.shape[-1]} tokens, but the model has one of"
            f" {found.shape[-1]}. Pass the base model that training started from."
        )
    return [
        float(divergence(expected[row, : len(ids) - 1], found[row, : len(ids) - 1].to(expected.device)).sum())
        for row, ids in enumerate(rows)
    ]


@contextmanager
def _base_model(model: "PreTrainedModel", base: "PreTrainedModel | None") -> Iterator["PreTrainedModel"]:
    if base is not None:
        yield base
        return
    trainable = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        with model.disable_adapter():
            yield model
    finally:
        for weight, flag in trainable:  # peft makes an adapter trainable when it enables the adapter again
            weight.requires_grad_(flag)


def _summary(sums: Sequence[Sequence[float]]) -> Drift:
    """The sum of the divergences over the number of tokens, with a standard error clustered by text."""
    tokens = sum(n for _, n in sums)
    kl = math.fsum(total for total, _ in sums) / tokens
    n = len(sums)
    residuals = math.fsum((total - kl * count) ** 2 for total, count in sums)
    error = math.sqrt(n / (n - 1) * residuals) / tokens if n > 1 else math.nan
    return Drift(kl, error, int(tokens), n)
