"""Correlations between correctness and other figures, over all runs of a study.

arXiv 2503.03705 reports that models which predict knowledge tokens in new contexts also answer questions about them.
The table compares this predictor with the training loss and retention. It includes runs with other documents and other
base models, because a useful predictor works for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.stats import pearsonr, spearmanr

from hf_knowlearn.lab.comparisons import Run, pairs

FEWEST_RUNS = 4  # Fisher's interval needs 4
PREDICTORS = {"knowledge tokens": "knowledge_tokens", "training loss": "train_loss", "retention": "retention"}


def correlations(runs: Sequence[Run], score: str = "correct") -> list[dict[str, Any]]:
    """Compute the correlation of each predictor with the score. A predictor needs different values in 4 runs.

    Args:
        score: `correct`, or `exact_match` for runs that were recorded before `correct` existed.
    """
    found = []
    for title, name in PREDICTORS.items():
        both = pairs([run.figures for run in runs], name, score)
        if len(both) >= FEWEST_RUNS and all(len({*side}) > 1 for side in zip(*both, strict=True)):
            found.append({"figure": title, "score": score, "runs": len(both), **correlation(both)})
    return found


def correlation(values: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Pearson's r with its 95 % interval by Fisher's transformation, and Spearman's rank correlation.

    The interval assumes that the runs are independent.
    """
    left, right = zip(*values, strict=True)
    pearson = pearsonr(left, right)
    interval = pearson.confidence_interval(0.95)
    return {
        "pearson": float(pearson.statistic),
        "low": float(interval.low),
        "high": float(interval.high),
        "spearman": float(spearmanr(left, right).statistic),
    }


def correlation_rows(found: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """The rows of a table: a header, and a row for each predictor."""
    if found:
        yield [f"predictor of {found[0]['score'].replace('_', ' ')}", "runs", "Pearson's r", "Spearman's"]
    for one in found:
        interval = f"{one['pearson']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        yield [one["figure"], str(one["runs"]), interval, f"{one['spearman']:+.3f}"]
