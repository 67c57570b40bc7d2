"""Reads the options of a recipe that cards use. Other modules of `hub` contain no names of recipe options."""

from collections.abc import Iterator, Mapping
from typing import Any

Recipe = Mapping[str, Any]

EVALUATION = "evaluation"  # the key of the evaluation options in a recipe
# Options that name training data. Parts of this data can be extracted from the weights.
TRAINING_DATA = (
    "documents", "train_documents", "train_questions", "train_conversations", "replay_documents", "replay_questions"
)  # fmt: skip
# Options whose value is always a path or a name on the Hub.
SOURCES = (
    *TRAINING_DATA, "questions", "replayed_questions", "retention_questions", "model_name_or_path",
    "chat_template_path",
)  # fmt: skip
# Options about the machine and the accounts of the user. They are not published.
PRIVATE = ("logging_dir", "hub_token", "hub_model_id", "project", "trackio_space_id")


def training_sources(recipe: Recipe) -> list[str]:
    """Return the sources of the training data of all stages, without duplicates."""
    stages = (recipe, *(recipe.get("stages") or ()))
    named = [stage.get(name) for stage in stages for name in TRAINING_DATA]
    return [source for source in dict.fromkeys(named) if isinstance(source, str)]


def question_source(recipe: Recipe, role: str) -> str:
    """Return the source of the questions of a role. The default is the source of `questions`."""
    return str(recipe.get(role) or evaluation_option(recipe, role) or recipe.get("questions") or "questions")


def evaluation_option(recipe: Recipe, name: str) -> Any:
    """Return the value of an evaluation option; None if the recipe does not set it."""
    return (recipe.get(EVALUATION) or {}).get(name)


def answer_language(recipe: Recipe) -> str | None:
    """Return the language code of the answers; None if the language is undetermined."""
    language = evaluation_option(recipe, "answer_language") or "en"
    return None if language == "und" else str(language)


def quantised_bits(recipe: Recipe) -> int | None:
    """Return 4 or 8 if the base model was loaded in 4 or 8 bits; otherwise None."""
    return next((bits for bits in (4, 8) if recipe.get(f"load_in_{bits}bit")), None)


def named_values(value: Any, option: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name of the option and the value for each string in a recipe, also in stages and lists."""
    if isinstance(value, Mapping):
        for name, nested in value.items():
            yield from named_values(nested, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from named_values(item, option)
    elif isinstance(value, str):
        yield option, value
