"""`ViewSettings`: the settings that select the views of a document for training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RAW = "raw"  # the document unchanged


@dataclass(frozen=True)
class ViewSettings:
    """Selects the views of a document that become training rows.

    Args:
        family: `raw`, `formats`, `order`, `masked` or `mixed`.
        num_views: number of views of a document, or of each part of a long document.
        seed: determines the sequence of views of every document.
        groups: groups of formats to sample from. None: all.
        hold_out: group of formats that is never sampled.
        weights: weight of each family; for `mixed` only. None: the default of `mixed_views`.
        ratio: smallest and largest share of masked words; for `masked` only. None: the default of `masked_views`.
        template: `plain` or `chat`. With `chat`, a view is the assistant's turn, and the user's turn requests the
            document.
        part_tokens: a longer document is split into parts of at most this many tokens. None: a document is split only
            if a row would be too long.

    Example:
        >>> ViewSettings("order", num_views=4, hold_out="lists").family
        'order'
    """

    family: str = "formats"
    num_views: int = 12
    seed: int = 0
    groups: Sequence[str] | None = None
    hold_out: str | None = None
    weights: Mapping[str, float] | None = None
    ratio: tuple[float, float] | None = None
    template: str = "plain"
    part_tokens: int | None = None
