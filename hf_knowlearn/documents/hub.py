"""Rows of a data set on the Hub, through `datasets`, which keeps a copy on disk and maps it into memory.

The surprising decision: of several splits none is taken for the user; an error names them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.tabular import Check, Rows


def load_split(name: str, config: str | None, split: str | None, revision: str | None) -> tuple[str, Any]:
    """(split, its rows) of the data set `name`; without a split, of the only one there is.

    Raises ValueError if it can't be had, or has several configs or splits and none is named.
    """
    from datasets import get_dataset_split_names, load_dataset
    from datasets.exceptions import DatasetsError

    try:
        if split is None:
            split = _only(get_dataset_split_names(name, config, revision=revision))
        return split, load_dataset(name, config, split=split, revision=revision)
    except (DatasetsError, OSError, ValueError) as error:
        here = f"no such path (from {os.getcwd()})"
        raise ValueError(f"{here}; as a data set on the Hub: {_in_a_line(error)}") from error


def _only(splits: Sequence[str]) -> str:
    if len(splits) != 1:
        raise ValueError(f"there are the splits {show(list(splits))}; choose one with split=")
    return splits[0]


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def hub_rows(dataset: Any, check: Check) -> Rows:
    check(dataset.column_names)
    yield from enumerate(dataset, 1)
