"""A key-value cache layer that allocates memory in advance and reorders its rows in place."""

import numpy as np
import torch
from transformers.cache_utils import DynamicLayer

GROWTH = 32  # number of tokens for which a layer allocates memory at a time


class PreallocatedLayer(DynamicLayer):
    """A cache layer with unused memory at its end. New tokens are written there.

    Why: `DynamicLayer` copies the whole layer for each new token.
    """

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.storage: tuple[torch.Tensor, torch.Tensor] | None = None

    def set_storage(self, keys: torch.Tensor, values: torch.Tensor, used: int, rows: int | None = None) -> None:
        """Use `keys` and `values`, of shape (rows, heads, tokens, head size), as the memory of this layer.

        Args:
            used: The number of tokens that the memory already contains.
            rows: The number of rows in use. None means all rows.
        """
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.storage = (keys, values)
        self.keys, self.values = keys[:rows, :, :used], values[:rows, :, :used]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.storage is None:
            self.set_storage(enlarged(key_states), enlarged(value_states), key_states.shape[-2])
            return self.keys, self.values
        before, used = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        keys, values = self.storage
        if used > keys.shape[-2]:
            more = key_states.shape[-2] + GROWTH
            keys, values = enlarged(self.keys, more), enlarged(self.values, more)
        rows = len(key_states)
        keys[:rows, :, before:used], values[:rows, :, before:used] = key_states, value_states
        self.set_storage(keys, values, used, rows)
        return self.keys, self.values

    def select_rows(self, rows: torch.Tensor) -> "PreallocatedLayer":
        """Return a new layer that contains the given rows of this layer. A row may occur several times."""
        assert self.storage is not None
        layer, rows = PreallocatedLayer(), rows.to(self.keys.device)
        keys, values = (tensor.index_select(0, rows) for tensor in self.storage)
        layer.set_storage(keys, values, self.keys.shape[-2])
        return layer

    def rearrange_rows(self, parents: torch.Tensor) -> None:
        """Change the layer in place: row i becomes a copy of the previous row `parents[i]`."""
        assert self.storage is not None
        number, used = len(parents), self.keys.shape[-2]
        keys, values = self.storage
        if (missing := number - len(keys)) > 0:
            more = missing + number // 2  # with memory for later rows
            keys, values = enlarged(keys, 0, more), enlarged(values, 0, more)
        parents = parents.to(keys.device)
        (moved,) = (parents != torch.arange(number, device=parents.device)).nonzero(as_tuple=True)
        for tensor in (keys, values):
            tensor[moved, :, :used] = tensor[parents[moved], :, :used]
        self.set_storage(keys, values, used, number)


def enlarged(old: torch.Tensor, tokens: int = GROWTH, rows: int = 0) -> torch.Tensor:
    """Return a copy of `old` (rows, heads, tokens, head size) with memory for more tokens and rows at the end."""
    number, heads, length, size = old.shape
    new = old.new_empty((number + rows, heads, length + tokens, size))
    new[:number, :, :length] = old
    return new


def assign_rows(parents: np.ndarray) -> np.ndarray:
    """Return the row number at which each new row is stored in the cache.

    Each new row continues an old row, its parent. Most new rows get the number of their parent, so that they need not
    be copied.

    Args:
        parents: (rows,): the number of the parent of each new row, in ascending order.
    """
    number = len(parents)
    stays = (parents < number) & (np.diff(parents, prepend=-1) > 0)
    rows = np.empty(number, dtype=np.int64)
    rows[stays] = parents[stays]
    rows[~stays] = np.setdiff1d(np.arange(number), parents[stays])
    return rows
