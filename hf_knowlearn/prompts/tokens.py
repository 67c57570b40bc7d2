"""Tokens of texts, without the end token that some tokenizers add to every text (`add_eos_token`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], add_special_tokens: bool = True
) -> list[list[int]]:
    """The tokens of each text. A model can continue them: no end token follows that the text does not contain.

    Args:
        add_special_tokens: whether the text gets the beginning token that the tokenizer adds.

    Example:
        >>> encode(tokenizer, ["The ferry"])
        [[0, 312, 87]]
    """
    if not texts:
        return []
    rows = tokenizer(list(texts), add_special_tokens=add_special_tokens, verbose=False)["input_ids"]
    added = added_at_end(tokenizer) if add_special_tokens else 0
    return [list(ids[: len(ids) - added]) for ids in rows]


def added_at_end(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The number of tokens that the tokenizer adds after every text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    starts = range(len(whole) - len(plain) + 1)
    start = next((i for i in starts if whole[i : i + len(plain)] == plain), None)
    return 0 if start is None else len(whole) - len(plain) - start
