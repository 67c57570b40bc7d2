"""Writes the published sample, `hf_knowlearn/format_aug/data`: run `python tests/format_aug/sample.py`."""

# Why: this script is not in the package, because `format_aug` must not import `worlds`.

import shutil
import tempfile
from pathlib import Path

from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug import FormatAugmentedDataset
from hf_knowlearn.paths import FORMAT_AUG, RECIPES
from hf_knowlearn.worlds.splits import read_splits

NUM_VIEWS = 4


def documents() -> list[Document]:
    """The biographies of the first 50 people in the training data of the quickstart."""
    return read_splits(RECIPES / "world.yaml")["new"].documents()[:50]


def write(folder: Path) -> list[Path]:
    """Writes the sample of every family to `<family>/train-00000-of-00001.parquet` below `folder`."""
    files = []
    for family in (config.name for config in FormatAugmentedDataset.BUILDER_CONFIGS):
        with tempfile.TemporaryDirectory() as draft:
            builder = FormatAugmentedDataset(draft, config_name=family, source=documents(), num_views=NUM_VIEWS)
            builder.download_and_prepare(f"{draft}/{family}", file_format="parquet")
            (folder / family).mkdir(parents=True, exist_ok=True)
            written = f"{draft}/{family}/format_aug-train.parquet"
            files.append(Path(shutil.copy(written, folder / family / "train-00000-of-00001.parquet")))
    return files


if __name__ == "__main__":
    write(FORMAT_AUG / "data")
