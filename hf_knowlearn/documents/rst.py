"""Converts reStructuredText to Markdown: `docutils` converts the text to HTML, and this module converts the HTML.

`docutils` does not know the directives and roles of Sphinx. This module replaces each directive and role by its
content.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hf_knowlearn.documents.conversion import Converted, first_heading, require_packages
from hf_knowlearn.documents.tabular import decoded

_DIRECTIVE = re.compile(r"^\s*\.\.\s+(?:\|[^|\n]+\|\s+)?([\w:.+-]+)::", re.MULTILINE)
_ROLE = re.compile(r":([a-zA-Z][\w:.+-]*):`")
_TARGET = re.compile(r"^(.*?)\s*<[^<>]*>$", re.DOTALL)
_LISTS_OF_PAGES = frozenset(
    ("toctree", "contents", "index", "sectnum", "highlight", "currentmodule", "tabularcolumns")
)
_VERSIONS = {
    "versionadded": "Added in version ",
    "versionchanged": "Changed in version ",
    "deprecated": "Deprecated since version ",
}
_SETTINGS = {
    "file_insertion_enabled": False,  # Why: `include` could read any file.
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 5,
    "syntax_highlight": "none",
    "initial_header_level": 1,
    "doctitle_xform": False,
    "footnote_references": "brackets",
    "math_output": "LaTeX",
    "embed_stylesheet": False,
    "stylesheet_path": None,
    "output_encoding": "unicode",
    "_disable_config": True,
}


def rst_file(file: Path) -> Converted:
    """Convert an `.rst` file. The title is the first heading."""
    require_packages("docutils", "lxml", "bs4", "markdownify")
    from docutils.core import publish_string

    from hf_knowlearn.documents.html_pages import read_chapter

    text = decoded(file.read_bytes())
    _register(text)
    html = publish_string(text, source_path=str(file), writer="html5", settings_overrides=_SETTINGS)
    markdown = read_chapter(html)
    return Converted(markdown, first_heading(markdown))


def _register(text: str) -> None:
    """Register the directives and roles of the text that `docutils` does not have."""
    from docutils.parsers.rst import directives, languages, roles

    english = languages.get_language("en", None)
    for name in set(_DIRECTIVE.findall(text)):
        if name.lower() not in english.directives and name not in directives._directives:
            directives.register_directive(name, _content_directive())
    for name in set(_ROLE.findall(text)):
        if name.lower() not in english.roles and name not in roles._roles:
            roles.register_local_role(name, _text_role)


def _content_directive() -> Any:
    from docutils import nodes
    from docutils.parsers.rst import Directive, directives

    class Content(Directive):
        """Reads a directive as its argument and its content."""

        has_content = True
        optional_arguments = 1
        final_argument_whitespace = True
        option_spec = _AnyOption(directives.unchanged)

        def run(self) -> list[Any]:
            if self.name in _LISTS_OF_PAGES:
                return []
            found: list[Any] = []
            if self.arguments:
                self.arguments[0] = f"{_VERSIONS.get(self.name, '')}{self.arguments[0]}"
                lines, messages = self.state.inline_text(self.arguments[0], self.lineno)
                found = [nodes.paragraph("", "", *lines), *messages]
            content = nodes.container()
            self.state.nested_parse(self.content, self.content_offset, content)
            return [*found, *content.children]

    return Content


class _AnyOption(dict[str, Any]):
    """Accepts every option of a directive."""

    def __init__(self, accept: Any) -> None:
        super().__init__({"class": accept})
        self.accept = accept

    def __getitem__(self, name: str) -> Any:
        return self.accept


def _text_role(
    name: str, source: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = ()
) -> Any:
    """Return the text of a role without its target. Names such as `~package.Class` become code."""
    from docutils import nodes

    titled = _TARGET.match(text)
    shown = titled[1] if titled else text.lstrip("!")
    if shown.startswith("~"):
        shown = shown[1:].rpartition(".")[2]
    is_text = bool(titled) or name.rpartition(":")[2] in (
        "ref",
        "doc",
        "term",
        "numref",
        "guilabel",
        "menuselection",
        "abbr",
    )
    return [nodes.inline(source, shown) if is_text else nodes.literal(source, shown)], []
