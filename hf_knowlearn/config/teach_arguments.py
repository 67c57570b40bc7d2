"""Our own options of a run, those that neither TRL nor transformers has, each with its help and its check.

The surprising decision: they are one flat dataclass, because TRL's parser, the command line and a stage of a recipe
all know an option by its bare name alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from hf_knowlearn.evaluation.mastery import CATEGORIES
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES
from hf_knowlearn.views import FAMILIES, GROUPS
from hf_knowlearn.views.formats import allowed_groups
from hf_knowlearn.views.mixed import checked_weights
from hf_knowlearn.views.parts import SHORTEST_PART

# What can be trained on.
READ = ("documents", "train_documents", "train_questions", "train_conversations")


@dataclass
class TeachArguments:
    """What is taught, how it is told, what is rehearsed beside it, and what is asked before and after."""

    documents: str | None = field(
        default=None,
        metadata={
            "help": "What to teach: a file (.txt .md .jsonl .json .csv .tsv .parquet; .pdf .docx .pptx .html .epub"
            " with the documents extra), a folder of them, a dataset on the Hub, or world:SPLIT for made-up people."
        },
    )
    train_documents: str | None = field(
        default=None,
        metadata={"help": "Documents to read beside them, whose questions are known: those of `train_questions`."},
    )
    train_questions: str | None = field(
        default=None,
        metadata={"help": "Questions with answers to train on (loss on the answer alone); not those that are asked."},
    )
    train_conversations: str | None = field(
        default=None,
        metadata={
            "help": 'A .jsonl of conversations to train on, {"messages": [{"role": ..., "content": ...}, ...]} as TRL'
            " has them, with tools if need be; the loss is on what the assistant says alone."
        },
    )
    reads: list[str] | None = field(
        default=None,
        metadata={"help": f"Which of these is trained on: {', '.join(READ)}. None: all that are given."},
    )
    question_order: str = field(
        default="shuffled",
        metadata={
            "help": "Where the questions that are trained on stand: shuffled among the documents, or right before the"
            " document that each is about (arXiv 2402.12847).",
            "choices": ["shuffled", "before"],
        },
    )
    questions: str | None = field(
        default=None, metadata={"help": "A .jsonl of questions to ask before and after, or world:SPLIT."}
    )
    views: str = field(
        default="formats",
        metadata={
            "help": "How each document is told: as it is, in formats, with its sentences in other orders (and in"
            " formats), as a request to restore it from a part of its words, or in these families by turns.",
            "choices": ["raw", *FAMILIES],
        },
    )
    num_views: int = field(default=12, metadata={"help": "Tellings of a document, read one after the other."})
    view_weights: dict[str, float] | str | None = field(
        default=None,
        metadata={
            "help": 'With views: mixed, the share of each family, such as {"order": 3, "masked": 2}. None:'
            ' {"formats": 1, "order": 3}.'
        },
    )
    format_groups: list[str] | None = field(
        default=None, metadata={"help": f"Groups of formats to draw from ({', '.join(GROUPS)}). None: all of them."}
    )
    hold_out: str | None = field(
        default=None,
        metadata={"help": "A group of formats that is never drawn, to be measured on.", "choices": GROUPS},
    )
    document_template: str = field(
        default="plain",
        metadata={
            "help": "How a document that is taught stands: as plain text, or in the tokenizer's chat template as what"
            ' the assistant says to "Tell me about TITLE." (the loss is on that alone). Replay is plain text.',
            "choices": ["plain", "chat"],
        },
    )
    part_tokens: int = field(
        default=512, metadata={"help": "A document longer than this many tokens is cut into parts at sentence ends."}
    )
    replay_documents: str | None = field(
        default=None, metadata={"help": "Documents that the model knows already, read again in every batch."}
    )
    replay_questions: str | None = field(
        default=None, metadata={"help": "Questions with answers, read in every batch (loss on the answer alone)."}
    )
    replay_share: float = field(
        default=0.25, metadata={"help": "Share of every batch that is replayed, when there is something to replay."}
    )
    replay_self: int = field(
        default=0,
        metadata={
            "help": "Replay so many texts as well that the model itself writes before it is taught (at temperature 1;"
            " once, into replay.self.jsonl; none that the run would not read): for who doesn't have what the model was"
            " trained on. 0: none."
        },
    )
    replay_self_prompts: list[str] | None = field(
        default=None,
        metadata={
            "help": "What these texts begin with, by turns: words (whole ones), a file with one a line, or a .jsonl of"
            " questions, whose answers aren't read; \"\" is nothing but the tokenizer's beginning token, else its end"
            " token, and general:questions are some that come with the package. It is not trained on, what the model"
            ' wrote behind it is. None: "" and general:questions.'
        },
    )
    replay_self_tokens: int = field(default=256, metadata={"help": "Such a text is cut after this many tokens."})
    replay_kl: float = field(
        default=0.0,
        metadata={
            "help": "Weight with which such texts are trained to be foretold as the model foretold them (KL to it,"
            " summed over its vocabulary); 0: as all other text. Without an adapter a frozen copy of the model is held"
            " for it: as much memory again as its weights."
        },
    )
    train_categories: list[str] | None = field(
        default=None,
        metadata={
            "help": "Train on those questions alone that are in one of these classes of mastery when the stage begins:"
            f" {', '.join(CATEGORIES)}. Needs classify."
        },
    )
    train_improved: bool = field(
        default=False,
        metadata={"help": "Of these, only the questions whose class has risen since before the first stage."},
    )
    replay_categories: list[str] | None = field(
        default=None,
        metadata={
            "help": "Replay the questions of these classes as well, of those to train on that the stage doesn't."
        },
    )
    classify: bool = field(
        default=False,
        metadata={
            "help": "Before the first stage and after this one, sort the questions to train on (where there are none,"
            " those that are asked) by how well they are known (arXiv 2405.05904)."
        },
    )
    classify_preset: str = field(
        default="full",
        metadata={
            "help": "How often each is asked for that: 10 prompts and 160 samples (full), or less often (quick).",
            "choices": ["full", "quick"],
        },
    )
    adapter: str = field(
        default="continue",
        metadata={
            "help": "What a stage does with the adapter of the one before: train it on, merge it into the model and"
            " begin a new one, or drop it and begin a new one.",
            "choices": ["continue", "merge", "new"],
        },
    )
    replayed_questions: str | None = field(
        default=None, metadata={"help": "Questions about the replayed documents; reported as `rehearsed`."}
    )
    retention_questions: str | None = field(
        default=None,
        metadata={
            "help": "Questions about what appears nowhere in the run; reported as `retention`. None: those of"
            " `questions` that are about other documents than the run's, as far as they were answered right before."
        },
    )
    open_book: bool = field(
        default=False,
        metadata={"help": "Ask the untaught model once more with each question's document before the question."},
    )
    knowledge_tokens: bool | None = field(
        default=None,
        metadata={
            "help": "Measure how probable the tokens that carry facts are where the documents are told in formats and"
            " orders that the run never reads. None: where no questions are given."
        },
    )
    general_text: str | None = field(
        default=None,
        metadata={
            "help": "Documents of general text, on which the taught model's predictions are compared with those of"
            " before (KL divergence). None: text that the model itself writes before it is taught."
        },
    )
    sharpness: float | None = field(
        default=None,
        metadata={
            "help": "Measure before and after by how much the loss rises this far along the gradient, and along random"
            " directions: a length over all trained weights together, as sam_rho is, such as 0.05 (for LoRA 0.01)."
            " Each time it takes about as long as training on 450 rows. None: not measured."
        },
    )
    ask_shots: int = field(
        default=0, metadata={"help": "Answered questions of the same relation that go before each question."}
    )
    ask_examples: str | None = field(
        default=None, metadata={"help": "Questions to draw those from. None: from the questions that are asked."}
    )
    ask_samples: int = field(default=0, metadata={"help": "Sampled answers to each question, beside the greedy one."})
    ask_temperature: float = field(default=0.5, metadata={"help": "Temperature of the sampled answers."})
    ask_template: str = field(
        default="plain",
        metadata={
            "help": '"Question: ... Answer:" (plain), the tokenizer\'s chat template, or auto: chat where it has one.',
            "choices": ["plain", "chat", "auto"],
        },
    )
    ask_instruction: str = field(default="", metadata={"help": "What stands before every question."})
    ask_every: int | None = field(
        default=None, metadata={"help": "Ask every so many optimizer steps as well. None: before and after alone."}
    )
    ask_batch_size: int = field(default=128, metadata={"help": "Questions asked at once."})
    max_answer_tokens: int = field(default=32, metadata={"help": "An answer is cut after this many tokens."})
    answer_language: str = field(
        default="en",
        metadata={"help": "Whose articles and punctuation don't count in an answer.", "choices": list(LANGUAGES)},
    )
    from_scratch: bool = field(
        default=False,
        metadata={"help": "Start from an untrained tiny Llama and a tokenizer made of the run's own texts."},
    )
    arm: str = field(default="taught", metadata={"help": "What the report calls this run."})
    hub_license: str | None = field(
        default=None,
        metadata={
            "help": "With push_to_hub, the licence under which what was taught is published. None: that of its"
            " documents, where they are datasets on the Hub that name one."
        },
    )
    overwrite: bool = field(default=False, metadata={"help": "Delete the run that the output folder holds."})

    def __post_init__(self) -> None:
        problems = [
            f"{name}={getattr(self, name)!r}: give 1 or more."
            for name in ("num_views", "ask_batch_size", "max_answer_tokens", "ask_every", "replay_self_tokens")
            if getattr(self, name) is not None and getattr(self, name) < 1
        ]
        problems += [
            f"{name}={getattr(self, name)!r}: give 0 or more."
            for name in ("ask_shots", "ask_samples", "replay_self")
            if getattr(self, name) < 0
        ]
        if not 0 < self.ask_temperature < inf:
            problems.append(f"ask_temperature={self.ask_temperature!r}: give a number above 0.")
        try:
            self.view_weights = _weights(self.view_weights, self.views)
            allowed_groups(1, self.format_groups, self.hold_out)
        except ValueError as error:
            problems.append(str(error))
        problems += _unknown_names("reads", self.reads, READ)
        problems += _unknown_names("train_categories", self.train_categories, CATEGORIES)
        problems += _unknown_names("replay_categories", self.replay_categories, CATEGORIES)
        if not 0 <= self.replay_kl < inf:
            problems.append(f"replay_kl={self.replay_kl!r}: give a number of 0 or more; 1 weighs it as other tokens.")
        if self.sharpness is not None and not 0 < self.sharpness < inf:
            problems.append(f"sharpness={self.sharpness!r}: give a length above 0, or leave it out.")
        if self.part_tokens < SHORTEST_PART:
            problems.append(f"part_tokens={self.part_tokens!r}: give {SHORTEST_PART} or more.")
        if not 0 <= self.replay_share < 1:
            problems.append(f"replay_share={self.replay_share!r}: give a share from 0 up to, not including, 1.")
        if problems:
            raise ValueError("\n".join(problems))


def _unknown_names(option: str, names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    if names is None or (names and set(names) <= set(known)):
        return []
    return [f"{option}={names!r}: give one or more of {', '.join(known)}, or leave it out."]


def _weights(given: Mapping[str, float] | str | None, views: str) -> dict[str, float] | None:
    """The weights of the families, which a command line gives as JSON."""
    if given is None:
        return None
    if views != "mixed":
        raise ValueError(f"view_weights={given!r} with views={views!r}: weights need views: mixed.")
    try:
        weights = json.loads(given) if isinstance(given, str) else dict(given)
    except json.JSONDecodeError as error:
        raise ValueError(
            f'view_weights={given!r} is not JSON ({error}): write {{"formats": 1, "order": 1}}.'
        ) from None
    if not isinstance(weights, dict) or not all(type(value) in (int, float) for value in weights.values()):
        raise ValueError(f'view_weights={given!r}: give a number for each family, as in {{"formats": 1, "order": 1}}.')
    return dict(checked_weights(weights))
