"""What foretells recall: correlations of a run's other figures with what it answers, over all runs of a study.

arXiv 2503.03705 claims that a model which goes on predicting knowledge tokens in contexts it never read can also be
asked for them; here that is one row beside those of the loss and of sharpness. The surprising decision: arms with
other documents or another base stay in, because a figure that foretells recall only among like runs foretells little.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hf_knowlearn.lab.comparisons import Figures, Run
from hf_knowlearn.reports.formatting import known

FEWEST = 4  # runs, from which on Fisher's interval exists
FORETELLS: dict[str, Callable[[Figures], Any]] = {
    "knowledge tokens": lambda figures: (figures.get("knowledge_tokens") or {}).get("probability"),
    "training loss": lambda figures: figures.get("train_loss"),
    "sharpness: gradient": lambda figures: (figures.get("sharpness") or {}).get("gradient"),
    "sharpness: random": lambda figures: (figures.get("sharpness") or {}).get("random"),
    "retention": lambda figures: figures.get("retention"),
}


def links(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each figure that varies over at least 4 runs: how many, Pearson's r with recall with its 95 % interval, and
    Spearman's rank correlation."""
    found = []
    for name, of in FORETELLS.items():
        both: list[tuple[Any, Any]] = [(of(run.figures), run.figures.get("exact_match")) for run in runs]
        pairs = [pair for pair in both if all(map(known, pair))]
        if len(pairs) >= FEWEST and all(len({*side}) > 1 for side in zip(*pairs, strict=True)):
            found.append({"figure": name, "runs": len(pairs), **correlation(pairs)})
    return found


def correlation(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Pearson's r, its 95 % interval by Fisher's transformation (as if runs were independent), and Spearman's."""
    left, right = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    r = statistics.correlation(left, right)
    middle, half = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r))), 1.959964 / math.sqrt(len(pairs) - 3)
    return {
        "pearson": r,
        "low": math.tanh(middle - half),
        "high": math.tanh(middle + half),
        "spearman": statistics.correlation(ranks(left), ranks(right)),
    }


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1 up; equal values share the mean of theirs. (`statistics.correlation` ranks from Python 3.12 on.)"""
    ordered = sorted(values)
    first = {value: place for place, value in reversed([*enumerate(ordered, 1)])}
    return [first[value] + (ordered.count(value) - 1) / 2 for value in values]


def link_rows(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A header, and a row for each figure."""
    if found:
        yield ["what might foretell recall", "runs", "Pearson's r", "Spearman's"]
    for link in found:
        interval = f"{link['pearson']:+.3f} [{link['low']:+.3f}, {link['high']:+.3f}]"
        yield [link["figure"], str(link["runs"]), interval, f"{link['spearman']:+.3f}"]
