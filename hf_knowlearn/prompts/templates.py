"""How a question and its answer become text: the plain template and the chat template of the tokenizer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PLAIN, CHAT, AUTO = "plain", "chat", "auto"


TEMPLATES = (PLAIN, CHAT, AUTO)


# Some templates, as Llama 3.2's, tell the day. A prompt must be tomorrow what it is today, so it is always this one.
SAME_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


def plain_prompt(question: str) -> str:
    """The plain form of a question: the model goes on after it."""
    return f"Question: {question}\nAnswer:"


def question_with_answer(question: Question) -> str:
    """The plain form of a question and its first answer, as an example."""
    return f"{plain_prompt(question.text)} {first_answer(question)}"


def first_answer(question: Question) -> str:
    return next(answer for answer in question.answers if answer.strip())


def resolve_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """`template`, where "auto" has become "chat" if the tokenizer has a chat template, else "plain".

    Raises:
        ValueError: "chat" is wanted, and the tokenizer has no chat template.
    """
    has_one = bool(tokenizer.chat_template)
    if template == CHAT and not has_one:
        raise ValueError(
            "template='chat', and this tokenizer has no chat template: ask with template='plain', or set"
            " tokenizer.chat_template to the one the model was trained with."
        )
    return (CHAT if has_one else PLAIN) if template == AUTO else template


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The special token that the chat template puts behind what the assistant says; None where it puts none there."""
    said = "An answer."
    text = _chat(tokenizer, [("user", "A question."), ("assistant", said)], speaks=False)
    behind = tokenizer(text.rpartition(said)[2].lstrip(), add_special_tokens=False)["input_ids"]
    return behind[0] if behind and behind[0] in tokenizer.added_tokens_decoder else None


def prompt_and_completion(
    tokenizer: "PreTrainedTokenizerBase", template: str, asked: str, said: str
) -> tuple[str, str]:
    """A question and its answer as `prompt` and `completion` of a training row: in the tokens in which it is asked.

    In the chat template the answer ends as a turn does, and the beginning token is left out where the tokenizer writes
    it by itself.
    """
    if resolve_template(tokenizer, template) == PLAIN:
        return plain_prompt(asked), f" {said}"
    prompt, end = _chat(tokenizer, [("user", asked)]), end_of_turn(tokenizer)
    words = said.strip()  # some templates strip what is said
    whole = _chat(tokenizer, [("user", asked), ("assistant", words)], speaks=False)
    # What the template puts between the two, such as a space.
    between = whole[len(prompt) : whole.rindex(words)] if whole.startswith(prompt) else ""
    return without_beginning(tokenizer, prompt), between + said + (
        "" if end is None else tokenizer.convert_ids_to_tokens(end)
    )


def without_beginning(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """A text of the chat template without the beginning token, where the tokenizer writes that by itself."""
    if tokenizer.bos_token is None or tokenizer("")["input_ids"][:1] != [tokenizer.bos_token_id]:
        return text
    return text.removeprefix(tokenizer.bos_token)


def _chat(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]], speaks: bool = True) -> str:
    return render_chat(tokenizer, [{"role": role, "content": content} for role, content in turns], speaks=speaks)


def render_chat(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    speaks: bool = True,
) -> str:
    """The turns in the words of the chat template; if the assistant `speaks`, up to where it is to begin."""
    told = [dict(tool) for tool in tools] or None
    # Templates of models that think aloud read `enable_thinking`; a thought is no answer. Others ignore it.
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=told,
        chat_template=SAME_DAY + tokenizer.get_chat_template(tools=told),
        tokenize=False,
        add_generation_prompt=speaks,
        enable_thinking=False,
    )
    return text
