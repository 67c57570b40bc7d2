"""Settings of generation: how questions become prompts and how responses are sampled."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hf_knowlearn.prompts.templates import PLAIN, TEMPLATES

MINIMUMS = {"shots": 0, "prompts": 1, "samples": 0, "top_k": 0, "max_new_tokens": 1, "batch_size": 1, "seed": 0}


@dataclass(frozen=True)
class GenerationSettings:
    """All settings that a response depends on. `batch_size` only changes the speed.

    Args:
        shots: number of few-shot examples before a question. They are questions of the same relation.
        prompts: number of prompts for each question. Each has its own few-shot examples.
        samples: number of sampled responses to each prompt. A greedy response is always generated as well.
        temperature, top_k: parameters of the sampled responses. With top_k=0, all tokens are possible. SliCK (arXiv
            2405.05904) uses temperature 0.5 and top_k 40.
        template: "plain" ("Question: … Answer:"), "chat" (the tokenizer's chat template), or "auto" (the chat template
            if the tokenizer has one, else plain).
        instruction: text at the start of every prompt, such as "Answer in a few words."
        max_new_tokens: limit for the tokens of a response.
        batch_size: number of rows that each process computes at once.
        seed: seed for the choice of few-shot examples and for the samples.
        open_book: put the document of each question into its prompt.

    Raises:
        ValueError: a value is out of range. The message lists all such values.

    Example:
        >>> settings = GenerationSettings(shots=4, samples=16, template="auto")
        >>> settings.temperature
        0.5
    """

    shots: int = 0
    prompts: int = 1
    samples: int = 0
    temperature: float = 0.5
    top_k: int = 40
    template: str = PLAIN
    instruction: str = ""
    max_new_tokens: int = 32
    batch_size: int = 128
    seed: int = 0
    open_book: bool = False

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        for name, minimum in MINIMUMS.items():
            if not is_integer_from(minimum, value := getattr(self, name)):
                yield f"{name}={value!r}: give an integer of at least {minimum}."
        is_number = type(self.temperature) in (int, float)
        if not (is_number and 0 < self.temperature < math.inf):
            yield f"temperature={self.temperature!r}: give a number above 0. Greedy responses are always generated."
        if self.template not in TEMPLATES:
            yield f"template={self.template!r}: choose from {', '.join(TEMPLATES)}."
        if self.shots == 0 and self.prompts != 1:
            yield f"prompts={self.prompts!r}: without shots all prompts are the same. Set shots, or prompts=1."


def is_integer_from(minimum: int, value: object) -> bool:
    """Whether `value` is an integer, not a bool, of at least `minimum`."""
    return type(value) is int and value >= minimum
