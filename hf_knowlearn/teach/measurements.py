"""Measures a model before and after training.

The measurements are responses to questions without and with their documents, log-probabilities of accepted answers,
knowledge tokens, classes of mastery, editing scores, chat ability, perplexity on general text, and the drift from the
base model on text that the base model generated.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.settings import RunSettings, StageSettings, raw_settings
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document
from hf_knowlearn.documents.contamination import find_contamination
from hf_knowlearn.evaluation.answer_lengths import check_answers_fit
from hf_knowlearn.evaluation.answer_logprobs import AnswerLogprob, answer_logprobs
from hf_knowlearn.evaluation.chat_ability import ChatAbility, chat_ability, template_of_instructions
from hf_knowlearn.evaluation.drift import Drift, drift
from hf_knowlearn.evaluation.editing import KINDS
from hf_knowlearn.evaluation.evaluate import EvaluationResult, evaluate
from hf_knowlearn.evaluation.knowledge_tokens import KnowledgeTokens, knowledge_tokens
from hf_knowlearn.evaluation.model_responses import ModelResponses, continuations, teacher_forced
from hf_knowlearn.evaluation.perplexity import Perplexity, general_texts, perplexity
from hf_knowlearn.evaluation.retrieval import RetrievalResult, check_retrieval, retrieval
from hf_knowlearn.format_aug.rows import Row, document_views, settings_for, training_views
from hf_knowlearn.generation.free_text import sample_texts
from hf_knowlearn.generation.responses import build_prompts
from hf_knowlearn.prompts.limits import token_lengths
from hf_knowlearn.prompts.templates import PLAIN
from hf_knowlearn.run_files import CHECKPOINTS
from hf_knowlearn.study.study_question import QUESTION_KINDS
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.measurement import Measurement
from hf_knowlearn.teach.retention import RETENTION

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.evaluation.mastery import Mastery
    from hf_knowlearn.training import SAMSFTTrainer

logger = logging.getLogger(__name__)

DRIFT_TEXTS = 64  # number of texts that the base model generates to measure drift
FLUENCY_TEXTS = 100  # number of texts that the model generates to measure fluency


@dataclass(frozen=True)
class Measurements:
    """Measures models of a run with the same settings, and writes the results to the folder of the run or stage."""

    settings: RunSettings
    data: RunData

    def problems(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Return a message for each problem that would make a measurement fail."""
        settings, data = self.settings.evaluation, self.data
        found: dict[str, None] = dict.fromkeys(self._unknown_kinds())
        prompts = partial(build_prompts, model, tokenizer)
        attempts: list[Callable[[], object]] = [
            partial(prompts, questions, settings.generation, None, None) for questions in data.questions.values()
        ]
        attempts += [
            partial(check_answers_fit, tokenizer, questions, settings.generation.max_new_tokens)
            for role, questions in data.questions.items()
            # Why: retention questions that the user does not name are candidates. Those that fail are not used.
            if role != RETENTION or self.settings.questions[RETENTION] is not None
        ]
        if settings.open_book:
            open_book = replace(settings.generation, open_book=True)
            attempts.append(partial(prompts, data.open_book_questions(), open_book, None, data.documents))
        for attempt in attempts:
            try:
                attempt()
            except ValueError as error:
                found[str(error)] = None
        if settings.compare_rag:
            try:
                passages = self._passages(tokenizer)
                check_retrieval(model, tokenizer, data.questions["questions"], passages, settings.generation)
            except ValueError as error:
                if str(error) not in found:
                    found[f"--evaluation.compare_rag: {error}"] = None
        if preset := self.settings.classify:
            from hf_knowlearn.evaluation.mastery import check_mastery

            try:
                check_mastery(model, tokenizer, data.classified_questions(), **self._mastery_options(preset))
            except ValueError as error:
                found[f"--classify: {error}"] = None
        return list(found)

    def _unknown_kinds(self) -> list[str]:
        known_kinds = KINDS if self.data.has_edits else (*KINDS, *QUESTION_KINDS)
        unknown = {q.kind: q.id for q in self.data.questions["questions"] if q.kind not in known_kinds}
        if not unknown:
            return []
        listed = ", ".join(f"{kind!r} (such as question {id!r})" for kind, id in unknown.items())
        known = ", ".join(map(repr, KINDS[1:]))
        return [f"--questions: these values of `kind` are unknown: {listed}. Use {known}, or remove `kind`."]

    def _mastery_options(self, preset: str) -> dict[str, Any]:
        generation = self.settings.evaluation.generation
        return {
            "preset": preset,
            "seed": self.settings.seed,
            "max_new_tokens": generation.max_new_tokens,
            "template": generation.template,
        }

    def measure(self, trainer: "SAMSFTTrainer", stage: StageSettings | None = None) -> Measurement:
        """Measure the trainer's model and write the results.

        Args:
            stage: the last stage that trained the model. None: the model is the base model.
        """
        settings, data = self.settings.evaluation, self.data
        is_runs = stage is None or stage is self.settings.stages[-1]  # the last stage's results count for the run
        folder = self.settings.folder if is_runs or stage is None else stage.folder
        cache = (stage or self.settings).folder / CHECKPOINTS
        when, classify = ("after", stage.classify) if stage else ("before", self.settings.classify)
        model, tokenizer = _model_of(trainer), trainer.processing_class
        evaluation = evaluate(
            model,
            tokenizer,
            data.questions,
            settings.generation,
            pools=data.example_pools(),
            language=settings.language,
            answer_cache=cache / f"responses.{when}",
            progress=self._progress(f"Evaluating {when}"),
        )
        logprobs = self._answer_logprobs(model, tokenizer, when)
        by_id = {one.question_id: {"accepted": one.answer, "answer_logprob": one.total} for one in logprobs}
        rows = [row | by_id.get(row["id"], {}) if row["role"] == "questions" else row for row in evaluation.rows()]
        _write_lines(trainer, folder / f"answers.{when}.jsonl", rows)
        open_book = self._open_book(trainer, when) if is_runs else None
        chat = self._chat(trainer, when, folder)
        general = self._perplexity(trainer, when, folder)
        tokens = self._knowledge_tokens(trainer, when, folder) if self._wants_knowledge_tokens else None
        edits = self._edit_responses(trainer, evaluation) if data.has_edits else None
        mastery = self._mastery(trainer, when, folder, cache, classify) if classify else None
        return Measurement(evaluation, logprobs, open_book, chat, general, tokens, edits, mastery)

    def _answer_logprobs(self, model: Any, tokenizer: Any, when: str) -> list[AnswerLogprob]:
        # Why without options: ranks are not measured, and options need not contain an accepted answer.
        questions = [replace(question, options=()) for question in self.data.questions["questions"]]
        if not questions:
            return []
        progress = self._progress(f"Log-probabilities of answers {when}")
        return answer_logprobs(model, tokenizer, questions, self.settings.evaluation.generation, progress=progress)

    def _open_book(self, trainer: "SAMSFTTrainer", when: str) -> EvaluationResult | None:
        """Evaluate the model with the document of each question in the prompt, if the settings request it."""
        settings, name = self.settings.evaluation, "open_book" if when == "before" else f"open_book_{when}"
        if not settings.open_book:
            return None
        evaluation = evaluate(
            _model_of(trainer),
            trainer.processing_class,
            {"questions": self.data.open_book_questions()},
            replace(settings.generation, open_book=True),
            documents=self.data.documents,
            language=settings.language,
            answer_cache=self.settings.folder / CHECKPOINTS / f"responses.{name}",
            progress=self._progress(f"Evaluating open book {when}"),
        )
        _write_lines(trainer, self.settings.folder / f"answers.{name}.jsonl", evaluation.rows())
        return evaluation

    def _chat(self, trainer: "SAMSFTTrainer", when: str, folder: Path) -> ChatAbility | None:
        """Measure chat ability, if the settings request it and the tokenizer has a chat template with turns."""
        settings, tokenizer = self.settings.evaluation, trainer.processing_class
        if not settings.general_knowledge or template_of_instructions(tokenizer) == PLAIN:
            return None
        progress = self._progress(f"Chat ability {when}")
        found = chat_ability(_model_of(trainer), tokenizer, settings.generation, progress=progress)
        _write_lines(trainer, folder / f"chat.{when}.jsonl", found.rows())
        return found

    def _perplexity(self, trainer: "SAMSFTTrainer", when: str, folder: Path) -> Perplexity | None:
        settings = self.settings.evaluation
        if not settings.general_knowledge:
            return None
        model, tokenizer, progress = _model_of(trainer), trainer.processing_class, self._progress(f"Perplexity {when}")
        found = perplexity(model, tokenizer, general_texts(), batch_size=settings.batch_size, progress=progress)
        _write_lines(trainer, folder / f"perplexity.{when}.jsonl", found.rows())
        return found

    @property
    def _wants_knowledge_tokens(self) -> bool:
        wanted = self.settings.evaluation.knowledge_tokens
        return not self.data.questions["questions"] if wanted is None else wanted

    def _knowledge_tokens(self, trainer: "SAMSFTTrainer", when: str, folder: Path) -> KnowledgeTokens:
        settings, views = self.settings, self.settings.views
        documents = {document.id: document for document in self.data.documents}
        tokens = knowledge_tokens(
            _model_of(trainer),
            trainer.processing_class,
            self.data.documents,
            self.data.questions["questions"],
            trained=lambda part: training_views(part, settings_for(part, documents[part.id], views)),
            hold_out=views.hold_out,
            seed=settings.seed,
            part_tokens=settings.evaluation.part_tokens,
            max_length=settings.max_length,
            batch_size=settings.evaluation.batch_size,
            progress=self._progress(f"Knowledge tokens {when}"),
        )
        _write_lines(trainer, folder / f"knowledge_tokens.{when}.jsonl", [asdict(part) for part in tokens.by_part])
        return tokens

    def _edit_responses(self, trainer: "SAMSFTTrainer", evaluation: EvaluationResult) -> ModelResponses:
        model, tokenizer = _model_of(trainer), trainer.processing_class
        roles = [role for role in ("questions", RETENTION) if role in evaluation.questions]
        questions = [question for role in roles for question in evaluation.questions[role]]
        generation = self.settings.evaluation.generation
        forced = teacher_forced(model, tokenizer, questions, generation, progress=self._progress("Teacher forcing"))
        return ModelResponses(
            {one.question_id: one.greedy[0] for role in roles for one in evaluation.responses[role]},
            {one.question_id: one for one in forced},
            continuations(model, tokenizer, self.data.questions["questions"][:FLUENCY_TEXTS], generation),
        )

    def _mastery(self, trainer: "SAMSFTTrainer", when: str, folder: Path, cache: Path, preset: str) -> "list[Mastery]":
        from hf_knowlearn.evaluation.mastery import classify_mastery

        settings = self.settings.evaluation
        classes = classify_mastery(
            _model_of(trainer),
            trainer.processing_class,
            self.data.classified_questions(),
            **self._mastery_options(preset),
            batch_size=settings.generation.batch_size,
            language=settings.language,
            answer_cache=cache / f"responses.{when}.mastery.jsonl",
            progress=self._progress(f"Mastery {when}"),
        )
        _write_lines(trainer, folder / f"mastery.{when}.jsonl", [asdict(one) for one in classes])
        return classes

    def retrieval(self, trainer: "SAMSFTTrainer") -> list[RetrievalResult]:
        """Evaluate the base model with retrieved passages in the prompt of each question. Return [] if the settings do
        not request it."""
        settings = self.settings.evaluation
        if not settings.compare_rag:
            return []
        results = retrieval(
            _model_of(trainer),
            trainer.processing_class,
            self.data.questions["questions"],
            self._passages(trainer.processing_class),
            settings.generation,
            language=settings.language,
            answer_cache=self.settings.folder / CHECKPOINTS / "responses.rag",
            progress=self._progress("Evaluating retrieval"),
        )
        for result in results:
            _write_lines(trainer, self.settings.folder / f"answers.rag_{result.k}.jsonl", result.rows())
        return results

    def _passages(self, tokenizer: "PreTrainedTokenizerBase") -> list[Document]:
        """Return the parts of the documents to train on, split as for training."""
        settings, lengths = self.settings, token_lengths(tokenizer)
        raw = raw_settings(settings.views)
        return [
            part
            for document in self.data.documents
            for part, _ in document_views(document, raw, lengths, settings.max_length)
        ]

    def drift_texts(self, trainer: "SAMSFTTrainer") -> list[str]:
        """Generate texts with the base model, to measure drift later. Return [] if the model generates no words."""
        try:
            return sample_texts(_model_of(trainer), trainer.processing_class, DRIFT_TEXTS, seed=self.settings.seed)
        except ValueError as error:
            logger.warning("Drift is not measured. %s", error)
            return []

    def drift(self, trainer: "SAMSFTTrainer", base: "PreTrainedModel | None", texts: list[str]) -> Drift | None:
        """Measure the drift of the fine-tuned model from `base` on `texts`. If `base` is None, the base model is the
        fine-tuned model without its adapter."""
        if not texts:
            return None
        found = drift(
            _model_of(trainer),
            base,
            trainer.processing_class,
            texts,
            batch_size=self.settings.evaluation.batch_size,
            progress=self._progress("Drift"),
        )
        _write_lines(trainer, self.settings.folder / "drift.jsonl", found.rows())
        return found

    def contamination(self, trainer: "SAMSFTTrainer", rows: Sequence[Row]) -> dict[str, Any]:
        """Count the training rows that contain a question of the evaluation, and write `contamination.jsonl`."""
        questions = [question for of_role in self.data.questions.values() for question in of_role]
        texts = {question.id: question.text for question in questions}
        found = find_contamination(rows, questions)
        contaminated = {one.row for one in found}
        if found:
            path = self.settings.folder / "contamination.jsonl"
            _write_lines(trainer, path, [asdict(one) for one in found])
            logger.warning(
                "%s of %s a question of the evaluation (%s). The scores of these questions are unreliable.",
                f"{len(contaminated):,}", number_of(len(rows), "training row contains", "training rows contain"), path,
            )  # fmt: skip
        examples = [{"row": one.row, "question": texts[one.question_id], "overlap": one.overlap} for one in found[:5]]
        return {
            "n": len(contaminated),
            "rows": len(rows),
            "questions": len({one.question_id for one in found}),
            "examples": examples,
        }

    def _progress(self, what: str) -> str | None:
        return what if self.settings.show_progress else None


def read_mastery(stage: StageSettings) -> "list[Mastery] | None":
    """Read the classes of mastery after a finished stage. Return None if the stage does not measure mastery.

    Raises:
        ValueError: the file with the classes is missing.
    """
    if not stage.classify:
        return None
    from hf_knowlearn.evaluation.mastery import Mastery

    path = stage.folder / "mastery.after.jsonl"
    if not path.is_file():
        raise ValueError(
            f"{str(path)!r}, the file with the classes of mastery after stage {stage.name!r}, is missing. Delete the"
            " folder of that stage to train the stage again, or pass --overwrite to start the run again."
        )
    return [Mastery(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _model_of(trainer: "SAMSFTTrainer") -> Any:
    return trainer.accelerator.unwrap_model(trainer.model)


def _write_lines(trainer: "SAMSFTTrainer", path: Path, lines: Sequence[dict[str, Any]]) -> None:
    if trainer.accelerator.is_main_process:
        atomic_files.write_jsonl(path, lines)
