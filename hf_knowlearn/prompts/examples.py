"""Few-shot examples for the questions of a relation."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from hf_knowlearn.documents import Question

if TYPE_CHECKING:
    pass


class _Examples:
    """Examples for the questions of a relation: the pool in an order that the seed and the prompt number fix."""

    def __init__(self, pool: Iterable[Question], shots: int, seed: int) -> None:
        self.shots, self.seed = shots, seed
        self.pool: dict[str | None, list[Question]] = defaultdict(list)
        self.orders: dict[tuple[str | None, int], list[Question]] = {}
        self.short: dict[str, str | None] = {}  # question id -> relation
        if shots:
            for question in pool:
                self.pool[question.relation].append(question)

    def of(self, question: Question, number: int) -> list[Question]:
        """The first of the order that neither tell what `question` asks for nor one another's fact."""
        shown: list[Question] = []
        for other in self._order(question.relation, number) if self.shots else ():
            if _gives_away(other, question) or any(_same_fact(other, one) for one in shown):
                continue
            shown.append(other)
            if len(shown) == self.shots:
                return shown
        if len(shown) < self.shots:
            self.short[question.id] = question.relation
        return shown

    def _order(self, relation: str | None, number: int) -> list[Question]:
        key = (relation, number)
        if key not in self.orders:
            self.orders[key] = sorted(self.pool[relation], key=lambda q: _draw(self.seed, relation, number, q.id))
        return self.orders[key]

    def refuse_shortage(self) -> None:
        if self.short:
            relations = (f"{relation!r} ({count})" for relation, count in Counter(self.short.values()).items())
            raise ValueError(
                f"shots={self.shots}, and {len(self.short)} questions find fewer examples of their relation that are"
                f" of other documents and facts than their own: {_listed(self.short)}. So many by relation:"
                f" {', '.join(relations)}. Ask with fewer shots, or give a larger pool."
            )


def _draw(*key: object) -> bytes:
    return hashlib.blake2b(repr(key).encode(), digest_size=8).digest()


def _gives_away(example: Question, question: Question) -> bool:
    same_document = question.document_id is not None and example.document_id == question.document_id
    return same_document or example.text == question.text or _same_fact(example, question)


def _same_fact(one: Question, other: Question) -> bool:
    return one.id == other.id or (one.fact_id is not None and one.fact_id == other.fact_id)


def _listed(ids: Collection[str]) -> str:
    shown = ", ".join(repr(id) for id in list(ids)[:5])
    return f"{shown}, …" if len(ids) > 5 else shown
