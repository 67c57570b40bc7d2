"""Recipes: one YAML holds every option of a run, under TRL's and transformers' own names; the command line wins.

The surprising decision: a stage is a recipe of its own, made of the run's options and its own on top, so that whatever
can be said of a run is checked in the same words for each of its stages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn.config.parsing import Recipe, build_recipe, did_you_mean, values_of
from hf_knowlearn.config.teach_arguments import READ
from hf_knowlearn.paths import CURRICULA, RECIPES

# How the command line may also spell an option.
ALIASES = {"model": "model_name_or_path"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Of our own options, those that say what is read and how. The others are asked for in every stage alike.
TOLD = {
    *READ, "reads", "question_order", "views", "num_views", "view_weights", "format_groups", "hold_out", "part_tokens",
    "document_template", "replay_documents", "replay_questions", "replay_self", "replay_kl", "replay_share",
    "train_categories", "train_improved", "replay_categories", "classify", "adapter", "ask_every",
}  # fmt: skip
# Of the options of training, those that the whole process has or that make figures comparable.
OF_THE_RUN = {
    "seed", "data_seed", "bf16", "fp16", "use_cpu", "full_determinism", "trust_remote_code", "fsdp", "fsdp_config",
    "deepspeed", "push_to_hub", "hub_model_id", "hub_token", "hub_strategy", "hub_private_repo", "run_name",
    "hub_revision", "hub_always_push", "project", "report_to", "disable_tqdm", "output_dir",
}  # fmt: skip
# Of the model's, those of an adapter, where the stage begins a new one.
OF_AN_ADAPTER = {
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters", "use_rslora", "use_dora"
}  # fmt: skip


def read_recipe(path: Path) -> dict[str, Any]:
    """The options of a recipe file; `extends: OTHER.yaml` (beside it) lends it the options it doesn't name itself.

    Raises:
        ValueError: no such file, no YAML, no mapping, a circle of `extends`, or an option that only the command line
            may set.
    """
    return _read(path, ())


def _read(path: Path, before: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in before:
        raise ValueError(f"Recipe {str(path)!r} extends itself: {' -> '.join(map(str, [*before, path.resolve()]))}.")
    if not path.is_file():
        whose = f", which {str(before[-1])!r} extends" if before else ""
        raise ValueError(
            f"There is no recipe {str(path)!r}{whose}. The ones that come with the package lie in {RECIPES}."
        )
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"Recipe {str(path)!r} is not YAML: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(f"Recipe {str(path)!r} holds no options (`name: value`), but {options!r}.")
    if "trust_remote_code" in options:
        raise ValueError(
            f"Recipe {str(path)!r} sets trust_remote_code. A recipe can't, because it would run a stranger's code on"
            f" whoever runs the recipe: pass --trust_remote_code true on the command line."
        )
    options = {ALIASES.get(str(name), str(name)): value for name, value in options.items()}
    if "extends" not in options:
        return options
    parent = path.parent / str(options.pop("extends"))
    return {**_read(parent, (*before, path.resolve())), **options}


def parse_recipe(arguments: Sequence[str], given: Mapping[str, Any] | None = None) -> Recipe:
    """The run that a command line asks for: `--config RECIPE`, `--curriculum NAME`, and options that win over both.

    Without `--config`, `recipes/teach.yaml` holds the defaults. A curriculum's options are laid over those. `given`,
    if any, wins over everything. `--stages.NAME.OPTION` is the option of one stage.

    Raises:
        ValueError: unknown options (all of them, each with the nearest known), values that can't be (all of them),
            missing options, values out of range; of all stages at once.
    """
    typed = _typed(arguments)
    config = read_recipe(_file(typed.pop("config", str(RECIPES / "teach.yaml")), "config"))
    curriculum = read_recipe(_curriculum(typed.pop("curriculum"))) if "curriculum" in typed else {}
    options = _into_stages({**config, **curriculum, **typed, **(given or {})})
    return staged(options, options.pop("stages")) if "stages" in options else in_one(options)


def _into_stages(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, each `stages.NAME.OPTION` put into the stage of that name."""
    own = {name: value for name, value in options.items() if name.startswith("stages.")}
    rest = {name: value for name, value in options.items() if name not in own}
    given = rest.get("stages", ())
    if not own or not isinstance(given, list | tuple) or not all(isinstance(stage, dict) for stage in given):
        return rest  # what is no list of stages is refused with its reasons where stages are made
    stages = [dict(stage) for stage in given]
    named, problems = {str(stage.get("name")): stage for stage in stages}, []
    for name, value in own.items():
        of_stage, _, option = name.removeprefix("stages.").rpartition(".")
        if of_stage in named and option != "name":
            named[of_stage][option] = value
        else:
            there = f"the stages are {', '.join(named)}" if named else "the run has no stages"
            problems.append(f"--{name}: write --stages.NAME.OPTION; {there}.")
    if problems:
        raise ValueError("\n".join(problems))
    return {**rest, "stages": stages}


def _file(name: Any, option: str) -> Path:
    if not isinstance(name, str):
        given = " ".join(name) if isinstance(name, list) else "nothing"
        raise ValueError(f"--{option}: {given} is given; it takes one recipe: --{option} RECIPE.yaml.")
    return Path(name)


def _curriculum(name: Any) -> Path:
    """A curriculum that comes with the package, or a file."""
    path, shipped = _file(name, "curriculum"), {file.stem: file for file in sorted(CURRICULA.glob("*.yaml"))}
    if name not in shipped and not path.is_file():
        there = ", ".join(shipped)
        raise ValueError(
            f"--curriculum {name}: no such curriculum or file{did_you_mean(name, shipped)}. There are {there}."
        )
    return shipped.get(name, path)


def _typed(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of a command line: words, several words, or True of one without any. `null` is YAML's null."""
    found: dict[str, Any] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"{word!r} stands where an option was expected: options are written --name value.")
        name, equals, value = word[2:].partition("=")
        stage, dot, name = name.rpartition(".")  # a stage's name may have dashes
        name = stage + dot + ALIASES.get(name.replace("-", "_"), name.replace("-", "_"))
        values = [value] if equals else []
        while not equals and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        found[name] = True if not values else values if len(values) > 1 else None if values == ["null"] else values[0]
    return found


# A run, and its stages


def in_one(options: Mapping[str, Any]) -> Recipe:
    """The run that is all one stage."""
    recipe = build_recipe(options)
    _refuse_adapter_of_none(recipe.teach.adapter)
    if problems := list(_problems_between([recipe])):
        raise ValueError("\n".join(problems))
    return recipe


def staged(options: Mapping[str, Any], stages: Any) -> Recipe:
    """The run whose stages have `options` where they say nothing else.

    Args:
        stages: as read from YAML: a list of mappings, each with a `name`.

    Raises:
        ValueError: all that is wrong with the run and each of its stages.
    """
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError(f"stages: {stages!r}: give a list of stages, one at least, each with a name and its options.")
    if problems := list(_problems_of_names([stage.get("name") for stage in stages])):
        raise ValueError("\n".join(problems))
    try:
        run = build_recipe(options, has_stages=True)
    except ValueError as error:
        run, problems = None, [str(error)]
    stages = [{ALIASES.get(str(key), str(key)): value for key, value in stage.items()} for stage in stages]
    made = []
    for number, stage in enumerate(stages, 1):
        try:
            made.append(_stage(options, stage, number))
        except ValueError as error:
            if str(error) not in problems:  # the run's own are every stage's, too
                problems.append(f"stage {stage['name']!r}: {error}")
    problems += _problems_between(made) if len(made) == len(stages) else []
    if run is None or problems:
        raise ValueError("\n".join(problems))
    written = [
        {"name": recipe.name, **{name: recipe.options[name] for name in stage if name != "name"}}
        for recipe, stage in zip(made, stages, strict=True)
    ]
    return replace(run, options={**run.options, "stages": written}, stages=tuple(made))


def _problems_of_names(names: Sequence[Any]) -> Iterator[str]:
    for number, name in enumerate(names, 1):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield (
                f"stages: name of stage {number}: {name!r}: give it a name of letters, digits, '-', '_' and '.', which"
                f" begins with a letter or digit (in quotes, if YAML reads it as a number)."
            )
    folded = [str(name).casefold() for name in names]
    for twice in sorted({name for name in folded if folded.count(name) > 1}):
        yield f"stages: {folded.count(twice)} stages are named {twice!r}: give each a name of its own."


def _stage(options: Mapping[str, Any], stage: Mapping[str, Any], number: int) -> Recipe:
    own = {name: value for name, value in stage.items() if name != "name"}
    values_of(own)
    allowed = TOLD | _training_options() | OF_AN_ADAPTER
    if foreign := [name for name in own if name not in allowed]:
        raise ValueError(f"{', '.join(foreign)}: an option of the whole run. Set it beside `stages`, not in a stage.")
    merged = {**options, **own}
    if not any(merged.get(name) for name in READ):
        raise ValueError(f"it has nothing to read. Give {', '.join(READ[:-1])} or {READ[-1]}.")
    folder = Path(str(options.get("output_dir") or ".")) / "stages" / f"{number}-{stage['name']}"
    recipe = build_recipe({**merged, "output_dir": str(folder)}, stage["name"])
    if number > 1:
        _refuse_adapter(recipe, own)
    elif "adapter" in own:
        _refuse_adapter_of_none(recipe.teach.adapter)
    return recipe


def _training_options() -> set[str]:
    from hf_knowlearn.training import SAMConfig

    return {option.name for option in fields(SAMConfig)} - OF_THE_RUN


def _refuse_adapter_of_none(adapter: str) -> None:
    if adapter != "continue":
        raise ValueError(f"adapter={adapter!r}: no stage comes before, whose adapter that could be: leave it out.")


def _refuse_adapter(recipe: Recipe, own: Mapping[str, Any]) -> None:
    adapter, model = recipe.teach.adapter, recipe.model
    if adapter != "continue" and not model.use_peft:
        raise ValueError(f"adapter={adapter!r}, but use_peft is false, so there is no adapter: leave it out.")
    if adapter == "merge" and (model.load_in_4bit or model.load_in_8bit):
        raise ValueError(
            "adapter='merge' into weights that are loaded in 4 or 8 bits would round away what was learned:"
            " use continue, or load the model in 16 or 32 bits."
        )
    if adapter == "continue" and (shape := sorted(OF_AN_ADAPTER & set(own))):
        raise ValueError(
            f"{', '.join(shape)}: the stage trains the adapter of the one before, whose shape it can't change:"
            f" set adapter: merge or new to begin another."
        )


def _problems_between(stages: Sequence[Recipe]) -> Iterator[str]:
    """What a stage lacks that the one before should have left."""
    for before, stage in zip([None, *stages], stages, strict=False):
        if stage.teach.train_improved and not before:
            yield (
                f"{stage.whose}train_improved: no stage comes before it, in which a question could have become better"
                f" known: leave it out, or set it in a later stage."
            )
        classified = before.teach.classify if before else any(each.teach.classify for each in stages)
        if stage.selects and not classified:
            where = f" in stage {before.name!r}, which comes before" if before else ""
            yield f"{stage.whose}it chooses questions by their class, so set classify: true{where}."
