"""Correlations between the score `correct` and other figures, over all runs of a study.

arXiv 2503.03705 reports that a model which predicts the knowledge tokens of a document in new contexts also answers
questions about the document. The table compares three predictors of `correct`: knowledge tokens, training loss and
retention. A useful predictor works for all documents and base models, so the table covers all runs of a study.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.stats import pearsonr, spearmanr

from hf_knowlearn.lab.comparisons import Run, pairs

FEWEST_RUNS = 4  # Fisher's interval needs at least 4 runs
PREDICTORS = {"knowledge tokens": "knowledge_tokens", "training loss": "train_loss", "retention": "retention"}


def correlations(runs: Sequence[Run], score: str = "correct") -> list[dict[str, Any]]:
    """Compute the correlation of each predictor with the score.

    A predictor is left out if fewer than 4 runs have a value, or if the predictor or the score is equal in all
    runs.

    Args:
        score: `correct`. Or `exact_match`, for runs that were recorded before `correct` existed.
    """
    found = []
    for title, name in PREDICTORS.items():
        both = pairs([run.figures for run in runs], name, score)
        if len(both) >= FEWEST_RUNS and all(len({*side}) > 1 for side in zip(*both, strict=True)):
            found.append({"figure": title, "score": score, "runs": len(both), **correlation(both)})
    return found


def correlation(values: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return Pearson's r, its 95 % interval by Fisher's transformation, and Spearman's rank correlation.

    The interval assumes that the pairs of values are independent.
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
    """Yield the rows of the table: a header, then a row for each predictor."""
    if found:
        yield [f"predictor of {found[0]['score'].replace('_', ' ')}", "runs", "Pearson's r", "Spearman's"]
    for one in found:
        interval = f"{one['pearson']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        yield [one["figure"], str(one["runs"]), interval, f"{one['spearman']:+.3f}"]
