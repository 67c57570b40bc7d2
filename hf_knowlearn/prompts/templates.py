"""Renders questions and answers as text, in the plain template or in the tokenizer's chat template."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Question
from hf_knowlearn.documents.document import show
from hf_knowlearn.prompts.thoughts import has_open_thought

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PLAIN, CHAT, AUTO = "plain", "chat", "auto"
TEMPLATES = (PLAIN, CHAT, AUTO)
# An example, to find the text that a template puts around an answer.
QUESTION, ANSWER = "A question.", "An answer."

# Why: some templates print today's date, such as Llama 3.2's. With a fixed date, prompts are the same every day.
FIXED_DATE = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


def plain_prompt(question: str) -> str:
    """Return the prompt of a question in the plain template."""
    return f"Question: {question}\nAnswer:"


def question_with_answer(question: Question) -> str:
    """Return a question and its first answer in the plain template, as a few-shot example."""
    return f"{plain_prompt(question.text)} {first_answer(question)}"


def first_answer(question: Question) -> str:
    """Return the first accepted answer that is not blank, without white space around it."""
    return next(filter(None, map(str.strip, question.answers)))


def resolve_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """Return "plain" or "chat". The template "auto" becomes "chat" if the tokenizer has a chat template.

    Raises:
        ValueError: The template is "chat", and the tokenizer has no chat template or one that cannot be used (see
            `text_around_answer`).
    """
    if template == AUTO:
        template = CHAT if tokenizer.chat_template else PLAIN
    if template == CHAT and not tokenizer.chat_template:
        raise ValueError(
            "template='chat' needs a tokenizer with a chat template. Use template='plain', or set"
            " tokenizer.chat_template to the template that the model was trained with."
        )
    if template == CHAT:
        text_around_answer(tokenizer)  # raises an error for a template that cannot be used
    return template


def turn_end_token(tokenizer: "PreTrainedTokenizerBase", template: str) -> int | None:
    """Return the token that ends an assistant turn in this template. The plain template has no such token: None."""
    return None if resolve_template(tokenizer, template) == PLAIN else end_of_turn(tokenizer)


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token with which the chat template ends an assistant turn.

    Return None if the template ends a turn without a special token.
    """
    after = tokenizer(text_around_answer(tokenizer)[1].lstrip(), add_special_tokens=False)["input_ids"]
    return after[0] if after and after[0] in tokenizer.added_tokens_decoder else None


def text_around_answer(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """Return the text that the chat template puts before an answer, such as a space, and the text after the answer.

    Raises:
        ValueError: The template starts a thought (<think>) before an answer, changes the answer, or renders a header
            that differs from the generation prompt.
    """
    return _around_answer(tokenizer, str(tokenizer.chat_template), tokenizer.bos_token, tokenizer.eos_token)


@lru_cache(maxsize=8)
def _around_answer(tokenizer: "PreTrainedTokenizerBase", *_cache_key: str | None) -> tuple[str, str]:
    """Return the result of `text_around_answer`, which is cached.

    Args:
        _cache_key: The values on which the result depends.
    """
    header = render_turns(tokenizer, [("user", QUESTION)]).rpartition(QUESTION)[2]
    if has_open_thought(header):
        raise ValueError(
            f"The chat template starts a thought before every answer ({header[-30:]!r}), even with"
            " enable_thinking=False. An answer would be a part of the thought. Use a model that answers without a"
            " thought, or template='plain'."
        )
    _, turn = last_turn(tokenizer, _messages([("user", QUESTION), ("assistant", ANSWER)]))
    before, found, after = turn.partition(ANSWER)
    if not found:
        raise ValueError(_changed(ANSWER, turn))
    return before, after


def question_prompt(tokenizer: "PreTrainedTokenizerBase", template: str, question: str) -> str:
    """Return the prompt of a question without examples, exactly as in a training row of `prompt_and_completion`."""
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question)
    return without_bos(tokenizer, render_turns(tokenizer, [("user", question)]))


def prompt_and_completion(
    tokenizer: "PreTrainedTokenizerBase", template: str, question: str, answer: str
) -> tuple[str, str]:
    """Return the prompt and the completion of a training row for a question and its answer.

    In the chat template, prompt and completion together are the rendered conversation (see `last_turn`).

    Raises:
        ValueError: The chat template cannot be used (see `resolve_template`), or it changes the answer.

    Example:
        >>> prompt_and_completion(tokenizer, "plain", "Where does the ferry go?", "Ormel")
        ('Question: Where does the ferry go?\\nAnswer:', ' Ormel')
    """
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question), f" {answer}"
    before, after = text_around_answer(tokenizer)
    prompt, completion = last_turn(tokenizer, _messages([("user", question), ("assistant", answer)]))
    content = completion.removeprefix(before).removesuffix(after)
    # Why answers are compared without white space around them: some templates strip it.
    if completion != before + content + after or content.strip() != answer.strip():
        raise ValueError(_changed(answer, completion))
    return prompt, completion


def _changed(answer: str, turn: str) -> str:
    return (
        f"The chat template omits or changes the answer {show(answer)}: it renders {show(turn)}. Use template='plain',"
        " another model, or another answer."
    )


def last_turn(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, str]:
    """Render a conversation, and return the text before the last turn (the prompt) and the text of the last turn.

    The last turn must be an assistant turn. White space at the end of the conversation is removed. The beginning token
    is removed from the prompt if the tokenizer adds this token to every text.

    Raises:
        ValueError: The header that the template renders for the turn differs from the generation prompt.
    """
    prompt = render_chat(tokenizer, messages[:-1], tools)
    whole = render_chat(tokenizer, messages, tools, generation_prompt=False)
    if not whole.startswith(prompt):
        raise ValueError(
            f"the chat template's generation prompt ({prompt[-20:]!r}) differs from the header of an assistant turn,"
            " so the turn cannot be separated from its prompt. Correct the template, use another model, or use the"
            " plain template for questions and documents."
        )
    return without_bos(tokenizer, prompt), whole.removeprefix(prompt).rstrip()


def without_bos(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """Return a rendered chat without its beginning token if the tokenizer adds this token to every text."""
    if tokenizer.bos_token is None or tokenizer("")["input_ids"][:1] != [tokenizer.bos_token_id]:
        return text
    return text.removeprefix(tokenizer.bos_token)


def render_turns(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]]) -> str:
    """Render (role, content) pairs with the chat template, followed by the header of an assistant turn."""
    return render_chat(tokenizer, _messages(turns))


def _messages(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def render_chat(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    generation_prompt: bool = True,
) -> str:
    """Render messages with the chat template.

    Args:
        generation_prompt: Whether the header of an assistant turn follows the messages.
    """
    given = [dict(tool) for tool in tools] or None
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=given,
        chat_template=FIXED_DATE + tokenizer.get_chat_template(tools=given),
        tokenize=False,
        add_generation_prompt=generation_prompt,
        enable_thinking=False,  # Why: a thought is not an answer. Templates without this variable ignore it.
    )
    return text
