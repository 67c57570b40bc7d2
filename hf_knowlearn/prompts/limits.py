"""Token counts and limits of training rows and prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.prompts.questions import Prompt
from hf_knowlearn.prompts.templates import plain_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def token_lengths(tokenizer: "PreTrainedTokenizerBase") -> TokenLengths:
    """A function that counts the tokens of texts as training rows, with the end token that TRL adds."""
    return lambda texts: [len(ids) + 1 for ids in tokenizer(texts, verbose=False)["input_ids"]]


def context_length(model: "PreTrainedModel") -> int | None:
    """The number of tokens in the model's context. None if its config does not have it."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def smallest_limit(*limits: int | None) -> int | None:
    """The smallest of the limits that are given."""
    return min((limit for limit in limits if limit), default=None)


def check_prompt_lengths(model: "PreTrainedModel", prompts: Sequence[Prompt], max_new_tokens: int) -> None:
    """Raise ValueError with the questions whose prompt and response exceed the model's context."""
    limit = context_length(model)
    long: dict[str, int] = {}
    for prompt in prompts:
        if limit is not None and len(prompt.ids) + max_new_tokens > limit:
            long[prompt.question.id] = max(len(prompt.ids), long.get(prompt.question.id, 0))
    if long:
        listed = ", ".join(f"{id!r} ({n} tokens)" for id, n in list(long.items())[:5])
        bare = all(prompt.text == plain_prompt(prompt.question.text) for prompt in prompts)
        fix = "" if bare else " Or use fewer shots, or shorter documents."
        raise ValueError(
            f"The prompts of {len(long)} questions and {max_new_tokens} new tokens exceed this model's context of"
            f" {limit}: {listed}. Shorten the questions, or reduce max_new_tokens.{fix}"
        )
