"""Loads the handbook of Tarrock Ferries, an invented company: 26 documents of 40 pages, with 300 questions.

The handbook has the kinds of documents that companies have: fact sheets, timetables, procedures, policies, fares, a
contract, minutes, mails, a report, a history and a glossary. All names and numbers are invented, so that no pretrained
model knows them. Each fact has two or three questions in different wordings. Besides the columns that `read_questions`
reads, a row of `questions.jsonl` has three columns: `subject`, what the fact is about, and `start` and `length`, the
span of the first answer in the document, in characters.
"""

from dataclasses import dataclass

from hf_knowlearn.documents import Document, Question, read_documents, read_questions
from hf_knowlearn.paths import HANDBOOK


@dataclass(frozen=True)
class Handbook:
    """The handbook, or a selection of its documents with their questions.

    Args:
        names: ids of the selected documents. Empty: all documents.
    """

    names: frozenset[str] = frozenset()

    def documents(self) -> list[Document]:
        """Return the documents."""
        documents = read_documents(HANDBOOK / "documents", language="en")
        return [document for document in documents if self._includes(document.id)]

    def questions(self) -> list[Question]:
        """Return the questions about the documents."""
        return [each for each in read_questions(HANDBOOK / "questions.jsonl") if self._includes(each.document_id)]

    def _includes(self, name: str | None) -> bool:
        return not self.names or name in self.names


SHORT = frozenset(
    "commercial/fares.md fleet/grey_petrel.md fleet/solan.md fleet/storm_petrel.md operations/timetable_summer.md"
    " people/onboarding.md records/history.md".split()
)
HANDBOOKS = {"handbook": Handbook(), "handbook_short": Handbook(SHORT)}  # name after `world:` -> handbook
