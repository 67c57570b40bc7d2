"""Builds the text of `knowlearn teach --help`, which shows the most important options and their defaults.

The text of `knowlearn teach --help all` also shows the other options of this package. The defaults are those of a run
without `--config`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from textwrap import fill
from typing import Any

from hf_knowlearn.config.parsing import run_options
from hf_knowlearn.config.recipes import read_recipe
from hf_knowlearn.config.teach_arguments import EvaluationArguments, TeachArguments
from hf_knowlearn.console import TEACH_EXAMPLE
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.training import SAMOptions

WIDTH = 100
# The options of the short help, by group. Options of TRL and transformers have their help text here.
SHORT: dict[str, tuple[str, ...]] = {
    "Model": ("model", "load_in_4bit", "lora_r", "use_peft"),
    "Data": ("documents", "questions", "output_dir"),
    "Views": ("views", "num_views"),
    "Training": ("num_train_epochs", "max_steps", "learning_rate", "per_device_train_batch_size", "sam_rho"),
    "Forgetting": ("replay_self", "replay_share"),
    "Recipes": ("config", "curriculum"),
}
LIBRARY_HELP = {
    "model": "Model to train: a folder, a name on the Hub, tiny_base (in this package), or smollm2-135m (see"
    " `knowlearn prepare_model --help`).",
    "load_in_4bit": "Load the model in 4 bits (QLoRA).",
    "lora_r": "Rank of the LoRA adapter.",
    "use_peft": "Train a LoRA adapter; false trains all weights.",
    "output_dir": "Folder of the run. To continue a stopped run, repeat its command.",
    "num_train_epochs": "Number of epochs. Every epoch trains on the next view of each document.",
    "max_steps": "Number of optimizer steps. This option overrides num_train_epochs.",
    "learning_rate": "Learning rate.",
    "per_device_train_batch_size": "Number of rows of a micro-batch on each device.",
    "config": "Recipe: a YAML file of options.",
    "curriculum": "Curriculum, which defines stages: cpt, cpt_then_it, mixed, pit, pit_plus_plus, gradual, or a file.",
}
# Other options of this package, by group.
LONG: dict[str, tuple[str, ...]] = {
    "Data": (
        "train_documents", "train_questions", "train_conversations", "text_column", "empty", "language",
        "question_column", "answer_column",
    ),
    "Views": ("format_groups", "hold_out", "document_template"),
    "Forgetting": ("replay_documents", "replay_questions", "replay_self_prompts", "replay_kl"),
    "Stages": (
        "train_on", "question_order", "classify", "train_categories", "train_improved", "replay_categories", "adapter"
    ),
    "Publishing and folders": ("hub_license", "overwrite"),
}  # fmt: skip


def help_text(everything: bool = False) -> str:
    """Build the help text of `knowlearn teach`.

    Args:
        everything: whether to also show the options that few runs need.
    """
    own, defaults = own_options(), effective_defaults()
    groups = dict(SHORT)
    if everything:
        groups |= {group: (*SHORT.get(group, ()), *names) for group, names in LONG.items()}
        groups["Evaluation"] = tuple(name for name in own if name.startswith("evaluation."))
        groups["SAM"] = tuple(name for name in own if name.startswith("sam_") and name not in SHORT["Training"])
    lines = [f"usage: {TEACH_EXAMPLE}", ""]
    for group, names in groups.items():
        lines += [f"{group}:", *(_entry(name, own, defaults) for name in names), ""]
    if not everything:
        lines += ["--help all shows the options of views, replay, stages, evaluation and SAM."]
    lines += [
        fill(
            "Every option of TRL's SFTConfig and ModelConfig is accepted too. docs/options.md lists our options.",
            WIDTH,
        )
    ]
    return "\n".join(lines)


@cache
def own_options() -> "dict[str, Field[Any]]":
    """Return the options of this package by name. An option of the evaluation has the name `evaluation.NAME`."""
    own = {option.name: option for option in fields(TeachArguments)}
    own |= {f"evaluation.{option.name}": option for option in fields(EvaluationArguments)}
    return own | {option.name: option for option in fields(SAMOptions)}


@cache
def effective_defaults() -> Mapping[str, Any]:
    """Return the default of every option, by name, for a run without `--config`.

    The default is the value in `recipes/teach.yaml`. If that file does not set the option, the default is that of the
    dataclass.
    """
    defaults = {name: option.default for name, option in run_options().items()}
    defaults |= {name: option.default for name, option in own_options().items()}
    return {**defaults, **read_recipe(RECIPES / "teach.yaml")}


def _entry(name: str, own: "Mapping[str, Field[Any]]", defaults: Mapping[str, Any]) -> str:
    text = own[name].metadata["help"] if name in own else LIBRARY_HELP[name]
    notes = [*_choices(own[name])] if name in own else []
    default = shown_default(defaults.get(name))
    notes += [f"Default: {default}."] if default and "Default:" not in text else []
    indent = " " * 6
    body = fill(" ".join([text, *notes]), WIDTH, initial_indent=indent, subsequent_indent=indent)
    return f"  --{name}\n{body}"


def _choices(option: "Field[Any]") -> Iterator[str]:
    if choices := option.metadata.get("choices"):
        yield f"One of {', '.join(choices)}."


def shown_default(default: Any) -> str:
    """Return a default value as text for the help and the table of options. Return "" if there is no default."""
    if default in (None, "", -1, MISSING):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
