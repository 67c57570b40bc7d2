"""The class `StudyQuestion`: a question whose answer is a span of a document."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hf_knowlearn.documents import Question

CLOZE, COMPLETION, CHOICE, DIRECT = QUESTION_KINDS = ("cloze", "completion", "choice", "direct")
BY_RULE = "rule"


@dataclass(frozen=True)
class StudyQuestion(Question):
    """A question whose answer is `document.text[start:start + length]`.

    Args:
        start: position of the answer in the text of the document, in characters.
        length: length of the answer, in characters.
        maker: what made the question: "rule".

    The field `fact_id` names the span of the answer, so questions about one span have the same `fact_id`.
    """

    start: int = 0
    length: int = 0
    maker: str = BY_RULE

    def row(self) -> dict[str, Any]:
        """Return the question as a row of a file for `read_questions`."""
        row: dict[str, Any] = {"id": self.id, "question": self.text, "answers": list(self.answers)}
        row |= {"document_id": self.document_id, "fact_id": self.fact_id, "start": self.start, "length": self.length}
        row |= {"kind": self.kind, "maker": self.maker}
        return {**row, "options": list(self.options)} if self.options else row


def read_study_questions(path: Path) -> Iterator[StudyQuestion]:
    """Yield the questions of a file that `write_questions` wrote.

    Raises:
        ValueError: a line is not such a question. The message names the file and the line.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                text, answers, options = row.pop("question"), tuple(row.pop("answers")), tuple(row.pop("options", ()))
                yield StudyQuestion(text=text, answers=answers, options=options, **row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{path}:{number} is not a question of `knowlearn questions` ({error}). Write the file again with"
                    " `knowlearn questions`."
                ) from None


def stable_hash(*values: object) -> int:
    """Return an integer of 63 bits that depends on the values only, and is the same on every machine."""
    return int.from_bytes(blake2b("\0".join(map(str, values)).encode(), digest_size=8).digest(), "big") >> 1


def folded(text: str) -> str:
    """Return a text in lower case with single spaces. Two answers or prompts with the same result count as equal."""
    return " ".join(text.casefold().split())
