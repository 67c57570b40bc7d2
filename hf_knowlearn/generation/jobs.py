"""Jobs of generation: a prompt, the tokens generated for it, and the tokens that end a response."""

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
        ids: the tokens of the prompt.
        prefix_key: prompts with the same key begin with the same tokens.
        samplers: one sampler per response: None for a greedy response, a `SampleRandom` for a sampled response.
    """

    ids: Sequence[int]
    prefix_key: PrefixKey
    samplers: tuple[SampleRandom | None, ...] = (None,)


class GeneratedTokens(NamedTuple):
    """A response as tokens.

    Args:
        tokens: the tokens of the response, without the token that ended it.
        stop_token: the token that ended the response. None if `max_new_tokens` ended it.
    """

    tokens: list[int]
    stop_token: int | None


class StopTokens:
    """The tokens that end a response: an end of text, or a line break after some text of the answer.

    The lines of a thought (<think>…</think>) do not end a response, because the answer follows the thought.

    Args:
        vocabulary_size: number of the model's logits, which may exceed the tokenizer's vocabulary.
        end_of_text: ids of tokens that end a text, besides the tokenizer's own.
        turn_end: id of the token that ends an assistant turn of the chat template.
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
        # Why: a token with a line break before its text may be the first token of a response.
        self.line_break = np.zeros(size, dtype=bool)
        self.line_break[[i for i, word in enumerate(words) if "\n" in (word.lstrip() or word)]] = True

    def ends(self, tokens: Sequence[int]) -> bool:
        """Whether the last token of a response ends the response."""
        if self.end_of_text[tokens[-1]] or not self.line_break[tokens[-1]]:
            return bool(self.end_of_text[tokens[-1]])
        [text] = decode_without_thoughts(self.tokenizer, [tokens])
        return bool(text.strip()) and not has_open_thought(text)

    def reason(self, stop_token: int | None) -> str:
        """What ended a response: "line" (a line break), "turn" (the token that ends an assistant turn), "text" (an
        end-of-text token), or "cut" (the limit `max_new_tokens`)."""
        if stop_token is None:
            return "cut"
        if stop_token == self.turn_end:
            return "turn"
        return "text" if self.end_of_text[stop_token] else "line"
