"""Material: all that a run reads, documents to learn, what is replayed beside them, and what is asked, by role.

Roles are `questions` (about what is taught), `rehearsed_questions` (about what is replayed) and `retention_questions`
(about what appears nowhere in the run). The surprising decision: where the recipe names none of the last, those of
`questions` that are about other documents than the run's take their place; they can't be learned, only forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.plan import documents_from, questions_from
from hf_knowlearn.recall.report import ROLES

if TYPE_CHECKING:
    from hf_knowlearn.recipe import Recipe


@dataclass(frozen=True)
class Material:
    """All that a run reads: documents to learn, what is replayed beside them, and what is asked, by role.

    Args:
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

    def counts(self) -> dict[str, int]:
        """How many documents are taught, and how many questions asked in each role."""
        return {"documents": len(self.documents), **{role: len(asked) for role, asked in self.asked.items()}}

    def sets(self) -> dict[str, Sequence[Document] | Sequence[Question]]:
        """Everything that was read, by the option that named it."""
        return {
            "documents": self.documents,
            "replay_documents": self.replay_documents,
            "replay_questions": self.replay_questions,
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


def read(recipe: "Recipe") -> Material:
    """The documents and questions that the recipe names. All that is wrong with them is told at once."""
    arguments = recipe.teach
    problems: list[str] = []

    def attempt(reader: Any, option: str) -> Any:
        try:
            return reader(getattr(arguments, option))
        except ValueError as error:
            problems.append(f"--{option}: {error}")
            return []

    documents, replayed = (attempt(documents_from, option) for option in ("documents", "replay_documents"))
    asked = {role: attempt(questions_from, role) for role in ROLES}
    material = Material(
        documents,
        replayed,
        attempt(questions_from, "replay_questions"),
        asked,
        attempt(questions_from, "ask_examples") or None,
        attempt(documents_from, "general_text") or None,
    )
    if arguments.retention_questions is None and not problems:
        material = _with_default_retention(material)
    if arguments.open_book and not problems and not material.with_documents():
        problems.append(
            "--open_book: no question names a document of the run (document_id), so there is none to open."
        )
    if problems:
        raise ValueError("\n".join(problems))
    return material


def _with_default_retention(material: Material) -> Material:
    """Questions about documents that are nowhere in the run can show what is forgotten."""
    asked, others = untaught(material.asked["questions"], [*material.documents, *material.replay_documents])
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
