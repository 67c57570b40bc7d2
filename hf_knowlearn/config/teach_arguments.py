"""The options of a run that this package adds to those of TRL and transformers, with their help texts and checks.

Why flat dataclasses: TRL's parser, the command line and the stages of a recipe use the plain name of an option.
Options of the evaluation are nested under `evaluation`; on the command line they are `--evaluation.NAME`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.documents.language import RULE, is_language_code
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
DOCUMENT_OPTIONS = ("documents", "train_documents", "replay_documents")
MIXED = "mixed"
# Option of the evaluation -> its smallest value.
LEAST = {"shots": 0, "max_new_tokens": 1, "every": 1, "preview": 0, "early_stopping_patience": 1}


def _option(help: str, default: Any = None, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": help, **metadata})


@dataclass
class TeachArguments:
    """Options for the training data, the views, and replay."""

    documents: str | None = _option(
        "Documents to learn: a file (.txt .md .jsonl .json .csv .tsv .parquet .ipynb .eml and other text; .pdf .html"
        " .docx .pptx .xlsx .epub .rst .tex with the documents extra), a folder, a dataset on the Hub, or world:SPLIT"
        " for synthetic people, or world:handbook for the handbook of an invented ferry company."
    )
    questions: str | None = _option(
        "Questions that evaluate the model before and after training: a .jsonl, .json, .csv, .tsv or .parquet file, a"
        " folder, a dataset on the Hub, or world:SPLIT. The model is never trained on these questions."
    )
    train_documents: str | None = _option(
        "Additional documents to train on, usually the documents of train_questions."
    )
    train_questions: str | None = _option("Questions with answers to train on. The loss covers the answers only.")
    train_conversations: str | None = _option(
        'Conversations to train on: a .jsonl file with lines {"messages": [{"role": ..., "content": ...}, ...]} as in'
        " TRL. The loss covers the assistant's turns only."
    )
    text_column: str | None = _option("Name of the column with the text of a document, for tables. Default: text.")
    empty: str = _option(
        "What the run does with empty documents: raise an error, or drop them.",
        default="raise",
        choices=["raise", "drop"],
    )
    language: str | None = _option(
        "Language code of all documents, such as de or pt-BR. The language selects the rules that split sentences and"
        " decide which sentences can move. Default: the language that a row or a file gives, or else the detected"
        " language. answer_language is a separate option for the scores."
    )
    question_column: str | None = _option(
        "Name of the column with the question, for tables. Default: question or text."
    )
    answer_column: str | None = _option("Name of the column with the answers, for tables. Default: answers or answer.")
    views: str = _option(
        f"Views of each document: {RAW} (unchanged), {', '.join(FAMILIES)}; or the weight of each family in a mixture,"
        ' such as {"formats": 1, "order": 3}.',
        default="formats",
    )
    num_views: int = _option(
        "Number of views of each document. Every epoch trains on the next view of each document.", default=12
    )
    format_groups: list[str] | None = _option(
        f"Groups of formats to sample from: {', '.join(GROUPS)}. Default: all of them."
    )
    hold_out: str | None = _option(
        "Group of formats that training never contains. Knowledge tokens are measured in these formats.",
        choices=GROUPS,
    )
    document_template: str = _option(
        "Form of the documents in training: plain text, or the chat template. With chat, a document is the response of"
        ' the assistant to "Tell me about TITLE.", and the loss covers the response only.',
        default="plain",
        choices=["plain", "chat"],
    )
    replay_documents: str | None = _option(
        "Documents that the base model knows. Every step replays some of these documents."
    )
    replay_questions: str | None = _option(
        "Questions with answers that the base model knows. Every step replays some of these questions."
    )
    replay_self: int = _option(
        "Number of texts that the model generates before training. The run replays these texts to reduce forgetting."
        " Use this option if the original training data of the model is unavailable.",
        default=0,
    )
    replay_self_prompts: list[str] | None = _option(
        "Prompts for the texts that replay_self generates, used in rotation. A value is a prompt in words, a file with"
        ' one prompt per line, or a file of questions. "" is the empty prompt, and general:questions are 130 questions'
        ' of the package. Default: "" and general:questions.'
    )
    replay_share: float = _option("Share of the rows of each step that are replayed.", default=0.25)
    replay_kl: float = _option(
        "Weight of KL(base model, fine-tuned model), which is the loss on self-generated text. With 0, self-generated"
        " text has the loss of all other rows. Without an adapter, KL needs a frozen copy of the model in memory.",
        default=0.0,
    )
    train_on: list[str] | None = _option(
        f"For a stage: names of the data sets to train on, from {', '.join(TRAINING_SETS)}. Default: all."
    )
    question_order: str = _option(
        "For a stage: order of the training questions. With the value shuffled, the questions are mixed with the"
        " documents. With the value before, each question comes right before its document (arXiv 2402.12847).",
        default="shuffled",
        choices=["shuffled", "before"],
    )
    classify: str | None = _option(
        "For a stage: classify the training questions by mastery (arXiv 2405.05904), before the run and after the"
        " stage. With quick, the classification needs fewer prompts and samples than with full.",
        choices=sorted(PRESETS),
    )
    train_categories: list[str] | None = _option(
        f"For a stage: train only on questions in these classes of mastery: {', '.join(CATEGORIES)}. Needs classify."
    )
    train_improved: bool = _option(
        "For a stage: train only on those questions of train_categories whose class is better than before the run.",
        default=False,
    )
    replay_categories: list[str] | None = _option(
        "For a stage: replay the training questions that are in these classes of mastery, except the questions that"
        " the stage trains on."
    )
    adapter: str = _option(
        "For a stage: what happens to the adapter of the previous stage. With the value continue, the stage trains"
        " this adapter further. With merge, the stage merges this adapter into the model and starts a new adapter."
        " With new, the stage drops this adapter and starts a new adapter.",
        default="continue",
        choices=["continue", "merge", "new"],
    )
    hub_license: str | None = _option(
        "License of the published model, with push_to_hub. Default: the license of the documents, if they are a"
        " dataset on the Hub with a license."
    )
    overwrite: bool = _option("Delete the earlier run in the output folder.", default=False)

    def __post_init__(self) -> None:
        raise_problems(self._problems())

    @property
    def family(self) -> str:
        """The family of views, or `mixed` for a mixture of families."""
        return MIXED if self.weights else self.views

    @property
    def weights(self) -> dict[str, float] | None:
        """The weight of each family in a mixture. None if `views` is not a mixture."""
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
        if self.language is not None and not is_language_code(self.language):
            yield f"language={self.language!r}: give {RULE}, or remove the option."
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
        'Template of the questions: chat (the chat template of the tokenizer), plain ("Question: ... Answer:"), or'
        " auto (chat if the tokenizer has a chat template with turns, otherwise plain).",
        default="auto",
        choices=["auto", "chat", "plain"],
    )
    shots: int = _option(
        "Number of few-shot examples before each question. The examples are other questions with answers, about the"
        " relation of the question.",
        default=0,
    )
    instruction: str | None = _option(
        'Text before each question. Default: "Answer with a few words only." in the chat template, and no text in the'
        " plain template."
    )
    max_new_tokens: int = _option("Maximum length of a response, in tokens.", default=32)
    answer_language: str = _option(
        "Language of the answers. The scores ignore the articles and the punctuation of this language. The language of"
        " the documents is a separate option, language.",
        default="en",
        choices=list(LANGUAGES),
    )
    every: int | None = _option(
        "Number of optimizer steps between evaluations on all questions during training. Default: no such evaluations,"
        " because each of them generates all responses again. The option preview shows some responses in any case."
    )
    preview: int = _option(
        "Number of questions whose responses are shown during training: in each evaluation with every, and otherwise"
        " after every tenth of the steps. With 0, no responses are shown.",
        default=3,
    )
    early_stopping_patience: int | None = _option(
        "Stop the training of a stage if the score correct on the questions has not improved in this number of"
        " evaluations. Needs every. The model is that of the last step, not that of the best step. Default: train all"
        " steps."
    )
    open_book: bool = _option(
        "Also evaluate the model with the document of each question in the prompt, before and after training.",
        default=False,
    )
    compare_rag: bool = _option(
        "Also evaluate the base model with retrieval: each prompt contains the passages of the documents that BM25"
        " finds for the question (the best passage, and the best three). The report states whether the fine-tuned"
        " model or retrieval answers more questions correctly.",
        default=False,
    )
    knowledge_tokens: bool | None = _option(
        "Measure the probability of the tokens that carry facts, in views that training does not contain. Default:"
        " true if there are no questions."
    )
    general_knowledge: bool = _option(
        "Also measure what is unrelated to the documents, with the questions, instructions and text of the package:"
        " retention of general knowledge (unless retention_questions is given), chat ability (with a chat template),"
        " and perplexity on general text.",
        default=True,
    )
    replayed_questions: str | None = _option(
        "Questions about the replayed documents. Their score is reported as `replayed`."
    )
    retention_questions: str | None = _option(
        "Questions about documents that do not occur in the run. Their score is reported as `retention`. Default: the"
        " questions in `questions` whose documents do not occur in the run, and general-knowledge questions of the"
        " package, if the base model answers them correctly."
    )

    def __post_init__(self) -> None:
        problems = [
            f"evaluation.{name}={value!r}: give a number of at least {least}."
            for name, least in LEAST.items()
            if (value := getattr(self, name)) is not None and value < least
        ]
        if self.early_stopping_patience is not None and self.every is None:
            problems.append(
                f"evaluation.early_stopping_patience={self.early_stopping_patience} counts the evaluations during"
                " training, but there are none. Set evaluation.every to a number of steps, or remove"
                " evaluation.early_stopping_patience."
            )
        raise_problems(problems)


def _unknown_names(option: str, names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    if names is None or (names and set(names) <= set(known)):
        return []
    return [f"{option}={names!r}: give one or more of {', '.join(known)}, or remove the option."]


def _weights(views: str) -> dict[str, float] | None:
    """Parse the weights of a mixture of families from JSON. Return None if `views` names a single family."""
    example = '{"formats": 1, "order": 3}'
    families = (RAW, *FAMILIES)
    if views in families:
        return None
    if not views.lstrip().startswith("{"):
        raise ValueError(
            f"views={views!r} is unknown. Choose from {', '.join(families)}, or give weights such as {example}."
        )
    try:
        weights = json.loads(views)
    except json.JSONDecodeError as error:
        raise ValueError(f"views={views!r} is not valid JSON ({error}). Write weights such as {example}.") from None
    if not all(type(value) in (int, float) for value in weights.values()):
        raise ValueError(f"views={views!r}: give a number for each family, such as {example}.")
    return dict(checked_weights(weights))
