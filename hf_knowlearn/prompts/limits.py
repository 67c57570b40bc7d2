"""Token counts and limits: how many tokens a text has as a training row, and how many a row may have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.prompts.questions import Prompt
from hf_knowlearn.prompts.templates import plain_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def token_lengths(tokenizer: "PreTrainedTokenizerBase") -> TokenLengths:
    """Tokens of each of some texts as rows of training have them: with the end token, which TRL adds."""
    return lambda texts: [len(ids) + 1 for ids in tokenizer(texts, verbose=False)["input_ids"]]


def context_length(model: "PreTrainedModel") -> int | None:
    """How many tokens the model can read; None if its config doesn't say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def smallest_limit(*limits: int | None) -> int | None:
    """The least of the limits that there are."""
    return min((limit for limit in limits if limit), default=None)


def check_prompt_lengths(model: "PreTrainedModel", prompts: Sequence[Prompt], max_new_tokens: int) -> None:
    """Refuse prompts that leave no room for an answer in the model's context, naming their questions by their ids."""
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    long: dict[str, int] = {}
    for prompt in prompts:
        if room is not None and len(prompt.ids) + max_new_tokens > room:
            long[prompt.question.id] = max(len(prompt.ids), long.get(prompt.question.id, 0))
    if long:
        listed = ", ".join(f"{id!r} ({n} tokens)" for id, n in list(long.items())[:5])
        bare = all(prompt.text == plain_prompt(prompt.question.text) for prompt in prompts)
        way_out = "" if bare else " Or ask with fewer shots, or of shorter documents."
        raise ValueError(
            f"{len(long)} questions leave no room for {max_new_tokens} tokens of answer in this model's context of"
            f" {room}: {listed}. Shorten them, or allow fewer new tokens.{way_out}"
        )
