"""Teach: ask, train, ask again, report. `accelerate launch -m hf_knowlearn.teach --config RECIPE [--option value]`.

The same function runs a recipe of the quickstart and a user's own documents; nothing here knows which it is.
"""

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import outputs
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.recall.report import ROLES
from hf_knowlearn.recipe import Recipe, describe_precision, parse

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.plan import Row
    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """All that a run reads: documents to learn, what is replayed beside them, and what is asked, by role."""

    documents: list[Document]
    replay_documents: list[Document]
    replay_questions: list[Question]
    asked: dict[str, list[Question]]


def teach(recipe: Recipe) -> dict[str, Any]:
    """Run `recipe` and return its report, which is also written to the recipe's output folder.

    A finished run is not repeated: its report is read. An unfinished one goes on from its last checkpoint.

    Raises:
        ValueError: whatever is wrong with the recipe, the documents, the questions, the model or the output folder,
            before anything is written.
    """
    from accelerate import PartialState

    from hf_knowlearn.recall.asking import check_room

    folder, state = recipe.output_dir, PartialState()
    if outputs.is_finished(folder, recipe.options, recipe.teach.overwrite):
        logger.info("%s holds this run, finished: nothing is left to do.", folder)
        return outputs.read_report(folder)
    material = read(recipe)
    model, tokenizer = load(recipe, material)
    logger.info("Precision: %s.", describe_precision(recipe.training, model))
    for questions in material.asked.values():
        check_room(model, tokenizer, questions, recipe.teach.max_answer_tokens)
    rows = rows_of(recipe, material, model, tokenizer)
    # Made before the folder is claimed, because TRL checks what it is given when a trainer is made.
    with outputs.no_empty_folders(folder):
        trainer = new_trainer(recipe, model, tokenizer, rows)
    state.wait_for_everyone()
    if state.is_main_process:
        outputs.claim(folder, recipe.options, recipe.teach.overwrite)
    state.wait_for_everyone()
    before = ask_all(recipe, trainer.accelerator.unwrap_model(trainer.model), tokenizer, material, "before")
    seconds = train(trainer)
    after = ask_all(recipe, trainer.accelerator.unwrap_model(trainer.model), tokenizer, material, "after")
    save(trainer, folder / "model")
    return publish(recipe, material, trainer, seconds, before, after)


def read(recipe: Recipe) -> Material:
    """The documents and questions that the recipe names. All that is wrong with them is told at once."""
    from hf_knowlearn.plan import documents_from, questions_from

    arguments = recipe.teach
    problems: list[str] = []

    def attempt(reader: Any, option: str) -> Any:
        try:
            return reader(getattr(arguments, option))
        except ValueError as error:
            problems.append(f"--{option}: {error}")
            return []

    material = Material(
        attempt(documents_from, "documents"),
        attempt(documents_from, "replay_documents"),
        attempt(questions_from, "replay_questions"),
        {role: attempt(questions_from, role) for role in ROLES},
    )
    if problems:
        raise ValueError("\n".join(problems))
    return material


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


def rows_of(
    recipe: Recipe, material: Material, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> list["Row"]:
    """The training rows of the run, laid out step by step. Sets `max_steps` where the recipe counts in epochs."""
    from hf_knowlearn.plan import plan, replayed_rows, steps_for, tell
    from hf_knowlearn.recall import prompt_for

    training = recipe.training
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps * training.world_size
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = min((n for n in (training.max_length, context) if n), default=None)

    def lengths(texts: list[str]) -> list[int]:
        # And the end token, which TRL adds. Not verbose: that a text is too long is why it is measured.
        return [len(ids) + 1 for ids in tokenizer(texts, verbose=False)["input_ids"]]

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
    recipe: Recipe, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: list["Row"]
) -> "SAMSFTTrainer":
    """The trainer that reads `rows` in their order."""
    from datasets import Dataset
    from trl import get_peft_config

    from hf_knowlearn.training import SAMSFTTrainer

    training = recipe.training
    training.shuffle_dataset = False
    training.train_sampling_strategy = "sequential"  # the plan is the order
    training.max_length = None  # parts were cut to fit: nothing is left to truncate
    if training.logging_steps >= 1:  # below, it is a share of the run
        training.logging_steps = min(training.logging_steps, training.max_steps)  # a short run has a loss, too
    return SAMSFTTrainer(
        model,
        args=training,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=get_peft_config(recipe.model),
    )


def train(trainer: "SAMSFTTrainer") -> float:
    """Train, from the last checkpoint if there is one. Returns seconds."""
    start = time.monotonic()
    trainer.train(resume_from_checkpoint=outputs.last_checkpoint(Path(trainer.args.output_dir)))
    return time.monotonic() - start


def ask_all(
    recipe: Recipe,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    material: Material,
    when: str,
) -> dict[str, dict[str, Any]]:
    """The scores of each role that has questions; the answers go to `answers.WHEN.jsonl` in the output folder."""
    from accelerate import PartialState

    from hf_knowlearn.knowledge_recall import KnowledgeRecall
    from hf_knowlearn.recall import ask

    scores: dict[str, dict[str, Any]] = {}
    lines: list[dict[str, Any]] = []
    for role, questions in material.asked.items():
        if not questions:
            continue
        said = ask(
            model,
            tokenizer,
            questions,
            batch_size=recipe.teach.ask_batch_size,
            max_new_tokens=recipe.teach.max_answer_tokens,
            progress=None if recipe.training.disable_tqdm else f"Asking {when} ({role})",
        )
        metric = KnowledgeRecall(keep_in_memory=True)  # no lock file between processes
        scores[role] = metric.compute(predictions=said, references=[list(q.answers) for q in questions]) or {}
        lines += [
            {"role": role, "id": q.id, "question": q.text, "answers": q.answers, "said": text}
            for q, text in zip(questions, said, strict=True)
        ]
    if PartialState().is_main_process:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        outputs.write(recipe.output_dir / f"answers.{when}.jsonl", text)
    return scores


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
    seconds: float,
    before: dict[str, Any],
    after: dict[str, Any],
) -> dict[str, Any]:
    """Put the run's results into report.md, recall.png and report.json."""
    from hf_knowlearn.recall.report import arm_scores, new_report

    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    arm = {
        **arm_scores(after),
        "train_loss": losses[-1] if losses else None,
        "steps": trainer.state.global_step,
        "gradient_evaluations": trainer.gradient_evaluations,
        "seconds": seconds,
    }
    report = new_report(arm_scores(before), {recipe.teach.arm: arm}, dict(recipe.options), _counts(material))
    if trainer.accelerator.is_main_process:
        outputs.write_report(recipe.output_dir, report)
    return report


def _counts(material: Material) -> dict[str, int]:
    return {"documents": len(material.documents), **{role: len(asked) for role, asked in material.asked.items()}}


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
