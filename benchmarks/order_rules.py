"""The decisions of the order rules: on labelled documents of eight kinds, and on three collections of facts.

The labelled documents are in tests/documents/kinds. `dev.jsonl` was open while the rules were written. The labels name
the sentences of each document that can change their order. Of each document, 40 views of `order` are made. An
order-sensitive document is *broken* if one of them moves another sentence. Another document is then *moved too far*.

The collections are articles on films, paragraphs of SQuAD, and the synthetic people. Their documents are not labelled.
"""

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import material
import measuring
from measuring import log

KINDS = measuring.ROOT / "tests" / "documents" / "kinds"
VIEWS = 40
BULLETS = ("- ", "* ", "\u2022 ")  # before the items of a list, which keep their order


def kinds(options: Namespace) -> list[dict[str, Any]]:
    """For each file of labelled documents: the confusion matrix, and the documents that are broken or not permuted."""
    rows = []
    for file in sorted(options.kinds.glob("*.jsonl")):
        labelled = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        rows.append({"file": file.name, **decisions(labelled)})
        print(f"\n{file.name}\n{matrix(rows[-1])}")
    if not rows:
        raise ValueError(f"{options.kinds} has no .jsonl files. Name their folder with --kinds.")
    return rows


def decisions(labelled: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The confusion matrix {label: {kind: documents}}, and the ids of wrong decisions about the order."""
    from hf_knowlearn.documents import Document
    from hf_knowlearn.documents.order_rules import order_rules

    confusion: dict[str, Counter[str]] = {}
    found: dict[str, list[str]] = {"broken": [], "moved_too_far": [], "not_permuted": []}
    counts = {"order_sensitive": 0, "permutable": 0}
    for row in labelled:
        document = Document(row["id"], row["text"], language=row["language"])
        rules = order_rules(document)
        confusion.setdefault(row["kind"], Counter())[str(rules.kind)] += 1
        moved = moved_views(document)
        allowed = permutable(row)
        counts["order_sensitive"] += row["order_sensitive"]
        counts["permutable"] += bool(allowed)
        if any(leaves_its_list(sources, allowed) for sources in moved):
            found["broken" if row["order_sensitive"] else "moved_too_far"].append(row["id"])
        if allowed and not moved:
            found["not_permuted"].append(row["id"])
    return {"confusion": {label: dict(each) for label, each in confusion.items()}, **counts, **found}


def moved_views(document: Any) -> list[list[int]]:
    """The positions of the spans in the document, for each of 40 views of `order`. Empty if no sentence can move."""
    from hf_knowlearn.views import TooFewViewsError, order_views

    try:
        views = order_views(document, VIEWS)
    except TooFewViewsError as error:
        views = order_views(document, error.available) if error.available else []
    return [[source for _, source, _ in view.spans] for view in views]


def permutable(row: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The (start, end) of each list of sentences that the label allows to move, without the items of lists."""
    ranges = []
    for group in row["permutable"]:
        places = [row["text"].index(sentence) for sentence in group]
        if not all(row["text"][:place].endswith(BULLETS) for place in places):
            ranges.append((min(places), max(at + len(text) for at, text in zip(places, group, strict=True))))
    return ranges


def leaves_its_list(sources: Iterable[int], allowed: Iterable[tuple[int, int]]) -> bool:
    """Whether a sentence outside of the allowed lists moves, or a sentence leaves its list."""
    regions = [next((start for start, end in allowed if start <= source < end), source) for source in sources]
    return regions != sorted(regions)


def matrix(row: Mapping[str, Any]) -> str:
    """The confusion matrix as text, and the counts of wrong decisions."""
    predicted = sorted({kind for each in row["confusion"].values() for kind in each})
    lines = [" " * 21 + "  ".join(predicted)]
    for label, each in row["confusion"].items():
        numbers = (str(each.get(kind, "")).rjust(len(kind)) for kind in predicted)
        lines.append(f"{label:20} {'  '.join(numbers)}")
    lines.append(f"order-sensitive: {row['order_sensitive']}, broken: {row['broken']}")
    lines.append(f"with sentences that can move: {row['permutable']}, not permuted: {row['not_permuted']}")
    lines.append(f"moved too far: {row['moved_too_far']}")
    return "\n".join(lines)


def shares(options: Namespace) -> list[dict[str, Any]]:
    """For each collection: the number of documents, of permuted documents, and of documents of each kind."""
    from hf_knowlearn.documents.order_rules import order_rules

    rows = []
    for name, documents in collections(options.data).items():
        rules = list(map(order_rules, documents))
        permuted = sum(not each.keeps_order for each in rules)
        of_kinds = dict(Counter(str(each.kind) for each in rules).most_common())
        rows.append({"collection": name, "documents": len(documents), "permuted": permuted, "kinds": of_kinds})
        log(f"{name}: {permuted} of {len(documents)} documents are permuted ({permuted / len(documents):.1%})")
    return rows


def collections(data: Path) -> dict[str, list]:
    """The documents of each collection by its name."""
    from hf_knowlearn.documents import Document
    from hf_knowlearn.paths import RECIPES
    from hf_knowlearn.worlds.splits import read_splits

    squad = json.loads((data / "squad" / "dev_24_titles.json").read_text(encoding="utf-8"))
    paragraphs = [
        Document(f"{article['title']}/{number}", paragraph["context"], title=article["title"], language="en")
        for article in squad["data"]
        for number, paragraph in enumerate(article["paragraphs"])
    ]
    people = {one.id: one for split in read_splits(RECIPES / "world.yaml").values() for one in split.documents()}
    return {"film": material.film(data), "squad": paragraphs, "world": list(people.values())}


if __name__ == "__main__":
    given = measuring.parser(__doc__, "order_rules", repeats=1)
    given.add_argument("--data", type=Path, default=material.DATA, help="folder that contains film/ and squad/")
    given.add_argument("--kinds", type=Path, default=KINDS, help="folder of the files with labelled documents")
    packages = ("sentencex", "markdown-it-py", "py3langid")
    sys.exit(measuring.measure("order_rules.py", given.parse_args(), packages, {"kinds": kinds, "shares": shares}))
