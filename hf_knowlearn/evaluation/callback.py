"""Callbacks that evaluate a model on questions during training, show some responses, and stop training early.

Training with a callback gives exactly the same weights as training without it. The callbacks record no gradients and
use no random number generator. After an evaluation, they set each module back to training or evaluation mode.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import SaveStrategy

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.evaluation.correct_responses import context_columns
from hf_knowlearn.evaluation.evaluate import EvaluationResult
from hf_knowlearn.generation.causal_lm import check_causal_lm
from hf_knowlearn.generation.responses import Responses, build_prompts, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings, is_integer_from
from hf_knowlearn.knowledge_recall import score

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

FIGURES = ("correct", "correct_se", "exact_match", "exact_match_se", "f1", "f1_se")
RECALL = "recall"  # prefix of the figures in the log
PREVIEWS = 10  # number of previews of a training


class RecallCallback(TrainerCallback):
    """Generates responses to `questions` during training and logs their scores.

    The callback logs `recall/correct`, `recall/exact_match`, `recall/f1` and their standard errors. Each score is a
    mean over the greedy responses to all prompts. The attribute `responses` contains the responses of the last
    evaluation, and the attribute `step` is the optimizer step of the last evaluation.

    Args:
        trainer: the trainer, with the model and the tokenizer (`processing_class`).
        every: number of optimizer steps between two evaluations. None: evaluate at the end of training only.
        settings: settings of the generation. None: greedy, closed book, plain template.
        pool: questions that few-shot examples are chosen from (see `generate_responses`).
        documents: documents for open-book prompts (see `generate_responses`).
        name: prefix of the logged names. Each callback of a trainer needs its own prefix.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        preview: number of questions whose responses each evaluation also logs as text (see `preview_text`).
        early_stopping_patience: number of evaluations. Training stops if none of the last evaluations, in this number,
            has improved `correct` (see `early_stop`). None: training does not stop early.

    Raises:
        ValueError: there are no questions, `every` or `early_stopping_patience` is not a positive integer,
            `early_stopping_patience` is set without `every`, or the model is sharded (FSDP, DeepSpeed). Or the prompts
            cannot be built (see `build_prompts`).

    Example:
        >>> trainer.add_callback(RecallCallback(trainer, questions, every=100, early_stopping_patience=3))
        >>> trainer.train()
    """

    def __init__(
        self,
        trainer: Trainer,
        questions: Sequence[Question],
        every: int | None = None,
        settings: GenerationSettings | None = None,
        pool: Iterable[Question] | None = None,
        documents: Iterable[Document] | None = None,
        name: str = RECALL,
        language: str = "en",
        preview: int = 0,
        early_stopping_patience: int | None = None,
    ) -> None:
        if every is not None and not is_integer_from(1, every):
            raise ValueError(f"every={every!r}: give an integer of at least 1, or None to evaluate at the end only.")
        _check_patience(early_stopping_patience, every)
        if not questions:
            raise ValueError("RecallCallback needs at least one question. Add questions, or remove the callback.")
        if is_sharded(trainer):
            raise ValueError(
                "RecallCallback cannot evaluate a sharded model (FSDP, DeepSpeed). It distributes the questions over"
                " the processes, but a sharded model needs all processes for each question. Train with DDP, or"
                " evaluate the saved model after training."
            )
        self.trainer, self.questions, self.every = trainer, list(questions), every
        self.settings = settings or GenerationSettings(batch_size=trainer.args.per_device_eval_batch_size)
        self.pool = None if pool is None else list(pool)
        self.documents = None if documents is None else list(documents)
        self.name, self.language, self.preview, self.patience = name, language, preview, early_stopping_patience
        self.responses: list[Responses] = []
        self.step: int | None = None
        # Why here: a problem with the questions is an error before training, not after the first steps.
        check_causal_lm(trainer.model)
        build_prompts(
            trainer.model, trainer.processing_class, self.questions, self.settings, self.pool, self.documents
        )

    def on_step_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self.every is None or state.global_step % self.every:
            return
        should_log = control.should_log
        self._evaluate()
        control.should_log = should_log  # Why: `log` clears it, but the trainer has not logged this step yet
        if not self.patience or state.global_step == state.max_steps:
            return
        if stop := early_stop(state.log_history, self.patience, self.name):
            logger.info("Training stops at step %d of %d: %s.", stop.step, state.max_steps, stop.reason)
            control.should_training_stop = True
            control.should_save |= args.save_strategy != SaveStrategy.NO

    def on_train_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self.step != state.global_step:
            # Why: a run that is resumed after its last step has already logged the scores of this step.
            logged = {entry["step"] for entry in state.log_history if f"{self.name}/correct" in entry}
            self._evaluate(logs=state.global_step not in logged)

    def _evaluate(self, logs: bool = True) -> None:
        trainer = self.trainer
        self.responses = generate_responses(
            unwrapped(trainer),
            trainer.processing_class,
            self.questions,
            self.settings,
            pool=self.pool,
            documents=self.documents,
        )
        self.step = trainer.state.global_step
        if not logs:
            return
        # Why not TRL's `log`: it would also log and clear the metrics that the trainer is collecting.
        Trainer.log(trainer, {f"{self.name}/{figure}": value for figure, value in self._figures().items()})
        if shown := spread(self.preview, len(self.questions)):
            questions, responses = [self.questions[i] for i in shown], [self.responses[i] for i in shown]
            logger.info(preview_text(trainer.state, questions, responses, self.language))

    def _figures(self) -> dict[str, float]:
        references = [list(question.answers) for question in self.questions]
        context: dict[str, Any] = dict(context_columns(self.questions))
        by_prompt = [
            score([one.greedy[number] for one in self.responses], references, language=self.language, **context)
            for number in range(self.settings.prompts)
        ]
        return {figure: sum(scores[figure] for scores in by_prompt) / len(by_prompt) for figure in FIGURES}


class PreviewCallback(TrainerCallback):
    """Logs the responses to a few questions after every tenth of the training steps, except the last one.

    Args:
        trainer: the trainer, with the model and the tokenizer (`processing_class`).
        questions: the questions from which `number` are chosen, always the same ones.
        settings: settings of the generation.
        pool, language: see `RecallCallback`.

    Example:
        >>> trainer.add_callback(PreviewCallback(trainer, questions, GenerationSettings(template="auto")))
    """

    def __init__(
        self,
        trainer: Trainer,
        questions: Sequence[Question],
        settings: GenerationSettings,
        number: int = 3,
        pool: Sequence[Question] | None = None,
        language: str = "en",
    ) -> None:
        self.trainer, self.settings, self.language = trainer, settings, language
        self.questions = [questions[i] for i in spread(number, len(questions))]
        self.pool = list(questions if pool is None else pool)

    def on_step_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        every = -(-state.max_steps // PREVIEWS)
        if state.global_step % every or state.global_step == state.max_steps or not self.questions:
            return
        model, tokenizer = unwrapped(self.trainer), self.trainer.processing_class
        responses = generate_responses(model, tokenizer, self.questions, self.settings, pool=self.pool)
        logger.info(preview_text(state, self.questions, responses, self.language))


def preview_text(
    state: "TrainerState", questions: Sequence[Question], responses: Sequence[Responses], language: str = "en"
) -> str:
    """Return the questions with their first accepted answers and their responses, each marked as right or wrong.

    Example:
        >>> print(preview_text(trainer.state, questions, responses))
        Responses at step 20 of 200, 1 of 2 right:
          right: Where does the ferry go? | expected: Ormel | response: Ormel.
          wrong: Who owns the ferry? | expected: Ada Brun | response: The town.
    """
    right = EvaluationResult({"questions": questions}, {"questions": responses}, 0.0, language).correct("questions")
    lines = [
        f"  {'right' if is_right else 'wrong'}: {_shortened(question.text)} | expected:"
        f" {_shortened(question.answers[0])} | response: {_shortened(one.greedy[0]) or '(empty)'}"
        for question, one, is_right in zip(questions, responses, right, strict=True)
    ]
    step = f"Responses at step {state.global_step} of {state.max_steps}, {sum(right)} of {len(right)} right:"
    return "\n".join([step, *lines])


class EarlyStop(NamedTuple):
    """The reason why training stopped early.

    Args:
        step: the optimizer step of the last evaluation, after which training stopped.
        best: the highest `correct` of all evaluations.
        best_step: the optimizer step of the evaluation that reached `best` first.
        patience: number of evaluations since then.
    """

    step: int
    best: float
    best_step: int
    patience: int

    @property
    def reason(self) -> str:
        """The reason in words."""
        evaluations = f"{self.patience} evaluations" if self.patience > 1 else "the last evaluation"
        return f"correct has not improved in {evaluations} (best: {self.best:.3f} at step {self.best_step})"


def early_stop(history: Iterable[Mapping[str, Any]], patience: int, name: str = RECALL) -> EarlyStop | None:
    """Return why training stops after the last evaluation in the log of a trainer, or None if it continues.

    Why from the log: checkpoints contain it, so a resumed run stops at the same step.

    Args:
        history: `TrainerState.log_history`.
        name: prefix of the logged names (see `RecallCallback`).
    """
    scores = [(entry[f"{name}/correct"], entry["step"]) for entry in history if f"{name}/correct" in entry]
    if not scores:
        return None
    best = max(score for score, _ in scores)
    first = next(i for i, (score, _) in enumerate(scores) if score == best)
    since = len(scores) - 1 - first
    return EarlyStop(scores[-1][1], best, scores[first][1], since) if since >= patience else None


def spread(number: int, length: int) -> list[int]:
    """Return up to `number` different positions in a list of `length` items, spread evenly over the list."""
    number = min(number, length)
    return [i * length // number for i in range(number)]


def is_sharded(trainer: Trainer) -> bool:
    """Return whether no process has the whole model (FSDP, DeepSpeed)."""
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def unwrapped(trainer: Trainer) -> Any:
    """Return the model of a trainer without the wrappers of DDP and of torch.compile."""
    return trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)


def _check_patience(patience: int | None, every: int | None) -> None:
    if patience is None:
        return
    if not is_integer_from(1, patience):
        raise ValueError(
            f"early_stopping_patience={patience!r}: give an integer of at least 1, or None to train all steps."
        )
    if every is None:
        raise ValueError(
            f"early_stopping_patience={patience} counts the evaluations during training, but there are none. Set every"
            " to a number of steps, or use early_stopping_patience=None."
        )


def _shortened(text: str, most: int = 100) -> str:
    """Return the text on one line, with at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
