"""Rows of a dataset on the Hub. The library `datasets` downloads it once and maps it into memory."""

from __future__ import annotations

import os
from typing import Any

from hf_knowlearn.documents.document import show
from hf_knowlearn.documents.tabular import ColumnCheck, Rows


def load_split(name: str, config: str | None, split: str | None, revision: str | None) -> tuple[str, Any]:
    """Load a split of the dataset `name`, and return its name and its rows.

    Args:
        name: `owner/name` of the dataset.
        config, split, revision: as in `datasets.load_dataset`. The split may be None if there is only one.

    Raises:
        ValueError: the dataset cannot be loaded, or it has several configs or splits and none is chosen.
    """
    from datasets import get_dataset_split_names, load_dataset
    from datasets.exceptions import DatasetsError

    try:
        if split is None:
            split, *others = get_dataset_split_names(name, config, revision=revision)
            if others:
                raise ValueError(f"the dataset has the splits {show([split, *others])}; choose one with split=")
        return split, load_dataset(name, config, split=split, revision=revision)
    except (DatasetsError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        tried = f"no such path (searched from {os.getcwd()}), and no such dataset can be loaded from the Hub"
        raise ValueError(f"{tried}: {reason}") from error


def hub_rows(dataset: Any, check: ColumnCheck) -> Rows:
    """The rows of a loaded split, numbered from 1."""
    check(dataset.column_names)
    yield from enumerate(dataset, 1)
