"""Links from a page to a file of the repository that is no page: on the site they lead to the repository.

mkdocs knows only what lies in docs/, and only who publishes the site knows where the repository lies (`repo_url`).
Without it the link's words are kept, and the file's path is put behind them. A link that leads to no file at all stays
as it is, so that `--strict` refuses it.
"""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
OUTWARD = re.compile(r"\[([^]]+)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """mkdocs' hook: the page's Markdown with every link that leaves docs/ made one that the site can keep."""

    def turned(link: re.Match[str]) -> str:
        words, path, anchor = link[1], (DOCS / link[2]).resolve(), link[3] or ""
        if not path.exists():
            return link[0]
        name = path.relative_to(DOCS.parent).as_posix()
        if not config.repo_url:
            return f"{words} (`{name}`)"
        kind = "tree" if path.is_dir() else "blob"
        return f"[{words}]({config.repo_url.rstrip('/')}/{kind}/main/{name}{anchor})"

    return OUTWARD.sub(turned, markdown)
