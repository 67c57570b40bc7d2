"""How often a model's generated text names each person, and how many questions about that person it still answers.

`python benchmarks/generated_people.py outputs/lab/views/order_own_800_kl3_64/seed_*`. The runs replay text that the
model generated, half of it from an empty prompt. Only that half is counted, since the other half answers questions
about other people. The people are those of `replayed_questions` and `retention_questions`; such a run trains on
nothing else about them.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

BINS = ((0, 0), (1, 2), (3, 5), (6, 9), (10, 10**9))
ROLES = ("replayed_questions", "retention_questions")


def people() -> dict[str, str]:
    """The name of each person, by id."""
    from hf_knowlearn.paths import RECIPES
    from hf_knowlearn.worlds.splits import read_splits

    split = read_splits(RECIPES / "world.yaml")["old"]
    return {person.id: person.name for person in split.world.people(split.first, split.last)}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mentions_and_shares(run: Path, names: Mapping[str, str]) -> list[tuple[int, float]]:
    """For each evaluated person: the number of texts with the name, and the share of questions answered right."""
    texts = [row["text"] for row in lines(run / "replay.self.jsonl")[1:] if row["prompt"] == ""]
    right: dict[str, list[bool]] = defaultdict(list)
    for answer in lines(run / "answers.after.jsonl"):
        if answer["role"] in ROLES:
            right[answer["id"].split("/")[0]].append(answer["exact_match"])
    return [(sum(names[who] in text for text in texts), sum(answers) / len(answers)) for who, answers in right.items()]


def table(found: Iterable[tuple[int, float]]) -> str:
    """Rows of Markdown: the number of texts, the number of people over all runs, and the share answered right."""
    rows = ["| texts with the name | people | answered after training |", "|---|---|---|"]
    found = list(found)
    for first, last in BINS:
        if shares := [share for mentions, share in found if first <= mentions <= last]:
            label = str(first) if first == last else f"{first} to {last}" if last < 10**9 else f"{first} or more"
            rows.append(f"| {label} | {len(shares)} | {sum(shares) / len(shares):.3f} |")
    return "\n".join(rows)


def main(runs: Sequence[Path]) -> None:
    """Print the table over all runs."""
    names = people()
    found = [pair for run in runs for pair in mentions_and_shares(run, names)]
    mean = sum(mentions for mentions, _ in found) / len(found)
    never = sum(mentions == 0 for mentions, _ in found) / len(found)
    print(table(found))
    print(f"\n{mean:.1f} texts per person; never named: {never:.3f} of {len(found)} people in {len(runs)} runs.")


if __name__ == "__main__":
    main([Path(run) for run in sys.argv[1:]])
