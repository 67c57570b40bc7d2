"""`FormatAugmentedDataset`: views of documents as a dataset (format-based augmentation, arXiv 2503.03705).

Since datasets 4, `load_dataset` no longer runs the code of a dataset, so it can load only the published sample. To
make views of other documents, use this builder.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug.config import FormatAugConfig, problems
from hf_knowlearn.format_aug.dataset_rows import columns, dataset_rows
from hf_knowlearn.format_aug.document_store import code_hash, open_documents
from hf_knowlearn.format_aug.rows import Row, listing
from hf_knowlearn.format_aug.streaming import Epochs
from hf_knowlearn.paths import PACKAGE

# Folders whose code determines the rows of a document.
CODE = (PACKAGE / "documents", PACKAGE / "views", PACKAGE / "prompts", PACKAGE / "format_aug")
MOST_RANGES = 192  # number of ranges of documents, which are distributed over processes
TABLE_CHARS = 1 << 20  # number of characters after which a table is written


class ViewsError(DatasetGenerationError, ValueError):
    """Raised if some documents do not have the views that the configuration requests."""

    # Why DatasetGenerationError: `datasets` hides the message of every other error.


class FormatAugmentedDataset(datasets.ArrowBasedBuilder):
    """A `datasets` builder of views of documents. Its options are the fields of `FormatAugConfig`.

    Raises:
        ValueError: the name, the options or the documents are invalid. The message lists all problems.

    Example:
        >>> builder = FormatAugmentedDataset(config_name="formats", source="documents", num_views=8)
        >>> builder.download_and_prepare(num_proc=4)
        >>> train = builder.as_dataset(split="train")
    """

    BUILDER_CONFIG_CLASS = FormatAugConfig
    BUILDER_CONFIGS = [
        FormatAugConfig(name="formats", description="Documents in other layouts, with unchanged words."),
        FormatAugConfig(name="order", description="Documents with their sentences in another order."),
        FormatAugConfig(name="masked", description="Requests to restore a document with masked words."),
        FormatAugConfig(name="mixed", description="Views of these families, by weight."),
    ]
    DEFAULT_CONFIG_NAME = "formats"
    config: FormatAugConfig

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        dataset_name: str = "format_aug",
        config_name: str = DEFAULT_CONFIG_NAME,
        hash: str | None = None,
        **options: Any,
    ) -> None:
        if wrong := list(problems(config_name, options)):
            raise ValueError(f"format_aug, {config_name}: {'; '.join(wrong)}.")
        self.documents = open_documents(options, cache_dir)
        folder = str(cache_dir) if cache_dir else None
        super().__init__(folder, dataset_name, config_name, hash or _hash(self.documents), **options)

    def _info(self) -> datasets.DatasetInfo:
        features = {name: datasets.Value(type) for name, type in columns(self.config).items()}
        return datasets.DatasetInfo(
            description=self.config.description,
            features=datasets.Features(features),
            homepage="https://arxiv.org/abs/2503.03705",
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.config.epochs and not dl_manager.is_streaming:
            raise ValueError(
                f"epochs={self.config.epochs}: only a stream has epochs. Pass streaming=True. To write several views"
                " of each document to disk, use num_views instead."
            )
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"documents": dataset, "ranges": _ranges(len(dataset))})
            for split, dataset in self.documents.items()
        ]

    def _generate_tables(self, documents: datasets.Dataset, ranges: list[range]) -> Iterator[tuple[Key, pa.Table]]:
        """Yield tables with the rows of the documents whose indices are in `ranges`."""
        schema = self.info.features.arrow_schema
        problems: list[str] = []
        batch: list[Row] = []
        chars = tables = 0
        for number in chain.from_iterable(ranges):
            try:
                rows = dataset_rows(self.config, Document(**documents[number]))
            except ValueError as error:
                problems.append(str(error))
            if problems:  # Why: after an error nothing more is written, but the other documents are still checked.
                continue
            batch += rows
            chars += sum(map(_length, rows))
            if chars > TABLE_CHARS:
                yield Key(0, tables), _table(batch, schema)
                batch, chars, tables = [], 0, tables + 1
        if problems:
            failed = number_of(len(problems), "document")
            raise ViewsError(f"Rows cannot be made of {failed}:\n{listing(problems)}")
        if batch:
            yield Key(0, tables), _table(batch, schema)

    def _get_examples_iterable_for_split(self, split_generator: datasets.SplitGenerator) -> Epochs:
        documents = split_generator.gen_kwargs["documents"]
        return Epochs(
            partial(_rows_of, self.config, documents),
            len(documents),
            self.config.epochs or 1,
            self.config.seed if self.config.epochs else None,
            self.info.features,
        )


def _rows_of(config: FormatAugConfig, documents: datasets.Dataset, number: int, epoch: int) -> list[Row]:
    return dataset_rows(config, Document(**documents[number]), epoch)


def _table(batch: Sequence[Row], schema: Any) -> Any:
    # Why columns: making a table from a list of rows takes five times as long.
    return pa.table({name: [row[name] for row in batch] for name in schema.names}, schema)


def _ranges(documents: int) -> list[range]:
    """Return ranges of indices of documents. Why a list: `datasets` distributes lists in `gen_kwargs` over
    processes."""
    shares = min(documents, MOST_RANGES)
    return [range(documents * i // shares, documents * (i + 1) // shares) for i in range(shares)]


def _length(row: Row) -> int:
    return len(row["text"] if "text" in row else row["prompt"] + row["completion"])


def _hash(documents: Mapping[str, datasets.Dataset]) -> str:
    splits = [(split, dataset._fingerprint) for split, dataset in documents.items()]
    return datasets.fingerprint.Hasher.hash([code_hash(CODE, "sentencex"), splits])


def load_format_aug(
    source: Any,
    name: str = "formats",
    *,
    split: str | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    max_shard_size: int | str | None = None,
    **options: Any,
) -> Any:
    """Load views of the documents at `source`. The result is one dataset if `split` is given, otherwise a dictionary
    of datasets by split.

    Args:
        source: a file, a folder, the name of a dataset on the Hub, or a list of these; or a list of `Document`s; or a
            mapping from names of splits to any of these.
        name: the family of views: formats, order, masked or mixed.
        split: the split to load. A source without splits has the split "train".
        streaming: make each row when it is read, and write no rows to disk. The documents are written to the cache
            once.
        num_proc: number of processes that write the rows.
        cache_dir: folder to use instead of the cache of `datasets`.
        max_shard_size: largest size of a file on disk, such as "100MB".
        options: fields of `FormatAugConfig`.

    Raises:
        ValueError: the name, the options or the documents are invalid. The message lists all problems.

    Example:
        >>> load_format_aug("documents", "mixed", num_views=8, split="train")
        >>> load_format_aug("documents", streaming=True, epochs=12, split="train")  # for a trainer with max_steps
    """
    if streaming and (num_proc or max_shard_size):
        raise ValueError(
            f"num_proc={num_proc}, max_shard_size={max_shard_size}: a stream writes no rows to disk, so these"
            " arguments have no effect. Remove them."
        )
    builder = FormatAugmentedDataset(cache_dir, config_name=name, source=source, **options)
    if streaming:
        return builder.as_streaming_dataset(split)
    builder.download_and_prepare(num_proc=num_proc, max_shard_size=max_shard_size)
    return builder.as_dataset(split)
