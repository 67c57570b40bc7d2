"""The steps of a run, in their order: data, schedule, evaluation, training, evaluation, report."""

import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.config.parsing import Recipe, recorded_options
from hf_knowlearn.config.precision import describe_precision
from hf_knowlearn.config.recipes import read_options, recipe_of
from hf_knowlearn.config.settings import RunSettings, resolve
from hf_knowlearn.console import command_console
from hf_knowlearn.prompts.option_names import TEACH, command_options
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.missing_sources import check_sources
from hf_knowlearn.teach.run_lock import run_lock

if TYPE_CHECKING:
    from hf_knowlearn.teach.data import RunData
    from hf_knowlearn.teach.stages import Trained

logger = logging.getLogger(__name__)


def teach(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe, and return the report.

    If the run is already finished, return the existing report. An unfinished run continues from its last checkpoint.

    Raises:
        ValueError: the recipe, documents, questions, model or output folder are invalid. The message lists all
            problems, and nothing is written. Also raised if the disk is full, no question has a class that a stage
            trains on, or publishing fails.
    """
    from accelerate import PartialState

    from hf_knowlearn.teach.publishing import publish, publish_options

    settings = resolve(recipe)
    to_publish = publish_options(settings)
    with run_folder.disk_full_errors(settings.folder), _lock(settings.folder):
        report = _run(settings)
    if to_publish and PartialState().is_main_process:
        publish(to_publish)
    return report


def _lock(folder: Path) -> AbstractContextManager[None]:
    from accelerate import PartialState

    return run_lock(folder) if PartialState().is_main_process else nullcontext()


def _run(settings: RunSettings) -> dict[str, Any]:
    from accelerate import PartialState

    from hf_knowlearn.models.adapter_modules import adapter_module_problems
    from hf_knowlearn.prompts.limits import context_length
    from hf_knowlearn.teach.clock import EVALUATION_BEFORE, SELF_REPLAY, Clock
    from hf_knowlearn.teach.data import load_data
    from hf_knowlearn.teach.measurements import Measurements
    from hf_knowlearn.teach.progress import run_progress
    from hf_knowlearn.teach.provenance import base_weights, fingerprints, model_of, reset_peak_memory
    from hf_knowlearn.teach.retention import choose_retention
    from hf_knowlearn.teach.schedule import schedule_stages
    from hf_knowlearn.teach.self_replay import with_generated_texts
    from hf_knowlearn.teach.stage_models import load_base
    from hf_knowlearn.teach.stages import delete_stage_models, train_stages
    from hf_knowlearn.teach.trainers import new_trainer

    folder, process = settings.folder, PartialState()
    if run_folder.is_finished(folder, settings.options, settings.overwrite):
        return _finished_report(settings)

    # Data, model and schedule; nothing is written yet.
    data = load_data(settings)
    hashes = fingerprints(settings, data)
    if not settings.overwrite:
        run_folder.check_data_unchanged(folder, hashes)
        run_folder.check_rows_per_step(folder, settings.rows_per_step)
    model, tokenizer = load_base(settings)
    weights = base_weights(settings)
    if not settings.overwrite:
        run_folder.check_model_unchanged(folder, settings.model_name, weights)
    logger.info("Precision: %s.", describe_precision(settings.stages[0].training, model))
    settings = settings.with_context(context_length(model))
    problems = Measurements(settings, data).problems(model, tokenizer)
    for stage in settings.stages:
        problems += [each for each in adapter_module_problems(model, stage.peft_config) if each not in problems]
    settings, rows = schedule_stages(settings, data, tokenizer, problems)
    # Why before the folder is claimed: TRL checks its arguments when a trainer is made.
    with run_folder.no_empty_folders(folder):
        trainer = new_trainer(settings, settings.stages[0], data, model, tokenizer, rows[0])
    del model  # Why: the next stage needs its memory
    process.wait_for_everyone()
    if process.is_main_process:
        run_folder.claim(folder, settings.options, hashes, settings.rows_per_step, settings.overwrite, weights)
    process.wait_for_everyone()

    # The base model.
    base, clock = model_of(settings, trainer), Clock(folder, run_progress(settings, data, trainer, rows))
    with clock.measure(EVALUATION_BEFORE):
        before = Measurements(settings, data).measure(trainer)
        data, chosen = choose_retention(settings, data, before.evaluation)
        before = replace(before, evaluation=chosen)
        measurements = Measurements(settings, data)
        retrieved = measurements.retrieval(trainer)
        drift_texts = measurements.drift_texts(trainer)
    with clock.measure(SELF_REPLAY):
        data = with_generated_texts(settings, trainer, data, base)

    # Training, and the fine-tuned model.
    reset_peak_memory()
    trained = train_stages(settings, data, clock, trainer, rows, before)
    report = _report(settings, data, trained, before, retrieved, drift_texts, base)
    if process.is_main_process:
        run_folder.write_report(folder, report)
        delete_stage_models(settings)
    return report


def _finished_report(settings: RunSettings) -> dict[str, Any]:
    """Check that data and model are those of the finished run, and return its report."""
    from accelerate import PartialState

    from hf_knowlearn.teach.data import load_data
    from hf_knowlearn.teach.provenance import base_weights, fingerprints
    from hf_knowlearn.teach.stages import delete_stage_models

    folder = settings.folder
    run_folder.check_data_unchanged(folder, fingerprints(settings, load_data(settings)))
    run_folder.check_model_unchanged(folder, settings.model_name, base_weights(settings))
    logger.info("%s contains this run, which is already finished. There is nothing to do.", folder)
    if PartialState().is_main_process:
        delete_stage_models(settings)  # in case the process was killed right after it wrote the report
    return run_folder.read_report(folder)


def _report(
    settings: RunSettings,
    data: "RunData",
    trained: "Trained",
    before: Any,
    retrieved: Any,
    drift_texts: list[str],
    base: dict[str, Any],
) -> dict[str, Any]:
    """Measure drift and contamination, save the model, and build the report."""
    from hf_knowlearn.run_files import MODEL
    from hf_knowlearn.teach.clock import DRIFT
    from hf_knowlearn.teach.measurements import Measurements
    from hf_knowlearn.teach.provenance import prompt_of
    from hf_knowlearn.teach.report_builder import build_report
    from hf_knowlearn.teach.stage_models import load_base
    from hf_knowlearn.teach.trainers import save

    measurements, trainer = Measurements(settings, data), trained.trainer
    changed = settings.changes_base(len(settings.stages) - 1)
    base_model = None
    if drift_texts and changed:
        base_model = getattr(trainer, "base", None) or load_base(settings)[0]
    with trained.clock.measure(DRIFT):
        drift = measurements.drift(trainer, base_model, drift_texts)
    save(trainer, settings.folder / MODEL, settings.merges_adapter)
    return build_report(
        settings,
        data,
        trained.figures,
        before,
        trained.after,
        retrieved=retrieved,
        drift=drift,
        base=base,
        prompt=prompt_of(settings, trainer.processing_class),
        contamination=measurements.contamination(trainer, [row for rows in trained.rows for row in rows]),
        seconds=trained.clock.seconds,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `knowlearn teach` with the words of a command line. Return the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    with command_options(TEACH), command_console() as outcome:
        from hf_knowlearn.config.help import help_text
        from hf_knowlearn.reports.markdown import next_step, summary

        if {"-h", "--help"} & set(words):
            outcome.show(help_text(everything="all" in words))
            return outcome.code
        options = read_options(words)
        check_sources(options)
        folder, recorded = Path(options["output_dir"]), recorded_options(options)
        run_folder.is_finished(folder, recorded, options.get("overwrite", False))  # Why here: before torch is loaded
        recipe = recipe_of(options)
        from hf_knowlearn.training.finite import NonFiniteError

        try:
            report = teach(recipe)
            outcome.show(summary(report, recipe.output_dir))
            outcome.show(next_step(report, recipe.output_dir))
        except NonFiniteError as error:
            sys.stderr.write("\n")  # Why: the progress bar of the training does not end its line
            outcome.fail(str(error), 1)
    return outcome.code
