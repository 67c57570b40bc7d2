"""Conversations as rows of training: a row for each of the assistant's turns, whose prompt is all that stands before.

So a turn is learned by the loss on it alone, and shares a batch with documents and questions. The surprising decision:
what stands before a turn is written out as when the model is asked for it, and not as the whole conversation has it.
Most templates write both alike; where one doesn't (Qwen3's tells only of the last turn what was thought), each turn is
learned in the tokens in which it will be wanted. The price is that a long conversation is read once for every turn.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from hf_knowlearn.documents.conversation import Conversation, name_of
from hf_knowlearn.documents.document import show
from hf_knowlearn.prompts.templates import render_chat, without_beginning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hf_knowlearn.documents.splitting import TokenLengths

SHOWN = 20  # problems told of, at most


def conversation_turns(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Iterable[Conversation],
    lengths: "TokenLengths",
    limit: int | None = None,
) -> list[tuple[str, str]]:
    """`prompt` and `completion` of each of the assistant's turns, in order.

    A completion ends as the template ends a turn; the beginning token is left out of a prompt where the tokenizer
    writes it by itself.

    Args:
        lengths: tokens of each of some texts as rows of training have them.
        limit: tokens that a prompt with its completion may have. None: no limit.

    Raises:
        ValueError: the tokenizer has no chat template; or the conversations that can't be told in it, or not within
            the limit, each by its id.
    """
    conversations = list(conversations)
    if conversations and not tokenizer.chat_template:
        raise ValueError(
            "Conversations are told in a chat template, and this tokenizer has none: take a model whose tokenizer has"
            " one, or leave train_conversations out."
        )
    turns: list[tuple[str, str]] = []
    problems = []
    for conversation in conversations:
        try:
            told = [_turn(tokenizer, conversation, number) for number in _of_the_assistant(conversation)]
            _refuse_long(told, lengths, limit)
        except (TemplateError, TypeError, ValueError) as error:  # a template may add up what it wasn't given
            problems.append(f"Conversation {conversation.id!r} can't be told: {str(error).rstrip('.')}.")
        else:
            turns += told
    if problems:
        more = [f"... and {len(problems) - SHOWN} more."] if len(problems) > SHOWN else []
        raise ValueError("\n".join(problems[:SHOWN] + more))
    return turns


def _of_the_assistant(conversation: Conversation) -> Iterator[int]:
    return (number for number, turn in enumerate(conversation.messages) if turn["role"] == "assistant")


def _turn(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, number: int) -> tuple[str, str]:
    messages, tools = conversation.messages, conversation.tools
    prompt = render_chat(tokenizer, messages[:number], tools)
    whole = render_chat(tokenizer, messages[: number + 1], tools, speaks=False)
    if not whole.startswith(prompt):
        raise ValueError(
            "the chat template asks for the assistant's turn in other words than it begins one with"
            f" ({prompt[-20:]!r}), so they can't be told from what is said"
        )
    completion = whole.removeprefix(prompt).rstrip()
    said = messages[number].get("content") or ""
    calls = [str(name_of(call)) for call in messages[number].get("tool_calls") or ()]
    lost = [name for name in map(name_of, tools) if name and name not in prompt]
    lost += [name for name in (said, *calls) if _bare(name) not in _bare(completion)]
    if lost:
        raise ValueError(f"the chat template leaves out of turn {number + 1}: {', '.join(map(show, lost))}")
    return without_beginning(tokenizer, prompt), completion


def _bare(text: str) -> str:
    return "".join(text.split())


def _refuse_long(turns: Iterable[tuple[str, str]], lengths: "TokenLengths", limit: int | None) -> None:
    longest = max(lengths([prompt + completion for prompt, completion in turns]))
    if limit is not None and longest > limit:
        raise ValueError(f"it has {longest} tokens, and a row may have {limit}: raise max_length, or cut it")
