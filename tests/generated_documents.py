"""Random documents of known structure, to check views without the code that parses documents.

Every sentence, item, turn and heading has a unique name, such as "Zor0017". The generator records the block of each
name, so a test can check the order of the names in a view.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from hf_knowlearn.documents import Document

NAME = re.compile(r"Zor\d{4}")
FACTS = [
    "The harbour of {} has two boats.",
    "{} lies in the north of Ormel.",
    "The mill in {} belongs to Tarn College.",
    "Ormel bought the ferry {} from a baker.",
    "The warranty of {} is two years.",
    "The default password of {} is admin.",
]
BACK_REFERENCES = [
    "It is next to {}.",
    "Its neighbour is {}.",
    "This is why {} is white.",
    "The latter belongs to {}.",
    "However, {} is older.",
    "They are called {} by all.",
]
STEPS = ["Open the valve {}.", "Remove the bolt {}.", "Then close the lid {}.", "Press the button {}.", "Turn {} off."]
TURNS = ["Who has {}? Tell me about Ormel.", "Bo bakes for {}. Rome is far.", "It is {}. Tarn has a mill."]


@dataclass(frozen=True)
class Generated:
    """A document, and what is known about its names.

    Args:
        document: the document.
        names: all names, in the order of the document.
        region: the number of the region of each name. A region is a heading, another block, or a run of paragraphs.
        ordered: the names of blocks whose order matters.
        tied: pairs of a name and the one directly before it, to which its sentence refers.
    """

    document: Document
    names: list[str]
    region: dict[str, int]
    ordered: set[str]
    tied: list[tuple[str, str]]

    def problems(self, text: str) -> Iterator[str]:
        """What is wrong with the order of the names in `text`, which may be a view of a part of the document."""
        found = NAME.findall(text)
        place = {name: number for number, name in enumerate(self.names)}
        if len(found) != len({*found}):
            yield "a name occurs twice"
        for one, other in pairwise(found):
            if self.region[one] > self.region[other]:
                yield f"{other} is after {one}, which is in a later section or block"
        for names in ([name for name in found if name in self.ordered],):
            yield from (f"{other} is after {one}" for one, other in pairwise(names) if place[one] > place[other])
        follows = {other: one for one, other in pairwise(found)}
        for before, name in self.tied:
            if before in found and name in found and follows.get(name) != before:
                yield f"{name} refers to {before}, and does not follow it"


class _Writer:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.blocks: list[str] = []
        self.names: list[str] = []
        self.region: dict[str, int] = {}
        self.ordered: set[str] = set()
        self.tied: list[tuple[str, str]] = []
        self.number = 0
        self.last_is_prose = False

    def name(self) -> str:
        name = f"Zor{len(self.names):04d}"
        self.names.append(name)
        self.region[name] = self.number
        return name

    def fill(self, pattern: str, ordered: bool = True) -> str:
        name = self.name()
        if ordered:
            self.ordered.add(name)
        return pattern.format(name)

    def add(self, write: Callable[[Random, "_Writer"], str]) -> None:
        is_prose = write is prose
        if not (is_prose and self.last_is_prose):
            self.number += 1
        self.last_is_prose = is_prose
        self.blocks.append(write(self.random, self))


def prose(random: Random, writer: _Writer) -> str:
    sentences: list[str] = []
    for number in range(random.randint(1, 5)):
        if number and random.random() < 0.25:
            before = writer.names[-1]
            sentences.append(writer.fill(random.choice(BACK_REFERENCES), ordered=False))
            writer.tied.append((before, writer.names[-1]))
        else:
            sentences.append(writer.fill(random.choice(FACTS), ordered=False))
    return random.choice([" ", " ", "\n"]).join(sentences)


def heading(random: Random, writer: _Writer) -> str:
    name = writer.name()
    level = random.randint(1, 4)
    return random.choice(
        [
            *[f"{'#' * level} Model {name}"] * 3,
            f"Model {name}\n{random.choice('=-') * 8}",
            f"**Model {name}**",
            f"The model {name}",
            f"MODEL {name}",
            f"{random.randint(1, 9)}. Model {name}",
            f"{random.randint(1, 9)}.{random.randint(1, 9)} Model {name}",
            f"Model {name}:",
        ]
    )


def bullets(random: Random, writer: _Writer) -> str:
    mark = random.choice("-*+\u2022")
    return random.choice(["\n", "\n\n"]).join(
        f"{mark} {writer.fill(random.choice(FACTS))}" for _ in range(random.randint(2, 5))
    )


def nested_bullets(random: Random, writer: _Writer) -> str:
    return "\n".join(
        f"{'  ' * (number % 3)}- {writer.fill(random.choice(FACTS))}" for number in range(random.randint(2, 7))
    )


def numbered(random: Random, writer: _Writer) -> str:
    end = random.choice([".", ")"])
    lines = (f"{i}{end} {writer.fill(random.choice(STEPS + FACTS))}" for i in range(1, random.randint(3, 7)))
    return random.choice(["\n", "\n\n"]).join(lines)


def steps(random: Random, writer: _Writer) -> str:
    lines = (f"Step {i}: {writer.fill(random.choice(STEPS))}" for i in range(1, random.randint(3, 7)))
    return random.choice(["\n", "\n\n"]).join(lines)


def procedure(random: Random, writer: _Writer) -> str:
    return " ".join(writer.fill(random.choice(STEPS)) for _ in range(random.randint(4, 7)))


def table(random: Random, writer: _Writer) -> str:
    rows = (f"| {writer.fill('{}')} | Two is. Three is. |" for _ in range(random.randint(1, 6)))
    return "\n".join(["| name | text |", "|------|------|", *rows])


def code(random: Random, writer: _Writer) -> str:
    lines = [writer.fill("{} = 1. Two is. Three is.") for _ in range(random.randint(1, 5))]
    fence = random.choice(["```", "~~~"])
    return "\n".join([f"{fence}python", random.choice(["\n", "\n\n"]).join(lines), fence])


def dialogue(random: Random, writer: _Writer) -> str:
    names = [random.choice(["Ada", "Q", "Interviewer", "**Ada"]), random.choice(["Bo", "A", "Marta Lind", "**Bo"])]
    turns = []
    for number in range(random.randint(4, 7)):
        speaker = names[number % 2]
        turns.append(f"{speaker}{':**' if '*' in speaker else ':'} {writer.fill(random.choice(TURNS))}")
    return "\n\n".join(turns)


def log(random: Random, writer: _Writer) -> str:
    lines = (f"2024-03-12 09:{i:02d} {writer.fill('{} is up.')} Two is." for i in range(random.randint(2, 6)))
    return random.choice(["\n", "\n\n"]).join(lines)


def quote(random: Random, writer: _Writer) -> str:
    return "\n".join(f"> {writer.fill(random.choice(FACTS))} Two is." for _ in range(random.randint(1, 3)))


def clauses(random: Random, writer: _Writer) -> str:
    first = random.randint(1, 9)
    return "\n\n".join(
        f"{first}.{i} {writer.fill('The Supplier shall pay {}.')} Two is due. Three is due."
        for i in range(1, random.randint(3, 5))
    )


def caption(random: Random, writer: _Writer) -> str:
    return f"{random.choice(['Figure', 'Table'])} {random.randint(1, 9)}: {writer.fill('The mill {}.')} Rome is right."


def verse(random: Random, writer: _Writer) -> str:
    return "\n".join(writer.fill(random.choice(["The sea {} is deep,", "And high {} the sky,"])) for _ in range(4))


OTHERS = (
    *(bullets, nested_bullets, numbered, steps, procedure, table, code, dialogue, log, quote, clauses, caption),
    verse,
)


def generated_document(random: Random, others: tuple[Callable[[Random, _Writer], str], ...] = OTHERS) -> Generated:
    """A document of headings, prose and other blocks in a random order. The last block is prose."""
    writer = _Writer(random)
    for _ in range(random.randint(1, 9)):
        chance = random.random()
        if chance < 0.3 and writer.last_is_prose:
            writer.add(heading)
            writer.add(prose)
        elif chance < 0.7 or not others:
            writer.add(prose)
        else:
            writer.add(random.choice(others))
    writer.add(prose)
    separator = "\r\n\r\n" if random.random() < 0.1 else "\n\n"
    text = separator.join(writer.blocks)
    document = Document("generated", text, title=random.choice(["", "Handbook"]))
    return Generated(document, writer.names, writer.region, writer.ordered, writer.tied)
