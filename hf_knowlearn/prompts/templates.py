"""Templates: how a question and its answer become text, plain or with the tokenizer's chat template."""

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
QUESTION, ANSWER = "A question.", "An answer."  # an example that shows which text a template puts around an answer

# Why: some templates, as Llama 3.2's, print the date. A fixed date keeps a prompt the same every day.
FIXED_DATE = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


def plain_prompt(question: str) -> str:
    """The plain template of a question. The model continues after it."""
    return f"Question: {question}\nAnswer:"


def question_with_answer(question: Question) -> str:
    """The plain template of a question and its first answer, as a few-shot example."""
    return f"{plain_prompt(question.text)} {first_answer(question)}"


def first_answer(question: Question) -> str:
    """The first accepted answer that has text, without white space around it."""
    return next(filter(None, map(str.strip, question.answers)))


def resolve_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """Replace the template "auto" by "chat" if the tokenizer has a chat template, otherwise by "plain".

    Raises:
        ValueError: the template is "chat" and the tokenizer has no chat template; or the chat template does not fit
            (see `text_around_answer`).
    """
    if template == AUTO:
        template = CHAT if tokenizer.chat_template else PLAIN
    if template == CHAT and not tokenizer.chat_template:
        raise ValueError(
            "template='chat' needs a tokenizer with a chat template. Use template='plain', or set"
            " tokenizer.chat_template to the template that the model was trained with."
        )
    if template == CHAT:
        text_around_answer(tokenizer)  # raises an error for a template that does not fit
    return template


def turn_end_token(tokenizer: "PreTrainedTokenizerBase", template: str) -> int | None:
    """The token that ends an assistant turn if prompts have the chat template; None in the plain template."""
    return None if resolve_template(tokenizer, template) == PLAIN else end_of_turn(tokenizer)


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The special token that the chat template puts after an assistant turn. None if there is no such token."""
    after = tokenizer(text_around_answer(tokenizer)[1].lstrip(), add_special_tokens=False)["input_ids"]
    return after[0] if after and after[0] in tokenizer.added_tokens_decoder else None


def text_around_answer(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """The texts that the chat template puts before an answer (such as a space) and after the answer.

    Raises:
        ValueError: the template opens a thought before an answer, or omits or changes the answer, or see `last_turn`.
    """
    return _around_answer(tokenizer, str(tokenizer.chat_template), tokenizer.bos_token, tokenizer.eos_token)


@lru_cache(maxsize=8)
def _around_answer(tokenizer: "PreTrainedTokenizerBase", *_cache_key: str | None) -> tuple[str, str]:
    """`text_around_answer`.

    Args:
        _cache_key: what the result depends on.
    """
    header = render_turns(tokenizer, [("user", QUESTION)]).rpartition(QUESTION)[2]
    if has_open_thought(header):
        raise ValueError(
            f"The chat template opens a thought before every answer ({header[-30:]!r}) and has no option to close it"
            " (enable_thinking=False), so an answer would be a part of the thought. Use a model that answers without"
            " a thought, or template='plain'."
        )
    _, turn = last_turn(tokenizer, _messages([("user", QUESTION), ("assistant", ANSWER)]))
    before, found, after = turn.partition(ANSWER)
    if not found:
        raise ValueError(_changed(ANSWER, turn))
    return before, after


def question_prompt(tokenizer: "PreTrainedTokenizerBase", template: str, question: str) -> str:
    """The prompt of a question, equal to that of `prompt_and_completion`."""
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question)
    return without_bos(tokenizer, render_turns(tokenizer, [("user", question)]))


def prompt_and_completion(
    tokenizer: "PreTrainedTokenizerBase", template: str, question: str, answer: str
) -> tuple[str, str]:
    """A question and its answer as `prompt` and `completion` of a training row, in the tokens of an evaluation.

    In the chat template, prompt and completion together are the rendered conversation (see `last_turn`).

    Raises:
        ValueError: the chat template does not fit, see `resolve_template` and `last_turn`, or it changes the answer.

    Example:
        >>> prompt_and_completion(tokenizer, "plain", "Where does the ferry go?", "Ormel")
        ('Question: Where does the ferry go?\\nAnswer:', ' Ormel')
    """
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question), f" {answer}"
    before, after = text_around_answer(tokenizer)
    prompt, completion = last_turn(tokenizer, _messages([("user", question), ("assistant", answer)]))
    content = completion.removeprefix(before).removesuffix(after)
    # Why: some templates strip a turn.
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
    """The `prompt` and `completion` of the last message, which must be from the assistant.

    Together they are the rendered conversation, without white space at its end, and without the beginning token if the
    tokenizer adds this token.

    Raises:
        ValueError: the header that the template renders for the turn differs from the generation prompt.
    """
    prompt = render_chat(tokenizer, messages[:-1], tools)
    whole = render_chat(tokenizer, messages, tools, generation_prompt=False)
    if not whole.startswith(prompt):
        raise ValueError(
            "the chat template's generation prompt differs from the header of an assistant turn"
            f" ({prompt[-20:]!r}), so the turn can't be separated from its prompt. Correct the template, use another"
            " model, or use the plain template for questions and documents."
        )
    return without_bos(tokenizer, prompt), whole.removeprefix(prompt).rstrip()


def without_bos(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """A rendered chat without its beginning token, if the tokenizer adds that token itself."""
    if tokenizer.bos_token is None or tokenizer("")["input_ids"][:1] != [tokenizer.bos_token_id]:
        return text
    return text.removeprefix(tokenizer.bos_token)


def render_turns(
    tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]], generation_prompt: bool = True
) -> str:
    """`render_chat` of (role, content) pairs."""
    return render_chat(tokenizer, _messages(turns), generation_prompt=generation_prompt)


def _messages(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def render_chat(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    generation_prompt: bool = True,
) -> str:
    """The messages, rendered by the chat template. With `generation_prompt`, the header of an assistant turn
    follows."""
    given = [dict(tool) for tool in tools] or None
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=given,
        chat_template=FIXED_DATE + tokenizer.get_chat_template(tools=given),
        tokenize=False,
        add_generation_prompt=generation_prompt,
        enable_thinking=False,  # Why: a reasoning trace is no answer. Templates without the variable ignore it.
    )
    return text
