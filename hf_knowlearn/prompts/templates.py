"""Renders questions and answers as text, in the plain template or in the tokenizer's chat template."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Question
from hf_knowlearn.documents.document import show
from hf_knowlearn.prompts.option_names import option
from hf_knowlearn.prompts.thoughts import has_open_thought, starts_with_thought, without_closed_thought

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PLAIN, CHAT, AUTO = "plain", "chat", "auto"
TEMPLATES = (AUTO, CHAT, PLAIN)
# The default instruction of chat prompts. With it, more responses of a chat model end after a short answer.
SHORT_ANSWER = "Answer with a few words only."
# An example, to find the text that a template puts around an answer.
QUESTION, ANSWER = "A question.", "An answer."

# Why: some templates print today's date, such as Llama 3.2's. With a fixed date, prompts are the same every day.
_DATE = datetime(2024, 7, 26)
_FORMATTED = [f"replace('%{code}', '{_DATE.strftime(f'%{code}')}')" for code in "aAbBcdDeFHIjmMpSTuUwWxXyY"]
FIXED_DATE = (
    "{%- macro strftime_now(format) -%}{{ format | replace('%-', '%') | "
    + " | ".join(_FORMATTED)
    + " }}{%- endmacro -%}"
)


class TurnError(ValueError):
    """The answers in the assistant turns of a chat template cannot be found, so no answer can be trained on.

    The template can still render a question, so a model can still be evaluated.
    """


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
    """Return "plain" or "chat".

    The template "auto" becomes "chat" if the tokenizer has a chat template, unless the chat template renders a
    question as the plain template does, without turns.

    Raises:
        ValueError: The template is "chat", and the tokenizer has no chat template, or its chat template starts a
            thought (<think>) before every answer.
    """
    if template == AUTO:
        template = CHAT if tokenizer.chat_template and _has_turns(tokenizer, *_cache_key(tokenizer)) else PLAIN
    if template == CHAT and not tokenizer.chat_template:
        raise ValueError(
            f"{option('template', CHAT)} needs a tokenizer with a chat template. Use {option('template', PLAIN)}, or"
            " a model whose tokenizer has a chat template."
        )
    if template == CHAT:
        _check_thought(tokenizer, *_cache_key(tokenizer))
    return template


def turn_end_token(tokenizer: "PreTrainedTokenizerBase", template: str) -> int | None:
    """Return the token that ends an assistant turn in this template.

    Return None for the plain template, and for a chat template whose assistant turns cannot be used (see
    `text_around_answer`).
    """
    if resolve_template(tokenizer, template) == PLAIN:
        return None
    try:
        return end_of_turn(tokenizer)
    except TurnError:
        return None


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Return the special token with which the chat template ends an assistant turn.

    Return None if the template ends a turn without a special token.
    """
    after = tokenizer(text_around_answer(tokenizer)[1].lstrip(), add_special_tokens=False)["input_ids"]
    return after[0] if after and after[0] in tokenizer.added_tokens_decoder else None


def text_around_answer(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """Return the text that the chat template puts between a prompt and its answer, and the text after the answer.

    The text between them is white space, such as a space. Other text before an answer is a part of the prompt (see
    `answer_header`).

    Raises:
        TurnError: The template changes the answer, or renders a header that differs from the generation prompt.
    """
    _, before, after = _around_answer(tokenizer, *_cache_key(tokenizer))
    return before, after


def answer_header(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the text that the chat template puts between the generation prompt and an answer.

    The result has no spaces at its end.

    Most templates have no such text. The template of GPT-OSS has "<|channel|>final<|message|>". A prompt ends with
    this text. Why: otherwise a response would contain the text, so no response would be correct.
    """
    try:
        return _around_answer(tokenizer, *_cache_key(tokenizer))[0]
    except TurnError:
        return ""


def _cache_key(tokenizer: "PreTrainedTokenizerBase") -> tuple[str | None, ...]:
    """Return the values on which the results of `_check_thought` and `_around_answer` depend."""
    return str(tokenizer.chat_template), tokenizer.bos_token, tokenizer.eos_token


@lru_cache(maxsize=8)
def _has_turns(tokenizer: "PreTrainedTokenizerBase", *_key: str | None) -> bool:
    """Return whether the chat template renders a question differently from the plain template."""
    return not render_turns(tokenizer, [("user", QUESTION)]).endswith(f"{tokenizer.bos_token}{plain_prompt(QUESTION)}")


def default_instruction(template: str) -> str:
    """Return the instruction of a prompt for which the user gives none: `SHORT_ANSWER` in the chat template."""
    return SHORT_ANSWER if template == CHAT else ""


@lru_cache(maxsize=8)
def _check_thought(tokenizer: "PreTrainedTokenizerBase", *_key: str | None) -> None:
    """Raise a `ValueError` if the chat template starts a thought before every answer."""
    header = render_turns(tokenizer, [("user", QUESTION)]).rpartition(QUESTION)[2]
    if has_open_thought(header):
        raise ValueError(
            f"The chat template starts a thought before every answer ({header[-30:]!r}), even with"
            " enable_thinking=False. An answer would be a part of the thought. Use a model that answers without a"
            f" thought, or {option('template', PLAIN)}."
        )


@lru_cache(maxsize=8)
def _around_answer(tokenizer: "PreTrainedTokenizerBase", *_key: str | None) -> tuple[str, str, str]:
    """Return the results of `answer_header` and `text_around_answer`."""
    _, turn = last_turn(tokenizer, _messages([("user", QUESTION), ("assistant", ANSWER)]))
    before, found, after = turn.partition(ANSWER)
    if not found:
        raise TurnError(
            f"The chat template omits or changes answers. For example, it renders the answer {show(ANSWER)} as"
            f" {show(turn)}. Use another model, or {option('template', PLAIN)}."
        )
    header = before.rstrip(" ") if before.strip() else ""
    return header, before.removeprefix(header), after


def question_prompt(tokenizer: "PreTrainedTokenizerBase", template: str, question: str) -> str:
    """Return the prompt of a question without examples, exactly as in a training row of `prompt_and_completion`."""
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question)
    return chat_prompt(tokenizer, [("user", question)])


def chat_prompt(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]]) -> str:
    """Render (role, content) pairs with the chat template, followed by all text before an answer.

    The beginning token is removed if the tokenizer adds this token to every text.
    """
    prompt, header = without_bos(tokenizer, render_turns(tokenizer, turns).rstrip(" ")), answer_header(tokenizer)
    return (without_closed_thought(prompt) if starts_with_thought(header) else prompt) + header


def prompt_and_completion(
    tokenizer: "PreTrainedTokenizerBase", template: str, question: str, answer: str
) -> tuple[str, str]:
    """Return the prompt and the completion of a training row for a question and its answer.

    In the chat template, prompt and completion together are the rendered conversation (see `last_turn`).

    Raises:
        ValueError: The chat template cannot be used (see `resolve_template` and `text_around_answer`), or it changes
            the answer.

    Example:
        >>> prompt_and_completion(tokenizer, "plain", "Where does the ferry go?", "Ormel")
        ('Question: Where does the ferry go?\\nAnswer:', ' Ormel')
    """
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question), f" {answer}"
    header, before, after = _around_answer(tokenizer, *_cache_key(tokenizer))
    prompt, turn = last_turn(tokenizer, _messages([("user", question), ("assistant", answer)]))
    content = turn.removeprefix(header + before).removesuffix(after)
    # Why answers are compared without white space around them: some templates strip it.
    if turn != header + before + content + after or content.strip() != answer.strip():
        raise ValueError(
            f"The chat template omits or changes the answer {show(answer)}: it renders {show(turn)}. Use another"
            f" answer, another model, or {option('template', PLAIN)}."
        )
    return prompt + header, turn.removeprefix(header)


def last_turn(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, str]:
    """Render a conversation, and return the text before the last turn (the prompt) and the text of the last turn.

    The last turn must be an assistant turn. White space at the end of the conversation is removed. The beginning token
    is removed from the prompt if the tokenizer adds this token to every text.

    Some templates close a thought in the generation prompt and render no thought in the turn. The prompt then still
    has the closed thought, because a model generates an answer after this prompt. If the turn itself starts with a
    thought, the prompt has no closed thought.

    Raises:
        TurnError: The header that the template renders for the turn differs from the generation prompt.
    """
    # Why without spaces at the end: a space and the word after it are one token, which belongs to the answer.
    prompt = render_chat(tokenizer, messages[:-1], tools).rstrip(" ")
    whole = render_chat(tokenizer, messages, tools, generation_prompt=False)
    header = prompt if whole.startswith(prompt) else without_closed_thought(prompt)
    if not whole.startswith(header):
        raise TurnError(
            f"the chat template's generation prompt ({prompt[-20:]!r}) differs from the header of an assistant turn,"
            " so the turn cannot be separated from its prompt. Correct the template, use another model, or use"
            f" {option('template', PLAIN)} for questions and documents."
        )
    turn = whole.removeprefix(header).rstrip()
    return without_bos(tokenizer, header if starts_with_thought(turn) else prompt), turn


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
        tokenize=False,
        add_generation_prompt=generation_prompt,
        chat_template=FIXED_DATE + tokenizer.get_chat_template(tools=given),
        enable_thinking=False,  # Why: a thought is not an answer. Templates without this variable ignore it.
    )
    return text
