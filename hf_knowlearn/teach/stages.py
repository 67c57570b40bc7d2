"""Trains the stages of a run. Each stage starts from the files that the previous stage wrote.

Every stage has a new optimizer and its own learning rate schedule.

Why the model is loaded from files even in a run without interruption: an interrupted and resumed run then gives the
weights of an uninterrupted run, and a finished stage needs no memory.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.settings import RunSettings, StageSettings
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.mastery import CATEGORIES
from hf_knowlearn.format_aug.rows import Row
from hf_knowlearn.run_files import CHECKPOINTS, MODEL, STAGE_RECORD
from hf_knowlearn.teach.clock import Clock, evaluation_part, training_part
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.measurement import Measurement
from hf_knowlearn.teach.measurements import Measurements, read_mastery
from hf_knowlearn.teach.report_builder import log_figures, stage_figures
from hf_knowlearn.teach.run_folder import run_id
from hf_knowlearn.teach.schedule import schedule_stage
from hf_knowlearn.teach.trainers import next_trainer, save, train
from hf_knowlearn.teach.work import steps_of

if TYPE_CHECKING:
    from hf_knowlearn.evaluation.mastery import Mastery
    from hf_knowlearn.teach.progress import Progress
    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)


@dataclass
class Trained:
    """The state of a run between two stages.

    Args:
        clock: measures the parts of the run, and has their progress.
        trainer: the trainer of the current stage.
        rows: the training rows of every stage.
        figures: the figures of every finished stage.
        mastery: the classes of mastery before the run, and then after every finished stage. None: not measured.
        after: the latest measurement.
    """

    clock: Clock
    trainer: "SAMSFTTrainer"
    rows: list[list[Row]]
    after: Measurement
    figures: list[dict[str, Any]] = field(default_factory=list)
    mastery: "list[Sequence[Mastery] | None]" = field(default_factory=list)

    @property
    def progress(self) -> "Progress":
        assert self.clock.progress is not None, "the clock of a run has its progress"
        return self.clock.progress


def train_stages(
    settings: RunSettings,
    data: RunData,
    clock: Clock,
    trainer: "SAMSFTTrainer",
    rows: list[list[Row]],
    before: Measurement,
) -> Trained:
    """Train every stage that is not finished, and measure the model after each of these stages.

    Args:
        trainer: the trainer of the first stage.
        rows: the rows of every stage. If a stage is scheduled late, its rows are replaced when the stage starts.
    """
    state = Trained(clock, trainer, rows, before, mastery=[before.mastery])
    for number in range(len(settings.stages)):
        settings = _schedule_late(settings, data, number, state)
        state.progress.plan(settings, data, rows)
        stage = settings.stages[number]
        is_last = number == len(settings.stages) - 1
        if not is_last and (record := _read_record(stage)):
            for part in (training_part(stage.name), evaluation_part(stage.name)):
                state.progress.finished(part, clock.seconds.get(part, 0.0))
            _log_stage(settings, number, "is finished")
            state.figures.append(record)
            state.mastery.append(read_mastery(stage))
        else:
            _train_stage(settings, data, number, before, state)
    return state


def _schedule_late(settings: RunSettings, data: RunData, number: int, state: Trained) -> RunSettings:
    """Schedule stage `number` now if its rows were unknown before.

    Return settings with the number of steps of the stage, and put the rows of the stage into `state`.
    """
    stage, stage_data = settings.stages[number], data.stages[number]
    if not stage.is_scheduled_late:
        return settings
    if stage.selection:
        first, now = state.mastery[0], state.mastery[-1]
        assert first is not None
        assert now is not None, "a stage that selects by class follows a stage that measures mastery"
        stage_data = select_questions(stage, stage_data, first, now)
    tokenizer = state.trainer.processing_class
    stage, state.rows[number] = schedule_stage(stage, stage_data, tokenizer, log=bool(stage.selection))
    stages = (*settings.stages[:number], stage, *settings.stages[number + 1 :])
    return replace(settings, stages=stages)


def _train_stage(settings: RunSettings, data: RunData, number: int, before: Measurement, state: Trained) -> None:
    stage, is_last = settings.stages[number], number == len(settings.stages) - 1
    if number or stage.is_scheduled_late:
        state.trainer = next_trainer(settings, number, data, state.trainer, state.rows[number])
    steps = number_of(steps_of(stage, state.rows[number]), "step")
    _log_stage(settings, number, f"{steps}, {state.progress.time_left} in the run", before=", ")
    state.progress.attach(state.trainer)
    state.trainer.add_callback(state.clock)
    training, evaluation = training_part(stage.name), evaluation_part(stage.name)
    with state.clock.measure(training):
        train(state.trainer, run_id(settings.folder), settings.evaluation.early_stopping_patience)
    _log_stage(settings, number, f"is trained, {state.progress.time_left} in the run")
    with state.clock.measure(evaluation):
        state.after = Measurements(settings, data).measure(state.trainer, stage)
    seconds = state.clock.seconds[training], state.clock.seconds[evaluation]
    figures = stage_figures(settings, state.trainer, *seconds, before, state.after)
    log_figures(state.trainer, figures)
    state.figures.append(figures)
    state.mastery.append(state.after.mastery)
    if not is_last:
        save(state.trainer, stage.folder / MODEL)
        if state.trainer.accelerator.is_main_process:
            _write_record(stage, figures)
        state.trainer.accelerator.wait_for_everyone()


def _log_stage(settings: RunSettings, number: int, what: str, before: str = " ") -> None:
    """Log what happens to stage `number`, counted from 0. A run without named stages logs nothing."""
    if settings.has_stages:
        name = settings.stages[number].name
        logger.info("Stage %d of %d: %s%s%s.", number + 1, len(settings.stages), name, before, what)


def select_questions(
    stage: StageSettings, data: RunData, first: Sequence["Mastery"], now: Sequence["Mastery"]
) -> RunData:
    """Select the questions that the stage trains on and replays, by their classes of mastery.

    Args:
        first, now: the classes of mastery before the run and before the stage.

    Raises:
        ValueError: no training question has the classes that the stage trains on.
    """
    selection = stage.selection
    was, is_now = ({one.question_id: one.category for one in classes} for classes in (first, now))
    rank = CATEGORIES[::-1].index
    wanted = selection.train_categories or CATEGORIES

    def is_selected(question: Question) -> bool:
        category = is_now[question.id]
        return category in wanted and (not selection.train_improved or rank(category) > rank(was[question.id]))

    trains = "train_questions" in stage.sources.train_on
    selected = [question for question in data.train_questions if trains and is_selected(question)]
    if trains and not selected:
        counts = ", ".join(f"{sum(one.category == name for one in now)} {name}" for name in CATEGORIES)
        improved = " and has improved" if selection.train_improved else ""
        raise ValueError(
            f"{stage.label}no training question has the class {' or '.join(wanted)}{improved}. The classes of the"
            f" questions are: {counts}. Change train_categories or train_improved, or use other questions."
        )
    ids = {question.id for question in selected}
    replayed = [
        question
        for question in data.train_questions
        if question.id not in ids and is_now[question.id] in (selection.replay_categories or ())
    ]
    return replace(data, train_questions=selected, replay_questions=[*data.replay_questions, *replayed])


def _read_record(stage: StageSettings) -> dict[str, Any] | None:
    """Read the figures of a finished stage. Return None if the stage is not finished.

    Raises:
        ValueError: the model of the finished stage is missing. The next stage needs this model.
    """
    path = stage.folder / STAGE_RECORD
    if not path.is_file():
        return None
    if not (stage.folder / MODEL).is_dir():
        raise ValueError(
            f"{str(stage.folder / MODEL)!r} is missing. The stage after {stage.name!r} starts with this model. Delete"
            f" {str(path)!r} to train stage {stage.name!r} again, or pass --overwrite to start the run again."
        )
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _write_record(stage: StageSettings, record: Mapping[str, Any]) -> None:
    """Write the figures of a stage, which marks the stage as finished, and delete its checkpoints."""
    text = json.dumps(atomic_files.json_values(record), ensure_ascii=False) + "\n"
    atomic_files.write_text(stage.folder / STAGE_RECORD, text)
    atomic_files.delete_matching(stage.folder, CHECKPOINTS)


def delete_stage_models(settings: RunSettings) -> None:
    """Delete the models and checkpoints of all stages of a finished run, but keep the answers and figures."""
    for stage in settings.stages if settings.has_stages else ():
        for name in (MODEL, CHECKPOINTS):
            atomic_files.delete_matching(stage.folder, name)
        with suppress(OSError):  # Why: only the last stage's folder is empty; its answers are in the run folder
            stage.folder.rmdir()
