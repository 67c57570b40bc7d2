"""Drift: how far has a model moved from its base on text that has nothing to do with what it was taught?

KL(base || model) in nats a token: by how much worse than the base itself the taught model predicts what the base would
say next. It grows where the base was sure of something that the model gave up, whether or not a question asks for it;
the other direction would ask what the model says that the base would not, which is what it was taught to. The
surprising decision: nobody needs a corpus. The base writes the text itself, at temperature 1; then the sum over a text
estimates the divergence of the two distributions of whole texts (but for tokens that read again in another division).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object

from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.generation.batching import in_shares, read_rows
from hf_knowlearn.generation.models import check_model, in_eval_mode, pad_id
from hf_knowlearn.prompts.limits import context_length, smallest_limit, token_lengths

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Drift:
    """How far a model is from its base.

    Args:
        kl: the mean over tokens of KL(base || model), in nats; 0 of a model that did not move.
        kl_se: its standard error, clustered by text, since tokens of one text drift together; nan for a single text.
        tokens: the predictions compared: every token of a text but its first.
        texts: how many texts they are of.
    """

    kl: float
    kl_se: float
    tokens: int
    texts: int

    def figures(self) -> dict[str, Any]:
        """The same in plain values."""
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
    """The mean over tokens of KL(base || model): p (log p - log q), summed over what may follow, p being the base's.

    Both predict each token of each text after those before it. The logits of one batch are held at a time, twice (of
    the base too); each rank of several reads its share.

    Args:
        base: None for a PEFT model: then it is what the model is with its adapter switched off.
        texts: what nobody taught, such as `sample_texts` of the base; a long one is cut at ends of sentences.
        batch_size: texts (parts of them) read at once, by each process.
        max_length: tokens that a part may have. None: the model's context.
        progress: what to write beside the progress bar; None shows no bar.

    Raises:
        ValueError: no base and no adapter; two vocabularies; no text, or none with a token to predict.
        MemoryError: the memory does not hold a single part.
    """
    check_model(model)
    if base is None and not hasattr(model, "disable_adapter"):
        raise ValueError(f"base=None, but {type(model).__name__} has no adapter to switch off: give the base model.")
    if not texts:
        raise ValueError("texts is empty: give general text, or take sample_texts of the base.")
    limit = smallest_limit(max_length, context_length(model), context_length(base or model))
    wholes = [Document(str(i), text) for i, text in enumerate(texts)]
    parts = [
        part for whole in wholes for part in (split_document(whole, _length(tokenizer), limit) if limit else [whole])
    ]
    rows = [tuple(ids) for ids in tokenizer([part.text for part in parts], verbose=False)["input_ids"]]
    if all(len(ids) < 2 for ids in rows):
        raise ValueError(f"None of {len(texts)} texts has a second token to predict: give longer ones.")
    divergences: dict[int, float] = {}

    def work(batch: list[int]) -> None:
        ids = [rows[i] for i in batch]
        with _base_of(model, base) as before:
            told = read_rows(before, ids, pad_id(tokenizer))
        now = read_rows(model, ids, pad_id(tokenizer))
        if told.shape != now.shape:
            raise ValueError(
                f"The base has a vocabulary of {told.shape[-1]} and the model one of {now.shape[-1]}: give the model"
                " that training started from."
            )
        for row, i in enumerate(batch):
            end = len(rows[i]) - 1
            divergences[i] = float(divergence(told[row, :end], now[row, :end].to(told.device)).sum())

    with in_eval_mode(base) if base is not None else nullcontext():
        in_shares(model, [len(ids) for ids in rows], batch_size, work, progress)
    of_row = dict(gather_object(list(divergences.items())))
    sums = [[0.0, 0.0] for _ in texts]
    for i, (part, ids) in enumerate(zip(parts, rows, strict=True)):
        text = sums[int(part.id)]
        text[:] = text[0] + of_row[i], text[1] + len(ids) - 1
    return _summary(sums)


def divergence(base: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """KL(base || model) of each row, in nats, from logits (rows, vocabulary); what the base rules out adds nothing."""
    p, q = base.float().log_softmax(-1), model.float().log_softmax(-1)
    return torch.where(p == -math.inf, 0.0, p.exp() * (p - q)).double().sum(-1)


def _length(tokenizer: "PreTrainedTokenizerBase") -> Any:
    lengths = token_lengths(tokenizer)
    return lambda text: lengths([text])[0]


@contextmanager
def _base_of(model: "PreTrainedModel", base: "PreTrainedModel | None") -> Iterator["PreTrainedModel"]:
    if base is not None:
        yield base
        return
    trainable = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        with model.disable_adapter():
            yield model
    finally:
        for weight, flag in trainable:  # peft makes an adapter trainable when it switches it on again
            weight.requires_grad_(flag)


def _summary(sums: Sequence[Sequence[float]]) -> Drift:
    """The ratio of sums over texts, with its standard error clustered by text."""
    tokens = sum(n for _, n in sums)
    kl = math.fsum(total for total, _ in sums) / tokens
    n = len(sums)
    residuals = math.fsum((total - kl * count) ** 2 for total, count in sums)
    error = math.sqrt(n / (n - 1) * residuals) / tokens if n > 1 else math.nan
    return Drift(kl, error, int(tokens), n)
