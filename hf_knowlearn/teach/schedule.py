"""Schedules a stage: determines the rows of each optimizer step before training starts.

A step can contain documents and questions. The loss of a document covers all of its tokens, because its prompt is
empty. The loss of a question covers only the answer (arXiv 2402.12847, section 3). Every step has the same number of
replayed rows. The order does not depend on the state of a run, so a resumed run trains on the same rows.

The rows of a training unit are trained on one after the other, and every epoch shuffles the units. A training unit is
a part of a document, a question, a conversation turn, or a document with the questions about the document first.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.config.settings import RunSettings, StageSettings, raw_settings
from hf_knowlearn.counts import number_of
from hf_knowlearn.format_aug.rows import (
    Row,
    check_replay_prompts,
    conversation_rows,
    document_rows,
    generated_row,
    question_rows,
)
from hf_knowlearn.prompts.limits import token_lengths
from hf_knowlearn.prompts.templates import CHAT
from hf_knowlearn.teach.data import RunData

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

TrainingUnit = Sequence[Sequence[Row]]  # rows that are trained on one after the other, each in the views it has
MOST_PROBLEMS = 20  # listed in one message


def schedule_stages(
    settings: RunSettings, data: RunData, tokenizer: "PreTrainedTokenizerBase", problems: Sequence[str] = ()
) -> tuple[RunSettings, list[list[Row]]]:
    """Schedule every stage. Return the settings with the numbers of steps, and the rows of every stage.

    A stage that selects questions by class is scheduled with all questions here, and is scheduled again when the stage
    starts.

    Args:
        problems: problems of the run that earlier checks found. The error also lists these problems.

    Raises:
        ValueError: lists `problems` and every problem of every stage.
    """
    problems = [*problems]
    stages: list[StageSettings] = []
    rows: list[list[Row]] = []
    for stage, stage_data in zip(settings.stages, data.stages, strict=True):
        try:
            data_of_stage = _all_selectable(stage, stage_data)
            scheduled, stage_rows = schedule_stage(stage, data_of_stage, tokenizer, log=not stage.selection)
            # Why: a stage that selects questions does not know its number of steps yet.
            stages.append(stage if stage.selection else scheduled)
            rows.append(stage_rows)
        except ValueError as error:
            problems.append(f"{stage.label}{error}")
    raise_problems(problems)
    return replace(settings, stages=tuple(stages)), rows


def _all_selectable(stage: StageSettings, data: RunData) -> RunData:
    if not stage.selection:
        return data
    if not data.train_questions:
        raise ValueError("this stage selects questions by their class, but it has no questions. Set train_questions.")
    replayed = data.train_questions if stage.selection.replay_categories else []
    return replace(data, replay_questions=[*data.replay_questions, *replayed])


def schedule_stage(
    stage: StageSettings, data: RunData, tokenizer: "PreTrainedTokenizerBase", log: bool = True
) -> tuple[StageSettings, list[Row]]:
    """Schedule a stage. Return the stage with its number of steps, and its rows in the order of training.

    Args:
        log: whether to log a summary. Why: a stage that is scheduled twice logs only one summary.

    Raises:
        ValueError: texts contain control tokens, documents do not have enough views or are longer than a row,
            conversations do not fit the template, or the share of replay is impossible.
    """
    train_on = stage.sources.train_on
    documents = data.training_documents(train_on)
    if stage.views.template == CHAT and documents and not tokenizer.chat_template:
        raise ValueError(
            "document_template='chat', but the tokenizer of the model has no chat template. Set document_template to"
            " plain, or use a model whose tokenizer has a chat template."
        )
    lengths, template = token_lengths(tokenizer), stage.question_template
    parts = document_rows(documents, stage.views, lengths, stage.max_length, tokenizer, log)
    turns = conversation_rows(data.train_conversations, tokenizer, lengths, stage.max_length)
    questions = question_rows(data.training_questions(train_on), tokenizer, template, stage.question_instruction)
    replay = replayed_rows(stage, data, tokenizer)
    replayed = stage.replayed_rows_per_step
    if log and not stage.replays:
        logger.info(
            "Nothing is replayed, so the model may forget what it knew (see `retention`). --replay_self 1000"
            " --replay_share 0.5 replays text that the model generates before training."
        )
    if not any(replay) and not stage.replay.num_generated:
        replayed = 0  # no question is in the classes that the stage replays
    units = training_units(parts, questions, turns, stage.question_order)
    stage = stage.with_steps(len(parts) + len(questions) + len(turns), replayed)
    if log:
        _log_schedule(stage, data, (len(documents), len(parts), len(questions), len(turns)), replayed)
    rows = make_schedule(
        units,
        replay,
        steps=stage.max_steps,
        batch=stage.rows_per_step,
        replayed=replayed,
        seed=stage.training.seed,
    )
    return stage, rows


def replayed_rows(
    stage: StageSettings, data: RunData, tokenizer: "PreTrainedTokenizerBase"
) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the rows to replay, in three lists: raw documents, questions, and self-generated texts."""
    raw = raw_settings(stage.views)
    parts = document_rows(data.replay_documents, raw, token_lengths(tokenizer), stage.max_length, tokenizer)
    documents = [row for part in parts for row in part]
    questions = question_rows(data.replay_questions, tokenizer, stage.question_template, stage.question_instruction)
    check_replay_prompts(data.replay_prompts, tokenizer)
    generated = [generated_row(text.prompt, text.text, text.ended) for text in data.replay_generated]
    return documents, questions, generated


def _log_schedule(stage: StageSettings, data: RunData, counts: tuple[int, int, int, int], replayed: int) -> None:
    documents, parts, questions, turns = counts
    conversations = number_of(len(data.train_conversations), "conversation")
    what = [f"{number_of(documents, 'document')} in {number_of(parts, 'part')}"] if parts else []
    what += [number_of(questions, "question")] if questions else []
    what += [f"{conversations} with {number_of(turns, 'turn')}"] if turns else []
    batch, steps = stage.rows_per_step, stage.max_steps
    logger.info(
        "%s%s, each trained on %.1f times; %s of %s, %d of them replayed.",
        f"{stage.name}: " if stage.name else "", " and ".join(what),
        steps * (batch - replayed) / (parts + questions + turns),
        number_of(steps, "step"), number_of(batch, "row"), replayed,
    )  # fmt: skip


def training_units(
    parts: Sequence[Sequence[Row]], questions: Sequence[Row], turns: Sequence[Row], question_order: str
) -> list[TrainingUnit]:
    """Group rows into training units. The rows of a unit are trained on one after the other.

    Args:
        parts: for each part of a document, the rows of its views.
        question_order: with `shuffled`, every part and every question is a unit. With `before`, a document and its
            questions form one unit, in which the questions come first.

    Raises:
        ValueError: `question_order` is `before`, and the run does not train on the document of a question.
    """
    single = [[[turn]] for turn in turns]
    if question_order == "shuffled":
        return [*([part] for part in parts), *([[question]] for question in questions), *single]
    by_document: dict[str, list[Sequence[Row]]] = {part[0]["document_id"]: [] for part in parts}
    if lost := [row["prompt"].strip() for row in questions if row["document_id"] not in by_document]:
        more = f" ... and {len(lost) - MOST_PROBLEMS} more" if len(lost) > MOST_PROBLEMS else ""
        raise ValueError(
            f"question_order='before' needs the document of each question, but the run does not train on the documents"
            f" of {number_of(len(lost), 'question')}: {'; '.join(map(repr, lost[:MOST_PROBLEMS]))}{more}. Add these"
            " documents, remove these questions, or set question_order to shuffled."
        )
    for question in questions:
        by_document[question["document_id"]].append([question])
    for part in parts:
        by_document[part[0]["document_id"]].append(part)
    return [*by_document.values(), *single]


def make_schedule(
    units: Sequence[TrainingUnit],
    replay: Sequence[Sequence[Row]],
    *,
    steps: int,
    batch: int,
    replayed: int,
    seed: int,
) -> list[Row]:
    """Return the rows of `steps` optimizer steps with `batch` rows each, in the order of training.

    Every epoch shuffles the units again, and trains on the next view of each part of a document. Replayed rows
    alternate between the lists of `replay`.

    Args:
        replay: the rows to replay, one list for each source.
        replayed: number of replayed rows of each step.
    """
    fresh, old = _epochs(units, seed), _replay(replay, seed)
    rows: list[Row] = []
    for _ in range(steps):
        step = [*islice(fresh, batch - replayed), *islice(old, replayed)]
        # Why: long rows first, so that the micro-batches of an accumulation window have rows of similar length.
        rows += sorted(step, key=lambda row: -len(row["prompt"]) - len(row["completion"]))
    return rows


def _epochs(units: Sequence[TrainingUnit], seed: int) -> Iterator[Row]:
    """Yield the rows of epoch after epoch, without end. An epoch has every unit once, in a new order and with the next
    view of each part of a document."""
    for epoch, order in enumerate(_orders(len(units), seed)):
        for i in order:
            for views in units[i]:
                yield views[epoch % len(views)]


def _replay(sources: Sequence[Sequence[Row]], seed: int) -> Iterator[Row]:
    """Yield replayed rows without end, one from each list in turn. The rows of each list are shuffled."""

    def shuffled(rows: Sequence[Row], seed: int) -> Iterator[Row]:
        return (rows[i] for order in _orders(len(rows), seed) for i in order)

    streams = [shuffled(rows, seed + number) for number, rows in enumerate(sources, 1) if rows]
    return (next(rows) for rows in cycle(streams))


def _orders(count: int, seed: int) -> Iterator[list[int]]:
    """Yield random orders of `count` items without end. Yield nothing if `count` is 0."""
    epoch = 0
    while count:
        yield random.Random(f"{seed}/{epoch}").sample(range(count), count)
        epoch += 1
