"""Turns a conversation into pairs of a prompt and a completion, one pair for each assistant turn.

The completion is the assistant turn, and the prompt is everything before it. `format_aug/rows.py` builds a training
row from each pair. Only the completion has a loss.

Each assistant turn is rendered as the last turn of the conversation, because a turn is the last one while the model
generates it. Some templates render earlier turns differently. For example, Qwen3's template omits the reasoning of all
turns except the last.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.conversation import Conversation, tool_name
from hf_knowlearn.documents.document import show
from hf_knowlearn.prompts.control_tokens import check_control_tokens
from hf_knowlearn.prompts.templates import last_turn
from hf_knowlearn.prompts.thoughts import without_thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hf_knowlearn.documents.splitting import TokenLengths

SHOWN = 20  # largest number of problems that a message lists


def conversation_turns(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Iterable[Conversation],
    lengths: "TokenLengths",
    limit: int | None = None,
) -> list[tuple[str, str]]:
    """Return the prompt and the completion of each assistant turn, in order.

    A completion includes the text with which the template ends a turn. A prompt has no beginning token if the
    tokenizer adds this token itself.

    Args:
        lengths: A function that returns the number of tokens of each text (see `token_lengths`).
        limit: The largest number of tokens of a prompt and its completion together. None means no limit.

    Raises:
        ValueError: The tokenizer has no chat template. Or conversations contain control tokens, cannot be rendered or
            are too long. The message lists their ids.
    """
    conversations = list(conversations)
    if conversations and not tokenizer.chat_template:
        raise ValueError(
            "train_conversations needs a chat template, and this tokenizer has none. Choose a model that has a chat"
            " template, or remove train_conversations."
        )
    check_control_tokens(tokenizer, (text for one in conversations for text in _texts(one)), "conversations")
    turns: list[tuple[str, str]] = []
    problems = []
    for conversation in conversations:
        numbers = [i for i, turn in enumerate(conversation.messages) if turn["role"] == "assistant"]
        try:
            own = [_turn(tokenizer, conversation, number) for number in numbers]
            _check_length(own, lengths, limit)
        except (TemplateError, TypeError, ValueError) as error:  # a template raises TypeError for a missing field
            problems.append(f"Conversation {conversation.id!r} cannot be used: {str(error).rstrip('.')}.")
        else:
            turns += own
    if problems:
        more = [f"... and {len(problems) - SHOWN} more."] if len(problems) > SHOWN else []
        raise ValueError("\n".join(problems[:SHOWN] + more))
    return turns


def _texts(conversation: Conversation) -> Iterator[tuple[str, str]]:
    yield conversation.id, str(conversation.tools)
    for turn in conversation.messages:
        # Why thoughts are left out: their tags are control tokens, and templates accept them in an assistant turn.
        yield conversation.id, without_thoughts(str(turn)) if turn["role"] == "assistant" else str(turn)


def _turn(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, number: int) -> tuple[str, str]:
    messages, tools = conversation.messages, conversation.tools
    prompt, completion = last_turn(tokenizer, messages[: number + 1], tools)
    content = messages[number].get("content") or ""
    calls = [str(tool_name(call)) for call in messages[number].get("tool_calls") or ()]
    lost = [name for name in map(tool_name, tools) if name and name not in prompt]
    lost += [text for text in (content, *calls) if _without_spaces(text) not in _without_spaces(completion)]
    if lost:
        raise ValueError(f"up to turn {number + 1}, the chat template omits {', '.join(map(show, lost))}")
    return prompt, completion


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def _check_length(turns: Sequence[tuple[str, str]], lengths: "TokenLengths", limit: int | None) -> None:
    longest = max(lengths([prompt + completion for prompt, completion in turns]))
    if limit is not None and longest > limit:
        raise ValueError(
            f"its longest training row has {number_of(longest, 'token')}, and max_length is {limit}."
            " Raise max_length, or shorten the conversation"
        )
