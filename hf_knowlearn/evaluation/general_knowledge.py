"""1,000 general-knowledge questions in 20 relations, for the measurement of retention.

The file `general_knowledge.toml` contains the questions. Self-generated replay (`general_questions.txt`) trains on
prompts about some of the relations, so replay may protect a relation better than other knowledge. No question shares
its wording, or its pair of entity and relation, with a prompt of replay. Relations that no prompt of replay is about
are untouched.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hf_knowlearn.documents import Question

PREFIX = "general-"  # the ids of the questions begin with it


def general_questions() -> list[Question]:
    """Return the questions. Their ids are "general-<relation>-<number>", with a number from 1.

    Example:
        >>> question = general_questions()[0]
        >>> question.id, question.text, question.answers
        ('general-capital-1', 'Which city is the capital of Italy?', ('Rome',))
    """
    return [
        Question(
            id=f"{PREFIX}{relation}-{number}",
            text=values["template"].replace("{}", entity),
            answers=(answers,) if isinstance(answers, str) else tuple(answers),
            relation=relation,
            fact_id=f"{PREFIX}{relation}-{entity}",
        )
        for relation, values in _relations().items()
        for number, (entity, answers) in enumerate(values["facts"].items(), 1)
    ]


def untouched_relations() -> tuple[str, ...]:
    """Return the relations that no prompt of self-generated replay is about."""
    return tuple(relation for relation, values in _relations().items() if not values["replayed"])


def is_untouched(question: Question) -> bool:
    """Return whether no prompt of self-generated replay is about the relation of a question of this file."""
    return question.relation in untouched_relations()


@cache  # Why: reading the file takes 10 ms, and `is_untouched` is called for each question.
def _relations() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("general_knowledge.toml").read_text(encoding="utf-8"))
