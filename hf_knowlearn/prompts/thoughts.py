"""Removes thoughts: the text between <think> and </think> that reasoning models generate before an answer."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BEGIN, END = "<think>", "</think>"
_THOUGHT = re.compile(rf"{BEGIN}.*?{END}\s*", re.DOTALL)


def without_thoughts(text: str) -> str:
    """Remove everything from each <think> to the next </think>, and return the remaining text.

    A thought that has no </think> is not removed.

    Example:
        >>> without_thoughts("<think>The ferry, so Ormel.</think> Ormel")
        'Ormel'
    """
    return _THOUGHT.sub("", text)


def has_open_thought(text: str) -> bool:
    """Return whether the text contains a <think> without a </think> after it."""
    return BEGIN in without_thoughts(text)


def decode_without_thoughts(tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Sequence[int]]) -> list[str]:
    """Return the text of each row of tokens, without special tokens and without thoughts (see `without_thoughts`).

    Equal rows are decoded only once. Why: many sampled responses are equal.
    """
    hidden = _hidden_tokens(tokenizer, len(tokenizer))
    distinct = list(dict.fromkeys(map(tuple, rows)))
    texts = tokenizer.batch_decode([[id for id in tokens if id not in hidden] for tokens in distinct])
    by_tokens = dict(zip(distinct, map(without_thoughts, texts), strict=True))
    return [by_tokens[tuple(tokens)] for tokens in rows]


@lru_cache(maxsize=8)
def _hidden_tokens(tokenizer: "PreTrainedTokenizerBase", _length: int) -> frozenset[int]:
    """Return the ids of all special tokens except <think> and </think>, which are special tokens in some tokenizers.

    Args:
        _length: The number of tokens of the tokenizer. When tokens are added, the number changes, so the result that
            was cached for the previous number is not used.
    """
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(id for id, token in added if token.special and token.content not in (BEGIN, END))
