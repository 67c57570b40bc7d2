"""Finds prompts with several answers, and repeated questions, in a collection of any size.

The index holds three integers for each prompt, and no text.
"""

from array import array

from hf_knowlearn.study.study_question import folded, stable_hash

AMBIGUOUS, REPEATED, UNIQUE = "ambiguous", "repeated", "unique"  # states of a prompt


class PromptIndex:
    """Collects the prompts and answers of all candidates. After `close`, `state` judges each prompt.

    Example:
        >>> index = PromptIndex()
        >>> index.add("Its colour is ____", "red", "q1")
        >>> index.add("Its colour is ____", "blue", "q2")
        >>> index.close()
        >>> index.state("Its colour is ____", "q1")
        'ambiguous'
    """

    def __init__(self) -> None:
        self._prompts, self._answers, self._ids = array("q"), array("q"), array("q")
        self._ambiguous: set[int] = set()
        self._repeated: set[tuple[int, int]] = set()

    def add(self, prompt: str, answer: str, question_id: str) -> None:
        """Add a prompt with its answer."""
        self._prompts.append(stable_hash(folded(prompt)))
        self._answers.append(stable_hash(folded(answer)))
        self._ids.append(stable_hash(question_id))

    def close(self) -> None:
        """Compare all prompts. Of equal prompts with the same answer, the one with the smallest hash stays."""
        import numpy

        columns = [numpy.frombuffer(each, dtype=numpy.int64) for each in (self._ids, self._answers, self._prompts)]
        order = numpy.lexsort(columns)
        ids, answers, prompts = (column[order] for column in columns)
        same = numpy.flatnonzero(prompts[1:] == prompts[:-1]) + 1
        self._ambiguous = {int(prompts[i]) for i in same if answers[i] != answers[i - 1]}
        self._repeated = {(int(prompts[i]), int(ids[i])) for i in same}

    def state(self, prompt: str, question_id: str) -> str:
        """Return "ambiguous", "repeated" or "unique"."""
        key = stable_hash(folded(prompt))
        if key in self._ambiguous:
            return AMBIGUOUS
        return REPEATED if (key, stable_hash(question_id)) in self._repeated else UNIQUE
