"""A world frozen in YAML: which people play which part, so that a recipe can name them as it would name a file."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.worlds.people import World


@dataclass(frozen=True)
class Split:
    """Some people of a world, and how often each is told of and asked about."""

    world: World
    first: int
    last: int
    biographies: int = 1
    wordings: int = 1
    fixed_order: bool = False

    def documents(self) -> list[Document]:
        """The biographies: telling 0 alone, or the tellings from 1 on when there are several."""
        tellings = range(1) if self.biographies == 1 else range(1, self.biographies + 1)
        people = self.world.people(self.first, self.last)
        return [self.world.biography(person, t, self.fixed_order) for person in people for t in tellings]

    def questions(self) -> list[Question]:
        """The questions about these people's facts."""
        return [q for p in self.world.people(self.first, self.last) for q in self.world.questions(p, self.wordings)]


def read_splits(path: Path) -> dict[str, Split]:
    """The splits that `path`, a world in YAML, names."""
    frozen = yaml.safe_load(path.read_text(encoding="utf-8"))
    world = World(frozen["seed"])
    return {name: Split(world, *split.pop("people"), **split) for name, split in frozen["splits"].items()}
