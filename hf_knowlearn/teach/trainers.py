"""Creates the trainer of a stage, trains from the last checkpoint, and saves the model."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.settings import RunSettings, StageSettings
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.settings import EvaluationSettings
from hf_knowlearn.format_aug.rows import SELF_GENERATED, SELF_GENERATED_CUT, Row
from hf_knowlearn.models.base_model import record_base
from hf_knowlearn.models.merging import merge_adapter
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.provenance import rows_per_step
from hf_knowlearn.teach.run_folder import disk_full_errors
from hf_knowlearn.teach.stage_models import load_base, load_for_stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.training import SAMSFTTrainer


def new_trainer(
    settings: RunSettings,
    stage: StageSettings,
    data: RunData,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
) -> "SAMSFTTrainer":
    """Create a trainer that trains on `rows` in their order. It evaluates during training if `settings` request it."""
    from accelerate.utils import is_peft_model

    from hf_knowlearn.training import SAMSFTTrainer
    from hf_knowlearn.training.finite import StopOnNonFinite
    from hf_knowlearn.training.lost_updates import WarnOfLostUpdates
    from hf_knowlearn.training.replay_trainer import ReplaySFTTrainer

    trainer_class: Any = SAMSFTTrainer
    if stage.replay.num_generated:
        trainer_class = partial(ReplaySFTTrainer, kl_weight=stage.replay.kl_weight)
    trainer = trainer_class(
        model,
        args=stage.trainer_arguments(),
        train_dataset=_dataset(stage, rows),
        processing_class=tokenizer,
        peft_config=None if is_peft_model(model) else stage.peft_config,
    )
    trainer.add_callback(StopOnNonFinite())
    trainer.add_callback(WarnOfLostUpdates())
    _log_beside_the_stage(trainer, stage)
    _add_evaluation(trainer, settings.evaluation, data.questions["questions"])
    return trainer


def _add_evaluation(trainer: Any, options: EvaluationSettings, questions: Sequence[Question]) -> None:
    """Add the evaluation during training that the settings request, or the preview of a few responses."""
    from hf_knowlearn.evaluation.callback import PreviewCallback, RecallCallback, is_sharded

    if options.early_stopping_patience and not questions:
        raise ValueError(
            f"evaluation.early_stopping_patience={options.early_stopping_patience} needs questions, but the run"
            " evaluates none. Add --questions PATH, or remove evaluation.early_stopping_patience."
        )
    generation = replace(options.generation, samples=0)
    if questions and options.every is not None:
        recall = RecallCallback(
            trainer,
            questions,
            options.every,
            generation,
            language=options.language,
            preview=options.preview,
            early_stopping_patience=options.early_stopping_patience,
        )
        trainer.add_callback(recall)
    elif questions and not is_sharded(trainer):
        language = options.language
        trainer.add_callback(PreviewCallback(trainer, questions, generation, options.preview, language=language))


def _dataset(stage: StageSettings, rows: Sequence[Row]) -> Any:
    from datasets import Dataset

    from hf_knowlearn.training.replay_trainer import ENDED, REPLAYED

    dataset = Dataset.from_list([{name: row[name] for name in ("prompt", "completion")} for row in rows])
    if stage.replay.num_generated:
        dataset = dataset.add_column(ENDED, [row["family"] != SELF_GENERATED_CUT for row in rows])
        generated = [row["family"] in (SELF_GENERATED, SELF_GENERATED_CUT) for row in rows]
        dataset = dataset.add_column(REPLAYED, generated)
    return dataset


def _log_beside_the_stage(trainer: Any, stage: StageSettings) -> None:
    from transformers.integrations import TensorBoardCallback

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None and stage.name:
            # Why: the default folder is among the checkpoints of the stage, which are deleted.
            callback.logging_dir = str(stage.folder / "runs")


def next_trainer(
    settings: RunSettings, number: int, data: RunData, previous: "SAMSFTTrainer", rows: Sequence[Row]
) -> "SAMSFTTrainer":
    """Free the memory of the previous trainer, and create the trainer of stage `number`."""
    import torch

    from hf_knowlearn.training.replay_trainer import ReplaySFTTrainer

    previous.accelerator.free_memory()
    previous.model = previous.model_wrapped = previous.optimizer = previous.lr_scheduler = None
    if isinstance(previous, ReplaySFTTrainer):
        previous.base = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    model, tokenizer = load_for_stage(settings, number)
    trainer = new_trainer(settings, settings.stages[number], data, model, tokenizer, rows)
    if isinstance(trainer, ReplaySFTTrainer) and trainer.kl_weight and settings.changes_base(number):
        trainer.base = load_base(settings)[0].requires_grad_(False)
    return trainer


def train(trainer: "SAMSFTTrainer", run_id: str, early_stopping_patience: int | None = None) -> None:
    """Train from the last checkpoint of the run `run_id`, or from the start if there is no checkpoint.

    If the training stopped early at the last checkpoint, only load this checkpoint. On SIGTERM, save a checkpoint and
    exit.
    """
    from hf_knowlearn.teach.checkpoints import SealCheckpoints, last_checkpoint
    from hf_knowlearn.training.sigterm import SaveOnSigterm

    folder = Path(trainer.args.output_dir)
    checkpoint = last_checkpoint(folder, run_id)
    # Why before SaveOnSigterm: that callback may end the process. SealCheckpoints also replaces Trainer's own
    # rotation.
    trainer.add_callback(SealCheckpoints(run_id, trainer.args.save_total_limit))
    trainer.args.save_total_limit = None
    saving = SaveOnSigterm()
    trainer.add_callback(saving)
    max_steps = trainer.args.max_steps
    if checkpoint and early_stopping_patience:
        _train_no_further_than_stopped(trainer, Path(checkpoint), early_stopping_patience)
    with saving.listening():
        trainer.train(resume_from_checkpoint=checkpoint)
    trainer.args.max_steps = max_steps
    if checkpoint is None or Path(checkpoint).name != f"checkpoint-{trainer.state.global_step}":
        # Why: responses cached by a stopped run come from another model.
        if trainer.accelerator.is_main_process:
            atomic_files.delete_matching(folder, "responses.after*")
        trainer.accelerator.wait_for_everyone()


def _train_no_further_than_stopped(trainer: "SAMSFTTrainer", checkpoint: Path, patience: int) -> None:
    """If the training stopped early at this checkpoint, remove the steps and the rows after it."""
    from transformers import TrainerState
    from transformers.trainer import TRAINER_STATE_NAME

    from hf_knowlearn.evaluation.callback import early_stop

    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    if early_stop(state.log_history, patience):
        trainer.args.max_steps = state.global_step
        rows = state.global_step * rows_per_step(trainer.args)
        trainer.train_dataset = trainer.train_dataset.select(range(rows))


def save(trainer: "SAMSFTTrainer", folder: Path, merged: bool = False) -> None:
    """Save the model or adapter in safetensors, with the tokenizer. Create the folder completely or not at all.

    Args:
        merged: merge the adapter into the model, and save the whole model.
    """
    from transformers.trainer import TRAINING_ARGS_NAME

    if merged:
        trainer.model = merge_adapter(trainer.accelerator.unwrap_model(trainer.model))
    if not trainer.accelerator.is_main_process:
        trainer.save_model(str(folder))  # this process writes nothing, but contributes its shard of a sharded model
        return
    # Why: a failed draft is deleted, so the free space must be measured before the deletion.
    with atomic_files.atomic_write(folder) as draft, disk_full_errors(folder):
        trainer.save_model(str(draft))
        record_base(draft, trainer.accelerator.unwrap_model(trainer.model))
        (draft / TRAINING_ARGS_NAME).unlink()  # Why: a pickle that contains paths of this machine
