"""Teach: ask, train, ask again, report. `accelerate launch -m hf_knowlearn.teach --config RECIPE [--option value]`.

The same function runs a recipe of the quickstart and a user's own documents, in one stage or in several; nothing here
knows which it is.
"""

import logging
import sys
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.parsing import Recipe, describe_precision
from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.console import TEACH_EXAMPLE, command_console
from hf_knowlearn.teach import run_folder, stages
from hf_knowlearn.teach.data import RunData, read
from hf_knowlearn.teach.publishing import publish as publish_run
from hf_knowlearn.teach.publishing import request_of
from hf_knowlearn.teach.stage_models import load, load_stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.config.teach_arguments import TeachArguments
    from hf_knowlearn.teach.measurements import Measurement
    from hf_knowlearn.teach.schedule import Row
    from hf_knowlearn.training import SAMSFTTrainer
    from hf_knowlearn.views import View

logger = logging.getLogger(__name__)

SHARPNESS_ROWS = 64  # on which the sharpness of the loss is measured


def teach(recipe: Recipe) -> dict[str, Any]:
    """Run `recipe` and return its report, which is also written to the recipe's output folder.

    A finished run is not repeated: its report is read. An unfinished one goes on from its last checkpoint, in the
    stage that it had reached.

    Raises:
        ValueError: whatever is wrong with the recipe, the documents, the questions, the model or the output folder,
            before anything is written; or that a stage which chooses questions by their class finds none, or that the
            disk is full; or, when all else is done, that the Hub refused what `push_to_hub` pushes.
    """
    from accelerate import PartialState

    request = request_of(recipe)
    with run_folder.room_for(recipe.output_dir):
        report = _teach(recipe)
    if request and PartialState().is_main_process:
        publish_run(request)
    return report


def _teach(recipe: Recipe) -> dict[str, Any]:
    from accelerate import PartialState

    from hf_knowlearn.teach.measurements import (
        ask_open_book,
        choose_retention,
        drift_of,
        general_text,
        measure,
        problems_of_questions,
    )
    from hf_knowlearn.teach.provenance import fingerprints, model_of, start_counting_memory
    from hf_knowlearn.teach.report_builder import publish
    from hf_knowlearn.teach.self_replay import with_own_texts

    folder, state = recipe.output_dir, PartialState()
    if run_folder.is_finished(folder, recipe.options, recipe.teach.overwrite):
        logger.info("%s holds this run, finished: nothing is left to do.", folder)
        if state.is_main_process:
            stages.clear(recipe)  # in case it was killed right after its report
        return run_folder.read_report(folder)
    material = read(recipe)
    data = fingerprints(recipe, material)
    if not recipe.teach.overwrite:
        run_folder.refuse_other_data(folder, data)
    model, tokenizer = load(recipe, material)
    logger.info("Precision: %s.", describe_precision(recipe.training, model))
    problems = problems_of_questions(recipe, material, model, tokenizer)
    limits = [longest_row(each, model) for each in (recipe, *recipe.steps)]
    rows = rows_of_stages(recipe, material, tokenizer, limits[1:], problems)
    plain = rows_as_written(recipe, material, tokenizer, limits[0]) if recipe.teach.sharpness else []
    # Made before the folder is claimed, because TRL checks what it is given when a trainer is made.
    with run_folder.no_empty_folders(folder):
        trainer = new_trainer(recipe.steps[0], material, model, tokenizer, rows[0])
    del model  # the next stage's needs its place
    state.wait_for_everyone()
    if state.is_main_process:
        run_folder.claim(folder, recipe.options, data, recipe.teach.overwrite)
    state.wait_for_everyone()
    origin = model_of(recipe, trainer)
    before = measure(recipe, trainer, material, limits[0], "before", stages.classifies(recipe), plain)
    material, before = choose_retention(recipe, material, before)
    open_book = ask_open_book(recipe, trainer, material)
    texts = general_text(recipe, trainer, material)
    start = time.monotonic()
    material = with_own_texts(recipe, trainer, material, limits[1:], origin)
    sampling = {"self_replay_seconds": time.monotonic() - start} if material.replay_self else {}
    start_counting_memory()
    trainer, after, figures = train_stages(recipe, material, trainer, rows, limits, before, plain)
    moved = stages.has_moved(recipe, len(recipe.steps) - 1)
    base = (getattr(trainer, "base", None) or load(recipe, material)[0]) if texts and moved else None
    drifted = drift_of(recipe, trainer, base, texts)
    save(trainer, folder / "model", stages.merges(recipe))
    report = publish(recipe, material, trainer, rows, figures, (before, after), open_book, drifted, origin, sampling)
    if state.is_main_process:
        stages.clear(recipe)
    return report


def train_stages(
    recipe: Recipe,
    material: RunData,
    trainer: "SAMSFTTrainer",
    rows: list[list["Row"]],
    limits: Sequence[int | None],
    before: "Measurement",
    plain: Sequence["Row"],
) -> tuple["SAMSFTTrainer", "Measurement", list[dict[str, Any]]]:
    """Train each stage that isn't finished yet, and measure what is known after it.

    Args:
        trainer: of the first stage.
        limits: tokens that a row may have, where the run is measured, and in each stage.
        rows: of each stage; those of a stage that chooses questions by their class are put here when they are known.
        plain: some of what the run is taught, as written, on which the sharpness of the loss is measured.

    Returns:
        The trainer of the last stage, what was measured after it, and the figures of each stage.
    """
    from hf_knowlearn.teach.measurements import measure, read_mastery
    from hf_knowlearn.teach.progress import Progress
    from hf_knowlearn.teach.report_builder import figures_of, log_figures

    steps = [len(of_stage) // stage.rows_of_a_step for stage, of_stage in zip(recipe.steps, rows, strict=True)]
    progress = Progress([stage.name for stage in recipe.steps], steps)
    figures: list[dict[str, Any]] = []
    known, after = [before.mastery], before
    for number, stage in enumerate(recipe.steps):
        is_last = stage is recipe.steps[-1]
        if anew := stage.is_laid_out_anew:
            chosen = material.steps[number]
            if stage.selects:
                assert known[0] is not None
                assert known[-1] is not None, "a stage that chooses by class follows one that classifies"
                chosen = stages.select(stage, chosen, known[0], known[-1])
            rows[number] = rows_of(stage, chosen, trainer.processing_class, limits[1 + number])
            progress.steps[number] = stage.training.max_steps
        if not is_last and (record := stages.read_record(stage)):
            progress.was_finished(number, record["steps"], record["seconds"])
            figures.append(record)
            known.append(read_mastery(stage))
            continue
        if number or anew:
            trainer = next_trainer(recipe, material, number, trainer, rows[number])
        if stage.name:
            progress.begins(number)
        trainer.add_callback(progress)
        seconds = train(trainer, run_folder.run_id(recipe.output_dir))
        if stage.name:
            progress.ends(number)
        # The last stage's answers and model are the run's.
        place = recipe.output_dir if is_last else stage.output_dir
        asked = replace(recipe, training=stage.training, output_dir=place)
        after = measure(asked, trainer, material, limits[0], "after", stage.teach.classify, plain)
        figures.append(figures_of(recipe, trainer, seconds, before, after))
        log_figures(trainer, figures[-1])
        known.append(after.mastery)
        if not is_last:
            save(trainer, place / "model")
            if trainer.accelerator.is_main_process:
                stages.write_record(stage, figures[-1])
            trainer.accelerator.wait_for_everyone()
    return trainer, after, figures


def next_trainer(
    recipe: Recipe, material: RunData, number: int, before: "SAMSFTTrainer", rows: list["Row"]
) -> "SAMSFTTrainer":
    """The trainer of stage `number` (from 0), in place of the one `before`."""
    import gc

    import torch

    from hf_knowlearn.training.replay_trainer import ReplaySFTTrainer

    before.accelerator.free_memory()
    before.model = before.model_wrapped = before.optimizer = before.lr_scheduler = None
    if isinstance(before, ReplaySFTTrainer):
        before.base = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    model, tokenizer = load_stage(recipe, material, number)
    trainer = new_trainer(recipe.steps[number], material, model, tokenizer, rows)
    if isinstance(trainer, ReplaySFTTrainer) and trainer.kl_weight and stages.has_moved(recipe, number):
        trainer.base = load(recipe, material)[0].requires_grad_(False)
    return trainer


def longest_row(recipe: Recipe, model: "PreTrainedModel") -> int | None:
    """Tokens that a training row may have; None where nothing sets a limit."""
    from hf_knowlearn.prompts.limits import context_length, smallest_limit

    return smallest_limit(recipe.training.max_length, context_length(model))


def rows_of_stages(
    recipe: Recipe,
    material: RunData,
    tokenizer: "PreTrainedTokenizerBase",
    limits: Sequence[int | None],
    problems: Sequence[str] = (),
) -> list[list["Row"]]:
    """The training rows of every stage. What is wrong with any of them is told at once, behind other `problems`.

    A stage that chooses among questions is laid out with all of them, and one that replays what the model itself
    writes without that, to be laid out anew when its turn comes.
    """
    rows, problems = [], [*problems]
    for stage, read_by_it, limit in zip(recipe.steps, material.steps, limits, strict=True):
        try:
            # A trial's number of steps is not the stage's.
            trial = replace(stage, training=copy(stage.training)) if stage.selects else stage
            rows.append(rows_of(trial, stages.selectable(stage, read_by_it), tokenizer, limit))
        except ValueError as error:
            problems.append(f"stage {stage.name!r}: {error}" if stage.name else str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return rows


def rows_of(recipe: Recipe, material: RunData, tokenizer: "PreTrainedTokenizerBase", limit: int | None) -> list["Row"]:
    """The training rows of the run, laid out step by step. Sets `max_steps` where the recipe counts in epochs."""
    from hf_knowlearn.prompts.limits import token_lengths
    from hf_knowlearn.prompts.templates import prompt_and_completion
    from hf_knowlearn.teach.schedule import make_schedule, replayed_rows, steps_for, tell

    training = recipe.training
    batch = recipe.rows_of_a_step
    documents, questions = material.taught(recipe.teach.reads)
    talks = material.train_conversations
    told, turns = told_of(recipe, material, tokenizer, limit)
    plainly = as_written(recipe.teach)
    retold = tell(material.replay_documents, plainly, token_lengths(tokenizer), limit, training.seed)
    replayed = replayed_rows(recipe.teach, batch)
    if not (retold or material.replay_questions or recipe.teach.replay_self):
        replayed = 0  # none of the questions is in the classes to be replayed
    lessons = [*told, *questions, *turns]
    if training.max_steps <= 0:
        training.max_steps = steps_for(lessons, training.num_train_epochs, batch, replayed)
    steps = training.max_steps
    what = [f"{len(documents)} documents in {len(told)} parts"] if told else []
    what += [f"{len(questions)} questions"] if questions else []
    what += [f"{len(talks)} conversations in {len(turns)} turns"] if turns else []
    logger.info(
        "%s%s, told %.1f times each; %d steps of %d rows, %d of them replay.",
        f"{recipe.name}: " if recipe.name else "", " and ".join(what),
        steps * (batch - replayed) / len(lessons), steps, batch, replayed,
    )  # fmt: skip
    return make_schedule(
        told,
        [view for views in retold for view in views],
        material.replay_questions,
        steps=steps,
        batch=batch,
        replayed=replayed,
        trained_as=partial(prompt_and_completion, tokenizer, recipe.teach.ask_template),
        seed=training.seed,
        replay_self=material.replay_self,
        questions=questions,
        question_order=recipe.teach.question_order,
        turns=turns,
    )


def told_of(
    recipe: Recipe, material: RunData, tokenizer: "PreTrainedTokenizerBase", limit: int | None
) -> tuple[list[Sequence["View"]], list[tuple[str, str]]]:
    """The views of every part of the documents that are taught; and the turns of the conversations."""
    from hf_knowlearn.prompts.conversations import conversation_turns
    from hf_knowlearn.prompts.limits import token_lengths
    from hf_knowlearn.prompts.templates import CHAT, prompt_and_completion
    from hf_knowlearn.teach.schedule import tell

    lengths = token_lengths(tokenizer)
    documents, _ = material.taught(recipe.teach.reads)
    in_turns = (
        partial(prompt_and_completion, tokenizer, CHAT)
        if recipe.teach.document_template == CHAT and documents
        else None
    )
    if in_turns and not tokenizer.chat_template:
        raise ValueError(
            "document_template='chat', and this tokenizer has no chat template: set document_template: plain, or take"
            " a model whose tokenizer has one."
        )
    told = tell(documents, recipe.teach, lengths, limit, recipe.training.seed, in_turns)
    return told, conversation_turns(tokenizer, material.train_conversations, lengths, limit)


def as_written(arguments: "TeachArguments") -> "TeachArguments":
    """The same, with documents told as they are."""
    return replace(arguments, views="raw", view_weights=None)


def rows_as_written(
    recipe: Recipe, material: RunData, tokenizer: "PreTrainedTokenizerBase", limit: int | None
) -> list["Row"]:
    """Some of what the run is taught, drawn by its seed, with documents as they are: the same whatever its views."""
    from hf_knowlearn.prompts.templates import prompt_and_completion
    from hf_knowlearn.teach.schedule import make_schedule

    arguments = replace(as_written(recipe.teach), reads=None)  # of any stage
    told, turns = told_of(replace(recipe, teach=arguments), material, tokenizer, limit)
    _, questions = material.taught(None)
    return make_schedule(
        told,
        [],
        [],
        steps=1,
        batch=min(SHARPNESS_ROWS, len(told) + len(questions) + len(turns)),
        replayed=0,
        trained_as=partial(prompt_and_completion, tokenizer, recipe.teach.ask_template),
        seed=recipe.training.seed,
        questions=questions,
        turns=turns,
    )


def new_trainer(
    recipe: Recipe,
    material: RunData,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: list["Row"],
) -> "SAMSFTTrainer":
    """The trainer that reads `rows` in their order, and asks on the way where the recipe says so."""
    from accelerate.utils import is_peft_model
    from datasets import Dataset
    from transformers.integrations import TensorBoardCallback
    from trl import get_peft_config

    from hf_knowlearn.evaluation.callback import RecallCallback
    from hf_knowlearn.teach.measurements import asking_of
    from hf_knowlearn.teach.schedule import OWN, OWN_CUT
    from hf_knowlearn.training import SAMSFTTrainer
    from hf_knowlearn.training.replay_trainer import ENDED, REPLAYED, ReplaySFTTrainer
    from hf_knowlearn.training.sharpness import refuse_unmeasurable

    training = recipe.training
    training.shuffle_dataset = False
    training.train_sampling_strategy = "sequential"  # the plan is the order
    training.max_length = None  # parts were cut to fit: nothing is left to truncate
    if training.logging_steps >= 1:  # below, it is a share of the run
        training.logging_steps = min(training.logging_steps, training.max_steps)  # a short run has a loss, too
    trainer_class: Any = SAMSFTTrainer
    read = Dataset.from_list(rows)
    if recipe.teach.replay_self:
        trainer_class = partial(ReplaySFTTrainer, kl_weight=recipe.teach.replay_kl)
        read = read.add_column(ENDED, [row["view"] != OWN_CUT for row in rows])
        read = read.add_column(REPLAYED, [row["view"] in (OWN, OWN_CUT) for row in rows])
    trainer = trainer_class(
        model,
        args=training,
        train_dataset=read,
        processing_class=tokenizer,
        peft_config=None if is_peft_model(model) else get_peft_config(recipe.model),  # it goes on with its adapter
    )
    if recipe.teach.sharpness is not None:
        refuse_unmeasurable(trainer, recipe.teach.sharpness)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None and recipe.name:
            # Its own choice is among the stage's checkpoints, which are deleted.
            callback.logging_dir = str(recipe.output_dir / "runs")
    if recipe.teach.ask_every is not None and material.asked["questions"]:
        asking = replace(asking_of(recipe), samples=0)
        every = recipe.teach.ask_every
        trainer.add_callback(
            RecallCallback(trainer, material.asked["questions"], every, asking, pool=material.examples)
        )
    return trainer


def train(trainer: "SAMSFTTrainer", run: str) -> float:
    """Train, from the last checkpoint that `run` sealed; SIGTERM saves one and ends the process. Returns seconds."""
    from hf_knowlearn.teach.checkpoints import SealCheckpoints, last_checkpoint
    from hf_knowlearn.training.sigterm import SaveOnSigterm

    folder, start = Path(trainer.args.output_dir), time.monotonic()
    checkpoint = last_checkpoint(folder, run)
    # Before the one that may end the process, and in place of Trainer's own rotation.
    trainer.add_callback(SealCheckpoints(run, trainer.args.save_total_limit))
    trainer.args.save_total_limit = None
    saving = SaveOnSigterm()
    trainer.add_callback(saving)
    with saving.listening():
        trainer.train(resume_from_checkpoint=checkpoint)
    if checkpoint is None or Path(checkpoint).name != f"checkpoint-{trainer.state.global_step}":
        # Answers that a stopped run got after its training are another model's than this training's.
        if trainer.accelerator.is_main_process:
            atomic_files.delete_matching(folder, "asked.after*")
        trainer.accelerator.wait_for_everyone()
    return time.monotonic() - start


def save(trainer: "SAMSFTTrainer", folder: Path, merged: bool = False) -> None:
    """The taught model (or adapter) with its tokenizer, in safetensors; whole or not at all.

    `merged`: the adapter becomes a part of the model, which is then saved.
    """
    from transformers.trainer import TRAINING_ARGS_NAME

    if merged:
        trainer.model = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
    if not trainer.accelerator.is_main_process:
        trainer.save_model(str(folder))  # writes nothing, but of a sharded model it hands over its part
        return
    with atomic_files.atomic_write(folder) as draft:
        trainer.save_model(str(draft))
        (draft / TRAINING_ARGS_NAME).unlink()  # a pickle, with this machine's paths in it; recipe.yaml says it all


def main(arguments: Sequence[str] | None = None) -> int:
    """`knowlearn teach`: run the recipe of a command line. Returns the exit code: 2 for what the user can mend."""
    words = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(words):
        _help()
        return 0
    with command_console() as outcome:
        from hf_knowlearn.reports.markdown import summary

        recipe = parse_recipe(words)
        outcome.show(summary(teach(recipe), recipe.output_dir))
    return outcome.code


def _help() -> None:
    from transformers import HfArgumentParser

    from hf_knowlearn.config.teach_arguments import TeachArguments

    epilog = "Beside these, every option of TRL's ModelConfig and of SAMConfig (TRL's SFTConfig and SAM's)."
    HfArgumentParser(TeachArguments, prog="knowlearn teach", usage=TEACH_EXAMPLE, epilog=epilog).print_help()
