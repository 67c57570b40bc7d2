"""A callback that evaluates a model on questions during training and at its end.

Training with the callback gives exactly the same weights as training without it. The callback records no gradients and
uses no random number generator. After an evaluation, it sets each module back to training or evaluation mode.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.causal_lm import check_causal_lm
from hf_knowlearn.generation.responses import Responses, build_prompts, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings, is_integer_from
from hf_knowlearn.knowledge_recall import score

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

FIGURES = ("correct", "correct_se", "exact_match", "exact_match_se", "f1", "f1_se")


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

    Raises:
        ValueError: there are no questions, `every` is not a positive integer, or the model is sharded (FSDP,
            DeepSpeed). Or the prompts cannot be built (see `build_prompts`).

    Example:
        >>> trainer.add_callback(RecallCallback(trainer, questions, every=100))
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
        name: str = "recall",
    ) -> None:
        if every is not None and not is_integer_from(1, every):
            raise ValueError(f"every={every!r}: give an integer of at least 1, or None to evaluate at the end only.")
        if not questions:
            raise ValueError("RecallCallback needs at least one question. Add questions, or remove the callback.")
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise ValueError(
                "RecallCallback cannot evaluate a sharded model (FSDP, DeepSpeed). It distributes the questions over"
                " the processes, but a sharded model needs all processes for each question. Train with DDP, or"
                " evaluate the saved model after training."
            )
        self.trainer, self.questions, self.every = trainer, list(questions), every
        self.settings = settings or GenerationSettings(batch_size=trainer.args.per_device_eval_batch_size)
        self.pool = None if pool is None else list(pool)
        self.documents = None if documents is None else list(documents)
        self.name = name
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
        if self.every is not None and state.global_step % self.every == 0:
            should_log = control.should_log
            self._evaluate()
            control.should_log = should_log  # Why: `log` clears it, but the trainer has not logged this step yet

    def on_train_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self.step != state.global_step:
            self._evaluate()

    def _evaluate(self) -> None:
        trainer = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        self.responses = generate_responses(
            model, trainer.processing_class, self.questions, self.settings, pool=self.pool, documents=self.documents
        )
        self.step = trainer.state.global_step
        # Why not TRL's `log`: it would also log and clear the metrics that the trainer is collecting.
        Trainer.log(trainer, {f"{self.name}/{figure}": value for figure, value in self._figures().items()})

    def _figures(self) -> dict[str, float]:
        references = [list(question.answers) for question in self.questions]
        by_prompt = [
            score([one.greedy[number] for one in self.responses], references)
            for number in range(self.settings.prompts)
        ]
        return {figure: sum(scores[figure] for scores in by_prompt) / len(by_prompt) for figure in FIGURES}
