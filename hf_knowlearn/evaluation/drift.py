"""Drift: how far a model moved from its base model, as KL(base || model) in nats per token.

The divergence is measured on texts that are unrelated to the training documents. If the base model generated these
texts at temperature 1, the sum of the divergence over the tokens of a text estimates the divergence between the two
models' distributions over whole texts.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.evaluation.standard_errors import token_mean
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
        kl: mean over tokens of KL(base || model), in nats. It is 0 for a model that did not change.
        kl_se: standard error of `kl`, clustered by text. It is nan for a single text.
        tokens: number of predicted tokens: all tokens of each text (or part of a text) except the first.
        texts: number of texts.
        by_text: for each text, the sum of the divergences and the number of its predicted tokens.
    """

    kl: float
    kl_se: float
    tokens: int
    texts: int
    by_text: tuple[tuple[float, int], ...] = field(default=(), compare=False, repr=False)

    def figures(self) -> dict[str, Any]:
        """Return the fields as a dictionary, without `by_text`."""
        return {name: value for name, value in vars(self).items() if name != "by_text"}

    def rows(self) -> list[dict[str, Any]]:
        """Return the sum `kl` and the number of `tokens` of each text, as dictionaries: the lines of a JSONL file."""
        return [{"text": i, "kl": kl, "tokens": tokens} for i, (kl, tokens) in enumerate(self.by_text)]


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
    """Measure the drift of a model from its base model on these texts.

    Both models predict each token of each text from the tokens before it. For each prediction, the divergence is the
    sum over the vocabulary of p (log p - log q), where p is the probability in the base model and q in the model. The
    drift is the mean over all predictions. Memory holds the logits of one batch only.

    Args:
        base: the base model. None: `model` must be a PEFT model, and is the base model while its adapter is disabled.
        texts: texts that are unrelated to the training documents, such as the texts that `sample_texts` generates from
            the base model. Long texts are split into parts.
        batch_size: number of texts or parts that each process computes at once.
        max_length: maximum number of tokens of a part. None: the model's context.
        progress: label of the progress bar. None: no bar.

    Raises:
        ValueError: there is neither a base model nor an adapter, the vocabularies differ, or every text has fewer than
            two tokens.
        MemoryError: a batch of one part does not fit in memory.

    Example:
        >>> texts = sample_texts(base, tokenizer, 64)
        >>> drift(model, base, tokenizer, texts).kl
        0.12
    """
    check_causal_lm(model)
    if base is None and not hasattr(model, "disable_adapter"):
        raise ValueError(
            f"base=None needs a model with an adapter, but {type(model).__name__} has no adapter. Pass the base model."
        )
    if not texts:
        raise ValueError(
            "texts is empty. Pass general texts, or generate texts from the base model with sample_texts."
        )
    limit = smallest_limit(max_length, context_length(model), context_length(base or model))
    owners, rows = text_rows(tokenizer, texts, limit)

    def compute(batch: list[int], _: int) -> list[float]:
        return _row_sums(model, base, [rows[i] for i in batch], pad_token_id(tokenizer))

    with eval_mode(base) if base is not None else nullcontext():
        work = [2.0 * len(ids) for ids in rows]
        divergences = run_batches(longest_first(rows), batch_size, compute, model=model, progress=progress, work=work)
    sums = sums_of_texts(len(texts), owners, rows, divergences)
    return Drift(*token_mean(sums), sum(n for _, n in sums), len(sums), tuple(sums))


def text_rows(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], limit: int | None
) -> tuple[list[int], list[tuple[int, ...]]]:
    """Split texts into parts of at most `limit` tokens. Return the index of the text and the tokens of each part.

    Raises:
        ValueError: every text has fewer than two tokens.
    """
    lengths = token_lengths(tokenizer)
    parts = [
        part
        for i, text in enumerate(texts)
        for part in split_document(Document(str(i), text), lambda own: lengths([own])[0], limit or sys.maxsize)
    ]
    rows = [tuple(ids) for ids in encode(tokenizer, [part.text for part in parts])]
    if all(len(ids) < 2 for ids in rows):
        raise ValueError(
            f"All texts ({len(texts)}) have fewer than two tokens, so there is nothing to predict. Pass longer texts."
        )
    return [int(part.id) for part in parts], rows


def sums_of_texts(
    number: int, owners: Sequence[int], rows: Sequence[Sequence[int]], totals: Sequence[float]
) -> list[tuple[float, int]]:
    """Return the total and the number of predicted tokens of each text, from those of its parts (see `text_rows`)."""
    sums = [(0.0, 0)] * number
    for owner, ids, total in zip(owners, rows, totals, strict=True):
        sums[owner] = (sums[owner][0] + total, sums[owner][1] + len(ids) - 1)
    return sums


def divergence(base: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """Return KL(base || model) of each row, in nats. Tokens with probability 0 in the base model contribute 0.

    Args:
        base, model: logits of the two models, of shape (rows, vocabulary).
    """
    p, q = base.float().log_softmax(-1), model.float().log_softmax(-1)
    return torch.where(p == -math.inf, 0.0, p.exp() * (p - q)).double().sum(-1)


def _row_sums(
    model: "PreTrainedModel", base: "PreTrainedModel | None", rows: Sequence[Sequence[int]], pad: int
) -> list[float]:
    """Return the sum of the divergences over the predicted tokens of each row."""
    with _base_model(model, base) as base_model:
        expected = row_logits(base_model, rows, pad)
    found = row_logits(model, rows, pad)
    if expected.shape != found.shape:
        raise ValueError(
            f"The vocabulary of the base model has {expected.shape[-1]} tokens, but the vocabulary of the model has"
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
        for weight, flag in trainable:  # Why: peft makes an adapter trainable when it enables the adapter again
            weight.requires_grad_(flag)
