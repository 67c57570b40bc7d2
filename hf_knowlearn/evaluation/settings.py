"""Settings of an evaluation: how responses are generated and scored, and what else is measured."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hf_knowlearn.generation.settings import GenerationSettings, is_integer_from
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES
from hf_knowlearn.views import GROUPS


@dataclass(frozen=True)
class EvaluationSettings:
    """All settings of the evaluation of a run. They do not include the model, the documents and the questions.

    Args:
        generation: settings of the generated responses, such as the prompt template and the number of samples.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        open_book: also evaluate the base model and the fine-tuned model with the document of each question in the
            prompt.
        compare_rag: also evaluate the base model with retrieved passages in the prompt of each question.
        knowledge_tokens: measure the probability of knowledge tokens. None: measure it only if there are no questions.
        general_knowledge: also measure what is unrelated to the documents, with questions, instructions and text of
            the package: retention of general knowledge, chat ability, and perplexity.
        every: number of optimizer steps between two evaluations during training. None: no evaluation during training.
        preview: number of questions whose responses are shown during training.
        early_stopping_patience: number of evaluations without an improvement of `correct` after which training stops.
            None: training does not stop early.
        hold_out: group of formats that training leaves out. Knowledge tokens are measured in this group only. None: no
            group is left out.
        part_tokens: maximum number of tokens of a part. Longer documents are split when knowledge tokens are measured.
        batch_size: number of rows that each process computes at once when it measures knowledge tokens and drift.

    Raises:
        ValueError: a value is out of range. The message lists all such values.

    Example:
        >>> settings = EvaluationSettings(GenerationSettings(samples=4), language="de", every=100)
        >>> settings.generation.samples
        4
    """

    generation: GenerationSettings = field(default_factory=GenerationSettings)
    language: str = "en"
    open_book: bool = False
    compare_rag: bool = False
    knowledge_tokens: bool | None = None
    general_knowledge: bool = True
    every: int | None = None
    preview: int = 3
    early_stopping_patience: int | None = None
    hold_out: str | None = None
    part_tokens: int = 512
    batch_size: int = 8

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        if self.language not in LANGUAGES:
            yield f"language={self.language!r}: choose from {', '.join(LANGUAGES)}."
        if self.hold_out is not None and self.hold_out not in GROUPS:
            yield f"hold_out={self.hold_out!r}: choose from {', '.join(GROUPS)}, or None."
        if self.every is not None and not is_integer_from(1, self.every):
            yield f"every={self.every!r}: give an integer of at least 1, or None."
        if not is_integer_from(0, self.preview):
            yield f"preview={self.preview!r}: give an integer of at least 0."
        if self.early_stopping_patience is not None and (
            self.every is None or not is_integer_from(1, self.early_stopping_patience)
        ):
            yield (
                f"early_stopping_patience={self.early_stopping_patience!r}: give an integer of at least 1 and set"
                " every, or give None."
            )
        for name in ("part_tokens", "batch_size"):
            if not is_integer_from(1, value := getattr(self, name)):
                yield f"{name}={value!r}: give an integer of at least 1."
