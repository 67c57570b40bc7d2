"""Copies of documents with changed words, to compare with views: easy data augmentation, and other wordings.

`python benchmarks/augmented_copies.py outputs/lab` writes two files, each with the 300 new biographies and eleven
copies of each. In `changed_words.jsonl`, a tenth of the words of a copy is inserted, swapped or deleted (arXiv
1901.11196). In `wordings.jsonl`, each sentence of a copy has another of the eight wordings of its fact, in place of
the synonyms of that paper. The order of the sentences does not change.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

COPIES, SHARE = 11, 0.1


def changed_words(text: str, number: int, draw: random.Random) -> str:
    """A copy with a tenth of its words, and at least one, inserted, swapped or deleted, depending on `number`."""
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
    """The same facts in the same order, each in a random wording."""
    from hf_knowlearn.worlds.people import WORDINGS

    sentences = []
    for attribute in sorted(facts, key=lambda attribute: text.lower().index(facts[attribute].lower())):
        sentence = draw.choice(WORDINGS[attribute]).format(name=name, value=facts[attribute])
        sentences.append(sentence[0].upper() + sentence[1:])
    return " ".join(sentences)


def copies() -> Iterator[tuple[str, str, str, str]]:
    """The id, the title, the text with changed words and the reworded text of each biography and its copies."""
    from hf_knowlearn.paths import RECIPES
    from hf_knowlearn.worlds.splits import read_splits

    split = read_splits(RECIPES / "world.yaml")["new"]
    draw = random.Random(0)
    for person in split.world.people(split.first, split.last):
        text = split.world.biography(person).text
        yield person.id, person.name, text, text
        for number in range(COPIES):
            other = changed_words(text, number, draw), reworded(text, person.name, person.facts, draw)
            yield f"{person.id}/{number + 1}", person.name, *other


def main(folder: Path) -> None:
    """Write both files. They are the same every time."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(copies())
    for name, place in (("changed_words", 2), ("wordings", 3)):
        lines = (json.dumps({"id": row[0], "title": row[1], "text": row[place]}) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
