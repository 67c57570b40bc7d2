"""A conversation to be trained on: turns in TRL's form (`messages`, and `tools` that the assistant may call).

The surprising decision: what a turn holds beside its role and content is passed on as it is, since templates differ in
what they read; whether the template told all of it is seen where it is written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.documents.document import refuse, show, wrong_text

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Conversation:
    """Turns, each with a `role` and its `content`; the assistant may have `tool_calls` in place of a content."""

    id: str
    messages: tuple[Mapping[str, Any], ...] = field(hash=False)
    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        refuse(f"Conversation {show(self.id)}", _wrong(self))


def name_of(tool: object) -> str | None:
    """The name of a tool, or of a call of one: its own, or that of the `function` in it."""
    inside = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = inside.get("name") if isinstance(inside, Mapping) else None
    return name if isinstance(name, str) and name.strip() else None


def _wrong(conversation: Conversation) -> Iterator[str]:
    yield from wrong_text("id", conversation.id)
    yield from _wrong_turns(conversation.messages)
    yield from _wrong_tools("tools", conversation.tools)


def _wrong_turns(messages: object) -> Iterator[str]:
    if not isinstance(messages, tuple) or not all(isinstance(turn, Mapping) for turn in messages):
        yield f'messages must be turns such as {{"role": "user", "content": "..."}}, got {show(messages)}'
        return
    for number, turn in enumerate(messages):
        role, content = turn.get("role"), turn.get("content")
        if role not in ROLES:
            yield f"messages[{number}] has the role {show(role)}; known are {', '.join(ROLES)}"
        calls = turn.get("tool_calls")
        if calls is not None:
            yield from _wrong_tools(f"messages[{number}].tool_calls", calls)
        if content is not None or not calls:
            yield from wrong_text(f"messages[{number}].content", content)
    if not any(turn.get("role") == "assistant" for turn in messages):
        yield "no turn is the assistant's, so there is nothing to learn; leave it out"


def _wrong_tools(name: str, tools: object) -> Iterator[str]:
    if not isinstance(tools, list | tuple) or not all(map(name_of, tools)):
        yield f'{name} must be a list of tools by name, such as {{"function": {{"name": "..."}}}}, got {show(tools)}'
