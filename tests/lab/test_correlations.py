"""Tests of correlations: closed forms, and which figures have a correlation."""

import math
from typing import Any

import pytest

from hf_knowlearn.lab.comparisons import Run
from hf_knowlearn.lab.correlations import correlation, correlation_rows, correlations


def run(recall: float | None, **figures: Any) -> Run:
    return Run("arm", 0, {"correct": recall, **figures}, {})


def test_a_correlation_in_closed_form():
    # Deviations (-1.5, -0.5, 0.5, 1.5) and (-1.5, 0.5, -0.5, 1.5): 4 / 5. Fisher: tanh(atanh(0.8) ± 1.96 / sqrt(1)).
    found = correlation([(1, 1), (2, 3), (3, 2), (4, 4)])
    assert (found["pearson"], found["spearman"]) == (pytest.approx(0.8), pytest.approx(0.8))
    assert math.atanh(found["high"]) - math.atanh(0.8) == pytest.approx(1.959964)
    assert math.atanh(0.8) - math.atanh(found["low"]) == pytest.approx(1.959964)


def test_spearman_ignores_distances_and_pearson_does_not():
    found = correlation([(x, math.exp(x)) for x in range(6)])
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] < 0.9
    assert correlation([(x, -x) for x in range(6)])["pearson"] == pytest.approx(-1)


def test_a_figure_that_varies_over_four_runs_has_a_row():
    runs = [
        run(0.1 * n, train_loss=1 - 0.2 * n, knowledge_tokens={"probability": n * n / 20}, retention=0.5)
        for n in range(4)
    ]
    runs += [run(None, train_loss=9.0)]
    assert [(one["figure"], one["runs"]) for one in correlations(runs)] == [
        ("knowledge tokens", 4),
        ("training loss", 4),
    ]
    header, first, second = correlation_rows(correlations(runs))
    assert header[0] == "predictor of correct"
    assert (first[3], second[3]) == ("+1.000", "-1.000")
    assert list(correlation_rows(correlations(runs[:3]))) == []
