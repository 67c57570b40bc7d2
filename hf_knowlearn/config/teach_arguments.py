"""The options of a run that this package adds to those of TRL and transformers, with their help texts and checks.

Why flat dataclasses: TRL's parser, the command line and the stages of a recipe use the plain name of an option.
Options of the evaluation are nested under `evaluation`; on the command line they are `--evaluation.NAME`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.evaluation.mastery import CATEGORIES, PRESETS
from hf_knowlearn.format_aug.settings import RAW
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES
from hf_knowlearn.views import FAMILIES, GROUPS
from hf_knowlearn.views.mixed import checked_weights
from hf_knowlearn.views.sampling import select_groups

# Sets of documents, questions and conversations that a run can train on.
TRAINING_SETS = ("documents", "train_documents", "train_questions", "train_conversations")
# Sets to train on, including the replayed ones.
TRAINED_ON = (*TRAINING_SETS, "replay_documents", "replay_questions")
MIXED = "mixed"


def _option(help: str, default: Any = None, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": help, **metadata})


@dataclass
class TeachArguments:
    """Options for the training data, the views, and replay."""

    documents: str | None = _option(
        "Documents to learn: a file (.txt .md .jsonl .json .csv .tsv .parquet; .pdf .docx .pptx .html .epub with the"
        " documents extra), a folder, a dataset on the Hub, or world:SPLIT for synthetic people."
    )
    questions: str | None = _option(
        "Questions that evaluate the model before and after: a .jsonl, .json, .csv, .tsv or .parquet file, a folder, a"
        " dataset on the Hub, or world:SPLIT. They are never trained on."
    )
    train_documents: str | None = _option("Further documents to train on, such as those of train_questions.")
    train_questions: str | None = _option("Questions with answers to train on, with loss on the answer only.")
    train_conversations: str | None = _option(
        'A .jsonl of conversations to train on, {"messages": [{"role": ..., "content": ...}, ...]} as in TRL, with'
        " loss on the assistant's turns only."
    )
    text_column: str | None = _option("Column with the text of a document, in tables. Default: text.")
    empty: str = _option(
        "What to do with empty documents: raise an error, or drop them.", default="raise", choices=["raise", "drop"]
    )
    question_column: str | None = _option("Column with the question, in tables. Default: question or text.")
    answer_column: str | None = _option("Column with the answers, in tables. Default: answers or answer.")
    views: str = _option(
        f"Views of each document: {RAW} (unchanged), {', '.join(FAMILIES)}; or the weight of each family in a mixture,"
        ' such as {"formats": 1, "order": 3}.',
        default="formats",
    )
    num_views: int = _option("Number of views of each document; every epoch trains on the next one.", default=12)
    format_groups: list[str] | None = _option(
        f"Groups of formats to sample from: {', '.join(GROUPS)}. Default: all of them."
    )
    hold_out: str | None = _option(
        "Group of formats that training never contains, to evaluate knowledge tokens in.", choices=GROUPS
    )
    document_template: str = _option(
        "How documents are trained on: as plain text, or as the assistant's turn in the chat template after"
        ' "Tell me about TITLE.", with loss on that turn only.',
        default="plain",
        choices=["plain", "chat"],
    )
    replay_documents: str | None = _option("Documents that the base model knows, replayed in every step.")
    replay_questions: str | None = _option("Questions with answers that the base model knows, replayed in every step.")
    replay_self: int = _option(
        "Number of texts that the model generates before training and replays during it. Use it when the original"
        " training data is unavailable.",
        default=0,
    )
    replay_self_prompts: list[str] | None = _option(
        "Prompts of these texts, used in turn: words, a file with one prompt per line, or a file of questions;"
        ' "" is the empty prompt and general:questions are questions of the package. Default: these two.'
    )
    replay_share: float = _option("Share of each step's rows that are replayed.", default=0.25)
    replay_kl: float = _option(
        "Weight of KL(base model, fine-tuned model) on self-generated text; 0 trains on it like other text. Without an"
        " adapter it needs a frozen copy of the model.",
        default=0.0,
    )
    train_on: list[str] | None = _option(
        f"Of a stage: the sets to train on, of {', '.join(TRAINING_SETS)}. Default: all that are given."
    )
    question_order: str = _option(
        "Of a stage: the training questions are shuffled with the documents, or come right before the document that"
        " each is about (arXiv 2402.12847).",
        default="shuffled",
        choices=["shuffled", "before"],
    )
    classify: str | None = _option(
        "Of a stage: classify the training questions by mastery (arXiv 2405.05904) before the run and after the stage,"
        " with the quick or the full number of prompts and samples.",
        choices=sorted(PRESETS),
    )
    train_categories: list[str] | None = _option(
        f"Of a stage: train only on questions in these classes of mastery: {', '.join(CATEGORIES)}. Needs classify."
    )
    train_improved: bool = _option(
        "Of a stage: of these, train only on questions whose class has improved since before the run.", default=False
    )
    replay_categories: list[str] | None = _option(
        "Of a stage: replay the training questions of these classes that the stage does not train on."
    )
    adapter: str = _option(
        "Of a stage: continue to train the previous stage's adapter, merge it into the model and start a new one, or"
        " drop it and start a new one.",
        default="continue",
        choices=["continue", "merge", "new"],
    )
    hub_license: str | None = _option(
        "With push_to_hub: license of the published model. Default: that of the documents, if the Hub names it."
    )
    overwrite: bool = _option("Delete the run that the output folder contains.", default=False)

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    @property
    def family(self) -> str:
        """The family of views."""
        return MIXED if self.weights else self.views

    @property
    def weights(self) -> dict[str, float] | None:
        """The weights of the families in a mixture. None if no weights are given."""
        return _weights(self.views)

    def _problems(self) -> Iterator[str]:
        try:
            _weights(self.views)
        except ValueError as error:
            yield str(error)
        try:
            select_groups(1, self.format_groups, self.hold_out)
        except ValueError as error:
            yield str(error)
        if self.num_views < 1:
            yield f"num_views={self.num_views!r}: give a number of at least 1."
        if self.replay_self < 0:
            yield f"replay_self={self.replay_self!r}: give a number of at least 0."
        if not 0 <= self.replay_share < 1:
            yield f"replay_share={self.replay_share!r}: give a share of at least 0 and below 1."
        if not 0 <= self.replay_kl < float("inf"):
            yield f"replay_kl={self.replay_kl!r}: give a weight of at least 0; 1 weighs it like other tokens."
        yield from _unknown_names("train_on", self.train_on, TRAINING_SETS)
        yield from _unknown_names("train_categories", self.train_categories, CATEGORIES)
        yield from _unknown_names("replay_categories", self.replay_categories, CATEGORIES)


@dataclass
class EvaluationArguments:
    """Options of the evaluation before and after training. In a recipe, they are nested under `evaluation`."""

    template: str = _option(
        'Template of the questions: plain ("Question: ... Answer:"), the chat template of the tokenizer, or auto (chat'
        " if the tokenizer has one).",
        default="plain",
        choices=["plain", "chat", "auto"],
    )
    shots: int = _option("Answered questions of the same relation before each question.", default=0)
    instruction: str = _option("Text before each question, such as an instruction to answer briefly.", default="")
    max_new_tokens: int = _option("Longest response, in tokens.", default=32)
    answer_language: str = _option(
        "Language whose articles and punctuation do not count in an answer.", default="en", choices=list(LANGUAGES)
    )
    every: int | None = _option("Also evaluate every N optimizer steps. Default: only before and after.")
    open_book: bool = _option(
        "Also evaluate the base model with each question's document in the prompt.", default=False
    )
    knowledge_tokens: bool | None = _option(
        "Measure the probability of the tokens that carry facts, in views that training does not contain. Default: if"
        " there are no questions."
    )
    replayed_questions: str | None = _option("Questions about the replayed documents, reported as `replayed`.")
    retention_questions: str | None = _option(
        "Questions about what appears nowhere in the run, reported as `retention`. Default: those of `questions` about"
        " other documents that the base model answers correctly."
    )

    def __post_init__(self) -> None:
        problems = [
            f"evaluation.{name}={value!r}: give a number of at least {least}."
            for name, least in {"shots": 0, "max_new_tokens": 1, "every": 1}.items()
            if (value := getattr(self, name)) is not None and value < least
        ]
        if problems:
            raise ValueError("\n".join(problems))


def _unknown_names(option: str, names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    if names is None or (names and set(names) <= set(known)):
        return []
    return [f"{option}={names!r}: give one or more of {', '.join(known)}, or remove the option."]


def _weights(views: str) -> dict[str, float] | None:
    """The weights of a mixture, parsed from JSON. None for a single family."""
    example = '{"formats": 1, "order": 3}'
    families = (RAW, *FAMILIES)
    if views in families:
        return None
    if not views.lstrip().startswith("{"):
        raise ValueError(f"views={views!r}: choose from {', '.join(families)}, or give weights such as {example}.")
    try:
        weights = json.loads(views)
    except json.JSONDecodeError as error:
        raise ValueError(f"views={views!r} is not valid JSON ({error}): write {example}.") from None
    if not all(type(value) in (int, float) for value in weights.values()):
        raise ValueError(f"views={views!r}: give a number for each family, such as {example}.")
    return dict(checked_weights(weights))
