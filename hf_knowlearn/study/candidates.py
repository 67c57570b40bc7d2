"""The class `Candidate`: a possible question, before it is compared with the questions of all documents."""

from dataclasses import dataclass
from typing import Any

from hf_knowlearn.study.study_question import stable_hash

BLANK = "____"
MOST_ANSWER_WORDS = 10


@dataclass(frozen=True)
class Candidate:
    """A possible question about a document.

    Args:
        prompts: wordings of the question. Later wordings name more of the document's title and section. The first
            wording that has one answer in the whole collection is used.
        answer: the answer, which is `document.text[start:start + len(answer)]`.
        kind: one of `QUESTION_KINDS`.
        pool: name of the answers that can be options of a choice question with this answer.
    """

    prompts: tuple[str, ...]
    answer: str
    start: int
    kind: str
    pool: str = ""

    def id(self, document_id: str) -> str:
        """Return the id of the question, which is the same in every order of the documents."""
        return f"{document_id}:{self.kind}:{self.start}:{stable_hash(self.prompts[0]):016x}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as values for JSON."""
        return dict(vars(self))
