"""Guessing control: the score of a model that always gives the most common answer to questions of the same type.

A fine-tuned model may learn which answers are common, such as "2023" for the year of a film, without learning a fact.
A gain counts only as far as it is above this score.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.standard_errors import documents_of
from hf_knowlearn.knowledge_recall import correct, score
from hf_knowlearn.knowledge_recall.correctness import answer_key

QUESTION_WORDS = frozenset({"who", "whom", "whose", "when", "where", "why", "which", "what", "how"})
WITH_NOUN = frozenset({"which", "what", "how"})  # question words whose next word is part of the type
SKIPPED = frozenset("a an the is are was were do does did has have had".split())  # words between these two words


@dataclass(frozen=True)
class Guessing:
    """The score of the most common answers.

    Args:
        correct: share of the questions for which the guess is correct.
        correct_se: standard error of `correct`, clustered by document if all questions have a `document_id`.
        n: number of questions.
        examples: the guesses that are correct most often, each with the `type` of its questions, the number `n` of
            questions of this type, the `answer`, and how often it is `correct`.
    """

    correct: float
    correct_se: float
    n: int
    examples: tuple[dict[str, Any], ...]

    def figures(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return {"correct": self.correct, "correct_se": self.correct_se, "n": self.n, "examples": list(self.examples)}


def guessing(questions: Sequence[Question], language: str = "en", examples: int = 3) -> Guessing:
    """Return the score of the most common answer to the questions of each type (see `question_type`).

    The guess for a question is the accepted answer to the questions of its type that occurs in most facts. Questions
    with the same `fact_id` are one fact. An answer that occurs in a single fact is no guess, because it is not common,
    so questions without a common answer count as wrong. If several answers are equally common, the first one is the
    guess.

    Args:
        questions: at least one question.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        examples: maximum number of examples.

    Example:
        >>> years = [Question(f"q{i}", f"When was film {i} released?", (year,)) for i, year in enumerate(["2023"] * 3)]
        >>> guessing(years).correct
        1.0
    """
    types = [question_type(question) for question in questions]
    guesses = _guesses(questions, types, language)
    references = [list(question.answers) for question in questions]
    found = score(guesses, references, documents=documents_of(questions), language=language)
    right = Counter(
        (kind, guess)
        for kind, guess, answers in zip(types, guesses, references, strict=True)
        if guess and correct(guess, answers, language)
    )
    sizes = Counter(types)
    shown = tuple(
        {"type": kind, "n": sizes[kind], "answer": guess, "correct": number}
        for (kind, guess), number in right.most_common(examples)
    )
    return Guessing(found["correct"], found["correct_se"], len(questions), shown)


def question_type(question: Question) -> str:
    """Return the relation of a question. Without a relation, return the type that the words of the question show.

    This type is the first question word. After "which", "what" and "how", the next word belongs to the type; "which"
    and "what" are the same type. Without a question word, the type is the first two words.

    Example:
        >>> question_type(Question("q1", 'In which year was "Web" made?', ("2023",)))
        'what year'
    """
    if question.relation is not None:
        return question.relation
    words = re.findall(r"\w+", question.text.lower())
    place = next((i for i, word in enumerate(words) if word in QUESTION_WORDS), None)
    if place is None:
        return " ".join(words[:2])
    word, *rest = words[place:]
    nouns = [each for each in rest if each not in SKIPPED][: word in WITH_NOUN]
    return " ".join(["what" if word == "which" else word, *nouns])


def _guesses(questions: Sequence[Question], types: Sequence[str], language: str) -> list[str]:
    """Return the guess for each question, or "" if no answer to questions of its type occurs in two facts."""
    key, texts = answer_key(language), dict[Hashable, str]()
    facts: dict[str, dict[Hashable, set[str]]] = defaultdict(lambda: defaultdict(set))  # type -> answer -> facts
    for question, kind in zip(questions, types, strict=True):
        for answer in question.answers:
            texts.setdefault(key(answer), answer)
            facts[kind][key(answer)].add(question.fact_id or question.id)
    best = {kind: max(answers, key=lambda answer: len(answers[answer])) for kind, answers in facts.items()}
    guesses = {kind: texts[answer] for kind, answer in best.items() if len(facts[kind][answer]) > 1}
    return [guesses.get(kind, "") for kind in types]
