"""Loads documents, questions, conversations and prompts from a source. A source is a path, a name on the Hub, or
world:SPLIT. A SPLIT is a split of `recipes/world.yaml`, or `handbook` or `handbook_short`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Conversation, Document, Question, read_conversations, read_documents, read_questions
from hf_knowlearn.documents.language import language_code
from hf_knowlearn.documents.sources import TABLE_FORMATS
from hf_knowlearn.paths import GENERAL_QUESTIONS, RECIPES

if TYPE_CHECKING:
    from hf_knowlearn.worlds.handbook_data import Handbook
    from hf_knowlearn.worlds.splits import Split

GENERAL = "general:questions"  # a source of prompts: the general questions of the package
WORLD = "world:"


def load_documents(source: str | None, **options: Any) -> list[Document]:
    """Load the documents of a source. Return [] if the source is None.

    Args:
        options: keyword arguments of `read_documents`.
    """
    if source is None:
        return []
    if split := _split(source):
        documents, language = split.documents(), options.get("language")
        return [replace(each, language=language_code(language)) for each in documents] if language else documents
    return read_documents(source, **options)


def has_tables(source: str) -> bool:
    """Return whether a source of documents is a table or a folder with tables. A dataset on the Hub is a table."""
    path = Path(source)
    files = path.rglob("*") if path.is_dir() else [path]
    is_on_hub = not source.startswith(WORLD) and not path.exists()
    return is_on_hub or any(file.suffix.lower() in TABLE_FORMATS and file.name[0] != "." for file in files)


def load_questions(source: str | None, **options: Any) -> list[Question]:
    """Load the questions of a source. Return [] if the source is None.

    Args:
        options: keyword arguments of `read_questions`.
    """
    if source is None:
        return []
    split = _split(source)
    return split.questions() if split else read_questions(source, **options)


def load_conversations(source: str | None) -> list[Conversation]:
    """Load the conversations of a source. Return [] if the source is None."""
    return [] if source is None else read_conversations(source)


def load_replay_prompts(sources: Sequence[str] | None) -> list[str | Question]:
    """Return the prompts of self-generated replay, alternately from each of the sources.

    Args:
        sources: each source is a prompt, a file with one prompt per line, a file of questions, or `general:questions`
            for the questions in this package. None: the empty prompt and `general:questions`.

    Raises:
        ValueError: a file is empty, or has no valid questions.
    """
    # Why: the default includes questions, because a model that replays no answers forgets how to answer.
    prompts = [_prompts(source) for source in sources or ["", GENERAL]]
    longest = max(map(len, prompts))
    return [of_source[i % len(of_source)] for i in range(longest) for of_source in prompts]


def _prompts(source: str) -> Sequence[str | Question]:
    if source == GENERAL:
        lines = GENERAL_QUESTIONS.read_text(encoding="utf-8").splitlines()
        return [Question(f"general-{number}", line, ("unused",)) for number, line in enumerate(lines, 1)]
    if source.startswith(WORLD) or source.endswith(".jsonl"):
        return load_questions(source)
    if not os.path.isfile(source):  # Why: `Path.is_file` fails on text that is too long for a file name
        return [source]
    lines = [line for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{source!r} has no prompts. Write one prompt per line.")
    return lines


def _split(source: str) -> "Split | Handbook | None":
    if not source.startswith(WORLD):
        return None
    from hf_knowlearn.worlds.handbook_data import HANDBOOKS
    from hf_knowlearn.worlds.splits import read_splits

    name = source.removeprefix(WORLD)
    if name in HANDBOOKS:
        return HANDBOOKS[name]
    splits = read_splits(RECIPES / "world.yaml")
    if name not in splits:
        raise ValueError(
            f"{source!r} is not a split of {RECIPES / 'world.yaml'}. Choose one of its splits: {', '.join(splits)}. "
            f"Or choose one of the handbooks in the package: {', '.join(HANDBOOKS)}."
        )
    return splits[name]
