"""Renders the card templates in `model_cards`.

Why the values are escaped for HTML, although cards are Markdown: if a template does not apply a filter to a value, the
value looks wrong but cannot act as markup.
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

EXAMPLES = 5  # maximum number of examples of each kind on a card


@cache
def card_environment() -> Environment:
    """Return the Jinja environment of the card templates, with their filters."""
    templates = environment(MODEL_CARDS)
    templates.filters |= {"code": code, "cell": cell, "in_line": in_line, "literal": literal}
    return templates


def literal(text: object) -> Markup:
    """Return the text as a Python string literal, for a code block of a card."""
    return Markup(json.dumps(in_line(text)))


def render(template: str, **values: Any) -> str:
    """Return the text of a template, filled in with these values."""
    return card_environment().get_template(template).render(**values).rstrip() + "\n"


def spread(rows: Sequence[Mapping[str, Any]], most: int = EXAMPLES) -> list[Mapping[str, Any]]:
    """Return at most `most` rows, at equal distances. Why: adjacent questions are about the same document."""
    return [rows[i * len(rows) // most] for i in range(most)] if len(rows) > most else list(rows)
