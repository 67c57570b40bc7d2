"""Removes thoughts: the text that reasoning models generate before an answer.

Most models put a thought between <think> and </think>, and Magistral puts it between [THINK] and [/THINK]. GPT-OSS
puts it in the channel `analysis`, and the answer in the channel `final` (harmony format).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TAGS = "<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>"
_BEGIN = re.compile(r"<think>|\[THINK]|<\|channel\|>(analysis|commentary)")
# Why <|message|> is optional: it is removed with the other special tokens.
_FINAL_CHANNEL = r"<\|channel\|>final(<\|message\|>)?"
_THOUGHT = re.compile(
    rf"<think>.*?</think>\s*|\[THINK].*?\[/THINK]\s*|(<\|channel\|>(analysis|commentary).*?)?{_FINAL_CHANNEL}",
    re.DOTALL,
)
_CLOSED_THOUGHT = re.compile(r"(<think>\s*</think>|\[THINK]\s*\[/THINK])\s*\Z")


def without_thoughts(text: str) -> str:
    """Remove each thought from its begin to the next end, and return the remaining text.

    A thought that has no end is not removed.

    Example:
        >>> without_thoughts("<think>The ferry, so Ormel.</think> Ormel")
        'Ormel'
    """
    return _THOUGHT.sub("", text)


def has_open_thought(text: str) -> bool:
    """Return whether the text contains a thought without an end."""
    return bool(_BEGIN.search(without_thoughts(text)))


def starts_with_thought(text: str) -> bool:
    """Return whether the text starts with a thought, apart from white space."""
    return bool(_BEGIN.match(text.lstrip()))


def without_closed_thought(prompt: str) -> str:
    """Return a prompt without the empty thought at its end, such as "<think>\\n\\n</think>\\n\\n"."""
    return _CLOSED_THOUGHT.sub("", prompt)


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
    """Return the ids of all special tokens except the tags of thoughts, which are special tokens in some tokenizers.

    Args:
        _length: The number of tokens of the tokenizer. When tokens are added, the number changes, so the result that
            was cached for the previous number is not used.
    """
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(id for id, token in added if token.special and token.content not in TAGS)
