"""Collects answers of all documents, and chooses wrong options for choice questions from them."""

from collections import defaultdict
from collections.abc import Container

from hf_knowlearn.study.study_question import folded, stable_hash

_SIZE = 24  # answers of a pool
_WRONG = 3  # wrong options of a question


class OptionPool:
    """For each pool, the answers with the smallest hashes. They do not depend on the order of the documents."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._pools: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)

    def add(self, pool: str, answer: str) -> None:
        """Add an answer to a pool."""
        entry, answers = (stable_hash(self.seed, answer), answer), self._pools[pool]
        key = folded(answer)
        answers[key] = min(entry, answers.get(key, entry))
        if len(answers) > 2 * _SIZE:
            self._pools[pool] = dict(sorted(answers.items(), key=lambda item: item[1])[:_SIZE])

    def options(self, pool: str, answer: str, question: str, in_document: Container[str]) -> tuple[str, ...]:
        """Return the answer and three wrong options in random order, or () if the pool has too few answers.

        Args:
            question: the text of the question. It also determines the order.
            in_document: the facts in lower case of the document, which are no wrong options.
        """
        smallest = sorted(self._pools.get(pool, {}).items(), key=lambda item: item[1])[:_SIZE]
        shown, right = folded(question), folded(answer)
        possible = [
            option
            for key, (_, option) in smallest
            if key not in in_document and key not in shown and key not in right and right not in key
        ]
        wrong = sorted(possible, key=lambda option: stable_hash(self.seed, question, option))[:_WRONG]
        if len(wrong) < _WRONG:
            return ()
        return tuple(sorted([answer, *wrong], key=lambda option: stable_hash(self.seed, option, question)))
