"""Thoughts: the text between <think> and </think> that reasoning models generate before an answer."""

import re

_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


def without_thoughts(text: str) -> str:
    """The text without its complete thoughts.

    Example:
        >>> without_thoughts("<think>The ferry, so Ormel.</think> Ormel")
        'Ormel'
    """
    return _THOUGHT.sub("", text)


def has_open_thought(text: str) -> bool:
    """Whether the text contains the start of a thought without its end."""
    return "<think>" in without_thoughts(text)
