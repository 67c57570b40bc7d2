"""Errors: means over questions with standard errors clustered by document (Miller 2024, arXiv 2411.00640).

Two models that are asked the same questions are compared question by question: most of what makes the figure of either
uncertain is which questions were asked, and that they have in common.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from hf_knowlearn.documents import Question


def paired(questions: Sequence[Question], before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """The mean of the differences after - before, question by question, and its standard error.

    A question that names no document stands for itself. The error is nan where there is a single document, and 0 where
    all differences are alike.

    Args:
        before, after: what each answer counts, in [0, 1]; in the questions' order.
    """
    apart = [new - old for old, new in zip(before, after, strict=True)]
    return mean_and_error([apart], [question.document_id or question.id for question in questions])


def mean_and_error(groups: Sequence[Sequence[float]], clusters: Sequence[str]) -> tuple[float, float]:
    """The mean of the groups' means, and its standard error clustered as `score`'s are (arXiv 2411.00640).

    Args:
        clusters: of each value, those of the first group first.
    """
    means = [math.fsum(group) / len(group) for group in groups]
    residuals = [
        (value - mean) / len(group) / len(groups) for group, mean in zip(groups, means, strict=True) for value in group
    ]
    sums: dict[str, float] = defaultdict(float)
    for cluster, residual in zip(clusters, residuals, strict=True):
        sums[cluster] += residual
    number = len(sums)
    squares = math.fsum(value * value for value in sums.values())
    return math.fsum(means) / len(means), math.sqrt(number / (number - 1) * squares) if number > 1 else math.nan
