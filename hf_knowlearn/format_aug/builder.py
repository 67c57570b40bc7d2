"""`FormatAugmentedDataset`: documents told in many forms, as a dataset (format augmentation, arXiv 2503.03705).

`load_dataset` runs no code of a dataset's since datasets 4, so it can hand out the sample in this folder and no more:
what depends on arguments, above all on the user's own documents, needs this class. Its surprising decision: a cache is
named after what the documents say and what the code that tells them says, never after where either lies.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError

from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug.config import FAMILIES, FormatAugConfig, problems
from hf_knowlearn.format_aug.document_store import DocumentStore, open_document_stores
from hf_knowlearn.format_aug.rows import Row, columns, rows
from hf_knowlearn.format_aug.streaming import Epochs
from hf_knowlearn.paths import PACKAGE

# What decides which rows a document becomes.
CODE = (PACKAGE / "documents", PACKAGE / "views", PACKAGE / "prompts", PACKAGE / "format_aug")
MOST_RANGES = 192  # of documents, to be shared out among processes
TABLE_CHARS = 1 << 20  # of a table that is written at once
SHOWN = 20  # problems told of, at most


class TellingError(DatasetGenerationError, ValueError):
    """Documents can't be told as asked. Of datasets' own kind, too, or it would hide the message behind another."""


class FormatAugmentedDataset(datasets.ArrowBasedBuilder):
    """A `datasets` builder of views of documents.

        builder = FormatAugmentedDataset(config_name="formats", source="documents", num_views=8)
        builder.download_and_prepare(num_proc=4)
        train = builder.as_dataset(split="train")

    Its options are the fields of `FormatAugConfig`.

    Raises:
        ValueError: what is wrong with the configuration's name, the options or the documents, all at once.
    """

    BUILDER_CONFIG_CLASS = FormatAugConfig
    BUILDER_CONFIGS = [
        FormatAugConfig(name="formats", description="Documents in other layouts, word for word."),
        FormatAugConfig(name="order", description="Documents with their sentences in another order."),
        FormatAugConfig(name="masked", description="Requests to restore a document some of whose words are masked."),
        FormatAugConfig(name="mixed", description="These by turns, by weight."),
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
        self.documents = open_document_stores(options, cache_dir)
        super().__init__(
            str(cache_dir) if cache_dir else None,
            dataset_name,
            config_name,
            hash or _hash(self.documents),
            **options,
        )

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
                f"epochs={self.config.epochs}: epochs are for streams. Pass streaming=True, or num_views for as many"
                " views of each document on disk."
            )
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"documents": shelf, "ranges": _ranges(len(shelf))})
            for split, shelf in self.documents.items()
        ]

    def _generate_tables(self, documents: DocumentStore, ranges: list[range]) -> Iterator[tuple[Key, pa.Table]]:
        """Tables of the rows of some documents, by ranges of their numbers."""
        schema = self.info.features.arrow_schema
        wrong: list[str] = []
        batch: list[Row] = []
        chars = tables = 0
        for number in chain.from_iterable(ranges):
            try:
                told = rows(self.config, documents[number])
            except ValueError as error:
                wrong.append(str(error))
            if wrong:  # nothing more is written, but the rest is told to see what else is wrong
                continue
            batch += told
            chars += sum(map(_length, told))
            if chars > TABLE_CHARS:
                yield Key(0, tables), _table(batch, schema)
                batch, chars, tables = [], 0, tables + 1
        if wrong:
            raise TellingError(_listing(wrong))
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


def _rows_of(config: FormatAugConfig, documents: DocumentStore, number: int, epoch: int) -> list[Row]:
    return rows(config, documents[number], epoch)


def _table(batch: Sequence[Row], schema: Any) -> Any:
    # By columns: a table made from a list of rows takes five times as long.
    return pa.table({name: [row[name] for row in batch] for name in schema.names}, schema)


def _ranges(documents: int) -> list[range]:
    """What is shared out among processes. (Lists are, in datasets' reading of `gen_kwargs`.)"""
    shares = min(documents, MOST_RANGES)
    return [range(documents * i // shares, documents * (i + 1) // shares) for i in range(shares)]


def _length(row: Row) -> int:
    return len(row["text"] if "text" in row else row["prompt"] + row["completion"])


def _listing(wrong: Sequence[str]) -> str:
    more = [f"... and {len(wrong) - SHOWN} more."] if len(wrong) > SHOWN else []
    documents = f"{len(wrong)} document{'s' * (len(wrong) > 1)}"
    return "\n".join([f"{documents} can't be told as asked.", *wrong[:SHOWN], *more])


def _hash(documents: Mapping[str, DocumentStore]) -> str:
    digest = hashlib.blake2b(code_hash().encode(), digest_size=16)
    for split, shelf in documents.items():
        digest.update(f"\n{split} {shelf.digest}".encode())
    return digest.hexdigest()


def code_hash() -> str:
    """A hash of all that decides which rows a document becomes: our code, and where sentencex ends a sentence."""
    digest = hashlib.blake2b(version("sentencex").encode(), digest_size=16)
    for path in CODE:
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


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
    """Views of the documents at `source`, as a dataset (of a split) or a dictionary of them, as `load_dataset` does.

        load_format_aug("documents", "mixed", num_views=8, split="train")
        load_format_aug("documents", streaming=True, epochs=12, split="train")  # for a trainer, with max_steps

    Args:
        source: a file, a folder, a list of them, the name of a dataset on the Hub, a list of `Document`s; or a mapping
            from names of splits to any of these.
        name: the family of views: formats, order, masked or mixed.
        split: one split instead of all. Its name is "train" where the source has none.
        streaming: make rows as they are read, and write none to disk. (The documents are, once, checked.)
        num_proc: processes that write to disk.
        cache_dir: where to write instead of datasets' own cache.
        max_shard_size: of a file that is written, such as "100MB".
        options: the fields of `FormatAugConfig`.

    Raises:
        ValueError: what is wrong with the name, the options or the documents, all at once.
    """
    if streaming and (num_proc or max_shard_size):
        raise ValueError(
            f"num_proc={num_proc}, max_shard_size={max_shard_size}: a stream writes no rows to disk; leave them out."
        )
    builder = FormatAugmentedDataset(cache_dir, config_name=name, source=source, **options)
    if streaming:
        return builder.as_streaming_dataset(split)
    builder.download_and_prepare(num_proc=num_proc, max_shard_size=max_shard_size)
    return builder.as_dataset(split)


def export(documents: Sequence[Document], folder: str | os.PathLike[str], **options: Any) -> list[Path]:
    """Write views of `documents`, of every family, to `folder` as they are published: `<family>/train-….parquet`.

    This folder's own `data` was made so.
    """
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as draft:
        for family in FAMILIES:
            builder = FormatAugmentedDataset(f"{draft}/cache", config_name=family, source=documents, **options)
            builder.download_and_prepare(f"{draft}/{family}", file_format="parquet")
        for family in FAMILIES:  # once all are there
            (target / family).mkdir(parents=True, exist_ok=True)
            published = target / family / "train-00000-of-00001.parquet"
            os.replace(f"{draft}/{family}/format_aug-train.parquet", published)
    return sorted(target.rglob("*.parquet"))
