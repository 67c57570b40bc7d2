"""Asking a model while it is trained: every so many steps and at the end, into the trainer's log.

The surprising decision: nothing of the training is put back afterwards but the modules' modes, because nothing else is
touched: samples are drawn by hashing, not from a generator, and no gradient is recorded. Training with the callback is
training without it, bit for bit.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.ask import GenerationSettings, Responses, build_prompts, generate_responses
from hf_knowlearn.generation.models import check_model
from hf_knowlearn.knowledge_recall import score

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class RecallCallback(TrainerCallback):
    """Asks `questions` every `every` steps and at the end of training, and logs what SQuAD's scorer says of it.

    `trainer.add_callback(RecallCallback(trainer, questions, every=100))` logs `recall/exact_match`, `recall/f1` and
    their standard errors: means over the prompts' greedy answers, errors over questions. The answers of the last
    asking are in `answers`, its step in `step`.

    Args:
        trainer: whose model is asked, with its tokenizer (`processing_class`).
        every: steps of the optimizer from one asking to the next; None asks at the end alone.
        asking: how; greedily, closed book and in the plain form if None.
        name: what the figures' names begin with, so that several callbacks can ask different questions.

    Raises:
        ValueError: what `generate_responses` refuses, or a model that is cut into shards.
    """

    def __init__(
        self,
        trainer: Trainer,
        questions: Sequence[Question],
        every: int | None = None,
        asking: GenerationSettings | None = None,
        pool: Iterable[Question] | None = None,
        documents: Iterable[Document] | None = None,
        name: str = "recall",
    ) -> None:
        if every is not None and (type(every) is not int or every < 1):
            raise ValueError(f"every={every!r}: give a whole number of steps from 1 up, or None for the end alone.")
        if not questions:
            raise ValueError("RecallCallback was given no questions: give at least one, or leave it out.")
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise ValueError(
                "RecallCallback asks each process its share of the questions, and a model cut into shards (FSDP,"
                " DeepSpeed) answers only all processes at once: train with DDP, or ask the saved model."
            )
        self.trainer, self.questions, self.every = trainer, list(questions), every
        self.asking = asking or GenerationSettings(batch_size=trainer.args.per_device_eval_batch_size)
        self.pool = None if pool is None else list(pool)
        self.documents = None if documents is None else list(documents)
        self.name = name
        self.answers: list[Responses] = []
        self.step: int | None = None
        # What is wrong with the questions is said before the training, not in its middle.
        check_model(trainer.model)
        build_prompts(trainer.model, trainer.processing_class, self.questions, self.asking, self.pool, self.documents)

    def on_step_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self.every is not None and state.global_step % self.every == 0:
            should_log = control.should_log
            self._ask()
            control.should_log = should_log  # a log takes it back, and the trainer's own of this step is still to come

    def on_train_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self.step != state.global_step:
            self._ask()

    def _ask(self) -> None:
        trainer = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        tokenizer = trainer.processing_class
        self.answers = generate_responses(
            model, tokenizer, self.questions, self.asking, pool=self.pool, documents=self.documents
        )
        self.step = trainer.state.global_step
        # Trainer's own log: a subclass's, as TRL's, would also write down and clear the means it is collecting.
        Trainer.log(trainer, {f"{self.name}/{figure}": value for figure, value in self._figures().items()})

    def _figures(self) -> dict[str, float]:
        references = [list(question.answers) for question in self.questions]
        of_prompts = [
            score([answers.greedy[number] for answers in self.answers], references)
            for number in range(self.asking.prompts)
        ]
        wanted = ("exact_match", "exact_match_se", "f1", "f1_se")
        return {figure: sum(of_it[figure] for of_it in of_prompts) / len(of_prompts) for figure in wanted}
