"""Reads the splits of a world from a YAML file. A recipe can name a split instead of a file with documents."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.worlds.people import World


@dataclass(frozen=True)
class Split:
    """A range of people, with their biographies and questions.

    Args:
        world: the world that the people belong to.
        first: number of the first person.
        last: number of the last person plus 1.
        biographies: number of biographies per person. A single biography has the number 0. Several biographies
            are numbered from 1.
        wordings: number of questions per fact, 1 or 2.
        fixed_order: whether the facts occur in the same order in all biographies.
    """

    world: World
    first: int
    last: int
    biographies: int = 1
    wordings: int = 1
    fixed_order: bool = False

    def documents(self) -> list[Document]:
        """Return the biographies, person by person."""
        numbers = [0] if self.biographies == 1 else range(1, self.biographies + 1)
        people = self.world.people(self.first, self.last)
        return [self.world.biography(person, number, self.fixed_order) for person in people for number in numbers]

    def questions(self) -> list[Question]:
        """Return the questions about the people's facts, person by person."""
        people = self.world.people(self.first, self.last)
        return [question for person in people for question in self.world.questions(person, self.wordings)]


def read_splits(path: Path) -> dict[str, Split]:
    """Return the splits of a YAML file, by name."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    world = World(content["seed"])
    return {name: Split(world, *split.pop("people"), **split) for name, split in content["splits"].items()}
