"""Chooses the few-shot examples of prompts, as SliCK does (arXiv 2405.05904).

All questions of a relation have the same examples. Their prompts therefore begin with the same tokens, which are
computed only once. An example that would give away the answer to a question is replaced by another example in the
prompt of this question.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.prompts.option_names import option


class FewShotExamples:
    """Chooses the examples of prompts, and collects the questions for which there are too few examples.

    Args:
        pool: The questions to choose from.
        shots: The number of examples in a prompt.
        seed: The seed of the order in which examples are chosen.
    """

    def __init__(self, pool: Iterable[Question], shots: int, seed: int) -> None:
        self.shots, self.seed = shots, seed
        self._pool: dict[str | None, list[Question]] = defaultdict(list)
        self._orders: dict[tuple[str | None, int], list[Question]] = {}
        self._lacking: dict[str, str | None] = {}  # question id -> relation
        if shots:
            for question in pool:
                self._pool[question.relation].append(question)

    def choose(self, question: Question, number: int) -> list[Question]:
        """Return the examples for a prompt of the question. No example gives away the answer to the question.

        Args:
            number: The number of the prompt. Prompts with different numbers have different examples.
        """
        chosen: list[Question] = []
        for other in self._order(question.relation, number) if self.shots else ():
            if len(chosen) == self.shots:
                break
            if not _gives_away(other, question) and not any(_same_fact(other, one) for one in chosen):
                chosen.append(other)
        if len(chosen) < self.shots:
            self._lacking[question.id] = question.relation
        return chosen

    def _order(self, relation: str | None, number: int) -> list[Question]:
        key = (relation, number)
        if key not in self._orders:
            self._orders[key] = sorted(self._pool[relation], key=lambda q: _rank(self.seed, relation, number, q.id))
        return self._orders[key]

    def check(self) -> None:
        """Raise a `ValueError` that lists the questions for which `choose` found fewer than `shots` examples."""
        if self._lacking:
            relations = (f"{relation!r} ({count})" for relation, count in Counter(self._lacking.values()).items())
            raise ValueError(
                f"{option('shots', self.shots)}: {number_of(len(self._lacking), 'question has', 'questions have')}"
                f" fewer than {self.shots} examples: {list_ids(self._lacking)}. An example must have the relation of"
                " the question, but another document and another fact. Number of these questions by relation:"
                f" {', '.join(relations)}. Use fewer shots, or provide more questions of these relations."
            )


def list_ids(ids: Collection[str]) -> str:
    """Return a text for a message that lists the first five ids."""
    listed = ", ".join(repr(id) for id in list(ids)[:5])
    return f"{listed}, …" if len(ids) > 5 else listed


def _rank(*key: object) -> bytes:
    return hashlib.blake2b(repr(key).encode(), digest_size=8).digest()


def _gives_away(example: Question, question: Question) -> bool:
    same_document = question.document_id is not None and example.document_id == question.document_id
    return same_document or example.text == question.text or _same_fact(example, question)


def _same_fact(one: Question, other: Question) -> bool:
    return one.id == other.id or (one.fact_id is not None and one.fact_id == other.fact_id)
