"""The recipe options that cards use. No other module of `hub` contains names of recipe options."""

from collections.abc import Iterator, Mapping
from typing import Any

Recipe = Mapping[str, Any]

EVALUATION = "evaluation"  # the key of a recipe that holds the options of the evaluation
# Options that name training data. Anyone who has the weights can recover part of this data.
TRAINING_DATA = (
    "documents", "train_documents", "train_questions", "train_conversations", "replay_documents", "replay_questions"
)  # fmt: skip
# Options whose value is always a path or a name on the Hub, even if it looks like another kind of text.
SOURCES = (
    *TRAINING_DATA, "questions", "replayed_questions", "retention_questions", "model_name_or_path",
    "chat_template_path",
)  # fmt: skip
# Options about the user's machine and accounts, which are not published.
PRIVATE = ("logging_dir", "hub_token", "hub_model_id", "project", "trackio_space_id")


def training_sources(recipe: Recipe) -> list[str]:
    """The sources of training data of the run and its stages, without duplicates."""
    stages = (recipe, *(recipe.get("stages") or ()))
    named = [stage.get(name) for stage in stages for name in TRAINING_DATA]
    return [source for source in dict.fromkeys(named) if isinstance(source, str)]


def question_source(recipe: Recipe, role: str) -> str:
    """The source of a role's questions. By default, retention questions are taken from the source of `questions`."""
    return str(recipe.get(role) or evaluation_option(recipe, role) or recipe.get("questions") or "questions")


def evaluation_option(recipe: Recipe, name: str) -> Any:
    """An option of the evaluation; None if the recipe does not set it."""
    return (recipe.get(EVALUATION) or {}).get(name)


def answer_language(recipe: Recipe) -> str | None:
    """The language code of the answers; None if they have no language."""
    language = evaluation_option(recipe, "answer_language") or "en"
    return None if language == "und" else str(language)


def uses_chat_template(recipe: Recipe) -> bool:
    """Whether prompts use the chat template of the tokenizer."""
    return evaluation_option(recipe, "template") in ("chat", "auto")


def quantised_bits(recipe: Recipe) -> int | None:
    """4 or 8 if the base model was loaded in that many bits."""
    return next((bits for bits in (4, 8) if recipe.get(f"load_in_{bits}bit")), None)


def named_values(value: Any, option: str = "") -> Iterator[tuple[str, str]]:
    """Each string in a recipe, with the name of its option. Includes nested options, stages and lists."""
    if isinstance(value, Mapping):
        for name, nested in value.items():
            yield from named_values(nested, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from named_values(item, option)
    elif isinstance(value, str):
        yield option, value
