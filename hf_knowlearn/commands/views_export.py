"""A folder of views to be published: a configuration of parquet for each family, their figures, and a card.

The surprising decision: the rows are those that were counted, written as they were told, so that the card can't speak
of others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.views.coverage import Told

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

BUFFER = 1 << 24  # characters of a family's rows that are held before they are written, as one row group


def wrong_folder(folder: Path) -> Iterator[str]:
    """What keeps `folder` from being written."""
    if folder.is_dir() and any(folder.iterdir()):
        yield f"--export {folder}: is not empty, and nothing in it is ours to delete; choose a new or an empty folder."
    elif folder.exists() and not folder.is_dir():
        yield f"--export {folder}: is no folder; choose a new or an empty one."


@dataclass
class Shelf:
    """The file of one family."""

    file: "ParquetWriter"
    schema: "pa.Schema"
    rows: list[dict[str, Any]] = field(default_factory=list)
    characters: int = 0

    def add(self, told: Told) -> None:
        """Take the rows of a document."""
        for of_part in told:
            for view in of_part:
                texts = {"text": view.text, "prompt": view.prompt, "completion": view.text}
                row = {**texts, "document_id": view.document_id, "part": view.part, "view": view.index}
                row["format"] = view.format
                self.rows.append({name: row[name] for name in self.schema.names})
                self.characters += len(view.text) + len(view.prompt)
        if self.characters > BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        import pyarrow as pa

        self.file.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows, self.characters = [], 0


@dataclass
class Writer:
    """What becomes the folder, while it is written."""

    draft: Path
    shelves: Mapping[str, Shelf]

    def keep(self, family: str, told: Told) -> None:
        """Write the views of a document."""
        self.shelves[family].add(told)

    def finish(self, card: str, figures: Mapping[str, Any]) -> None:
        """Write the last rows, the card and the figures."""
        for shelf in self.shelves.values():
            shelf.flush()
        (self.draft / "README.md").write_text(card, encoding="utf-8")
        text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
        (self.draft / "figures.json").write_text(text, encoding="utf-8")


@contextmanager
def writing(folder: Path, families: Sequence[str]) -> Iterator[Writer]:
    """Within the block, views can be written; when it ends well, they are in `folder`, and else there is none."""
    import datasets
    from pyarrow.parquet import ParquetWriter

    from hf_knowlearn.format_aug.config import FormatAugConfig
    from hf_knowlearn.format_aug.rows import columns

    with atomic_files.atomic_write(folder) as draft, ExitStack() as files:
        shelves = {}
        for family in families:
            types = columns(FormatAugConfig(name=family))
            schema = datasets.Features({name: datasets.Value(type) for name, type in types.items()}).arrow_schema
            path = draft / "data" / family / "train-00000-of-00001.parquet"
            path.parent.mkdir(parents=True)
            shelves[family] = Shelf(files.enter_context(ParquetWriter(path, schema)), schema)
        yield Writer(draft, shelves)
        files.close()
