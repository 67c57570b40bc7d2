"""Contrasts to views, which touch words where views don't: easy data augmentation, and the world's other wordings.

`python benchmarks/noise.py outputs/lab`. Writes noise.jsonl, each of the 300 new biographies and eleven noisy
copies of it (arXiv 1901.11196: words inserted, swapped and deleted, a tenth of them by turns), and wordings.jsonl, in
which each sentence of the copies says the same in another of the world's eight wordings, where that paper takes
synonyms. The sentences stay in their order.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

COPIES, SHARE = 11, 0.1


def noisy(text: str, number: int, draw: random.Random) -> str:
    """A copy in which a tenth of the words, and at least one, were inserted, swapped or deleted, by turns."""
    words = text.split()
    for _ in range(max(1, round(SHARE * len(words)))):
        one, other = draw.sample(range(len(words)), 2)
        if number % 3 == 0:
            words.insert(one, words[other])
        elif number % 3 == 1:
            words[one], words[other] = words[other], words[one]
        else:
            del words[one]
    return " ".join(words)


def reworded(text: str, name: str, facts: dict[str, str], draw: random.Random) -> str:
    """The same facts in the same order, each in a wording drawn anew."""
    from hf_knowlearn.worlds.people import WORDINGS

    sentences = []
    for attribute in sorted(facts, key=lambda attribute: text.lower().index(facts[attribute].lower())):
        sentence = draw.choice(WORDINGS[attribute]).format(name=name, value=facts[attribute])
        sentences.append(sentence[0].upper() + sentence[1:])
    return " ".join(sentences)


def tellings() -> Iterator[tuple[str, str, str, str]]:
    """The id and title of each telling, its noisy text and its reworded one."""
    from hf_knowlearn.paths import RECIPES
    from hf_knowlearn.worlds.splits import read_splits

    split = read_splits(RECIPES / "world.yaml")["new"]
    draw = random.Random(0)
    for person in split.world.people(split.first, split.last):
        text = split.world.biography(person).text
        yield person.id, person.name, text, text
        for number in range(COPIES):
            other = noisy(text, number, draw), reworded(text, person.name, person.facts, draw)
            yield f"{person.id}/{number + 1}", person.name, *other


def main(folder: Path) -> None:
    """Write both: the same ones each time."""
    folder.mkdir(parents=True, exist_ok=True)
    written = list(tellings())
    for name, place in (("noise", 2), ("wordings", 3)):
        lines = (json.dumps({"id": row[0], "title": row[1], "text": row[place]}) + "\n" for row in written)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
