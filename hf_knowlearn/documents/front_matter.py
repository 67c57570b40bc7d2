"""Front matter of Markdown files: fields between two lines of `---` (YAML) or `+++` (TOML) at the beginning."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from hf_knowlearn.documents.language import is_language_code

_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)\s*", re.DOTALL | re.MULTILINE)


def split_front_matter(text: str) -> tuple[Mapping[str, Any], str]:
    """Return the fields of the front matter, and the text after it.

    If the text has no valid front matter, return no fields and the unchanged text.

    Example:
        >>> split_front_matter("---\\ntitle: The ferry\\nlang: en\\n---\\n\\nIt leaves at six.")
        ({'title': 'The ferry', 'lang': 'en'}, 'It leaves at six.')
    """
    found = _FRONT_MATTER.match(text)
    fields = _fields(found[1], found[2]) if found else None
    return (fields, text[found.end() :]) if found and isinstance(fields, dict) else ({}, text)


def title_and_language(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields `title`, and `lang` or `language`, as columns of a row.

    A title that is not a string is ignored. So is a language that is not a language code, such as "Python".
    """
    language = fields.get("lang") or fields.get("language")
    columns = {"title": fields.get("title"), "language": language if is_language_code(language) else None}
    return {
        name: " ".join(value.split()) for name, value in columns.items() if isinstance(value, str) and value.strip()
    }


def _fields(mark: str, source: str) -> Any:
    if mark == "+++":
        try:
            return tomllib.loads(source)
        except tomllib.TOMLDecodeError:
            return None
    import yaml

    try:
        return yaml.safe_load(source)
    except (yaml.YAMLError, ValueError):  # Why: an impossible date raises a plain ValueError.
        return None
