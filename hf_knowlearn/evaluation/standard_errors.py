"""Means over questions, with standard errors clustered by document (Miller 2024, arXiv 2411.00640).

Two models that answered the same questions are compared question by question. The error of this comparison is smaller
than the error of a comparison of their means, because both models find the same questions difficult.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

from hf_knowlearn.documents import Question


def paired_difference(
    questions: Sequence[Question], before: Sequence[float], after: Sequence[float]
) -> tuple[float, float]:
    """Return the mean of `after - before` over questions, and the standard error of this mean.

    A question without a document is a separate cluster. The error is nan for a single cluster, and 0 if all
    differences are equal.

    Args:
        before, after: the scores of each question, in [0, 1].
    """
    differences = [new - old for old, new in zip(before, after, strict=True)]
    return clustered_mean([differences], [question.document_id or question.id for question in questions])


def clustered_mean(groups: Sequence[Sequence[float]], clusters: Sequence[str]) -> tuple[float, float]:
    """Return the mean of the group means, and the standard error of this mean.

    The standard error is clustered as in `knowledge_recall.score`.

    Args:
        groups: the values of each group.
        clusters: the cluster of each value: the clusters of the first group, then those of the second, and so on.
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


def documents_of(questions: Sequence[Question]) -> list[str] | None:
    """Return the document of each question, as the clusters of standard errors.

    Return None if a question has no document, or if all questions have the same document: the questions then count as
    independent.
    """
    ids = [question.document_id for question in questions if question.document_id is not None]
    return ids if len(ids) == len(questions) and len({*ids}) > 1 else None


def token_mean(sums: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return the mean over the tokens of all texts, and its standard error, clustered by text.

    The error is nan for a single text.

    Args:
        sums: for each text, the sum of the values of its tokens and the number of its tokens.
    """
    tokens = sum(number for _, number in sums)
    mean = math.fsum(total for total, _ in sums) / tokens
    residuals = math.fsum((total - mean * number) ** 2 for total, number in sums)
    n = len(sums)
    return mean, math.sqrt(n / (n - 1) * residuals) / tokens if n > 1 else math.nan
