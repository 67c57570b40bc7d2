"""A stream of rows over several epochs. It can be resumed and split at any position.

In a stream of `n` documents, position `p` is document `order(p // n)[p % n]` in epoch `p // n`. A saved state is
therefore a position and the index of a row at this position. Each of k ranks or workers takes every k-th position. Why
not `IterableDataset.from_generator`: to resume, it would make all earlier rows again.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from datasets.iterable_dataset import _BaseExamplesIterable

from hf_knowlearn.format_aug.rows import Row

# Why 192: accelerate makes at most `num_shards` shards, `split_dataset_by_node` needs a divisor of this number, and a
# push writes one file per shard. 192 has many divisors.
MOST_SHARDS = 192


class Epochs(_BaseExamplesIterable):
    """The rows of `documents` documents over `epochs` epochs.

    Args:
        rows: `rows(i, e)` returns the rows of document `i` in epoch `e`.
        documents: number of documents.
        epochs: number of epochs.
        seed: determines the order of the documents in every epoch. None: the order of the source.
        features: the `datasets.Features` of the rows.
        first: the first position.
        step: distance from one position to the next.
    """

    is_typed = True  # rows already have the types of the features

    def __init__(
        self,
        rows: Callable[[int, int], Sequence[Row]],
        documents: int,
        epochs: int,
        seed: int | None,
        features: Any,
        *,
        first: int = 0,
        step: int = 1,
    ) -> None:
        super().__init__()
        self._sleep_on_threads_shutdown = False
        self.rows, self.documents, self.epochs, self.seed = rows, documents, epochs, seed
        self.first, self.step = first, step
        self._features = features

    @property
    def features(self) -> Any:
        """The features of the rows."""
        return self._features

    @property
    def num_shards(self) -> int:
        """The maximum number of shards into which other libraries may split this stream."""
        return max(1, min(MOST_SHARDS, len(self._positions())))

    def __iter__(self) -> Iterator[tuple[tuple[int, int], Row]]:
        state: dict[str, Any] = self._state_dict or self._init_state_dict()
        positions = self._positions()
        current_epoch = -1
        order: Sequence[int] = ()
        for index in range(state["position"], len(positions)):
            epoch, place = divmod(positions[index], self.documents)
            if epoch != current_epoch:
                current_epoch, order = epoch, order_of(self.documents, self.seed, epoch)
            rows = self.rows(order[place], epoch)
            for number in range(state["row"], len(rows)):
                # Why before `yield`: `state_dict` may be called before the next row is requested.
                state["position"], state["row"] = (index, number + 1) if number + 1 < len(rows) else (index + 1, 0)
                yield (positions[index], number), rows[number]

    def _positions(self) -> range:
        return range(self.first, self.documents * self.epochs, self.step)

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict = {"position": 0, "row": 0, "type": type(self).__name__}
        return self._state_dict

    def shuffle_data_sources(self, generator: Any) -> "Epochs":
        """Return this stream unchanged."""
        # Why: only the seed determines the order; `set_epoch` must not change it.
        return self

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> "Epochs":
        """Return a stream with every `num_shards`-th position of this stream, starting at position `index`."""
        # Why: `contiguous` is ignored, because contiguous shards would put the ranks in different epochs.
        first, step = self.first + index * self.step, self.step * num_shards
        return Epochs(self.rows, self.documents, self.epochs, self.seed, self.features, first=first, step=step)

    def reshard_data_sources(self) -> "Epochs":
        """Return this stream unchanged."""
        return self


def order_of(count: int, seed: int | None, epoch: int) -> Sequence[int]:
    """Return the order of `count` documents in an epoch. Without a seed, the documents keep the order of the source.
    With a seed, the returned order takes 8 bytes per document."""
    if seed is None:
        return range(count)
    order = array("q", range(count))
    Random(f"{seed}/{epoch}").shuffle(order)
    return order
