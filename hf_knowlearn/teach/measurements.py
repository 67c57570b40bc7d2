"""Measuring: what a run wants to know of its model, before it is taught and after, beside how low the loss is.

What it answers (recall, rehearsed, retention), closed book and open; how probable the tokens that carry facts are;
how far it has moved on general text; how sharp its loss is; the editing scores. The surprising decision: retention
questions that the recipe doesn't name are chosen after the first asking, since what a model could not answer it can't
forget.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.documents.contamination import find_contamination
from hf_knowlearn.evaluation.drift import Drift, drift
from hf_knowlearn.evaluation.editing import KINDS, ModelResponses, continuations, teacher_forced
from hf_knowlearn.evaluation.evaluate import Evaluation, evaluate
from hf_knowlearn.evaluation.knowledge_tokens import KnowledgeTokens, knowledge_tokens
from hf_knowlearn.generation.ask import GenerationSettings, build_prompts
from hf_knowlearn.generation.free_text import sample_texts
from hf_knowlearn.reports.schema import run_scores
from hf_knowlearn.teach import stages
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.schedule import views_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.config.parsing import Recipe
    from hf_knowlearn.config.teach_arguments import TeachArguments
    from hf_knowlearn.evaluation.mastery import Mastery
    from hf_knowlearn.teach.schedule import Row
    from hf_knowlearn.training import SAMSFTTrainer
    from hf_knowlearn.training.sharpness import Sharpness

logger = logging.getLogger(__name__)

GENERAL_TEXTS = 64  # that a model writes to be compared on, where the recipe names none
FLUENCY_TEXTS = 100  # that a model writes to be measured for repeating itself


@dataclass(frozen=True)
class Measurement:
    """What is measured of a model before and after: its answers; where wanted, its knowledge tokens, what the editing
    scores are made of, how well each question is known, and how sharp its loss is."""

    evaluation: Evaluation
    knowledge_tokens: KnowledgeTokens | None
    said: ModelResponses | None
    mastery: "Sequence[Mastery] | None" = None
    sharpness: "Sharpness | None" = None

    def scores(self, before: "Measurement | None" = None) -> dict[str, Any]:
        """The model's figures, as a report has them; with what became of each class of mastery since `before`."""
        scores = run_scores(self.evaluation.scores())
        if self.knowledge_tokens is not None:
            scores["knowledge_tokens"] = self.knowledge_tokens.figures()
        if self.mastery is not None:
            scores["mastery"] = _mastery_figures(self.mastery, before.mastery if before else None)
        if self.sharpness is not None:
            scores["sharpness"] = self.sharpness.figures()
        return scores


def _mastery_figures(now: "Sequence[Mastery]", before: "Sequence[Mastery] | None") -> dict[str, Any]:
    """Questions by class; and by the class they had before, how many are in which class now."""
    from hf_knowlearn.evaluation.mastery import counts, flow

    figures: dict[str, Any] = {"n": len(now), "counts": counts(now)}
    return figures if before is None else {**figures, "flow": flow(before, now)}


def asking_of(recipe: "Recipe") -> GenerationSettings:
    """How the recipe asks."""
    return asking_by(recipe.teach, recipe.training.seed)


def asking_by(arguments: "TeachArguments", seed: int) -> GenerationSettings:
    """How a run with these options asks."""
    return GenerationSettings(
        shots=arguments.ask_shots,
        samples=arguments.ask_samples,
        temperature=arguments.ask_temperature,
        template=arguments.ask_template,
        instruction=arguments.ask_instruction,
        max_new_tokens=arguments.max_answer_tokens,
        batch_size=arguments.ask_batch_size,
        seed=seed,
    )


def problems_of_questions(
    recipe: "Recipe", material: RunData, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> list[str]:
    """All that could not be asked, each once."""
    found: dict[str, None] = {}
    if unknown := {q.kind: q.id for q in material.asked["questions"] if q.kind not in KINDS}:
        listed = ", ".join(f"{kind!r} (as of question {id!r})" for kind, id in unknown.items())
        known = ", ".join(map(repr, KINDS[1:]))
        found[f"--questions: these kinds are not known: {listed}. Known are {known}; or leave kind out."] = None
    asking = asking_of(recipe)
    attempts = [
        partial(build_prompts, model, tokenizer, questions, asking, material.examples, None)
        for questions in material.asked.values()
    ]
    if recipe.teach.open_book:
        opened, questions = replace(asking, open_book=True), material.with_documents()
        attempts.append(
            partial(build_prompts, model, tokenizer, questions, opened, material.examples, material.documents)
        )
    for attempt in attempts:
        try:
            attempt()
        except ValueError as error:
            found[str(error)] = None
    if stages.classifies(recipe):
        from hf_knowlearn.evaluation.mastery import check_mastery

        try:
            check_mastery(model, tokenizer, material.mastered(), **_classifying(recipe, material))
        except ValueError as error:
            found[f"--classify: {error} (The pool is --ask_examples, or what is classified.)"] = None
    return list(found)


def _classifying(recipe: "Recipe", material: RunData) -> dict[str, Any]:
    """How the recipe classifies."""
    arguments = recipe.teach
    return {
        "examples": material.examples,
        "preset": arguments.classify_preset,
        "seed": recipe.training.seed,
        "max_new_tokens": arguments.max_answer_tokens,
        "template": arguments.ask_template,
    }


def measure(
    recipe: "Recipe",
    trainer: "SAMSFTTrainer",
    material: RunData,
    limit: int | None,
    when: str,
    classified: bool = False,
    rows: Sequence["Row"] = (),
) -> Measurement:
    """Ask every set of questions, weigh the tokens that carry facts, and, to have questions `classified`, ask those to
    train on many times; all of it is written to the output folder.

    Args:
        rows: on which the sharpness of the loss is measured, if the recipe says so.
    """
    arguments, seed = recipe.teach, recipe.training.seed
    model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class
    evaluation = evaluate(
        model,
        tokenizer,
        material.asked,
        asking_of(recipe),
        pool=material.examples,
        language=arguments.answer_language,
        transcripts=Path(recipe.training.output_dir) / f"asked.{when}",
        progress=_shown(recipe, f"Asking {when}"),
    )
    _write_lines(recipe, trainer, f"answers.{when}", evaluation.lines())
    tokens = None
    if _wants_knowledge_tokens(recipe, material):
        tokens = knowledge_tokens(
            model,
            tokenizer,
            material.documents,
            material.asked["questions"],
            trained=lambda part: views_of(part, arguments, seed),
            hold_out=arguments.hold_out,
            seed=seed,
            part_tokens=arguments.part_tokens,
            max_length=limit,
            batch_size=recipe.training.per_device_eval_batch_size,
            progress=_shown(recipe, f"Reading {when}"),
        )
        _write_lines(recipe, trainer, f"knowledge_tokens.{when}", [asdict(part) for part in tokens.by_part])
    said = _said(recipe, trainer, material, evaluation) if material.is_edited else None
    mastery = _classify(recipe, trainer, material, when) if classified else None
    return Measurement(evaluation, tokens, said, mastery, _sharpness(recipe, trainer, rows))


def _sharpness(recipe: "Recipe", trainer: "SAMSFTTrainer", rows: Sequence["Row"]) -> "Sharpness | None":
    if recipe.teach.sharpness is None:
        return None
    from hf_knowlearn.training.sharpness import sharpness_of

    return sharpness_of(trainer, rows, recipe.teach.sharpness)


def _classify(recipe: "Recipe", trainer: "SAMSFTTrainer", material: RunData, when: str) -> "list[Mastery]":
    """How well each question that may be trained on is known."""
    from hf_knowlearn.evaluation.mastery import classify_mastery

    arguments = recipe.teach
    classes = classify_mastery(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        material.mastered(),
        **_classifying(recipe, material),
        batch_size=arguments.ask_batch_size,
        language=arguments.answer_language,
        transcripts=Path(recipe.training.output_dir) / f"asked.{when}.mastery.jsonl",
        progress=_shown(recipe, f"Classifying {when}"),
    )
    _write_lines(recipe, trainer, f"mastery.{when}", [asdict(one) for one in classes])
    return classes


def read_mastery(stage: "Recipe") -> "list[Mastery] | None":
    """How well each question was known after a finished stage, if that was classified.

    Raises:
        ValueError: the file that says it is gone.
    """
    if not stage.teach.classify:
        return None
    from hf_knowlearn.evaluation.mastery import Mastery

    path = stage.output_dir / "mastery.after.jsonl"
    if not path.is_file():
        raise ValueError(
            f"{str(path)!r} is gone, which says how well questions were known after stage {stage.name!r}: delete that"
            f" stage's folder to train it again, or pass --overwrite to begin anew."
        )
    return [Mastery(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _wants_knowledge_tokens(recipe: "Recipe", material: RunData) -> bool:
    wanted = recipe.teach.knowledge_tokens
    return not material.asked["questions"] if wanted is None else wanted


def _said(recipe: "Recipe", trainer: "SAMSFTTrainer", material: RunData, evaluation: Evaluation) -> ModelResponses:
    """What the editing scores are made of: the answers that were given, teacher-forced ones, and longer texts."""
    model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class
    roles = [role for role in ("questions", "retention_questions") if role in evaluation.asked]
    questions = [question for role in roles for question in evaluation.asked[role]]
    how: dict[str, Any] = {"asking": asking_of(recipe), "pool": material.examples}
    forced = teacher_forced(model, tokenizer, questions, progress=_shown(recipe, "Reading answers"), **how)
    return ModelResponses(
        {said.question_id: said.greedy[0] for role in roles for said in evaluation.answers[role]},
        {one.question_id: one for one in forced},
        continuations(model, tokenizer, material.asked["questions"][:FLUENCY_TEXTS], **how),
    )


def choose_retention(recipe: "Recipe", material: RunData, before: Measurement) -> tuple[RunData, Measurement]:
    """Of retention questions that the recipe doesn't name, keep those that were answered before; say where they are
    from, or why there are none."""
    role, named = "retention_questions", recipe.teach.retention_questions
    candidates = len(material.asked[role])
    if named is not None:
        return replace(material, retention=f"Retention is asked by {named}, which the recipe names."), before
    if not candidates:
        why = "Retention was not asked: no questions about anything outside the run were given."
        return replace(material, retention=why), before
    evaluation = before.evaluation.answered(role)
    kept = list(evaluation.asked.get(role, []))
    source = (
        f"Retention: {len(kept)} of the {candidates} questions about documents that are nowhere in the run, those that"
        " were answered right before. (So it is 1 before by choice; what was right by luck counts as forgotten.)"
        if kept
        else f"Retention was not asked: none of the {candidates} questions about documents that are nowhere in the run"
        " was answered right before."
    )
    logger.info(source)
    asked = {**material.asked, role: kept}
    return replace(material, asked=asked, retention=source), replace(before, evaluation=evaluation)


def ask_open_book(recipe: "Recipe", trainer: "SAMSFTTrainer", material: RunData) -> Evaluation | None:
    """What the untaught model answers with the document before it: what retrieval, if it finds it, could do."""
    if not recipe.teach.open_book:
        return None
    evaluation = evaluate(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        {"questions": material.with_documents()},
        replace(asking_of(recipe), open_book=True),
        pool=material.examples,
        documents=material.documents,
        language=recipe.teach.answer_language,
        transcripts=Path(recipe.training.output_dir) / "asked.open_book",
        progress=_shown(recipe, "Asking open book"),
    )
    _write_lines(recipe, trainer, "answers.open_book", evaluation.lines())
    return evaluation


def general_text(recipe: "Recipe", trainer: "SAMSFTTrainer", material: RunData) -> list[str]:
    """Text on which the model is compared with what it is now: the recipe's, or what it writes of its own accord."""
    if material.general_text is not None:
        return [document.text for document in material.general_text]
    if recipe.teach.from_scratch:
        return []
    model = trainer.accelerator.unwrap_model(trainer.model)
    try:
        return sample_texts(model, trainer.processing_class, GENERAL_TEXTS, seed=recipe.training.seed)
    except ValueError as error:
        logger.warning("How far the model moves on general text is not measured. %s", error)
        return []


def drift_of(
    recipe: "Recipe", trainer: "SAMSFTTrainer", base: "PreTrainedModel | None", texts: list[str]
) -> Drift | None:
    """How far the taught model has moved on `texts` from `base`; None: from what it is without its adapter."""
    if not texts:
        return None
    return drift(
        trainer.accelerator.unwrap_model(trainer.model),
        base,
        trainer.processing_class,
        texts,
        batch_size=recipe.training.per_device_eval_batch_size,
        progress=_shown(recipe, "Comparing"),
    )


def list_leaks(recipe: "Recipe", trainer: "SAMSFTTrainer", material: RunData, rows: list["Row"]) -> dict[str, Any]:
    """How many training rows hold a question that is asked; all of them are listed in `leaks.jsonl`."""
    asked = {question.id: question.text for questions in material.asked.values() for question in questions}
    found = find_contamination(rows, [question for questions in material.asked.values() for question in questions])
    leaking = {leak.row for leak in found}
    if found:
        _write_lines(recipe, trainer, "contamination", [asdict(leak) for leak in found])
        logger.warning(
            "%d of %d training rows hold a question that is asked (%s): what is asked so proves little.",
            len(leaking), len(rows), recipe.output_dir / "leaks.jsonl",
        )  # fmt: skip
    examples = [{"row": leak.row, "question": asked[leak.question_id], "overlap": leak.overlap} for leak in found[:5]]
    return {
        "n": len(leaking),
        "rows": len(rows),
        "questions": len({leak.question_id for leak in found}),
        "examples": examples,
    }


def _shown(recipe: "Recipe", what: str) -> str | None:
    """What to write beside a progress bar, unless none is wanted."""
    return None if recipe.training.disable_tqdm else what


def _write_lines(recipe: "Recipe", trainer: "SAMSFTTrainer", name: str, lines: Sequence[dict[str, Any]]) -> None:
    if trainer.accelerator.is_main_process:
        atomic_files.write_jsonl(recipe.output_dir / f"{name}.jsonl", lines)
