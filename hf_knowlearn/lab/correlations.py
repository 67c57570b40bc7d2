"""Correlations of a run's other figures with its exact match, over all runs of a study.

arXiv 2503.03705 reports that models which predict knowledge tokens in new contexts also answer questions about them.
The table shows that figure beside the training loss and retention. It includes runs on other documents and bases: a
useful predictor holds across them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from scipy.stats import pearsonr, spearmanr

from hf_knowlearn.lab.comparisons import Figures, Run
from hf_knowlearn.reports.formatting import known

FEWEST_RUNS = 4  # Fisher's interval needs 4
PREDICTORS: dict[str, Callable[[Figures], Any]] = {
    "knowledge tokens": lambda figures: (figures.get("knowledge_tokens") or {}).get("probability"),
    "training loss": lambda figures: figures.get("train_loss"),
    "retention": lambda figures: figures.get("retention"),
}


def correlations(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The correlation with exact match of each predictor that varies over at least 4 runs."""
    found = []
    for name, predictor in PREDICTORS.items():
        both: list[tuple[Any, Any]] = [(predictor(run.figures), run.figures.get("exact_match")) for run in runs]
        pairs = [pair for pair in both if all(map(known, pair))]
        if len(pairs) >= FEWEST_RUNS and all(len({*side}) > 1 for side in zip(*pairs, strict=True)):
            found.append({"figure": name, "runs": len(pairs), **correlation(pairs)})
    return found


def correlation(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Pearson's r with its 95 % interval by Fisher's transformation, as if runs were independent; Spearman's rank
    correlation."""
    left, right = zip(*pairs, strict=True)
    pearson = pearsonr(left, right)
    interval = pearson.confidence_interval(0.95)
    return {
        "pearson": float(pearson.statistic),
        "low": float(interval.low),
        "high": float(interval.high),
        "spearman": float(spearmanr(left, right).statistic),
    }


def correlation_rows(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A header, and a row for each predictor."""
    if found:
        yield ["predictor of exact match", "runs", "Pearson's r", "Spearman's"]
    for one in found:
        interval = f"{one['pearson']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        yield [one["figure"], str(one["runs"]), interval, f"{one['spearman']:+.3f}"]
