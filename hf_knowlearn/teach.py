"""Teach: ask, train, ask again, report. `accelerate launch -m hf_knowlearn.teach --config RECIPE [--option value]`.

The same function runs a recipe of the quickstart and a user's own documents; nothing here knows which it is.
"""

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import outputs
from hf_knowlearn.material import Material, read
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.recipe import Recipe, describe_precision, parse

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.measure import Measured
    from hf_knowlearn.plan import Row
    from hf_knowlearn.recall.drift import Drift
    from hf_knowlearn.recall.evaluation import Evaluation
    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)


def teach(recipe: Recipe) -> dict[str, Any]:
    """Run `recipe` and return its report, which is also written to the recipe's output folder.

    A finished run is not repeated: its report is read. An unfinished one goes on from its last checkpoint.

    Raises:
        ValueError: whatever is wrong with the recipe, the documents, the questions, the model or the output folder,
            before anything is written.
    """
    from accelerate import PartialState

    from hf_knowlearn.measure import (
        ask_open_book,
        check_questions,
        choose_retention,
        drift_of,
        general_text,
        measure,
    )
    from hf_knowlearn.provenance import start_counting_memory

    folder, state = recipe.output_dir, PartialState()
    if outputs.is_finished(folder, recipe.options, recipe.teach.overwrite):
        logger.info("%s holds this run, finished: nothing is left to do.", folder)
        return outputs.read_report(folder)
    material = read(recipe)
    model, tokenizer = load(recipe, material)
    logger.info("Precision: %s.", describe_precision(recipe.training, model))
    check_questions(recipe, material, model, tokenizer)
    limit = longest_row(recipe, model)
    rows = rows_of(recipe, material, tokenizer, limit)
    # Made before the folder is claimed, because TRL checks what it is given when a trainer is made.
    with outputs.no_empty_folders(folder):
        trainer = new_trainer(recipe, material, model, tokenizer, rows)
    state.wait_for_everyone()
    if state.is_main_process:
        outputs.claim(folder, recipe.options, recipe.teach.overwrite)
    state.wait_for_everyone()
    before = measure(recipe, trainer, material, limit, "before")
    material, before = choose_retention(recipe, material, before)
    open_book = ask_open_book(recipe, trainer, material)
    texts = general_text(recipe, trainer, material)
    start_counting_memory()
    seconds = train(trainer)
    after = measure(recipe, trainer, material, limit, "after")
    base = load(recipe, material)[0] if texts and not recipe.model.use_peft else None
    drifted = drift_of(recipe, trainer, base, texts)
    save(trainer, folder / "model")
    return publish(recipe, material, trainer, rows, seconds, before, after, open_book, drifted)


def load(recipe: Recipe, material: Material) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """The model and the tokenizer to start from."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import get_quantization_config

    set_seed(recipe.training.seed)
    if recipe.teach.from_scratch:
        return _new_tiny(recipe, material)
    arguments, name = recipe.model, _model_name(recipe.model.model_name_or_path)
    shared = {"revision": arguments.model_revision, "trust_remote_code": recipe.training.trust_remote_code}
    quantization = get_quantization_config(arguments)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **shared)
        model = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=_dtype(recipe),
            attn_implementation=arguments.attn_implementation,
            quantization_config=quantization,
            **shared,
        )
    except (OSError, ImportError, ValueError, SafetensorError) as error:
        where = "" if Path(name).exists() else "there is no such folder here, and from the Hub "
        raise ValueError(f"--model {arguments.model_name_or_path}: {where}it can't be loaded: {error}") from error
    if quantization is None:  # bitsandbytes has put a quantised model where it belongs, and it can't be moved
        model.to(recipe.training.device)
    return model, tokenizer


def _model_name(name: str | None) -> str:
    """A folder, or the name of a repository on the Hub. `tiny_base` is the model that comes with this package."""
    assert name is not None, "a recipe that names no model is not parsed"
    if name == "tiny_base":
        return str(TINY_BASE)
    if Path(name).exists():
        return name
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"--model {name}: there is no such folder.")
    return name


def _dtype(recipe: Recipe) -> str:
    """The dtype a model is loaded in: under an adapter, that of the computation; else as asked, fp32 by default."""
    if not recipe.model.use_peft or "dtype" in recipe.options:
        return recipe.model.dtype
    return "bfloat16" if recipe.training.bf16 else "float16" if recipe.training.fp16 else "float32"


def _new_tiny(recipe: Recipe, material: Material) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    from hf_knowlearn.plan import tell
    from hf_knowlearn.recall import prompt_for
    from hf_knowlearn.worlds.tiny import new_model, new_tokenizer

    # The documents as they will be told: a tokenizer that has met a layout's marks spends few tokens on them.
    told = tell(material.documents, recipe.teach, lambda texts: [0] * len(texts), None, recipe.training.seed)
    # Questions that are only asked are read here too: else the names in them would come in smaller pieces than others.
    questions = [q for asked in (material.replay_questions, *material.asked.values()) for q in asked]
    texts = [view.text for views in told for view in views] + [prompt_for(q.text) for q in questions]
    tokenizer = new_tokenizer(texts)
    return new_model(tokenizer, recipe.training.seed).to(recipe.training.device), tokenizer


def longest_row(recipe: Recipe, model: "PreTrainedModel") -> int | None:
    """Tokens that a training row may have; None where nothing sets a limit."""
    from hf_knowlearn.recall.knowledge_tokens import context_of, shortest

    return shortest(recipe.training.max_length, context_of(model))


def rows_of(
    recipe: Recipe, material: Material, tokenizer: "PreTrainedTokenizerBase", limit: int | None
) -> list["Row"]:
    """The training rows of the run, laid out step by step. Sets `max_steps` where the recipe counts in epochs."""
    from hf_knowlearn.plan import plan, replayed_rows, steps_for, tell
    from hf_knowlearn.recall import prompt_for
    from hf_knowlearn.recall.knowledge_tokens import lengths_by

    training = recipe.training
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps * training.world_size
    lengths = lengths_by(tokenizer)
    told = tell(material.documents, recipe.teach, lengths, limit, training.seed)
    retold = tell(material.replay_documents, replace(recipe.teach, views="as_written"), lengths, limit, training.seed)
    replayed = replayed_rows(recipe.teach, batch)
    if training.max_steps <= 0:
        training.max_steps = steps_for(told, training.num_train_epochs, batch, replayed)
    steps = training.max_steps
    logger.info(
        "%d documents in %d parts, told %.1f times each; %d steps of %d rows, %d of them replay.",
        len(material.documents), len(told), steps * (batch - replayed) / len(told), steps, batch, replayed,
    )  # fmt: skip
    return plan(
        told,
        [view for views in retold for view in views],
        material.replay_questions,
        steps=steps,
        batch=batch,
        replayed=replayed,
        question_prompt=prompt_for,
        seed=training.seed,
    )


def new_trainer(
    recipe: Recipe,
    material: Material,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: list["Row"],
) -> "SAMSFTTrainer":
    """The trainer that reads `rows` in their order, and asks on the way where the recipe says so."""
    from datasets import Dataset
    from trl import get_peft_config

    from hf_knowlearn.measure import asking_of
    from hf_knowlearn.recall import RecallCallback
    from hf_knowlearn.training import SAMSFTTrainer

    training = recipe.training
    training.shuffle_dataset = False
    training.train_sampling_strategy = "sequential"  # the plan is the order
    training.max_length = None  # parts were cut to fit: nothing is left to truncate
    if training.logging_steps >= 1:  # below, it is a share of the run
        training.logging_steps = min(training.logging_steps, training.max_steps)  # a short run has a loss, too
    trainer = SAMSFTTrainer(
        model,
        args=training,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=get_peft_config(recipe.model),
    )
    if recipe.teach.ask_every is not None and material.asked["questions"]:
        asking = replace(asking_of(recipe), samples=0)
        every = recipe.teach.ask_every
        trainer.add_callback(
            RecallCallback(trainer, material.asked["questions"], every, asking, pool=material.examples)
        )
    return trainer


def train(trainer: "SAMSFTTrainer") -> float:
    """Train, from the last checkpoint if there is one. Returns seconds."""
    folder, start = Path(trainer.args.output_dir), time.monotonic()
    checkpoint = outputs.last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=checkpoint)
    if checkpoint is None or Path(checkpoint).name != f"checkpoint-{trainer.state.global_step}":
        # Answers that a stopped run got after its training are another model's than this training's.
        if trainer.accelerator.is_main_process:
            outputs.forget(folder, "asked.after*")
        trainer.accelerator.wait_for_everyone()
    return time.monotonic() - start


def save(trainer: "SAMSFTTrainer", folder: Path) -> None:
    """The taught model (or adapter) with its tokenizer, in safetensors; whole or not at all."""
    from transformers.trainer import TRAINING_ARGS_NAME

    if not trainer.accelerator.is_main_process:
        trainer.save_model(str(folder))  # writes nothing, but of a sharded model it hands over its part
        return
    with outputs.replacing(folder) as draft:
        trainer.save_model(str(draft))
        (draft / TRAINING_ARGS_NAME).unlink()  # a pickle, with this machine's paths in it; recipe.yaml says it all


def publish(
    recipe: Recipe,
    material: Material,
    trainer: "SAMSFTTrainer",
    rows: list["Row"],
    seconds: float,
    before: "Measured",
    after: "Measured",
    open_book: "Evaluation | None",
    drifted: "Drift | None",
) -> dict[str, Any]:
    """Put the run's results into the report and its pages."""
    from hf_knowlearn.measure import list_leaks
    from hf_knowlearn.provenance import cost_of, curve_of, data_of, model_of
    from hf_knowlearn.recall.changes import changes
    from hf_knowlearn.recall.editing import editing_scores
    from hf_knowlearn.recall.report import arm_scores, new_report

    asked = [before.evaluation, *([open_book] if open_book else []), after.evaluation]
    cost = cost_of(trainer, seconds, sum(evaluation.seconds for evaluation in asked))
    language = recipe.teach.answer_language
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    arm = {
        **after.scores(),
        "train_loss": losses[-1] if losses else None,
        "steps": cost["steps"],
        "gradient_evaluations": cost["gradient_evaluations"],
        "seconds": seconds,
        "cost": cost,
        "changes": {
            role: changes(questions, before.evaluation.greedy(role), after.evaluation.greedy(role), language=language)
            for role, questions in after.evaluation.asked.items()
        },
        "curve": curve_of(trainer.state.log_history),
    }
    if drifted:
        arm["drift"] = {**drifted.figures(), "text": recipe.teach.general_text or "sampled from the model before"}
    if before.said and after.said:
        others = material.asked["retention_questions"]
        arm["editing"] = editing_scores(
            material.asked["questions"], others, before.said, after.said, language=language
        )
    report = new_report(before.scores(), {recipe.teach.arm: arm}, dict(recipe.options), material.counts())
    report["data"] = data_of(recipe, material.sets())
    report["model"] = model_of(recipe, trainer)
    report["seeds"] = {recipe.teach.arm: recipe.training.seed}
    report["retention_source"] = material.retention
    report["leaks"] = list_leaks(recipe, trainer, material, rows)
    if open_book:
        report["open_book"] = arm_scores(open_book.scores())
    if trainer.accelerator.is_main_process:
        outputs.write_report(recipe.output_dir, report)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe of a command line. Returns the exit code: 2 for what the user can mend."""
    from hf_knowlearn.cli import reporting

    with reporting() as outcome:
        recipe = parse(sys.argv[1:] if arguments is None else arguments)
        outcome.show(teach(recipe), recipe.output_dir)
    return outcome.code


if __name__ == "__main__":
    from hf_knowlearn.cli import main as knowlearn

    # By way of the command, so that what runs is `hf_knowlearn.teach` and not a second copy of it named `__main__`.
    sys.exit(knowlearn(["teach", *sys.argv[1:]]))
