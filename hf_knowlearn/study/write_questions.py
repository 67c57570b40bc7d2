"""Makes questions from documents by rule, and writes them to a file.

The documents are read once. Their candidates go to a temporary file, and the memory holds only hashes of the prompts.
A second pass over the candidates then chooses the questions with one answer in the whole collection.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO

from hf_knowlearn import atomic_files
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document
from hf_knowlearn.study.candidates import Candidate
from hf_knowlearn.study.direct_questions import direct_candidates
from hf_knowlearn.study.option_pool import OptionPool
from hf_knowlearn.study.prompt_index import AMBIGUOUS, REPEATED, UNIQUE, PromptIndex
from hf_knowlearn.study.sentence_questions import sentence_candidates
from hf_knowlearn.study.study_question import CHOICE, CLOZE, DIRECT, QUESTION_KINDS, StudyQuestion, folded
from hf_knowlearn.study.typed_facts import typed_facts


@dataclass
class QuestionSummary:
    """The result of `write_questions`.

    Args:
        documents: number of documents.
        characters: number of characters of the documents.
        accepted: number of questions, by kind.
        rejected: number of facts and candidates without a question, by reason.
        without: ids of the documents without a question.
    """

    documents: int = 0
    characters: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    without: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as values for JSON. The most frequent kinds and reasons come first."""
        accepted, rejected = (dict(each.most_common()) for each in (self.accepted, +self.rejected))
        counts = {"documents": self.documents, "characters": self.characters, "questions": self.accepted.total()}
        return {**counts, "accepted": accepted, "rejected": rejected, "documents_without_a_question": self.without}


def write_questions(
    documents: Iterable[Document], path: Path, kinds: Collection[str] = QUESTION_KINDS, seed: int = 0
) -> QuestionSummary:
    """Make questions from documents by rule, and write them to a `.jsonl` file for `read_questions`.

    The questions do not depend on the order of the documents. The file has them in this order.

    Args:
        documents: the documents. They are read once, one at a time.
        path: the file. It is written completely or not at all.
        kinds: the kinds of questions, from `QUESTION_KINDS`.
        seed: chooses the facts of sentences with many facts, and the wrong options of choice questions.

    Raises:
        ValueError: no question can be made. The message has the reasons.
    """
    summary, index, pool = QuestionSummary(), PromptIndex(), OptionPool(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile("w+", encoding="utf-8", dir=path.parent) as spool, atomic_files.atomic_write(path) as draft:
        for document in documents:
            _collect(document, kinds, seed, spool, summary, index, pool)
        index.close()
        spool.seek(0)
        with draft.open("w", encoding="utf-8") as file:
            for line in spool:
                for question in _questions(json.loads(line), kinds, summary, index, pool):
                    file.write(json.dumps(question.row(), ensure_ascii=False) + "\n")
        if not summary.accepted:
            raise ValueError(no_questions(summary))
    return summary


def no_questions(summary: QuestionSummary) -> str:
    """Return the error message for documents without any question."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in (+summary.rejected).most_common(5))
    found = f"Facts without a question, by reason: {reasons}." if reasons else "The documents have no facts."
    return (
        f"No question can be made from {number_of(summary.documents, 'document')}. {found} Questions are made from"
        " prose, tables and lists with names, dates or numbers. Give other documents or more --kinds, or write the"
        " questions yourself."
    )


def candidates(
    document: Document, kinds: Collection[str], seed: int, rejected: Counter[str]
) -> tuple[list[Candidate], list[str]]:
    """Return the possible questions about a document, and its facts in lower case."""
    facts = typed_facts(document)
    found = list(direct_candidates(document, rejected)) if DIRECT in kinds else []
    if {*kinds} - {DIRECT}:
        found += sentence_candidates(document, facts, kinds, seed, rejected)
    return found, sorted({folded(document.text[fact.start : fact.end]) for fact in facts})


def _collect(
    document: Document,
    kinds: Collection[str],
    seed: int,
    spool: TextIO,
    summary: QuestionSummary,
    index: PromptIndex,
    pool: OptionPool,
) -> None:
    """Write the candidates of a document to the temporary file, and add them to the index and the pool."""
    found, facts = candidates(document, kinds, seed, summary.rejected)
    summary.documents += 1
    summary.characters += len(document.text)
    for candidate in found:
        for prompt in candidate.prompts:
            index.add(prompt, candidate.answer, candidate.id(document.id))
        if candidate.pool:
            pool.add(candidate.pool, candidate.answer)
    row = {"id": document.id, "facts": facts, "candidates": [candidate.as_dict() for candidate in found]}
    spool.write(json.dumps(row) + "\n")


def _questions(
    row: dict[str, Any], kinds: Collection[str], summary: QuestionSummary, index: PromptIndex, pool: OptionPool
) -> Iterator[StudyQuestion]:
    """Yield the questions of a document, and count them."""
    facts, has_question = frozenset(row["facts"]), False
    for values in row["candidates"]:
        candidate = Candidate(**{**values, "prompts": tuple(values["prompts"])})
        name = candidate.id(row["id"])
        options: tuple[str, ...] = ()
        prompt, reason = _wording(candidate, name, index)
        kind = candidate.kind
        if not reason and kind == CHOICE:
            options = pool.options(candidate.pool, candidate.answer, prompt, facts)
            kind = CHOICE if options else CLOZE
            reason = "" if kind in kinds else "too few options"
        if reason:
            summary.rejected[reason] += 1
            continue
        has_question = True
        summary.accepted[kind] += 1
        place = {"start": candidate.start, "length": len(candidate.answer), "document_id": row["id"]}
        fact = f"{row['id']}:{candidate.start}:{len(candidate.answer)}"
        answers = (candidate.answer,)
        yield StudyQuestion(name, prompt, answers, fact_id=fact, options=options, kind=kind, **place)
    if not has_question:
        summary.without.append(row["id"])


def _wording(candidate: Candidate, question_id: str, index: PromptIndex) -> tuple[str, str]:
    """Return the first wording of a question that has one answer, or an empty wording and why there is none."""
    for prompt in candidate.prompts:
        state = index.state(prompt, question_id)
        if state == UNIQUE:
            return prompt, ""
        if state == REPEATED:
            return "", REPEATED
    return "", AMBIGUOUS
