"""Tokenizes texts without the end token that some tokenizers add to every text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text, with the beginning token and without the end token that the tokenizer adds.

    Why: a model does not continue a text after an end token.

    Example:
        >>> encode(tokenizer, ["The ferry"])
        [[0, 312, 87]]
    """
    if not texts:
        return []
    rows = tokenizer(list(texts), verbose=False)["input_ids"]
    added = _added_at_end(tokenizer)
    return [list(ids[: len(ids) - added]) for ids in rows]


def _added_at_end(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the number of tokens that the tokenizer adds at the end of every text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    starts = range(len(whole) - len(plain) + 1)
    start = next((i for i in starts if whole[i : i + len(plain)] == plain), None)
    return 0 if start is None else len(whole) - len(plain) - start
