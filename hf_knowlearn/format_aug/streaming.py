"""Documents told epoch after epoch as one stream, in which a row's number says all: what is told, how, and by whom.

An `IterableDataset` made by `from_generator` neither hears of epochs nor goes on where it stopped without making all
that came before. Here turn `t` of a stream of `n` documents is document `order(t // n)[t % n]` in epoch `t // n`, so
that resuming is a number, ranks and workers take every k-th turn, and no turn depends on another.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from datasets.iterable_dataset import _BaseExamplesIterable

# Into how many streams this one says it can be split. It can be into any number, but libraries compare: accelerate
# splits into no more than this, `split_dataset_by_node` only into its divisors, and a push writes a file for each.
MOST_SHARDS = 192

Row = dict[str, Any]


class Epochs(_BaseExamplesIterable):
    """The rows of `documents` documents, in order if there is one epoch, else in a new order every epoch.

    Args:
        rows: what document `i` is told as in epoch `e`, as `rows(i, e)`.
        seed: of the order; None for the documents' own.
        first: the turn to begin with.
        step: from one turn to the next.
    """

    is_typed = True  # rows have the features' types as they come

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
        """The columns."""
        return self._features

    @property
    def num_shards(self) -> int:
        """Into how many streams this one says it can be split."""
        return max(1, min(MOST_SHARDS, len(self._turns())))

    def __iter__(self) -> Iterator[tuple[tuple[int, int], Row]]:
        state: dict[str, Any] = self._state_dict or self._init_state_dict()
        turns = self._turns()
        ordered = -1
        order: Sequence[int] = ()
        for at in range(state["turn"], len(turns)):
            epoch, place = divmod(turns[at], self.documents)
            if epoch != ordered:
                ordered, order = epoch, order_of(self.documents, self.seed, epoch)
            rows = self.rows(order[place], epoch)
            for number in range(state["row"], len(rows)):
                # Before the row is out: whoever asks for the state then has had it.
                state["turn"], state["row"] = (at, number + 1) if number + 1 < len(rows) else (at + 1, 0)
                yield (turns[at], number), rows[number]

    def _turns(self) -> range:
        return range(self.first, self.documents * self.epochs, self.step)

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict = {"turn": 0, "row": 0, "type": type(self).__name__}
        return self._state_dict

    def shuffle_data_sources(self, generator: Any) -> "Epochs":
        """Itself: a turn's document and view follow from the seed, and `set_epoch` is not to change them."""
        return self

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> "Epochs":
        """Every `num_shards`-th turn from `index` on. Never a stretch of turns: the ranks would be epochs apart."""
        first, step = self.first + index * self.step, self.step * num_shards
        return Epochs(self.rows, self.documents, self.epochs, self.seed, self.features, first=first, step=step)

    def reshard_data_sources(self) -> "Epochs":
        """Itself."""
        return self


def order_of(count: int, seed: int | None, epoch: int) -> Sequence[int]:
    """The order of `count` documents in an epoch: their own if `seed` is None. 8 bytes a document."""
    if seed is None:
        return range(count)
    order = array("q", range(count))
    Random(f"{seed}/{epoch}").shuffle(order)
    return order
