"""The quickstart: several arms as one report, and what differs between them over seeds."""

from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.lab import quickstart
from hf_knowlearn.lab.comparisons import paired
from hf_knowlearn.teach import run_folder


def report(recall: float, gain: float, loss: float) -> dict[str, Any]:
    before = {"exact_match": 0.01, "exact_match_se": 0.5}
    arms = {
        name: {
            "exact_match": value,
            "exact_match_se": 0.013,
            "train_loss": loss,
            "steps": 250,
            "gradient_evaluations": 250,
            "seconds": 60.0,
        }
        for name, value in (("raw", recall), ("formats", recall + gain))
    }
    return {"before": before, "runs": arms, "recipes": {}, "counts": {"questions": 3}, "machine": "m"}


def test_over_seeds_means_take_the_place_of_figures_and_their_errors_are_over_seeds():
    reports = [report(0.3, 0.1, 1.0), report(0.4, 0.2, 2.0), report(0.5, 0.3, 6.0)]
    found = quickstart.over_seeds(reports, [0, 1, 2])
    assert found["runs"]["raw"]["exact_match"] == pytest.approx(0.4)
    assert found["runs"]["raw"]["exact_match_se"] == pytest.approx(0.1 / sqrt(3))
    assert found["runs"]["formats"]["train_loss"] == pytest.approx(3.0)
    assert found["runs"]["formats"]["steps"] == 250
    assert found["before"] == {"exact_match": pytest.approx(0.01), "exact_match_se": pytest.approx(0)}
    assert found["by_seed"] == {str(seed): one["runs"] for seed, one in enumerate(reports)}
    assert list(found["differences"]) == ["formats - as_written"]
    differences = found["differences"]["formats - as_written"]
    assert set(differences) == {"exact_match", "train_loss", "seconds"}  # what was measured in both, always
    assert differences["exact_match"] == pytest.approx(paired([0.1, 0.2, 0.3]))
    assert differences["train_loss"] == {"mean": 0, "low": 0, "high": 0}


def test_over_seeds_figures_within_figures_have_means_and_what_is_no_figure_of_every_seed_is_left_out():
    reports = [report(0.3, 0.1, 1.0), report(0.5, 0.2, 2.0)]
    more: list[dict[str, Any]] = [
        {"by_relation": {"job": {"exact_match": 0.25, "exact_match_se": 0.9, "n": 4}, "old": {"n": 1}}, "f1": 0.5},
        {"by_relation": {"job": {"exact_match": 0.75, "exact_match_se": 0.9, "n": 4}}, "f1": None},
    ]
    words = {
        "cost": {"device": "cpu", "tokens": 10},
        "curve": [{"step": 1}],
        "transitions": {"examples": {"learned": []}},
    }
    for one, figures in zip(reports, more, strict=True):
        one["runs"]["formats"].update(figures, **words)
        one["open_book"] = {"exact_match": one["runs"]["formats"]["exact_match"]}
    found = quickstart.over_seeds(reports, [0, 1])
    # Means 0.5, standard deviation 0.5 / sqrt(2), over two seeds.
    job = {"exact_match": 0.5, "exact_match_se": pytest.approx(0.25), "n": 4}
    assert found["runs"]["formats"]["by_relation"] == {"job": job}
    assert found["runs"]["formats"]["cost"] == {"tokens": 10}
    assert not {"f1", "curve", "transitions"} & set(found["runs"]["formats"])
    assert found["open_book"] == {"exact_match": pytest.approx(0.55)}
    assert "open_book" not in quickstart.over_seeds([report(0.1, 0, 1), report(0.2, 0, 1)], [0, 1])


def test_a_loss_that_is_missing_in_one_seed_has_no_difference():
    reports = [report(0.3, 0.1, 1.0), report(0.5, 0.2, 2.0)]
    reports[1]["runs"]["formats"]["train_loss"] = None
    assert set(quickstart.over_seeds(reports, [0, 1])["differences"]["formats - as_written"]) == {
        "exact_match",
        "seconds",
    }


@pytest.mark.parametrize("seeds", [[], [1], [1, 1], list(range(11))])
def test_seeds_without_an_interval_are_refused_before_anything_runs(tmp_path: Path, seeds: list[int]):
    with pytest.raises(ValueError, match=r"seeds=.*: give two to 10 different ones"):
        quickstart.run_seeds(quickstart.QUICKSTART, tmp_path / "runs", {}, seeds)
    assert not (tmp_path / "runs").exists()


def test_the_folder_of_a_later_arm_is_looked_at_before_the_first_one_runs(tmp_path: Path, base: Path):
    run_folder.claim(tmp_path / "formats", {"another": "recipe"}, {}, overwrite=False)
    with pytest.raises(ValueError, match="formats' holds the run of another recipe"):
        quickstart.run_arms(quickstart.QUICKSTART[:2], tmp_path, {"model_name_or_path": str(base), "use_cpu": True})
    assert [path.name for path in tmp_path.iterdir()] == ["formats"]


def test_a_study_refuses_a_folder_that_holds_something_else_and_leaves_it_as_it_is(tmp_path: Path):
    (tmp_path / "thesis.md").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds thesis.md, which this study doesn't write: choose a folder that is"):
        quickstart.run_arms(quickstart.QUICKSTART, tmp_path, {})
    with pytest.raises(ValueError, match=r"holds thesis.md"):
        quickstart.run_seeds(quickstart.QUICKSTART, tmp_path, {}, [0, 1])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.md"]
