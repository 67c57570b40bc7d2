"""Chooses the few-shot examples of prompts, as SliCK does (arXiv 2405.05904).

All questions of a relation have the same examples. Their prompts therefore begin with the same tokens, which are
computed only once. If an example would give the answer to a question away, another example replaces it in the prompt
of this question.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question


class FewShotExamples:
    """Chooses the examples of prompts, and collects the questions for which there are too few.

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
        """Return the examples for a prompt of the question. They are about different facts and do not give its answer.

        Args:
            number: The number of the prompt. Prompts of one question have different examples.
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
        """Raise a `ValueError` if `choose` found fewer than `shots` examples for a question. It lists the ids."""
        if self._lacking:
            relations = (f"{relation!r} ({count})" for relation, count in Counter(self._lacking.values()).items())
            raise ValueError(
                f"shots={self.shots}: {number_of(len(self._lacking), 'question has', 'questions have')} fewer"
                f" examples: {list_ids(self._lacking)}. An example has the same relation, and another document and"
                f" fact. Questions by relation: {', '.join(relations)}. Use fewer shots, or"
                " provide more questions of these relations."
            )


def list_ids(ids: Collection[str]) -> str:
    """Return the first five ids as text for a message."""
    listed = ", ".join(repr(id) for id in list(ids)[:5])
    return f"{listed}, …" if len(ids) > 5 else listed


def _rank(*key: object) -> bytes:
    return hashlib.blake2b(repr(key).encode(), digest_size=8).digest()


def _gives_away(example: Question, question: Question) -> bool:
    same_document = question.document_id is not None and example.document_id == question.document_id
    return same_document or example.text == question.text or _same_fact(example, question)


def _same_fact(one: Question, other: Question) -> bool:
    return one.id == other.id or (one.fact_id is not None and one.fact_id == other.fact_id)
