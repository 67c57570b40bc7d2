"""Counts the tokens of training rows and prompts, and checks their limits."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.prompts.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def token_lengths(tokenizer: "PreTrainedTokenizerBase") -> TokenLengths:
    """Return a function that counts the tokens of each text, with the end token that TRL adds to a training row."""
    return lambda texts: [len(ids) + 1 for ids in encode(tokenizer, texts)]


def context_length(model: "PreTrainedModel") -> int | None:
    """Return the number of tokens in the model's context. None if the model's configuration does not state it."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def smallest_limit(*limits: int | None) -> int | None:
    """Return the smallest of the limits that are not None. None if all are None."""
    return min((limit for limit in limits if limit), default=None)


def check_context(model: "PreTrainedModel", lengths: Iterable[tuple[str, int]], added: str) -> None:
    """Raise a `ValueError` that lists the questions whose prompt and completion exceed the model's context.

    Args:
        lengths: Pairs of a question's id and the number of tokens of its prompt and completion.
        added: The words for the completion in the message, such as "32 new tokens".
    """
    limit, longest = context_length(model), dict(sorted(lengths))  # Why: of equal ids, the last and longest remains
    if limit is not None and (long := {id: n for id, n in longest.items() if n > limit}):
        listed = ", ".join(f"{id!r} ({number_of(n, 'token')})" for id, n in list(long.items())[:5])
        raise ValueError(
            f"The prompts of {number_of(len(long), 'question')}, together with {added}, exceed this model's context of"
            f" {limit} tokens: {listed}. Use shorter questions, fewer new tokens, fewer shots or shorter documents."
        )
