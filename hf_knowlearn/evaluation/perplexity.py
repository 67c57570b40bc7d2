"""Perplexity of a model on general text: how well the model predicts text that is unrelated to the training documents.

The text of the package, `general_text.txt`, has 60 paragraphs about everyday subjects. A perplexity is comparable only
between models with the same tokenizer, such as a base model and the model that was fine-tuned from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hf_knowlearn.evaluation.drift import sums_of_texts, text_rows
from hf_knowlearn.evaluation.standard_errors import token_mean
from hf_knowlearn.generation.batching import longest_first, row_logits, run_batches
from hf_knowlearn.generation.causal_lm import check_causal_lm, pad_token_id
from hf_knowlearn.prompts.limits import context_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GENERAL_TEXT = Path(__file__).with_name("general_text.txt")


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts texts.

    Args:
        by_text: for each text, the sum of the negative log-probabilities of its tokens in nats, and the number of
            these tokens. The first token of a text is not predicted.
    """

    by_text: tuple[tuple[float, int], ...]

    def figures(self) -> dict[str, Any]:
        """Return the mean negative log-probability of a token (`nll`), its exponential (`perplexity`) and counts.

        Standard errors are clustered by text. The error of the perplexity is the perplexity times the error of `nll`.
        """
        nll, error = token_mean(self.by_text)
        perplexity = math.exp(nll)
        counts = {"tokens": sum(tokens for _, tokens in self.by_text), "texts": len(self.by_text)}
        return {"nll": nll, "nll_se": error, "perplexity": perplexity, "perplexity_se": perplexity * error, **counts}

    def rows(self) -> list[dict[str, Any]]:
        """Return the sum `nll` and the number of `tokens` of each text, as dictionaries: the lines of a JSONL file."""
        return [{"text": i, "nll": nll, "tokens": tokens} for i, (nll, tokens) in enumerate(self.by_text)]


def general_texts() -> list[str]:
    """Return the 60 paragraphs of general English text of the package."""
    return GENERAL_TEXT.read_text(encoding="utf-8").strip().split("\n\n")


def perplexity(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    *,
    batch_size: int = 8,
    progress: str | None = None,
) -> Perplexity:
    """Compute the negative log-probability of each text, in which each token is predicted from those before it.

    Args:
        texts: texts of at least two tokens. A text that is longer than the model's context is split into parts.
        batch_size: number of texts or parts that each process computes at once.
        progress: label of the progress bar. None: no bar.

    Raises:
        ValueError: every text has fewer than two tokens.
        MemoryError: a batch of one part does not fit in memory.

    Example:
        >>> perplexity(model, tokenizer, general_texts()).figures()["perplexity"]
        18.4
    """
    check_causal_lm(model)
    owners, rows = text_rows(tokenizer, texts, context_length(model))
    pad = pad_token_id(tokenizer)

    def compute(batch: list[int], _: int) -> list[float]:
        own = [rows[i] for i in batch]
        logits = row_logits(model, own, pad)
        return [_negative_logprob(logits[row, : len(ids) - 1], ids[1:]) for row, ids in enumerate(own)]

    work = [len(ids) for ids in rows]
    totals = run_batches(longest_first(rows), batch_size, compute, model=model, progress=progress, work=work)
    return Perplexity(tuple(sums_of_texts(len(texts), owners, rows, totals)))


def _negative_logprob(logits: torch.Tensor, tokens: Sequence[int]) -> float:
    expected = torch.tensor(tokens, device=logits.device)
    return float(-logits.float().log_softmax(-1).gather(-1, expected[:, None]).double().sum())
