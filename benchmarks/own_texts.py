"""Who is told of in what a model wrote itself, and is what it knew of them kept? By how often each was told of.

`python benchmarks/own_texts.py outputs/lab/views/order_own_800_kl3_64/seed_*`. Of each run of a study whose own
texts begin with nothing as well: how many of those texts name each of the people of `rehearsed` and `retention`, of
whom nothing else is read in such a run, and what share of the questions about them is answered afterwards. The
surprising decision: only texts that began with nothing are counted, since the others answer about other people.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

BINS = ((0, 0), (1, 2), (3, 5), (6, 9), (10, 10**9))
ROLES = ("replayed_questions", "retention_questions")


def people() -> dict[str, str]:
    """The name of each, by id."""
    from hf_knowlearn.paths import RECIPES
    from hf_knowlearn.worlds.splits import read_splits

    split = read_splits(RECIPES / "world.yaml")["old"]
    return {person.id: person.name for person in split.world.people(split.first, split.last)}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def told_and_right(run: Path, names: Mapping[str, str]) -> list[tuple[int, float]]:
    """For each person who is asked about: how many texts name them, and the share of their questions that is right."""
    texts = [row["text"] for row in lines(run / "replay.self.jsonl")[1:] if row["opening"] == ""]
    right: dict[str, list[bool]] = defaultdict(list)
    for answer in lines(run / "answers.after.jsonl"):
        if answer["role"] in ROLES:
            right[answer["id"].split("/")[0]].append(answer["right"])
    return [(sum(names[who] in text for text in texts), sum(answers) / len(answers)) for who, answers in right.items()]


def table(found: Iterable[tuple[int, float]]) -> str:
    """Rows of Markdown: how often told, how many people (of all runs), and the share that is answered."""
    rows = ["| told in so many texts | people | answered after |", "|---|---|---|"]
    found = list(found)
    for first, last in BINS:
        if shares := [share for told, share in found if first <= told <= last]:
            label = str(first) if first == last else f"{first} to {last}" if last < 10**9 else f"{first} or more"
            rows.append(f"| {label} | {len(shares)} | {sum(shares) / len(shares):.3f} |")
    return "\n".join(rows)


def main(runs: Sequence[Path]) -> None:
    """Print the table over all runs."""
    names = people()
    found = [pair for run in runs for pair in told_and_right(run, names)]
    print(table(found))
    print(f"\n{sum(told for told, _ in found) / len(found):.1f} texts a person; never told: ", end="")
    print(f"{sum(told == 0 for told, _ in found) / len(found):.3f} of {len(found)} people in {len(runs)} runs.")


if __name__ == "__main__":
    main([Path(run) for run in sys.argv[1:]])
