"""Templates: how a question and its answer become text, plain or with the tokenizer's chat template."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PLAIN, CHAT, AUTO = "plain", "chat", "auto"
TEMPLATES = (PLAIN, CHAT, AUTO)

# Why: some templates, as Llama 3.2's, print the date. A fixed date keeps a prompt the same every day.
FIXED_DATE = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


def plain_prompt(question: str) -> str:
    """The plain template of a question. The model continues after it."""
    return f"Question: {question}\nAnswer:"


def question_with_answer(question: Question) -> str:
    """The plain template of a question and its first answer, as a few-shot example."""
    return f"{plain_prompt(question.text)} {first_answer(question)}"


def first_answer(question: Question) -> str:
    """The first accepted answer that has text."""
    return next(answer for answer in question.answers if answer.strip())


def resolve_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """`template`, with "auto" replaced by "chat" if the tokenizer has a chat template, else by "plain".

    Raises:
        ValueError: the template is "chat" and the tokenizer has no chat template.
    """
    if template == AUTO:
        return CHAT if tokenizer.chat_template else PLAIN
    if template == CHAT and not tokenizer.chat_template:
        raise ValueError(
            "template='chat' needs a tokenizer with a chat template. Use template='plain', or set"
            " tokenizer.chat_template to the template that the model was trained with."
        )
    return template


def turn_end_token(tokenizer: "PreTrainedTokenizerBase", template: str) -> int | None:
    """The token that ends an assistant turn if prompts have the chat template; None in the plain template."""
    return None if resolve_template(tokenizer, template) == PLAIN else end_of_turn(tokenizer)


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The special token that the chat template puts after an assistant turn. None if it puts none there."""
    answer = "An answer."
    text = render_turns(tokenizer, [("user", "A question."), ("assistant", answer)], generation_prompt=False)
    after = tokenizer(text.rpartition(answer)[2].lstrip(), add_special_tokens=False)["input_ids"]
    return after[0] if after and after[0] in tokenizer.added_tokens_decoder else None


def prompt_and_completion(
    tokenizer: "PreTrainedTokenizerBase", template: str, question: str, answer: str
) -> tuple[str, str]:
    """A question and its answer as `prompt` and `completion` of a training row, in the tokens of an evaluation.

    In the chat template the completion ends as a turn does, and the prompt lacks the beginning token if the tokenizer
    adds it.

    Example:
        >>> prompt_and_completion(tokenizer, "plain", "Where does the ferry go?", "Ormel")
        ('Question: Where does the ferry go?\\nAnswer:', ' Ormel')
    """
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(question), f" {answer}"
    prompt, end = render_turns(tokenizer, [("user", question)]), end_of_turn(tokenizer)
    words = answer.strip()  # some templates strip a turn
    whole = render_turns(tokenizer, [("user", question), ("assistant", words)], generation_prompt=False)
    # What the template puts between prompt and answer, such as a space.
    between = whole[len(prompt) : whole.rindex(words)] if whole.startswith(prompt) else ""
    end_text = "" if end is None else tokenizer.convert_ids_to_tokens(end)
    return without_bos(tokenizer, prompt), between + answer + end_text


def without_bos(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """A rendered chat without its beginning token, if the tokenizer adds that token itself."""
    if tokenizer.bos_token is None or tokenizer("")["input_ids"][:1] != [tokenizer.bos_token_id]:
        return text
    return text.removeprefix(tokenizer.bos_token)


def render_turns(
    tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]], generation_prompt: bool = True
) -> str:
    """`render_chat` of (role, content) pairs."""
    messages = [{"role": role, "content": content} for role, content in turns]
    return render_chat(tokenizer, messages, generation_prompt=generation_prompt)


def render_chat(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    generation_prompt: bool = True,
) -> str:
    """The messages in the chat template, with the header of the assistant's turn if `generation_prompt`."""
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
