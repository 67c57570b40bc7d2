"""The groups of formats: seven kinds of layout, each with the marks that `marks.toml` lists.

The paper (arXiv 2503.03705) names "controlling spaces or adding special characters around sentences" but publishes no
list of formats. The marks are this project's choice. A mark fills in fields of a `Frame`. Two marks of different
groups are compatible when they fill in different fields, so that both remain visible.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_knowlearn.views import features
from hf_knowlearn.views.layout import LABELS


@dataclass(frozen=True, eq=False)
class Mark:
    """An element of layout, such as a bullet before each sentence.

    Args:
        group: name of the group that the mark belongs to.
        rank: number of the group in `GROUPS`.
        name: name of the mark within its group.
        fields: the fields of `Frame` that the mark fills in, with their values.
        needs: features of `hf_knowlearn.views.features` that a document must have, as a set of bits.
        blocks: further fields that no other mark of the same format may fill in.
    """

    group: str
    rank: int
    name: str
    fields: Mapping[str, Any]
    needs: int
    blocks: frozenset[str]

    @cached_property
    def taken(self) -> frozenset[str]:
        """The fields that no other mark of the same format may fill in."""
        lines = {"space"} if "line" in self.fields else set()
        return self.blocks | lines | set(self.fields)

    @cached_property
    def full_name(self) -> str:
        """The name of the group and of the mark, as `group.name`."""
        return f"{self.group}.{self.name}"


def _marks_of(group: str, rank: int, section: Mapping[str, Any]) -> Iterator[Mark]:
    """Yield the marks of one section of `marks.toml`."""
    needs = sum(getattr(features, name) for name in section.get("needs", ()))
    blocks = frozenset(section.get("blocks", ()))
    for name, fields in section["marks"].items():
        if "labels" in fields:
            fields["labels"] = LABELS[fields["labels"]]
        longer_than = features.LONGER_THAN.get(fields.get("width"), 0)
        yield Mark(group, rank, name, fields, needs | longer_than, blocks)


_TABLE = tomllib.loads(Path(__file__).with_name("marks.toml").read_text(encoding="utf-8"))
MARKS: dict[str, tuple[Mark, ...]] = {
    group: tuple(mark for section in sections for mark in _marks_of(group, rank, section))
    for rank, (group, sections) in enumerate(_TABLE.items())
}
GROUPS = tuple(MARKS)
