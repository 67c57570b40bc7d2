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

import yaml

from hf_knowlearn import __version__, outputs
from hf_knowlearn.tour.survey import Told

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

BUFFER = 1 << 24  # characters of a family's rows that are held before they are written, as one row group
COLUMNS = {
    "text": "what is learned, of families that ask for nothing",
    "prompt": "what is asked, and not learned (in `mixed` it is empty where nothing is asked)",
    "completion": "what is learned, of families that ask",
    "document_id": "the document",
    "part": "which part of it, if it was cut; from 0",
    "view": "which of its views, from 0",
    "format": "what was done to it",
}


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
    from hf_knowlearn.format_aug.telling import columns

    with outputs.replacing(folder) as draft, ExitStack() as files:
        shelves = {}
        for family in families:
            types = columns(FormatAugConfig(name=family))
            schema = datasets.Features({name: datasets.Value(type) for name, type in types.items()}).arrow_schema
            path = draft / "data" / family / "train-00000-of-00001.parquet"
            path.parent.mkdir(parents=True)
            shelves[family] = Shelf(files.enter_context(ParquetWriter(path, schema)), schema)
        yield Writer(draft, shelves)
        files.close()


def card(
    source: str,
    families: Sequence[str],
    languages: Sequence[str],
    options: Mapping[str, Any],
    figures: Sequence[Sequence[str]],
) -> str:
    """The card of the folder: what is in it, how it was made, how to load it, and what it says of the documents.

    Args:
        figures: a table, its header first.
    """
    header = {
        "pretty_name": f"Views of {source}",
        "language": list(languages),
        "task_categories": ["text-generation"],
        "tags": ["hf_knowlearn", "data-augmentation", "arxiv:2503.03705"],
        "configs": [
            {
                "config_name": family,
                **({"default": True} if family == families[0] else {}),
                "data_files": [{"split": "train", "path": f"data/{family}/train-*.parquet"}],
            }
            for family in families
        ],
    }
    told = "\n".join(f"- {name}: `{json.dumps(value, ensure_ascii=False)}`" for name, value in options.items())
    of_columns = [["column", "what"], *([f"`{name}`", what] for name, what in COLUMNS.items())]
    return f"""---
{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---

# Views of {source}

The documents of `{source}`, each told several times, by family: in other layouts (`formats`), in other orders
(`order`), as a request to restore it (`masked`), or by turns (`mixed`). No word of them was changed. They were made to
teach a language model, after formatting-based augmentation ([arXiv 2503.03705](https://arxiv.org/abs/2503.03705)).

```python
from datasets import load_dataset

load_dataset("PATH_OR_NAME", "{families[0]}", split="train")
```

{_table(figures)}

Tokens are counted with each row's beginning and end. `layout` is the share of characters that are no words of a
document; `cut` and `repeated` are tokens of the documents' words that a telling lacks or holds twice. `figures.json`
has these figures, and the questions' if any were given.

{_table(of_columns)}

`formats` and `order` ask for nothing; `masked` and `mixed` do.

## How it was made

`knowlearn views --export`, hf_knowlearn {__version__}, with

{told}

## Licence

That of the documents, whose text this is in full: name it in this card before you publish it.
"""


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "| --- " * len(rows[0]) + "|")
    return "\n".join(lines)
