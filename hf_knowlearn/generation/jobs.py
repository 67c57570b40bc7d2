"""Classes for generation: a prompt to respond to, the tokens of a response, and the tokens that end a response."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.prompts.thoughts import decode_without_thoughts, has_open_thought

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PrefixKey = tuple[str, ...]


@dataclass(frozen=True)
class GenerationJob:
    """A prompt and the responses to generate for it.

    Args:
        ids: The tokens of the prompt.
        prefix_key: Prompts with the same key begin with the same tokens.
        samplers: One value for each response: None for a greedy response, or the random numbers of a sampled response.
    """

    ids: Sequence[int]
    prefix_key: PrefixKey
    samplers: tuple[SampleRandom | None, ...] = (None,)


class GeneratedTokens(NamedTuple):
    """A response as tokens.

    Args:
        tokens: The tokens of the response. A line break that ended the response is included, an end token is not.
        stop_token: The token that ended the response. None if the response was cut at `max_new_tokens`.
    """

    tokens: list[int]
    stop_token: int | None


class StopTokens:
    """The tokens that end a response: end tokens, and line breaks after the first word of the answer.

    A line break does not end a response if `turn_end` is given, because a chat model ends its turn itself. It does not
    end a thought (<think>…</think>) either, because the answer follows the thought.

    Args:
        vocabulary_size: The size of the model's vocabulary, which may be larger than that of the tokenizer.
        end_of_text: Further end tokens, in addition to the end token of the tokenizer.
        turn_end: The token that ends an assistant turn in the chat template.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        vocabulary_size: int = 0,
        end_of_text: Sequence[int] = (),
        turn_end: int | None = None,
    ) -> None:
        words = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=True)
        size = max(len(words), vocabulary_size)
        self.tokenizer, self.turn_end = tokenizer, turn_end
        self.end_of_text = np.zeros(size, dtype=bool)
        self.end_of_text[[i for i in {tokenizer.eos_token_id, turn_end, *end_of_text} if i is not None]] = True
        self.line_break = np.zeros(size, dtype=bool)
        if turn_end is None:
            # Why leading line breaks do not count: such a token may be the first token of an answer.
            self.line_break[[i for i, word in enumerate(words) if "\n" in (word.lstrip() or word)]] = True

    def ends(self, tokens: Sequence[int]) -> bool:
        """Return whether the last of these tokens ends the response."""
        if self.end_of_text[tokens[-1]] or not self.line_break[tokens[-1]]:
            return bool(self.end_of_text[tokens[-1]])
        [text] = decode_without_thoughts(self.tokenizer, [tokens])
        return bool(text.strip()) and not has_open_thought(text)

    def reason(self, stop_token: int | None) -> str:
        """Return what ended a response: "line", "turn", "text" or "cut" (see `Responses.ended`)."""
        if stop_token is None:
            return "cut"
        if stop_token == self.turn_end:
            return "turn"
        return "text" if self.end_of_text[stop_token] else "line"
