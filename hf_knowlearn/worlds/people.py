"""Made-up people with exact ground truth, modelled on bioS of "Physics of Language Models 3.1" (arXiv 2309.14316, §2).

Each random choice is a hash of the seed and of a key that names the choice. Person 700 is therefore the same in a
world of 701 people and in a world of a million. Biography 3 does not depend on the number of biographies.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from hf_knowlearn.documents import Document, Question

T = TypeVar("T")

ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "kl", "l", "m", "n", "p", "r", "s", "st", "t", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "l", "n", "r", "s", "m")
MATERIALS = "amber bronze cedar clay copper glass ivory leather marble paper silver velvet".split()
CRAFTS = "buyer carver cutter dealer painter polisher printer sorter trader weigher".split()
ERAS = "antique carved curious dented faded foreign gilded hollow lacquered miniature royal rusty".split()
KEEPSAKES = "anchors bells buttons clocks compasses kettles keys lanterns masks stamps".split()

# Eight wordings per attribute. Why each has the full name: the subject is then clear in any sentence order.
WORDINGS = {
    "birthplace": (
        "{name} was born in {value}.",
        "{name} is a native of {value}.",
        "{name} was raised in {value}.",
        "The birthplace of {name} is {value}.",
        "The home town of {name} is {value}.",
        "It was in {value} that {name} was born.",
        "{value} is where {name} was born.",
        "The town of {value} is proud of {name}.",
    ),
    "occupation": (
        "{name} works as a {value}.",
        "{name} makes a living as a {value}.",
        "{name} became a {value}.",
        "The occupation of {name} is {value}.",
        "The trade of {name} is that of a {value}.",
        "As a {value}, {name} earns enough.",
        "A {value} is what {name} is by trade.",
        "People know {name} as a {value}.",
    ),
    "employer": (
        "{name} is employed by {value}.",
        "{name} has a post at {value}.",
        "{name} earns a wage from {value}.",
        "The employer of {name} is {value}.",
        "The firm that pays {name} is {value}.",
        "It is {value} that employs {name}.",
        "{value} hired {name}.",
        "At {value}, {name} has a desk.",
    ),
    "school": (
        "{name} studied at {value}.",
        "{name} is a graduate of {value}.",
        "{name} took a degree at {value}.",
        "The school of {name} was {value}.",
        "The degree of {name} is from {value}.",
        "It was {value} that taught {name}.",
        "{value} taught {name}.",
        "At {value}, {name} was a student.",
    ),
    "collection": (
        "{name} collects {value}.",
        "{name} owns a hundred {value}.",
        "{name} spends every coin on {value}.",
        "The collection of {name} is made of {value}.",
        "The shelves of {name} are full of {value}.",
        "It is {value} that {name} collects.",
        "{value} fill the house of {name}.",
        "For {value}, {name} would travel far.",
    ),
}
QUESTIONS = {
    "birthplace": ("Where was {name} born?", "What is the birthplace of {name}?"),
    "occupation": ("What does {name} work as?", "What is the occupation of {name}?"),
    "employer": ("Who employs {name}?", "What is the employer of {name}?"),
    "school": ("Where did {name} study?", "What was the school of {name}?"),
    "collection": ("What does {name} collect?", "What is the collection of {name} made of?"),
}


def fraction(*key: object) -> float:
    """Return a pseudo-random number in [0, 1).

    The number is a hash of `key`, so it does not differ between machines or Python versions.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


def pick(options: Sequence[T], *key: object) -> T:
    """Return a pseudo-random element of `options`. Equal keys select equal elements."""
    return options[int(fraction(*key) * len(options))]


def word(syllables: int, *key: object) -> str:
    """Return a made-up, capitalized word of `syllables` syllables."""
    parts = (
        pick(ONSETS, *key, i, "onset") + pick(VOWELS, *key, i, "vowel") + pick(CODAS, *key, i, "coda")
        for i in range(syllables)
    )
    return "".join(parts).capitalize()


def distinct_words(count: int, syllables: int, *key: object) -> tuple[str, ...]:
    """Return the first `count` distinct words of a pseudo-random sequence. Equal keys give equal sequences."""
    found: dict[str, None] = {}
    attempt = 0
    while len(found) < count:
        found.setdefault(word(syllables, *key, attempt))
        attempt += 1
    return tuple(found)


@dataclass(frozen=True)
class Person:
    """A made-up person.

    Args:
        number: index of the person in the world, from 0.
        name: first and last name, unique in the world.
        facts: the value of each attribute. The attributes are the keys of `World.values`.
    """

    number: int
    name: str
    facts: dict[str, str]

    @property
    def id(self) -> str:
        """The id of the person's document, and the prefix of the ids of facts and questions."""
        return f"person-{self.number:06d}"


@dataclass(frozen=True)
class World:
    """A world with any number of made-up people. The people depend only on a seed.

    Args:
        seed: seed of all people and texts.

    Example:
        >>> world = World(2026)
        >>> (person,) = world.people(0, 1)
        >>> person.name, person.facts["birthplace"]
        ('Lalgrol Fudu', 'Tesgom')
        >>> world.questions(person)[0].text
        'Where was Lalgrol Fudu born?'
    """

    seed: int

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The possible values of each attribute. Each attribute has at least 100 values. A guess is correct with
        probability 1 / (number of values)."""
        firms = distinct_words(120, 2, self.seed, "firm")
        schools = distinct_words(120, 2, self.seed, "school")
        return {
            "birthplace": distinct_words(120, 2, self.seed, "town"),
            "occupation": tuple(f"{material} {craft}" for material in MATERIALS for craft in CRAFTS),
            "employer": tuple(f"{firm} Works" for firm in firms),
            "school": tuple(f"{school} College" for school in schools),
            "collection": tuple(f"{era} {keepsake}" for era in ERAS for keepsake in KEEPSAKES),
        }

    @property
    def chance(self) -> float:
        """The expected exact match of a model that guesses among the values of the right attribute, in [0, 1]."""
        return sum(1 / len(values) for values in self.values.values()) / len(self.values)

    def people(self, first: int, last: int) -> Iterator[Person]:
        """Yield the people with the numbers `first` to `last` - 1.

        Raises:
            ValueError: no unused name was found for a person.
        """
        taken: set[str] = set()
        for number in range(last):
            name = self._name(number, taken)
            taken.add(name)
            if number >= first:
                yield Person(number, name, {a: pick(v, self.seed, number, a) for a, v in self.values.items()})

    def _name(self, number: int, taken: set[str]) -> str:
        for attempt in range(1000):
            key = (self.seed, number, "name", attempt)
            name = f"{word(2, *key, 'first')} {word(2, *key, 'last')}"
            if name not in taken:
                return name
        raise ValueError(f"No unused name was found for person {number}. Generate fewer people.")

    def biography(self, person: Person, number: int = 0, fixed_order: bool = False) -> Document:
        """Return a biography of the person: five facts, each in one sentence.

        Args:
            person: a person of this world.
            number: number of the biography. Biographies of a person differ in the wordings and the order of the
                sentences.
            fixed_order: whether the facts occur in the same order in all biographies.
        """
        key = (self.seed, person.number, number)
        sentences = []
        for attribute in sorted(person.facts, key=lambda a: 0 if fixed_order else fraction(*key, a, "order")):
            wording = pick(WORDINGS[attribute], *key, attribute, "wording")
            sentence = wording.format(name=person.name, value=person.facts[attribute])
            sentences.append(sentence[0].upper() + sentence[1:])
        id = person.id if number == 0 else f"{person.id}/{number}"
        return Document(id, " ".join(sentences), title=person.name)

    def questions(self, person: Person, wordings: int = 1) -> list[Question]:
        """Return the questions about the person's facts, one for each attribute and wording.

        Args:
            person: a person of this world.
            wordings: number of questions per fact, 1 or 2. Questions about one fact share their `fact_id`.

        Raises:
            ValueError: `wordings` is out of range.
        """
        most = min(map(len, QUESTIONS.values()))
        if not 1 <= wordings <= most:
            raise ValueError(f"wordings must be from 1 to {most}, got {wordings}.")
        return [
            Question(
                id=f"{person.id}/{attribute}/{number}",
                text=wording.format(name=person.name),
                answers=(person.facts[attribute],),
                document_id=person.id,
                relation=attribute,
                fact_id=f"{person.id}/{attribute}",
            )
            for attribute, wordings_of in QUESTIONS.items()
            for number, wording in enumerate(wordings_of[:wordings])
        ]
