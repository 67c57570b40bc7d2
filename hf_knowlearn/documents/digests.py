"""Digests: by what number a text was met first, without keeping any text, for millions of them.

The surprising decision: a hash table by hand, over plain arrays. A `dict` of digests takes five times the memory, and
what must be known of each document is all that grows while they are streamed.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from struct import Struct

_HALVES = Struct("QQ")
_FREE = -1


class Digests:
    """Texts, each by 16 bytes of its BLAKE2b digest, and the number that it came with: 24 bytes a slot.

    Between a third and two thirds of the slots are in use (linear probing), beyond the first few thousand.
    """

    def __init__(self) -> None:
        self._used = 0
        self._make(4096)

    def _make(self, slots: int) -> None:
        self._mask = slots - 1
        self._low, self._high = (array("Q", bytes(8 * slots)) for _ in range(2))
        self._numbers = array("q", [_FREE]) * slots

    def __len__(self) -> int:
        return self._used

    def first(self, text: str, number: int) -> int:
        """The number, 0 or more, that `text` came with first: `number`, if it has not come before."""
        low, high = _HALVES.unpack(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        slot = self._slot(low, high)
        if (known := self._numbers[slot]) != _FREE:
            return known
        if 3 * self._used >= 2 * self._mask:
            self._grow()
            slot = self._slot(low, high)
        self._put(slot, low, high, number)
        return number

    def _slot(self, low: int, high: int) -> int:
        """Where this digest is, or is to go."""
        slot = low & self._mask
        while self._numbers[slot] != _FREE and (self._low[slot] != low or self._high[slot] != high):
            slot = (slot + 1) & self._mask
        return slot

    def _put(self, slot: int, low: int, high: int, number: int) -> None:
        self._low[slot], self._high[slot], self._numbers[slot] = low, high, number
        self._used += 1

    def _grow(self) -> None:
        before = self._low, self._high, self._numbers
        self._used = 0
        self._make(2 * (self._mask + 1))
        for low, high, number in zip(*before, strict=True):
            if number != _FREE:
                self._put(self._slot(low, high), low, high, number)
