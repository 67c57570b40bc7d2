"""Self-generated replay: the base model generates texts before training, and training replays these texts.

The texts replace training data that are unavailable (self-synthesised rehearsal, arXiv 2403.01244). Unlike in that
paper, the texts are sampled at temperature 1, without examples and without selection. They are generated once and
written to the run folder. A resumed run reads the texts from that folder, because the partly trained model would
generate other texts.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.settings import RunSettings, StageSettings
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.generation.free_text import GeneratedText, generate_texts
from hf_knowlearn.prompts.limits import smallest_limit, token_lengths
from hf_knowlearn.prompts.templates import question_prompt
from hf_knowlearn.run_files import SELF_GENERATED
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.run_folder import changed_values
from hf_knowlearn.teach.sources import GENERAL

if TYPE_CHECKING:
    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)

LONGEST_TEXT = 256  # tokens


def with_generated_texts(
    settings: RunSettings, trainer: "SAMSFTTrainer", data: RunData, base: Mapping[str, Any]
) -> RunData:
    """Return `data` with the self-generated texts that each stage replays.

    The texts are read from the run folder. If the run folder has no texts, the base model generates them.

    Args:
        base: name and revision of the base model.

    Raises:
        ValueError: the texts in the run folder were generated with other options, a prompt is so long that the row has
            no tokens left for a text, or the model generates no words.
    """
    numbers = [_number_of_texts(stage, own) for stage, own in zip(settings.stages, data.stages, strict=True)]
    number = max(numbers)
    if not number:
        return data
    if number < (most := max(stage.replay.num_generated for stage in settings.stages)):
        logger.info(
            "Self-generated replay: %s instead of %s (replay_self), because the run does not need more.",
            number_of(number, "text"), f"{most:,}",
        )  # fmt: skip
    answers = any(data.replay_prompts) or any(own.replay_questions or own.train_questions for own in data.stages)
    if data.questions["questions"] and not answers:
        logger.warning(
            "Self-generated replay: all prompts are empty, and no answer is replayed or trained on. The model forgets"
            " how to answer: add questions to replay_self_prompts, such as %s.",
            GENERAL,
        )
    path = settings.folder / SELF_GENERATED
    prompts = [_prompt_text(prompt, settings, trainer) for prompt in data.replay_prompts]
    options = {
        **base,
        "seed": settings.seed,
        "n": number,
        "prompts": prompts,
        "max_new_tokens": _max_new_tokens(settings, trainer, prompts),
        "temperature": 1.0,
    }
    texts = _read(path, options) if path.is_file() else _generate(settings, trainer, options, path)
    stages = tuple(replace(own, replay_generated=texts[:n]) for own, n in zip(data.stages, numbers, strict=True))
    return replace(data, replay_generated=texts, stages=stages)


def _number_of_texts(stage: StageSettings, data: RunData) -> int:
    """Return the number of texts that a stage replays: `replay_self`, or less if the stage has too few steps."""
    if not (stage.replay.num_generated and stage.replay.share):
        return 0
    if stage.max_steps <= 0:  # it selects its questions when it starts, and only then knows its number of steps
        return stage.replay.num_generated
    sources = 1 + bool(data.replay_documents) + bool(data.replay_questions)  # they take turns
    rows = stage.max_steps * stage.replayed_rows_per_step
    return min(stage.replay.num_generated, -(-rows // sources))


def _prompt_text(prompt: str | Question, settings: RunSettings, trainer: "SAMSFTTrainer") -> str:
    if isinstance(prompt, str):
        return prompt
    template = settings.evaluation.generation.template
    return question_prompt(trainer.processing_class, template, prompt.text)


def _max_new_tokens(settings: RunSettings, trainer: "SAMSFTTrainer", prompts: Sequence[str]) -> int:
    """Return a maximum number of tokens of a text, so that a row with a prompt and a text fits into every stage."""
    limit = smallest_limit(*(stage.max_length for stage in settings.stages))
    if limit is None:
        return LONGEST_TEXT
    longest = max(prompts, key=len)
    left = limit - token_lengths(trainer.processing_class)([longest])[0]
    if left < 1:
        raise ValueError(
            f"replay_self_prompts: a row has at most {number_of(limit, 'token')} (max_length, or the model's context),"
            f" so the prompt {longest[:80]!r} leaves no tokens for a text. Use shorter prompts."
        )
    return min(left, LONGEST_TEXT)


def _generate(
    settings: RunSettings, trainer: "SAMSFTTrainer", options: Mapping[str, Any], path: Path
) -> list[GeneratedText]:
    texts = generate_texts(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        options["n"],
        options["prompts"],
        max_new_tokens=options["max_new_tokens"],
        seed=options["seed"],
        stream="replay",
        batch_size=settings.evaluation.generation.batch_size,
        progress="Generating text to replay" if settings.show_progress else None,
    )
    if trainer.accelerator.is_main_process:
        atomic_files.write_jsonl(path, [dict(options), *map(asdict, texts)])
    trainer.accelerator.wait_for_everyone()
    ended = sum(one.ended for one in texts)
    texts_made = number_of(len(texts), "text")
    logger.info("Self-generated replay: %s, %d of them with an end token (%s).", texts_made, ended, path)
    return texts


def _read(path: Path, options: Mapping[str, Any]) -> list[GeneratedText]:
    """Read the texts in the file `path`. Raise a `ValueError` if the texts were not generated with these options."""
    before, *lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    if changed := changed_values(before, options):
        raise ValueError(
            f"{str(path)!r} contains texts that were generated with other options:\n"
            + "\n".join(changed)
            + "\nThe run cannot continue with other texts. Choose another output_dir, or pass --overwrite."
        )
    return [GeneratedText(**line) for line in lines]
