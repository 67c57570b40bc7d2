"""Documents, questions, conversations and prompts that an option of a run names."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hf_knowlearn.documents import Conversation, Document, Question, read_conversations, read_documents, read_questions
from hf_knowlearn.paths import GENERAL_QUESTIONS, RECIPES

if TYPE_CHECKING:
    from hf_knowlearn.worlds.splits import Split
logger = logging.getLogger(__name__)


GENERAL = "general:questions"  # as an opening: questions that come with the package


def load_documents(source: str | None) -> list[Document]:
    """The documents that an option names: none, `world:SPLIT`, or a path."""
    if source is None:
        return []
    split = _world(source)
    return split.documents() if split else read_documents(source)


def load_questions(source: str | None) -> list[Question]:
    """The questions that an option names: none, `world:SPLIT`, or a path."""
    if source is None:
        return []
    split = _world(source)
    return split.questions() if split else read_questions(source)


def load_conversations(source: str | None) -> list[Conversation]:
    """The conversations that an option names: none, or a path."""
    return [] if source is None else read_conversations(source)


def load_replay_prompts(sources: Sequence[str] | None) -> list[str | Question]:
    """What texts are to begin with, by turns: nothing; words; the lines of a file; or questions, to be answered.

    None: nothing, and questions of general knowledge. A model that replays no answer of its own forgets how to answer.

    Raises:
        ValueError: a file holds no line, or not what a file of questions holds.
    """
    kinds = [_openings(source) for source in sources or ["", GENERAL]]
    return [kind[i % len(kind)] for i in range(max(map(len, kinds))) for kind in kinds]


def _openings(source: str) -> Sequence[str | Question]:
    if source == GENERAL:
        lines = GENERAL_QUESTIONS.read_text(encoding="utf-8").splitlines()
        return [Question(f"general-{number}", line, ("not read",)) for number, line in enumerate(lines, 1)]
    if source.startswith("world:") or source.endswith(".jsonl"):
        return load_questions(source)
    if not os.path.isfile(source):  # Path's own stumbles over words that are too long for a name
        return [source]
    lines = [line for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{source!r} holds no line to begin a text with: write one a line.")
    return lines


def _world(source: str) -> "Split | None":
    if not source.startswith("world:"):
        return None
    from hf_knowlearn.worlds.splits import read_splits

    splits = read_splits(RECIPES / "world.yaml")
    name = source.removeprefix("world:")
    if name not in splits:
        raise ValueError(f"{source!r} names no split of the world in {RECIPES / 'world.yaml'}: {', '.join(splits)}.")
    return splits[name]
