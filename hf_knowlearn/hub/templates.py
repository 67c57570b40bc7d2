"""Templates: the pages of `model_cards`, filled so that no value of a user's can be more than text.

The surprising decision: HTML's escaping is on though the pages are Markdown: a value whose filter is forgotten then
looks ugly, and is no hole.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hf_knowlearn.hub.escaping import code
from hf_knowlearn.paths import MODEL_CARDS

EXAMPLES = 5  # of anything that a card shows examples of


@cache
def environment() -> Environment:
    """The templates' surroundings: what is not marked as Markdown is escaped, and what is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(MODEL_CARDS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"code": code, "in_json": partial(json.dumps, ensure_ascii=False)}
    return made


def render(template: str, **values: Any) -> str:
    """A template of `model_cards` with these values."""
    return environment().get_template(template).render(**values).rstrip() + "\n"


def spread(rows: Sequence[Mapping[str, Any]], most: int = EXAMPLES) -> list[Mapping[str, Any]]:
    """At most so many of the rows, at even distances, since questions about one document lie together."""
    return [rows[i * len(rows) // most] for i in range(most)] if len(rows) > most else list(rows)
