"""Estimates the work of the parts of a run before they begin, in tokens of a forward pass.

The figures are rough. When a computation starts, its exact work replaces them (see `estimate`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_knowlearn.config.settings import RunSettings, StageSettings
from hf_knowlearn.documents import Question
from hf_knowlearn.format_aug.rows import Row
from hf_knowlearn.generation.progress import ANSWERS, FORWARD, GENERATED, TEXTS
from hf_knowlearn.teach.clock import DRIFT, EVALUATION_BEFORE, SELF_REPLAY, evaluation_part, training_part
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.estimate import TRAINING, Part
from hf_knowlearn.teach.measurements import DRIFT_TEXTS
from hf_knowlearn.teach.self_replay import LONGEST_TEXT

if TYPE_CHECKING:
    from hf_knowlearn.training import SAMConfig, SAMSFTTrainer

PROMPT, EXAMPLE, ANSWER = 40, 25, 8  # tokens of a question in a template, of a few-shot example, and of an answer
TEXT = 128  # tokens of a text that is generated to measure drift
GENERATED_ROW = 160  # tokens of a row of self-generated replay
GENERAL_TOKENS = 60 * 120  # tokens of the general text of the package
INSTRUCTIONS, FULFILMENT = 100, 128  # number of instructions that measure chat ability, and tokens of a response
VIEWS = 2  # views of a document in which knowledge tokens are measured
BACKWARD = 2.0  # work of a backward pass; that of a forward pass is 1
OVERHEAD = 1.4  # work of training with padding, metrics and the optimizer, as a multiple of that of the passes
PROBE_ROWS, PROBE_TOKENS = 4, 256  # largest size of the batch that measures the speed


def planned_parts(
    settings: RunSettings, data: RunData, rows: Sequence[Sequence[Row]], tokens_per_character: float, processes: int
) -> list[Part]:
    """Return the parts of a run in their order, with the work of each process.

    Args:
        rows: the training rows of every stage.
        tokens_per_character: the mean number of tokens of a character of these rows.
    """
    evaluation = _evaluation(settings, data, tokens_per_character)
    texts = max(_texts(stage) for stage in settings.stages)
    before = {**evaluation, TEXTS: DRIFT_TEXTS * GENERATED * TEXT}
    before[ANSWERS] += _retrieval(settings, data)
    parts = [
        Part(EVALUATION_BEFORE, before, "evaluation"),
        Part(SELF_REPLAY, {TEXTS: texts * GENERATED * LONGEST_TEXT}),
    ]
    for stage, own in zip(settings.stages, rows, strict=True):
        parts.append(Part(training_part(stage.name), _training(settings, stage, data, own, tokens_per_character)))
        parts.append(Part(evaluation_part(stage.name), dict(evaluation), "evaluation"))
    parts.append(Part(DRIFT, {FORWARD: DRIFT_TEXTS * 2.0 * TEXT}))
    return [Part(part.name, {kind: n / processes for kind, n in part.work.items()}, part.group) for part in parts]


def seconds_per_token(trainer: "SAMSFTTrainer") -> float:
    """Measure the duration of a forward pass over a few training rows, divided by its number of tokens."""
    import time

    import torch

    from hf_knowlearn.generation.batching import row_logits
    from hf_knowlearn.generation.causal_lm import eval_mode, pad_token_id

    first = trainer.train_dataset.select(range(min(PROBE_ROWS, len(trainer.train_dataset))))
    rows = [ids[:PROBE_TOKENS] for ids in first["input_ids"]]
    model, pad = trainer.accelerator.unwrap_model(trainer.model), pad_token_id(trainer.processing_class)
    with torch.no_grad(), eval_mode(model):
        row_logits(model, rows[:1], pad)[0, 0, 0].item()  # Why: the first pass also initialises the device
        start = time.monotonic()
        row_logits(model, rows, pad)[0, 0, 0].item()
    return (time.monotonic() - start) / (len(rows) * max(map(len, rows)))


def _answers(settings: RunSettings, questions: Sequence[Question], prompt: float = PROMPT) -> float:
    """Return the work of generating a response to each question, with prompts of `prompt` tokens."""
    generation = settings.evaluation.generation
    length = prompt + EXAMPLE * generation.shots
    return len(questions) * (length + GENERATED * generation.max_new_tokens)


def _evaluation(settings: RunSettings, data: RunData, tokens_per_character: float) -> dict[str, float]:
    """Return the work of an evaluation before or after training."""
    options, questions = settings.evaluation, data.questions["questions"]
    document_tokens = tokens_per_character * sum(len(document.text) for document in data.documents)
    answers = sum(_answers(settings, of_role) for of_role in data.questions.values())
    forward = len(questions) * float(PROMPT + ANSWER)
    if options.open_book:
        mean = document_tokens / max(1, len(data.documents))
        answers += _answers(settings, data.open_book_questions(), PROMPT + mean)
    if options.general_knowledge:
        answers += INSTRUCTIONS * (PROMPT + GENERATED * FULFILMENT)
        forward += GENERAL_TOKENS
    if options.knowledge_tokens or (options.knowledge_tokens is None and not questions):
        forward += VIEWS * document_tokens
    return {ANSWERS: answers, FORWARD: forward}


def _retrieval(settings: RunSettings, data: RunData) -> float:
    """Return the work of the responses with one and with three retrieved passages."""
    if not settings.evaluation.compare_rag:
        return 0.0
    return sum(_answers(settings, data.questions["questions"], PROMPT + k * TEXT) for k in (1, 3))


def _texts(stage: StageSettings) -> int:
    """Return the number of texts that the model generates for the stage, or a larger number."""
    wanted = stage.replay.num_generated if stage.replay.share else 0
    return min(wanted, stage.max_steps * stage.rows_per_step) if stage.max_steps > 0 else wanted


def _training(
    settings: RunSettings, stage: StageSettings, data: RunData, rows: Sequence[Row], tokens_per_character: float
) -> dict[str, float]:
    """Return the work of the training of a stage, with the responses that it generates during training."""
    tokens = tokens_per_character * sum(len(row["prompt"]) + len(row["completion"]) for row in rows)
    missing = stage.max_steps * stage.rows_per_step - len(rows)  # rows of texts that are not generated yet
    tokens += GENERATED_ROW * max(0, missing)
    passes = 1 + BACKWARD + bool(stage.training.gradient_checkpointing)
    base = stage.replay.share if stage.replay.kl_weight and stage.replay.num_generated else 0.0
    training = tokens * gradient_evaluations_per_step(stage.training) * (passes + base) * OVERHEAD
    evaluated = data.questions["questions"]
    every = settings.evaluation.every
    times, shown = (steps_of(stage, rows) / every, len(evaluated)) if every else (10, settings.evaluation.preview)
    return {TRAINING: training, ANSWERS: times * _answers(settings, evaluated[:shown])}


def steps_of(stage: StageSettings, rows: Sequence[Row]) -> int:
    """Return the number of steps of a stage, or the largest possible number if the stage selects questions later."""
    return stage.max_steps if stage.max_steps > 0 else len(rows) // stage.rows_per_step


def gradient_evaluations_per_step(training: "SAMConfig") -> float:
    """Return the mean number of passes over the rows of a step: 1 without SAM, and up to 2 with SAM."""
    if not training.sam_rho or training.sam_direction == "random":
        return 1.0
    windows = training.gradient_accumulation_steps
    micro_batches = windows if windows > 1 else training.per_device_train_batch_size
    share = min(1.0, (training.sam_ascent_batches or micro_batches) / micro_batches)
    return 1.0 + share * (1.0 - training.sam_start)
