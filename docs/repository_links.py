"""A hook of mkdocs: links from a page to files outside docs/ lead to the repository.

mkdocs knows only the files in docs/. The repository's address is `repo_url` in mkdocs.yml. Without it, a link becomes
its text and the path of the file. A link to a file that does not exist stays, so that `mkdocs build --strict` fails.
"""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
LINK_OUT_OF_DOCS = re.compile(r"\[([^]]+)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """The Markdown of a page with its links out of docs/ replaced."""

    def replaced(link: re.Match[str]) -> str:
        text, path, anchor = link[1], (DOCS / link[2]).resolve(), link[3] or ""
        if not path.exists():
            return link[0]
        name = path.relative_to(DOCS.parent).as_posix()
        if not config.repo_url:
            return f"{text} (`{name}`)"
        kind = "tree" if path.is_dir() else "blob"
        return f"[{text}]({config.repo_url.rstrip('/')}/{kind}/main/{name}{anchor})"

    return LINK_OUT_OF_DOCS.sub(replaced, markdown)
