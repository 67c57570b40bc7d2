"""Stages: a run in steps, each a recipe of its own; what each reads, what it begins with, and what it leaves behind.

The surprising decision: every stage begins with the files that the one before left, in a run that was never stopped as
in one that goes on. So both are the same run, bit for bit, and no more than one stage is ever in memory. Optimizer and
schedule begin anew with each stage, because their figures belong to the stage's own steps and learning rate.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import outputs
from hf_knowlearn.arguments import READ, TeachArguments
from hf_knowlearn.documents import Question
from hf_knowlearn.material import Material
from hf_knowlearn.recall.mastery import CATEGORIES
from hf_knowlearn.recipe import Recipe, recipe_of, values_of

if TYPE_CHECKING:
    from hf_knowlearn.recall.mastery import Mastery

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RECORD = "stage.json"
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
    "report_to", "disable_tqdm",
}  # fmt: skip
# Of the model's, those of an adapter, where the stage begins a new one.
OF_AN_ADAPTER = {
    "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_target_parameters", "use_rslora", "use_dora"
}  # fmt: skip


# As a recipe writes them


def in_one(options: Mapping[str, Any]) -> Recipe:
    """The run that is all one stage."""
    recipe = recipe_of(options)
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
        run = recipe_of(options, has_stages=True)
    except ValueError as error:
        run, problems = None, [str(error)]
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
    recipe = recipe_of({**merged, "output_dir": str(folder)}, stage["name"])
    if number > 1:
        _refuse_adapter(recipe, own)
    return recipe


def _training_options() -> set[str]:
    from hf_knowlearn.training import SAMConfig

    return {option.name for option in fields(SAMConfig)} - OF_THE_RUN


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
        classified = before.teach.classify if before else any(each.teach.classify for each in stages)
        if selects(stage.teach) and not classified:
            where = f" in stage {before.name!r}, which comes before" if before else ""
            yield f"{_of(stage)}it chooses questions by their class, so set classify: true{where}."


# What a stage reads


def selects(arguments: TeachArguments) -> bool:
    """Whether what is read depends on how well the model knows it when the stage begins."""
    return bool(arguments.train_categories or arguments.train_improved or arguments.replay_categories)


def is_laid_out_anew(arguments: TeachArguments) -> bool:
    """Whether what is read is only known when the stage begins: chosen by class, or written by the model itself."""
    return selects(arguments) or bool(arguments.replay_self)


def classifies(recipe: Recipe) -> bool:
    """Whether the questions are classified before the run."""
    return any(stage.teach.classify for stage in recipe.steps)


def selectable(stage: Recipe, material: Material) -> Material:
    """All that the stage could read, whatever is known when it begins.

    Raises:
        ValueError: it chooses among questions, and there are none.
    """
    if not selects(stage.teach):
        return material
    if not material.train_questions:
        raise ValueError("it chooses questions by their class: give it train_questions to choose from.")
    replayed = material.train_questions if stage.teach.replay_categories else []
    return replace(material, replay_questions=[*material.replay_questions, *replayed])


def select(stage: Recipe, material: Material, first: Sequence["Mastery"], now: Sequence["Mastery"]) -> Material:
    """What the stage reads of `material`, given how well its questions were known at `first` and are known `now`.

    Raises:
        ValueError: no question is left to train on.
    """
    arguments = stage.teach
    was, is_now = ({one.question_id: one.category for one in classes} for classes in (first, now))
    rank = CATEGORIES[::-1].index
    wanted = arguments.train_categories or CATEGORIES

    def is_trained(question: Question) -> bool:
        category = is_now[question.id]
        return category in wanted and (not arguments.train_improved or rank(category) > rank(was[question.id]))

    trains = "train_questions" in (arguments.reads or READ)
    chosen = [question for question in material.train_questions if trains and is_trained(question)]
    if trains and not chosen:
        there = ", ".join(f"{sum(one.category == name for one in now)} {name}" for name in CATEGORIES)
        risen = ", whose class has risen" if arguments.train_improved else ""
        raise ValueError(
            f"{_of(stage)}none of the questions to train on is {' or '.join(wanted)}{risen}: there are {there}."
            f" Choose other train_categories, other questions, or a model that knows them half."
        )
    ids = {question.id for question in chosen}
    old = [
        question
        for question in material.train_questions
        if question.id not in ids and is_now[question.id] in (arguments.replay_categories or ())
    ]
    return replace(material, train_questions=chosen, replay_questions=[*material.replay_questions, *old])


def _of(stage: Recipe) -> str:
    return f"stage {stage.name!r}: " if stage.name else ""


# What a stage leaves behind


def merges(recipe: Recipe) -> bool:
    """Whether an adapter of the run becomes part of its model, so that the run ends in a whole model."""
    return any(stage.teach.adapter == "merge" for stage in recipe.stages[1:])


def has_moved(recipe: Recipe, number: int) -> bool:
    """Whether in stage `number` (from 0) the model without its adapter is another than the one before the run."""
    return not recipe.model.use_peft or any(stage.teach.adapter == "merge" for stage in recipe.steps[1 : number + 1])


def read_record(stage: Recipe) -> dict[str, Any] | None:
    """The figures of a finished stage; None of one that isn't.

    Raises:
        ValueError: its model is gone, with which the next one would begin.
    """
    path = stage.output_dir / RECORD
    if not path.is_file():
        return None
    if not (stage.output_dir / "model").is_dir():
        raise ValueError(
            f"{str(stage.output_dir / 'model')!r} is gone, with which the stage after {stage.name!r} begins: delete"
            f" {str(path)!r} to train that stage again, or pass --overwrite to begin anew."
        )
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def write_record(stage: Recipe, record: Mapping[str, Any]) -> None:
    """Mark the stage as finished; its checkpoints have done their work."""
    outputs.write(stage.output_dir / RECORD, json.dumps(outputs.in_json(record), ensure_ascii=False) + "\n")
    outputs.forget(stage.output_dir, "checkpoints")


def clear(recipe: Recipe) -> None:
    """Delete the models and checkpoints of a finished run's stages. Their answers and figures stay."""
    for stage in recipe.stages:
        for name in ("model", "checkpoints"):
            outputs.forget(stage.output_dir, name)
        with suppress(OSError):  # the last one's is empty then, since its answers are the run's
            stage.output_dir.rmdir()
