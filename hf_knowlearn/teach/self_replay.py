"""Self replay: text that the model writes before it is taught, to be reminded of what it knew while it is.

For who doesn't have what the model was trained on (self-synthesised rehearsal, arXiv 2403.01244; here plainly sampled,
neither shown examples nor sorted). The surprising decision: the texts are written once, into the run's folder, before
the first stage; a run that goes on reads them there, since the model that it has by then would write others.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.documents import Question
from hf_knowlearn.generation.free_text import GeneratedText, generate_texts
from hf_knowlearn.prompts.limits import smallest_limit
from hf_knowlearn.prompts.templates import prompt_and_completion
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.schedule import replayed_rows
from hf_knowlearn.teach.sources import GENERAL

if TYPE_CHECKING:
    from hf_knowlearn.config.parsing import Recipe
    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)

FILE = "replay.self.jsonl"


def with_own_texts(
    recipe: "Recipe",
    trainer: "SAMSFTTrainer",
    material: RunData,
    limits: Sequence[int | None],
    origin: Mapping[str, Any],
) -> RunData:
    """The material with the texts that each stage replays, written now by the untaught model or, before, by it.

    Args:
        limits: tokens that a row of each stage may have.
        origin: the model's name and revision.

    Raises:
        ValueError: the file is of other options; an opening leaves no room for a text; the model writes nothing.
    """
    wanted = [_wanted(stage, read) for stage, read in zip(recipe.steps, material.steps, strict=True)]
    number = max(wanted)
    if not number:
        return material
    if number < (most := max(stage.teach.replay_self for stage in recipe.steps)):
        logger.info("Replayed: %d texts are written, not %d (replay_self): no more are read.", number, most)
    answers = any(material.openings) or any(read.replay_questions or read.train_questions for read in material.steps)
    if material.asked["questions"] and not answers:
        logger.warning(
            "Replayed: texts that begin with nothing, and no answer to any question. So a model forgets how to answer;"
            " name questions in replay_self_prompts as well (%s are some).",
            GENERAL,
        )
    path = recipe.output_dir / FILE
    openings = [_in_words(opening, recipe, trainer) for opening in material.openings]
    options = {
        **origin,
        "seed": recipe.training.seed,
        "n": number,
        "openings": openings,
        "max_new_tokens": _room(recipe, trainer, openings, limits),
        "temperature": 1.0,
    }
    texts = _read(path, options) if path.is_file() else _sample(recipe, trainer, options, path)
    of_stages = zip(material.stages, wanted[: len(material.stages)], strict=True)
    stages = tuple(replace(read, replay_self=texts[:n]) for read, n in of_stages)
    return replace(material, replay_self=texts, stages=stages)


def _wanted(stage: "Recipe", read: RunData) -> int:
    """How many of its own texts a stage replays: as many as it is told to, but none that it would never read."""
    arguments, steps = stage.teach, stage.training.max_steps
    if not (arguments.replay_self and arguments.replay_share):
        return 0
    if steps <= 0:  # how long a stage is that chooses its questions is known when it has chosen
        return arguments.replay_self
    sources = 1 + bool(read.replay_documents) + bool(read.replay_questions)  # each has its turn
    rows = steps * replayed_rows(arguments, stage.rows_of_a_step)
    return min(arguments.replay_self, -(-rows // sources))


def _in_words(opening: str | Question, recipe: "Recipe", trainer: "SAMSFTTrainer") -> str:
    """An opening; of a question, all that stands before its answer."""
    if isinstance(opening, str):
        return opening
    return prompt_and_completion(trainer.processing_class, recipe.teach.ask_template, opening.text, "")[0]


def _room(recipe: "Recipe", trainer: "SAMSFTTrainer", openings: Sequence[str], limits: Sequence[int | None]) -> int:
    """Tokens that a text may have, so that the row it makes is not too long."""
    limit = smallest_limit(*limits)
    if limit is None:
        return recipe.teach.replay_self_tokens
    longest = max(openings, key=len)
    room = limit - len(trainer.processing_class(longest)["input_ids"]) - 1  # the end token
    if room < 1:
        raise ValueError(
            f"replay_self_prompts: {longest[:80]!r} leaves no room for a text in {limit} tokens (max_length, or the"
            f" model's context): give shorter ones."
        )
    return min(room, recipe.teach.replay_self_tokens)


def _sample(recipe: "Recipe", trainer: "SAMSFTTrainer", options: Mapping[str, Any], path: Path) -> list[GeneratedText]:
    texts = generate_texts(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        options["n"],
        options["openings"],
        max_new_tokens=options["max_new_tokens"],
        seed=options["seed"],
        stream="replay",
        batch_size=recipe.teach.ask_batch_size,
        progress=None if recipe.training.disable_tqdm else "Writing what is replayed",
    )
    if trainer.accelerator.is_main_process:
        atomic_files.write_jsonl(path, [dict(options), *map(asdict, texts)])
    trainer.accelerator.wait_for_everyone()
    logger.info(
        "Replayed: %d texts that the model itself wrote, %d of them to their end (%s).",
        len(texts), sum(one.ended for one in texts), path,
    )  # fmt: skip
    return texts


def _read(path: Path, options: Mapping[str, Any]) -> list[GeneratedText]:
    """The texts that the file holds, if it is of these options."""
    there, *lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    if differ := run_folder.differences(there, options):
        raise ValueError(
            f"{str(path)!r} holds texts that were sampled otherwise:\n"
            + "\n".join(differ)
            + "\nThe run can't go on with others: choose another output_dir, or pass --overwrite to begin anew."
        )
    return [GeneratedText(**line) for line in lines]
