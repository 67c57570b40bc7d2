"""Writes docs/options.md from the options' own help: `python tests/config/options_page.py`, or `make docs`."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "options.md"
HEAD = """# Options

Of `knowlearn teach`, on the command line (`--num_views 6`) or as keys of a recipe (`num_views: 6`). Beside them every
option of TRL's `ModelConfig` and `SFTConfig` counts, under its own name. This page is made from the options' `help`
(`make docs`); `recipes/teach.yaml` has the defaults of `knowlearn teach` where they differ from those below.
"""


def page() -> str:
    """The page as the code has it now."""
    from hf_knowlearn.config.teach_arguments import TeachArguments
    from hf_knowlearn.training import SAMOptions

    tables = {"What is taught and asked": fields(TeachArguments), "SAM": fields(SAMOptions)}
    lines = [HEAD]
    for title, options in tables.items():
        lines += [f"## {title}", "", "| option | default | |", "| --- | --- | --- |"]
        lines += [*map(_row, options), ""]
    return "\n".join(lines)


def _row(option: "Field[Any]") -> str:
    default = None if option.default is MISSING else option.default
    said = " ".join([option.metadata["help"], *_choices(option)])
    return f"| `{option.name}` | {_shown(default)} | {said} |"


def _choices(option: "Field[Any]") -> Iterator[str]:
    if choices := option.metadata.get("choices"):
        yield f"One of {', '.join(f'`{choice}`' for choice in choices)}."


def _shown(default: Any) -> str:
    return "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
