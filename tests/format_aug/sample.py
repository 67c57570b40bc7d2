"""Makes the sample that `hf_knowlearn/format_aug` publishes: `python tests/format_aug/sample.py`.

It is made here and not there, because a room of the house doesn't import the one that makes people up.
"""

from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug import export
from hf_knowlearn.paths import FORMAT_AUG, RECIPES
from hf_knowlearn.worlds.splits import read_splits

NUM_VIEWS = 4


def documents() -> list[Document]:
    """Of the first 50 people that the quickstart teaches."""
    return read_splits(RECIPES / "world.yaml")["new"].documents()[:50]


if __name__ == "__main__":
    export(documents(), FORMAT_AUG / "data", num_views=NUM_VIEWS)
