"""`Conversation`: the messages of a conversation to train on, in TRL's format (`messages` and `tools`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.documents.document import raise_if_invalid, show, text_problems

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Conversation:
    """A conversation with at least one turn of the assistant.

    Args:
        id: name of the conversation, unique in its dataset.
        messages: the turns. Each has a `role` (one of `ROLES`) and a `content`. A turn of the assistant may have
            `tool_calls` instead of a content. Other keys are passed to the chat template unchanged.
        tools: the tools that the assistant may call, as JSON schemas.

    Raises:
        InvalidItemError: a field is invalid, or the assistant has no turn. The error lists all problems.

    Example:
        >>> user = {"role": "user", "content": "When does the ferry leave?"}
        >>> conversation = Conversation("c1", (user, {"role": "assistant", "content": "At six."}))
        >>> [turn["role"] for turn in conversation.messages]
        ['user', 'assistant']
    """

    id: str
    messages: tuple[Mapping[str, Any], ...] = field(hash=False)
    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        raise_if_invalid(self, _problems(self))


def tool_name(tool: object) -> str | None:
    """Return the name of a tool or of a tool call, which may be nested under `function`. None: it has no name."""
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return name if isinstance(name, str) and name.strip() else None


def _problems(conversation: Conversation) -> Iterator[str]:
    yield from text_problems("id", conversation.id)
    yield from _message_problems(conversation.messages)
    yield from _tool_problems("tools", conversation.tools)


def _message_problems(messages: object) -> Iterator[str]:
    if not isinstance(messages, tuple) or not all(isinstance(turn, Mapping) for turn in messages):
        yield f'messages must be turns such as {{"role": "user", "content": "..."}}, got {show(messages)}'
        return
    for number, turn in enumerate(messages):
        role, content = turn.get("role"), turn.get("content")
        if role not in ROLES:
            yield f"messages[{number}].role must be one of {', '.join(ROLES)}, got {show(role)}"
        calls = turn.get("tool_calls")
        if calls is not None:
            yield from _tool_problems(f"messages[{number}].tool_calls", calls)
        if content is not None or not calls:
            yield from text_problems(f"messages[{number}].content", content)
    if not any(turn.get("role") == "assistant" for turn in messages):
        yield "messages has no turn of the assistant to train on; add one, or remove the conversation"


def _tool_problems(name: str, tools: object) -> Iterator[str]:
    if not isinstance(tools, list | tuple) or not all(map(tool_name, tools)):
        yield f'{name} must be a list of named tools, such as {{"function": {{"name": "..."}}}}, got {show(tools)}'
