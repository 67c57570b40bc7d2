"""Writes the published sample, `hf_knowlearn/format_aug/data`: run `python tests/format_aug/sample.py`."""

# Why: this script is not in the package, because `format_aug` must not import `worlds`.

from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug import export
from hf_knowlearn.paths import FORMAT_AUG, RECIPES
from hf_knowlearn.worlds.splits import read_splits

NUM_VIEWS = 4


def documents() -> list[Document]:
    """The biographies of the first 50 people in the training data of the quickstart."""
    return read_splits(RECIPES / "world.yaml")["new"].documents()[:50]


if __name__ == "__main__":
    export(documents(), FORMAT_AUG / "data", num_views=NUM_VIEWS)
