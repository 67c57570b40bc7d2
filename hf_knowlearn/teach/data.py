"""Material: all that a run reads, documents and questions to learn, what is replayed, and what is asked, by role.

Roles are `questions` (about what is taught), `replayed_questions` (about what is replayed) and `retention_questions`
(about what appears nowhere in the run). The surprising decision: where the recipe names none of the last, those of
`questions` that are about other documents than the run's take their place; they can't be learned, only forgotten.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hf_knowlearn.config.teach_arguments import READ
from hf_knowlearn.documents import Conversation, Document, Question
from hf_knowlearn.reports.tables import ROLES
from hf_knowlearn.teach.sources import load_conversations, load_documents, load_questions, load_replay_prompts

if TYPE_CHECKING:
    from hf_knowlearn.config.parsing import Recipe
    from hf_knowlearn.generation.free_text import GeneratedText

# The options that name what is trained on; and those that name documents, where the others name questions.
TRAINED_ON = (*READ, "replay_documents", "replay_questions")
DOCUMENTS = ("documents", "train_documents", "replay_documents", "general_text")


@dataclass(frozen=True)
class RunData:
    """All that a run reads: documents to learn, what is replayed beside them, and what is asked, by role.

    Args:
        train_documents, train_questions, train_conversations: read as `documents` are, but not what is asked about.
        openings: what the texts that the model itself writes to be replayed begin with.
        replay_self: these texts, as soon as they are written.
        stages: what each stage is trained on. None where the run is all one; then it is what the run itself has.
        examples: answered questions that go before those that are asked; None: drawn from these themselves.
        general_text: documents on which the taught model is compared with what it was; None: it writes them itself.
        retention: where the questions of retention come from, in words, or why there are none.
    """

    documents: list[Document]
    replay_documents: list[Document]
    replay_questions: list[Question]
    asked: dict[str, list[Question]]
    examples: list[Question] | None = None
    general_text: list[Document] | None = None
    retention: str = ""
    train_documents: list[Document] = field(default_factory=list)
    train_questions: list[Question] = field(default_factory=list)
    train_conversations: list[Conversation] = field(default_factory=list)
    openings: list[str | Question] = field(default_factory=lambda: [""])
    replay_self: "list[GeneratedText]" = field(default_factory=list)
    stages: "tuple[RunData, ...]" = ()

    @property
    def steps(self) -> "tuple[RunData, ...]":
        """What each stage is trained on, or the run itself, which is then the only one."""
        return self.stages or (self,)

    def taught(self, reads: Sequence[str] | None) -> tuple[list[Document], list[Question]]:
        """The documents and the questions of the sets that are to be read; None: of all."""
        sets = [name for name in READ if reads is None or name in reads]
        documents = [d for name in sets if name in DOCUMENTS for d in getattr(self, name)]
        return documents, self.train_questions if "train_questions" in sets else []

    def mastered(self) -> list[Question]:
        """The questions whose mastery is classified: those that are trained on, else those that are asked."""
        return self.train_questions or self.asked["questions"]

    def counts(self) -> dict[str, int]:
        """How many documents are taught, and questions asked in each role; what is trained on beside, if anything."""
        beside = {name: len(getattr(self, name)) for name in READ if name != "documents"}
        asked = {role: len(questions) for role, questions in self.asked.items()}
        return {"documents": len(self.documents), **{name: n for name, n in beside.items() if n}, **asked}

    def sets(self) -> dict[str, Sequence[Any]]:
        """Everything that was read, by the option that named it."""
        return {
            "documents": self.documents,
            "train_documents": self.train_documents,
            "train_questions": self.train_questions,
            "train_conversations": self.train_conversations,
            "replay_documents": self.replay_documents,
            "replay_questions": self.replay_questions,
            "replay_self": self.replay_self,
            "ask_examples": self.examples or [],
            "general_text": self.general_text or [],
            **self.asked,
        }

    def with_documents(self) -> list[Question]:
        """The questions that can be asked open book: those about a document that is taught."""
        ids = {document.id for document in self.documents}
        return [question for question in self.asked["questions"] if question.document_id in ids]

    @property
    def is_edited(self) -> bool:
        """Whether the questions say what they ask of an edited fact, so that the editing scores mean something."""
        return any(question.kind is not None for question in self.asked["questions"])


def read(recipe: "Recipe") -> RunData:
    """The documents and questions that the recipe and its stages name. All that is wrong with them is told at once."""
    arguments = recipe.teach
    problems: dict[str, None] = {}  # in order, each once
    shelf: dict[tuple[str, str | None], Any] = {}

    def attempt(option: str, source: str | None) -> Any:
        reader: Callable[[str | None], Any] = load_documents if option in DOCUMENTS else load_questions
        reader = load_conversations if option == "train_conversations" else reader
        if (option, source) not in shelf:
            try:
                shelf[option, source] = reader(source)
            except ValueError as error:
                problems[f"--{option}: {error}"] = None
                shelf[option, source] = []
        return shelf[option, source]

    def trained_on(stages: "Sequence[Recipe]") -> dict[str, Any]:
        """What these stages read, one after the other, and nothing twice."""
        named = {option: sources(option, stages) for option in TRAINED_ON}
        return {option: [of for source in named[option] for of in attempt(option, source)] for option in TRAINED_ON}

    openings: list[str | Question] = [""]
    try:
        openings = load_replay_prompts(arguments.replay_self_prompts)
    except ValueError as error:
        problems[f"--replay_self_prompts: {error}"] = None
    problems.update(dict.fromkeys(_problems_of_self_replay(recipe)))
    material = RunData(
        **trained_on(recipe.steps),
        asked={role: attempt(role, getattr(arguments, role)) for role in ROLES},
        examples=attempt("ask_examples", arguments.ask_examples) or None,
        general_text=attempt("general_text", arguments.general_text) or None,
        openings=openings,
    )
    stages = tuple(replace(material, **trained_on([stage])) for stage in recipe.stages)
    material = replace(material, stages=stages)
    if arguments.retention_questions is None and not problems:
        material = _with_default_retention(material)
    if arguments.open_book and not problems and not material.with_documents():
        why = "--open_book: no question names a document of the run (document_id), so there is none to open."
        problems[why] = None
    if problems:
        raise ValueError("\n".join(problems))
    return material


def _problems_of_self_replay(recipe: "Recipe") -> Iterator[str]:
    arguments = recipe.teach
    is_on = any(stage.teach.replay_self for stage in recipe.steps)
    if arguments.replay_self_prompts is not None and not is_on:
        yield "--replay_self_prompts: no text is sampled to be replayed: set replay_self to how many there shall be."
    if any(stage.teach.replay_kl for stage in recipe.steps) and not is_on:
        yield "--replay_kl: no text is sampled to be replayed: set replay_self to how many there shall be."
    if arguments.from_scratch and is_on:
        yield "--replay_self: a model from scratch knows nothing to be reminded of: leave replay_self out."


def sources(option: str, stages: "Sequence[Recipe]") -> list[str]:
    """What these stages name by an option, each source once; of a set that is trained on, only where it is read."""

    def is_read(stage: "Recipe") -> bool:
        of_it = {*(stage.teach.reads or READ), *(["train_questions"] if stage.teach.replay_categories else [])}
        return option not in READ or option in of_it

    named = dict.fromkeys(getattr(stage.teach, option) for stage in stages if is_read(stage))
    return [source for source in named if source is not None]


def _with_default_retention(material: RunData) -> RunData:
    """Questions about documents that are nowhere in the run can show what is forgotten."""
    documents = [*material.documents, *material.train_documents, *material.replay_documents]
    asked, others = untaught(material.asked["questions"], documents)
    return replace(material, asked={**material.asked, "questions": asked, "retention_questions": others})


def untaught(questions: Iterable[Question], documents: Iterable[Document]) -> tuple[list[Question], list[Question]]:
    """Questions about `documents` (or about none that is named), and those about others.

    Where none is about a document of these, their ids are of another kind, and nothing can be told apart.
    """
    questions, ids = list(questions), {document.id for document in documents}
    within: list[Question] = []
    beyond: list[Question] = []
    for question in questions:
        (within if question.document_id is None or question.document_id in ids else beyond).append(question)
    named = any(question.document_id is not None for question in within)
    return (within, beyond) if named else (questions, [])
