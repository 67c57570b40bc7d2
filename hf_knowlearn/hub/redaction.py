"""Cleaning: a run's recipe and report without what they say of the machine that it ran on.

The surprising decision: a path is replaced by its last part wherever it stands, and what it named is known by its
SHA-256, which the report has; who has the same file can tell that it is the same, and nobody learns where it lay.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

# Options that name documents, questions or a model; of others only what is surely a path is taken for one.
SOURCES = (
    "documents", "train_documents", "train_questions", "train_conversations", "questions", "replayed_questions",
    "retention_questions", "replay_documents", "replay_questions", "general_text", "ask_examples",
    "model_name_or_path", "chat_template_path",
)  # fmt: skip
# What a run is trained on: who may read the run can often learn what stands there.
TAUGHT = (
    "documents", "train_documents", "train_questions", "train_conversations", "replay_documents", "replay_questions"
)  # fmt: skip
# Where a run is kept and who is told of it, which is nobody else's business.
OF_THE_MACHINE = ("logging_dir", "hub_token", "hub_model_id", "run_name", "project", "trackio_space_id")
WORLD = "world:"
OWNER_AND_NAME = re.compile(r"(hf://datasets/)?([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95})", re.ASCII)
FILE = re.compile(r"\S*[/\\]\S*\.[A-Za-z0-9]{1,8}")
DATA = (".txt", ".md", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".pdf", ".docx", ".pptx", ".html", ".epub")


def hub_id(source: str | None) -> str | None:
    """`owner/name` if that is what the source is; None if it is a path or a split of a made-up world."""
    found = OWNER_AND_NAME.fullmatch(source or "")
    if found is None or source is None or source.endswith(DATA):
        return None
    return found[2] if found[1] or not os.path.exists(source) else None


def shown(source: str) -> str:
    """What a card calls a source: its name on the Hub, or the last part of its path."""
    return source if source.startswith(WORLD) or hub_id(source) else base_name(source)


def base_name(path: str) -> str:
    """The last part of a path of this or another system."""
    return PureWindowsPath(path).name or PurePosixPath(path).name or "."


def taught_from(recipe: Mapping[str, Any]) -> list[str]:
    """The sources that a run is trained on, those of its stages too, each once."""
    stages = (recipe, *(recipe.get("stages") or ()))
    named = [stage.get(name) for stage in stages for name in TAUGHT]
    return [source for source in dict.fromkeys(named) if isinstance(source, str)]


def cleaned(report: Mapping[str, Any], machine: Sequence[Path] = ()) -> dict[str, Any]:
    """The report with the last part of each path in place of it, in its recipes too. What was asked and said stays.

    Args:
        machine: folders of this machine, which no text may name whatever it is.
    """
    recipes = {name: _without(recipe) for name, recipe in report["recipes"].items()}
    named = {path for recipe in report["recipes"].values() for path in _paths(recipe)}
    of_data = [str(of.get("source") or "").split(", ") for of in (report.get("data") or {}).values()]
    named |= {path for path in chain.from_iterable(of_data) if os.path.isabs(path)}
    # What a recipe names first, longest first, since one may lie in another; then whatever else is below the folders.
    forms = [re.escape(path) for path in sorted(named, key=len, reverse=True)]
    below = r"(?:[/\\][^\s'\",;:]*|(?=[\s'\",;:]|$))"
    forms += [re.escape(str(folder)) + below for folder in machine if folder != folder.parent]
    found: dict[str, Any] = _replaced({**report, "recipes": recipes}, re.compile("|".join(forms) or r"(?!)"))
    return found


def _without(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe.items() if name not in OF_THE_MACHINE}


def _paths(value: Any, option: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, of_name in value.items():
            yield from _paths(of_name, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item, option)
    elif isinstance(value, str) and is_path(value, option):
        yield value


def is_path(value: str, option: str = "") -> bool:
    """Whether the value of an option is a path, and says more than a name does."""
    if value == base_name(value) or value.startswith((WORLD, "https://", "http://")) or hub_id(value):
        return False
    return option in SOURCES or FILE.fullmatch(value) is not None or os.path.exists(value)


def _replaced(value: Any, paths: re.Pattern[str]) -> Any:
    if isinstance(value, Mapping):
        # What was asked and said is nobody's path, and must stay word for word.
        return {name: of if name == "examples" else _replaced(of, paths) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, paths) for item in value]
    return paths.sub(lambda path: base_name(path[0]), value) if isinstance(value, str) else value
