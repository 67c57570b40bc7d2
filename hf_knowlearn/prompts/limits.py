"""Token counts and limits of training rows and prompts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.prompts.tokens import added_at_end

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def token_lengths(tokenizer: "PreTrainedTokenizerBase") -> TokenLengths:
    """A function that counts the tokens of texts as training rows, with the end token that TRL adds."""
    more = 1 - added_at_end(tokenizer)
    return lambda texts: [len(ids) + more for ids in tokenizer(texts, verbose=False)["input_ids"]]


def context_length(model: "PreTrainedModel") -> int | None:
    """The number of tokens in the model's context. None if the model's config does not state the number."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def smallest_limit(*limits: int | None) -> int | None:
    """The smallest of the limits that are given."""
    return min((limit for limit in limits if limit), default=None)


def check_context(model: "PreTrainedModel", lengths: Iterable[tuple[str, int]], added: str) -> None:
    """Raise ValueError with the questions that exceed the model's context.

    Args:
        lengths: id of a question, and number of tokens of its prompt and of what is added to it.
        added: what is added, for the message.
    """
    limit, longest = context_length(model), dict(sorted(lengths))  # Why: of equal ids, the last and longest remains
    if limit is not None and (long := {id: n for id, n in longest.items() if n > limit}):
        listed = ", ".join(f"{id!r} ({number_of(n, 'token')})" for id, n in list(long.items())[:5])
        raise ValueError(
            f"The prompts of {number_of(len(long), 'question')} with {added} exceed this model's context of {limit}:"
            f" {listed}."
            " Shorten the questions, or use fewer new tokens, fewer shots or shorter documents."
        )
