"""Decides which responses are correct, with the text of each question and the answers of its relation."""

from collections.abc import Callable, Sequence
from functools import cache

from hf_knowlearn.documents import Question
from hf_knowlearn.knowledge_recall.correctness import answer_key, is_correct
from hf_knowlearn.knowledge_recall.stated_answers import Competitors, competitor_keys


def response_checker(questions: Sequence[Question], language: str = "en") -> Callable[[Question, str], bool]:
    """Return a function that returns whether a response to a question is correct.

    The result is that of `knowledge_recall.score` with the columns `context_columns(questions)`: if all questions have
    a relation, the accepted answers of the other questions of a relation compete with the answer in a sentence.

    Args:
        questions: all questions of the set.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).

    Example:
        >>> is_right = response_checker(questions)
        >>> is_right(questions[0], "Ann was born in Lyon.")
        True
    """
    key = answer_key(language)
    relations = context_columns(questions).get("relations")

    @cache
    def competitors(relation: str) -> Competitors:
        answers = [answer for question in questions if question.relation == relation for answer in question.answers]
        return competitor_keys(answers, language)

    def is_right(question: Question, response: str) -> bool:
        others = competitors(question.relation) if relations and question.relation else frozenset()
        return is_correct(response, question.answers, key, language, question.text, others)

    return is_right


def context_columns(questions: Sequence[Question]) -> dict[str, list[str]]:
    """Return the columns `questions` and `relations` of `knowledge_recall.score`.

    `relations` is left out if a question has no relation.
    """
    columns = {"questions": [question.text for question in questions]}
    relations = [question.relation for question in questions if question.relation]
    return columns | ({"relations": relations} if len(relations) == len(questions) else {})
