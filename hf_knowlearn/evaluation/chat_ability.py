"""Chat ability: the share of simple instructions that a model still follows, and the share of responses that end.

Training on documents can destroy both. The file `chat_instructions.jsonl` has 100 instructions whose fulfilment a rule
can check, as in IFEval (arXiv 2311.07911). The rules check the form of a response, not whether it is true. Most of the
instructions are easier than those of IFEval, so that a model with 135 million parameters fulfils some of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.chat_rules import RULES
from hf_knowlearn.evaluation.standard_errors import clustered_mean
from hf_knowlearn.generation.causal_lm import check_causal_lm, stop_tokens
from hf_knowlearn.generation.engines import generate
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob
from hf_knowlearn.generation.responses import build_prompts
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.templates import AUTO, PLAIN, resolve_template, turn_end_token
from hf_knowlearn.prompts.thoughts import decode_without_thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_NEW_TOKENS = 128


@dataclass(frozen=True)
class Instruction:
    """An instruction, and the rule that checks its fulfilment.

    Args:
        rule: name of a function in `chat_rules.RULES`.
        arguments: the arguments of this function, in addition to the response.

    Example:
        >>> Instruction("1", "Write about rain.", "contains", {"phrases": ["rain"]}).is_fulfilled("It rains.")
        False
    """

    id: str
    text: str
    rule: str
    arguments: Mapping[str, Any]

    def is_fulfilled(self, response: str) -> bool:
        """Return whether a response fulfils the instruction. A blank response never does."""
        return bool(response.strip()) and RULES[self.rule](response, **self.arguments)


@dataclass(frozen=True)
class ChatAbility:
    """A model's responses to instructions.

    Args:
        responses: the greedy response to each instruction.
        ended: whether each response ended with an end token. False if it was cut at the largest number of tokens.
    """

    instructions: Sequence[Instruction]
    responses: Sequence[str]
    ended: Sequence[bool]

    def fulfilled(self) -> list[bool]:
        """Return, for each instruction, whether the response fulfils it."""
        return [one.is_fulfilled(text) for one, text in zip(self.instructions, self.responses, strict=True)]

    def figures(self) -> dict[str, Any]:
        """Return `fulfilled` and `ended` as shares of the instructions, their standard errors, and the number `n`."""
        ids = [one.id for one in self.instructions]
        figures: dict[str, Any] = {"n": len(ids)}
        for name, values in (("fulfilled", self.fulfilled()), ("ended", self.ended)):
            figures[name], figures[f"{name}_se"] = clustered_mean([values], ids)
        return figures

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each instruction, with the response: the lines of a JSONL file."""
        parts = zip(self.instructions, self.responses, self.fulfilled(), self.ended, strict=True)
        return [
            {"id": one.id, "instruction": one.text, "response": text, "fulfilled": fulfilled, "ended": ended}
            for one, text, fulfilled, ended in parts
        ]


def chat_instructions() -> list[Instruction]:
    """Return the instructions of the package."""
    lines = Path(__file__).with_name("chat_instructions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = map(json.loads, lines)
    return [Instruction(row["id"], row["instruction"], row["rule"], row["arguments"]) for row in rows]


def chat_ability(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    settings: GenerationSettings | None = None,
    *,
    instructions: Sequence[Instruction] | None = None,
    progress: str | None = None,
) -> ChatAbility:
    """Generate a greedy response of at most 128 tokens to each instruction.

    The prompts use the chat template if there is one, and otherwise the plain template. They contain nothing but the
    instruction. A response may have several lines. It ends with an end token. Each process generates its share and
    returns all responses.

    Args:
        settings: only `batch_size` is used. None: the default settings.
        instructions: None: the instructions of the package.
        progress: label of the progress bar. None: no bar.

    Raises:
        ValueError: the prompts cannot be built, or a prompt and its response exceed the model's context.

    Example:
        >>> chat_ability(model, tokenizer).figures()
        {'n': 100, 'fulfilled': 0.4, 'fulfilled_se': 0.049, 'ended': 0.8, 'ended_se': 0.04}
    """
    instructions = chat_instructions() if instructions is None else instructions
    batch_size = (settings or GenerationSettings()).batch_size
    settings = GenerationSettings(
        template=template_of_instructions(tokenizer),
        instruction="",
        max_new_tokens=MAX_NEW_TOKENS,
        batch_size=batch_size,
    )
    questions = [Question(one.id, one.text, ("unused",)) for one in instructions]
    prompts = build_prompts(model, tokenizer, questions, settings)
    check_causal_lm(model)
    stop = stop_tokens(model, tokenizer, turn_end_token(tokenizer, settings.template))
    stop.line_break[:] = False  # a response has several lines

    def convert(_: Sequence[int], generated: Sequence[Sequence[GeneratedTokens]]) -> list[tuple[str, bool]]:
        texts = decode_without_thoughts(tokenizer, [one.tokens for (one,) in generated])
        return [(text, one.stop_token is not None) for text, (one,) in zip(texts, generated, strict=True)]

    jobs = [GenerationJob(prompt.ids, prompt.prefix_key) for prompt in prompts]
    found = generate(model, tokenizer, jobs, stop, settings, convert, progress)
    return ChatAbility(instructions, [text for text, _ in found], [ended for _, ended in found])


def template_of_instructions(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return "chat" if the tokenizer has a chat template with turns that starts no thought, otherwise "plain"."""
    try:
        return resolve_template(tokenizer, AUTO)
    except ValueError:  # Why: a chat template that starts a thought before every answer cannot be used.
        return PLAIN
