"""The card templates of `model_cards`.

Why: HTML escaping is on although cards are Markdown. If a template forgets the filter of a value, the value looks
wrong but cannot become markup.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from hf_knowlearn.hub.escaping import cell, code, in_line
from hf_knowlearn.paths import MODEL_CARDS
from hf_knowlearn.reports.templates import environment

EXAMPLES = 5  # the most examples of a kind that a card shows


@cache
def card_environment() -> Environment:
    """The Jinja environment of the card templates, with their filters."""
    templates = environment(MODEL_CARDS)
    templates.filters |= {"code": code, "cell": cell, "in_line": in_line, "literal": literal}
    return templates


def literal(text: object) -> Markup:
    """The text as a Python string literal, for a code block."""
    return Markup(json.dumps(in_line(text)))


def render(template: str, **values: Any) -> str:
    """The text of a template of `model_cards`, filled in with these values."""
    return card_environment().get_template(template).render(**values).rstrip() + "\n"


def spread(rows: Sequence[Mapping[str, Any]], most: int = EXAMPLES) -> list[Mapping[str, Any]]:
    """At most `most` rows, at equal distances. Why: adjacent questions are about the same document."""
    return [rows[i * len(rows) // most] for i in range(most)] if len(rows) > most else list(rows)
