"""Reads recipes: YAML files with the options of a run. Options on the command line override those of a recipe.

A run can have stages. The options of a stage override those of the run.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn.config.library_options import BOOLS, library_options, options_of
from hf_knowlearn.config.parsing import (
    EVALUATION,
    Recipe,
    build_recipe,
    check_options,
    did_you_mean,
    needs_adapter,
    parsed_values,
    recorded_options,
)
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.config.teach_arguments import TRAINING_SETS
from hf_knowlearn.paths import CURRICULA, RECIPES
from hf_knowlearn.training import SAMOptions

# Short names for options, which the command line and recipes also accept.
SHORT_NAMES = {"model": "model_name_or_path"}
STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Options of this package that a stage can set. The others apply to the whole run.
OF_A_STAGE = {
    *TRAINING_SETS, "train_on", "question_order", "views", "num_views", "format_groups", "hold_out",
    "document_template", "replay_documents", "replay_questions", "replay_self", "replay_kl", "replay_share",
    "train_categories", "train_improved", "replay_categories", "classify", "adapter",
}  # fmt: skip
# Training options that apply to the whole process, or that keep the figures of stages comparable.
OF_THE_RUN = {
    "seed", "data_seed", "bf16", "fp16", "use_cpu", "full_determinism", "trust_remote_code", "fsdp", "fsdp_config",
    "deepspeed", "push_to_hub", "hub_model_id", "hub_token", "hub_strategy", "hub_private_repo", "run_name",
    "hub_revision", "hub_always_push", "project", "report_to", "disable_tqdm", "output_dir",
    "per_device_eval_batch_size", "chat_template_path", "eos_token",
}  # fmt: skip
# Model options that determine the shape of an adapter. A stage that starts a new adapter can set them.
OF_AN_ADAPTER = {
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters", "use_rslora", "use_dora"
}  # fmt: skip


class _UniqueKeys(yaml.SafeLoader):
    """A loader that raises an error for a key that occurs twice, of which YAML would use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and (first := lines.setdefault(key.value, line)) != line:
                raise yaml.YAMLError(f"the key {key.value!r} occurs in line {first} and in line {line}. Remove one.")
        return super().construct_mapping(node, deep)


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the options of a recipe file.

    A recipe with `extends: OTHER.yaml` overrides the options of another recipe in the same folder.

    Raises:
        ValueError: the file is missing or is not a YAML mapping, recipes extend each other in a circle, or the file
            sets `trust_remote_code`, which only the command line may set.
    """
    return _read(path, ())


def _read(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in children:
        chain = " -> ".join(map(str, [*children, path.resolve()]))
        raise ValueError(f"Recipe {str(path)!r} extends itself: {chain}. Remove one `extends`.")
    if not path.is_file():
        extended = f", which {str(children[-1])!r} extends" if children else ""
        raise ValueError(f"There is no recipe {str(path)!r}{extended}. The recipes of the package are in {RECIPES}.")
    try:
        options = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # a subclass of SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"Recipe {str(path)!r} is not valid YAML: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(
            f"Recipe {str(path)!r} contains {options!r} instead of options. Write `name: value` on each line."
        )
    if "trust_remote_code" in options:
        raise ValueError(
            f"Recipe {str(path)!r} sets trust_remote_code. Only the command line may set it, because this option"
            " runs downloaded code on your machine. Use --trust_remote_code true on the command line."
        )
    options = _full_names(options)
    if "extends" not in options:
        return options
    parent = path.parent / str(options.pop("extends"))
    return merged_options(_read(parent, (*children, path.resolve())), options)


def merged_options(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge layers of options, such as a recipe and a curriculum. Later layers override earlier layers.

    A layer with the group `evaluation` overrides only the options that the layer has in this group. A layer with
    `use_peft: false` also removes the options of the adapter from the earlier layers.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if BOOLS.get(str(layer.get("use_peft")).lower()) is False:
            merged = {name: value for name, value in merged.items() if not needs_adapter(name)}
        outer, inner = merged.get(EVALUATION), layer.get(EVALUATION)
        merged = {**merged, **layer}
        if isinstance(outer, Mapping) and isinstance(inner, Mapping):
            merged[EVALUATION] = {**outer, **inner}
    return merged


def parse_recipe(arguments: Sequence[str], given: Mapping[str, Any] | None = None) -> Recipe:
    """Parse the command line of a run: `--config RECIPE`, `--curriculum NAME`, and single options.

    Single options override the curriculum, and the curriculum overrides the recipe.

    Without `--config`, the recipe is `recipes/teach.yaml`. `--evaluation.OPTION` sets an option of the evaluation, and
    `--stages.NAME.OPTION` sets an option of a stage.

    Args:
        given: options that override the command line.

    Raises:
        ValueError: options are unknown, invalid or missing. The message lists all problems of the run and its stages.

    Example:
        >>> parse_recipe(["--model", "tiny_base", "--documents", "world:new", "--output_dir", "out"]).teach.num_views
        12
    """
    return recipe_of(read_options(arguments, given))


def read_options(
    arguments: Sequence[str], given: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read and check the options of a command line, without loading torch.

    Args:
        arguments, given: as in `parse_recipe`.
        defaults: options that the recipe overrides.

    Raises:
        ValueError: see `parse_recipe`. `recipe_of` finds the problems that need TRL or transformers.
    """
    typed = _typed(arguments)
    config = read_recipe(_path(typed.pop("config", str(RECIPES / "teach.yaml")), "config"))
    curriculum = read_recipe(_curriculum_path(typed.pop("curriculum"))) if "curriculum" in typed else {}
    options = _nested(merged_options(defaults or {}, config, curriculum), {**typed, **(given or {})})
    if "stages" in options:
        return _check_stages(options, options.pop("stages"))
    values = check_options(options)
    _check_first_adapter(values)
    raise_problems(_sequence_problems([("", values)]))
    return values


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """Build the recipe of a run and of its stages from options that `read_options` returned.

    Raises:
        ValueError: TRL or transformers reports invalid options. The message lists the problems of all stages.
    """
    flat = {name: value for name, value in options.items() if name != "stages"}
    run, stages, problems = build_recipe(flat), [], []
    for number, stage in enumerate(options.get("stages", ()), 1):
        name, own = stage["name"], {option: value for option, value in stage.items() if option != "name"}
        folder = run.output_dir / "stages" / f"{number}-{name}"
        try:
            stages.append(build_recipe({**flat, **own, "output_dir": str(folder)}, name))
        except ValueError as error:
            problems.append(f"stage {name!r}: {error}")
    raise_problems(problems)
    return replace(run, options=recorded_options(options), stages=tuple(stages))


def _nested(options: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options`, overridden by the options of the command line. Names with dots become nested options."""
    dotted = {name: value for name, value in typed.items() if "." in name}
    plain = {name: value for name, value in typed.items() if name not in dotted}
    prefix = f"{EVALUATION}."
    nested = {name.removeprefix(prefix): value for name, value in dotted.items() if name.startswith(prefix)}
    merged = merged_options(options, plain, {EVALUATION: nested} if nested else {})
    of_stages = {name: value for name, value in dotted.items() if not name.startswith(prefix)}
    return _into_stages(merged, of_stages)


def _into_stages(options: dict[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` after moving each option `stages.NAME.OPTION` of the command line into the stage NAME."""
    given = options.get("stages", ())
    is_list = isinstance(given, list | tuple) and all(isinstance(stage, dict) for stage in given)
    if not typed or not is_list:
        return {**options, **typed}
    stages = [dict(stage) for stage in given]
    by_name, problems = {str(stage.get("name")): stage for stage in stages}, []
    for name, value in typed.items():
        stage, _, option = name.removeprefix("stages.").rpartition(".")
        if name.startswith("stages.") and stage in by_name and option != "name":
            by_name[stage][option] = value
        else:
            existing = f"The stages are {', '.join(by_name)}" if by_name else "The run has no stages"
            problems.append(
                f"--{name} is not possible. Write --stages.NAME.OPTION or --{EVALUATION}.OPTION. {existing}."
            )
    raise_problems(problems)
    return {**options, "stages": stages} if stages else options


def _path(name: Any, option: str) -> Path:
    if not isinstance(name, str):
        given = " ".join(name) if isinstance(name, list) else "nothing"
        raise ValueError(
            f"--{option} needs one file, but the command line gives {given}. Write --{option} RECIPE.yaml."
        )
    return Path(name)


def _curriculum_path(name: Any) -> Path:
    """Return the file of a curriculum. `name` is a curriculum of the package or a path."""
    path, shipped = _path(name, "curriculum"), {file.stem: file for file in sorted(CURRICULA.glob("*.yaml"))}
    if name not in shipped and not path.is_file():
        raise ValueError(
            f"--curriculum {name}: there is no such curriculum and no such file{did_you_mean(name, shipped)}. Give a"
            f" file, or one of {', '.join(shipped)}."
        )
    return shipped.get(name, path)


def _typed(arguments: Sequence[str]) -> dict[str, Any]:
    """Split a command line into options and values.

    The value of an option is one word or a list of words. The value is True if no word follows the option, and None
    if the word is null.
    """
    found: dict[str, Any] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ValueError(f"{word!r} is not an option. Write options as --name value.")
        name, equals, value = word[2:].partition("=")
        prefix, dot, name = name.rpartition(".")  # a stage's name may contain dashes
        name = name.replace("-", "_")
        name = prefix + dot + SHORT_NAMES.get(name, name)
        values = [value] if equals else []
        while not equals and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        found[name] = _typed_value(values)
    return found


def _typed_value(values: list[str]) -> Any:
    if not values:
        return True
    if len(values) > 1:
        return values
    return None if values == ["null"] else values[0]


def _full_names(options: Mapping[Any, Any]) -> dict[str, Any]:
    return {SHORT_NAMES.get(str(name), str(name)): value for name, value in options.items()}


# Checks before torch is loaded


def _check_stages(options: Mapping[str, Any], stages: Any) -> dict[str, Any]:
    """Check the options of a run with stages. Return the parsed options of the run and of its stages.

    Args:
        stages: the value of `stages` in YAML: a list of mappings, each with a `name`.

    Raises:
        ValueError: lists every problem of the run and of each stage.
    """
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError(
            f"stages={stages!r} is not a list of stages. Give a list of mappings, each with a name and options."
        )
    raise_problems(_name_problems([stage.get("name") for stage in stages]))
    run: dict[str, Any] = {}
    problems: list[str] = []
    checked: list[tuple[str, dict[str, Any]]] = []
    try:
        run = check_options(options, has_stages=True)
    except ValueError as error:
        problems.append(str(error))
    for stage in stages:
        try:
            checked.append((stage["name"], _check_stage(options, _full_names(stage), is_first=stage is stages[0])))
        except ValueError as error:
            if str(error) not in problems:  # problems of the run are also problems of every stage
                problems.append(f"stage {stage['name']!r}: {error}")
    if not problems:
        problems += _sequence_problems([(name, {**run, **own}) for name, own in checked])
    raise_problems(problems)
    return {**run, "stages": [{"name": name, **own} for name, own in checked]}


def _check_stage(options: Mapping[str, Any], stage: Mapping[str, Any], is_first: bool) -> dict[str, Any]:
    own = parsed_values({name: value for name, value in stage.items() if name != "name"})
    allowed = OF_A_STAGE | (library_options("SFTConfig").keys() - OF_THE_RUN) | OF_AN_ADAPTER
    allowed |= options_of(SAMOptions).keys()
    if foreign := [name for name in own if name not in allowed]:
        raise ValueError(
            f"{', '.join(foreign)}: a stage cannot set these options. Move them to the top level of the recipe, where"
            " they apply to the whole run."
        )
    merged = {**options, **own, "output_dir": options.get("output_dir") or "."}
    if not any(merged.get(name) for name in TRAINING_SETS):
        raise ValueError(
            f"this stage has nothing to train on. Give {', '.join(TRAINING_SETS[:-1])} or {TRAINING_SETS[-1]}."
        )
    values = check_options(merged)
    if not is_first:
        _check_adapter(values, own)
    elif "adapter" in own:
        _check_first_adapter(own)
    return own


def _name_problems(names: Sequence[Any]) -> Iterator[str]:
    for number, name in enumerate(names, 1):
        if not isinstance(name, str) or not STAGE_NAME.fullmatch(name):
            yield (
                f"stages: stage {number} has the name {name!r}. Use letters, digits, '-', '_' and '.', starting with a"
                " letter or a digit. Write a number in quotes."
            )
    folded = [str(name).casefold() for name in names]
    for name in sorted({name for name in folded if folded.count(name) > 1}):
        yield f"stages: {folded.count(name)} stages have the name {name!r}. Give each stage a different name."


def _check_first_adapter(options: Mapping[str, Any]) -> None:
    if (adapter := options.get("adapter", "continue")) != "continue":
        raise ValueError(
            f"adapter={adapter!r}, but no earlier stage has an adapter to use. Remove the option adapter."
        )


def _check_adapter(values: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Check the options of the adapter in a stage that follows another stage.

    Args:
        values: the options of the stage, including those of the run.
        own: the options that the recipe sets for this stage.
    """
    adapter = values.get("adapter", "continue")
    if adapter != "continue" and not values.get("use_peft"):
        raise ValueError(
            f"adapter={adapter!r}, but use_peft is false, so there is no adapter. Remove the option adapter."
        )
    if adapter == "merge" and (values.get("load_in_4bit") or values.get("load_in_8bit")):
        raise ValueError(
            "adapter='merge' with a model in 4 or 8 bits: rounding would remove what the adapter learned. Set adapter"
            " to continue, or load the model in 16 or 32 bits."
        )
    if adapter == "continue" and (shape := sorted(OF_AN_ADAPTER & set(own))):
        raise ValueError(
            f"{', '.join(shape)}: this stage continues the adapter of the previous stage and cannot change the"
            " adapter's shape. Set adapter to merge or new to start a new adapter, or remove these options."
        )


def _sequence_problems(stages: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield a message for each stage that selects questions by class, although no class is measured before it starts.

    Args:
        stages: the name and the options of each stage, including the options of the run.
    """
    for number, (name, options) in enumerate(stages):
        label = f"stage {name!r}: " if name else ""
        if options.get("train_improved") and not number:
            yield f"{label}train_improved=true: no question can improve before the first stage. Remove train_improved."
        # Why: the first stage uses the classes from before the run, which any stage with `classify` requests.
        classified = [each for each in (stages[number - 1 : number] if number else stages) if each[1].get("classify")]
        if not classified and any(
            options.get(each) for each in ("train_categories", "train_improved", "replay_categories")
        ):
            where = f" in stage {stages[number - 1][0]!r}, which comes before" if number else ""
            yield f"{label}this stage selects questions by their class. Set classify to full or quick{where}."
