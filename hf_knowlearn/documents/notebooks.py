"""Converts Jupyter notebooks: reads the text of Markdown cells and the code, and omits outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_knowlearn.documents.conversion import Converted, first_heading
from hf_knowlearn.documents.tabular import decoded


def notebook(file: Path) -> Converted:
    """Convert an `.ipynb` file. The title is the first heading.

    Raises:
        ValueError: the file is not a notebook of format 3 or later.
    """
    text = decoded(file.read_bytes())
    try:
        content = json.loads(text)
        cells = (
            content["cells"] if "cells" in content else [c for sheet in content["worksheets"] for c in sheet["cells"]]
        )
        language = content.get("metadata", {}).get("language_info", {}).get("name", "python")
        parts = list(_parts(cells, language))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a notebook ({type(error).__name__}: {error}); save it again with Jupyter") from error
    converted = "\n\n".join(parts)
    return Converted(converted, first_heading(converted))


def _parts(cells: list[dict[str, Any]], language: str) -> Iterator[str]:
    for cell in cells:
        source = cell["source"] if "source" in cell else cell.get("input", "")
        source = "".join(source).strip("\n")
        if not source.strip():
            continue
        if cell["cell_type"] == "code":
            fence = "````" if "```" in source else "```"
            yield f"{fence}{language}\n{source}\n{fence}"
        elif cell["cell_type"] == "heading":  # format 3
            yield "#" * int(cell["level"]) + f" {source}"
        else:
            yield source
