"""Stages: a run in steps, each a recipe of its own; what each reads, what it begins with, and what it leaves behind.

The surprising decision: every stage begins with the files that the one before left, in a run that was never stopped as
in one that goes on. So both are the same run, bit for bit, and no more than one stage is ever in memory. Optimizer and
schedule begin anew with each stage, because their figures belong to the stage's own steps and learning rate.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.parsing import Recipe
from hf_knowlearn.config.teach_arguments import READ
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.mastery import CATEGORIES
from hf_knowlearn.teach.data import RunData

if TYPE_CHECKING:
    from hf_knowlearn.evaluation.mastery import Mastery

RECORD = "stage.json"


# What a stage reads


def classifies(recipe: Recipe) -> bool:
    """Whether the questions are classified before the run."""
    return any(stage.teach.classify for stage in recipe.steps)


def selectable(stage: Recipe, material: RunData) -> RunData:
    """All that the stage could read, whatever is known when it begins.

    Raises:
        ValueError: it chooses among questions, and there are none.
    """
    if not stage.selects:
        return material
    if not material.train_questions:
        raise ValueError("it chooses questions by their class: give it train_questions to choose from.")
    replayed = material.train_questions if stage.teach.replay_categories else []
    return replace(material, replay_questions=[*material.replay_questions, *replayed])


def select(stage: Recipe, material: RunData, first: Sequence["Mastery"], now: Sequence["Mastery"]) -> RunData:
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
            f"{stage.whose}none of the questions to train on is {' or '.join(wanted)}{risen}: there are {there}."
            f" Choose other train_categories, other questions, or a model that knows them half."
        )
    ids = {question.id for question in chosen}
    old = [
        question
        for question in material.train_questions
        if question.id not in ids and is_now[question.id] in (arguments.replay_categories or ())
    ]
    return replace(material, train_questions=chosen, replay_questions=[*material.replay_questions, *old])


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
    atomic_files.write_text(
        stage.output_dir / RECORD, json.dumps(atomic_files.json_values(record), ensure_ascii=False) + "\n"
    )
    atomic_files.delete_matching(stage.output_dir, "checkpoints")


def clear(recipe: Recipe) -> None:
    """Delete the models and checkpoints of a finished run's stages. Their answers and figures stay."""
    for stage in recipe.stages:
        for name in ("model", "checkpoints"):
            atomic_files.delete_matching(stage.output_dir, name)
        with suppress(OSError):  # the last one's is empty then, since its answers are the run's
            stage.output_dir.rmdir()
