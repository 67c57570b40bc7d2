"""Tests of differences between arms: intervals in closed form, and linear interpolation to equal cost."""

from math import sqrt
from typing import Any

import pytest

from hf_knowlearn.lab.comparisons import Run, compare, over_seeds, paired, value_at
from hf_knowlearn.lab.records import comparison_rows, mastery_rows, number


def test_the_interval_of_three_seeds_in_closed_form():
    # Mean 2, standard deviation 1. P(|T| < t) = t / sqrt(2 + t * t) for two degrees of freedom, so 0.95 gives t:
    point = 0.95 * sqrt(2 / (1 - 0.95**2))
    assert paired([1.0, 2.0, 3.0]) == {
        "mean": 2.0,
        "low": pytest.approx(2 - point / sqrt(3)),
        "high": pytest.approx(2 + point / sqrt(3)),
    }


def test_equal_differences_have_an_interval_without_width():
    assert paired([0.5, 0.5]) == {"mean": 0.5, "low": 0.5, "high": 0.5}


def run(arm: str, seed: int, recall: float, steps: int, passes: int = 1, seconds: float = 1.0, **options: Any) -> Run:
    figures = {
        "correct": recall,
        "steps": steps,
        "gradient_evaluations": steps * passes,
        "train_seconds": steps * seconds,
    }
    return Run(arm, seed, figures, {"max_steps": steps, "run_name": arm, "seed": seed, **options})


def all_against(runs: list[Run], against: str) -> dict[str, str]:
    return {one.arm: against for one in runs}


def differences(runs: list[Run], against: str) -> dict[tuple[str, str], float]:
    return {
        (one.arm, one.cost): one.differences["correct"]["mean"] for one in compare(runs, all_against(runs, against))
    }


def test_a_method_of_two_passes_a_step_is_compared_at_equal_steps_evaluations_and_time():
    # Plain gains 0.001 per step; SAM gains 0.05 more, with two passes and three times the seconds per step.
    plain = [run("plain", 0, 0.1, 100), run("plain_200", 0, 0.2, 200), run("plain_400", 0, 0.4, 400)]
    sam = run("sam", 0, 0.15, 100, passes=2, seconds=3.0, sam_rho=0.05)
    assert differences([*plain, sam], "plain") == {
        ("sam", "steps"): pytest.approx(0.05),
        ("sam", "gradient_evaluations"): pytest.approx(-0.05),
        ("sam", "train_seconds"): pytest.approx(0.15 - 0.3),  # between 200 and 400
    }


def test_nothing_is_extrapolated_beyond_the_budgets():
    plain = [run("plain", 0, 0.1, 100), run("plain_200", 0, 0.2, 200)]
    dear = run("dear", 0, 0.5, 100, passes=3, seconds=3.0, sam_rho=0.05)
    odd = run("odd", 0, 0.5, 150, sam_rho=0.1)
    found = differences([*plain, dear, odd], "plain")
    assert {key for key in found if key[0] == "dear"} == {("dear", "steps")}
    # No run has 150 steps; its evaluations are between those of two runs.
    assert {key for key in found if key[0] == "odd"} == {("odd", "gradient_evaluations"), ("odd", "train_seconds")}


def test_seeds_are_paired_and_a_seed_of_one_arm_only_is_left_out():
    plain = [run("plain", seed, recall, 100) for seed, recall in ((0, 0.1), (1, 0.3), (2, 0.9))]
    more = [run("more", seed, recall, 100, views="order") for seed, recall in ((0, 0.2), (1, 0.5))]
    (found,) = [one for one in compare([*plain, *more], all_against([*plain, *more], "plain")) if one.cost == "steps"]
    assert found.differences["correct"] == {**paired([0.1, 0.2]), "seeds": 2}


def test_arms_that_differ_only_in_steps_are_one_method_and_are_not_compared():
    runs = [run("plain", 0, 0.1, 100), run("longer", 0, 0.2, 200), run("other", 0, 0.2, 100, learning_rate=1e-3)]
    assert {one.arm for one in compare(runs, all_against(runs, "plain"))} == {"other"}
    assert compare(runs, all_against(runs, "not run yet")) == []


def test_an_arm_can_have_its_own_baseline():
    plain = [run("plain", 0, 0.1, 100), run("plain_200", 0, 0.3, 200)]
    slow = [run("slow", 0, 0.2, 100, learning_rate=1e-3), run("slow_200", 0, 0.5, 200, learning_rate=1e-3)]
    sam = run("slow_sam", 0, 0.6, 100, passes=2, learning_rate=1e-3, sam_rho=0.05)
    runs = [*plain, *slow, sam]
    of_each = {**all_against(runs, "plain"), "slow_sam": "slow"}
    found = {(one.arm, one.against, one.cost): one for one in compare(runs, of_each)}
    of_sam = {key[1:]: one.differences["correct"]["mean"] for key, one in found.items() if key[0] == "slow_sam"}
    assert of_sam == {
        ("slow", "steps"): pytest.approx(0.4),
        ("slow", "gradient_evaluations"): pytest.approx(0.1),
        ("slow", "train_seconds"): pytest.approx(0.4),
    }
    header, *rows = comparison_rows(list(found.values()))
    assert header == ["arm", "minus", "at equal", "correct"]
    assert ["slow_sam", "slow", "gradient evaluations", "+0.100"] in rows
    assert ["slow", "plain", "steps", "+0.100"] in rows


def test_a_figure_that_was_not_measured_is_not_compared():
    runs = [run("plain", 0, 0.1, 100), run("other", 0, 0.2, 100, views="order")]
    runs[1].figures["retention"] = 0.5
    assert all(set(one.differences) == {"correct"} for one in compare(runs, all_against(runs, "plain")))
    assert value_at([{"steps": 10}], "steps", 10, "retention") is None


def test_a_mean_over_two_seeds_has_an_error_and_over_one_seed_has_none():
    runs = [run("plain", seed, recall, 100) for seed, recall in ((0, 0.1), (1, 0.3))]
    assert over_seeds(runs, "correct") == (pytest.approx(0.2), pytest.approx(0.1))
    assert over_seeds(runs[:1], "correct") == (0.1, None)
    assert over_seeds(runs, "retention") is None


def test_a_small_number_has_two_significant_digits():
    assert [number(value) for value in (0.0, 0.4567, 0.0005, 0.00049, -1.2036e-06, -0.25)] == [
        "0.000", "0.457", "0.001", "4.9e-04", "-1.2e-06", "-0.250",
    ]  # fmt: skip


def test_the_mastery_table_has_means_over_seeds():
    classes = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")

    def flow(up: int, same: int, down: int) -> dict[str, dict[str, int]]:
        moved = {name: dict.fromkeys(classes, 0) for name in classes}
        moved["MaybeKnown"] |= {"HighlyKnown": up, "MaybeKnown": same, "Unknown": down}
        return moved

    runs = [run("gradual", 0, 0.1, 10), run("gradual", 1, 0.1, 10), run("plain", 0, 0.1, 10)]
    for one, counts in zip(runs, ((4, 5, 1), (2, 7, 1)), strict=False):
        one.figures["mastery"] = {"flow": flow(*counts)}
    header, *rows = mastery_rows(runs)
    assert header == ["arm", "class before", "questions", "acquired", "retained", "lost"]
    assert rows == [["gradual", "MaybeKnown", "10", "3", "6", "1"]]
    assert list(mastery_rows(runs[2:])) == []
