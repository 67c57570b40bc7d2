"""The settings with which prompts are built and responses are generated."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hf_knowlearn.prompts.option_names import option
from hf_knowlearn.prompts.templates import AUTO, TEMPLATES

MINIMUMS = {"shots": 0, "prompts": 1, "samples": 0, "top_k": 0, "max_new_tokens": 1, "batch_size": 1, "seed": 0}


@dataclass(frozen=True)
class GenerationSettings:
    """The settings of prompts and responses. Every setting except `batch_size` can change a response.

    Args:
        shots: The number of few-shot examples before a question. An example is another question of the same relation.
        prompts: The number of prompts of each question. Prompts of one question have different few-shot examples.
        samples: The number of sampled responses to each prompt, in addition to the greedy response.
        temperature, top_k: Parameters of the sampled responses. With top_k=0, all tokens are possible. SliCK (arXiv
            2405.05904) uses temperature 0.5 and top_k 40.
        template: "plain" ("Question: … Answer:"), "chat" (the tokenizer's chat template), or "auto" ("chat" if the
            tokenizer has a chat template with turns, otherwise "plain").
        instruction: Text at the start of every prompt. None means "Answer with a few words only." in the chat
            template, and no text in the plain template.
        max_new_tokens: The largest number of tokens of a response.
        batch_size: The number of rows that each process computes at once. It changes only the speed.
        seed: The seed of few-shot examples and of sampled responses.
        open_book: Whether each prompt contains the document that the question is about.

    Raises:
        ValueError: A value is out of range. The message lists all such values.

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
    template: str = AUTO
    instruction: str | None = None
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
                yield f"{option(name, value)}: give an integer of at least {minimum}."
        is_number = type(self.temperature) in (int, float)
        if not (is_number and 0 < self.temperature < math.inf):
            yield (
                f"{option('temperature', self.temperature)}: give a number above 0. Greedy responses are always"
                " generated."
            )
        if self.template not in TEMPLATES:
            yield f"{option('template', self.template)}: choose from {', '.join(TEMPLATES)}."
        if self.shots == 0 and self.prompts != 1:
            yield (
                f"{option('prompts', self.prompts)} with {option('shots', 0)}: all prompts of a question would be"
                f" equal. Set {option('shots')} to 1 or more, or use {option('prompts', 1)}."
            )


def is_integer_from(minimum: int, value: object) -> bool:
    """Return whether `value` is an integer of at least `minimum`. A bool is not an integer here."""
    return type(value) is int and value >= minimum
