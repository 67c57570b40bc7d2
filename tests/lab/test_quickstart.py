"""The quickstart: one report of several runs, and paired differences over seeds."""

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
            "cost": {"steps": 250, "train_seconds": 60.0},
        }
        for name, value in (("raw", recall), ("formats", recall + gain))
    }
    return {"before": before, "runs": arms, "recipes": {}, "counts": {"questions": 3}, "machine": "m"}


def test_a_report_over_seeds_has_means_and_errors_over_seeds():
    reports = [report(0.3, 0.1, 1.0), report(0.4, 0.2, 2.0), report(0.5, 0.3, 6.0)]
    found = quickstart.over_seeds(reports, [0, 1, 2])
    assert found["runs"]["raw"]["exact_match"] == pytest.approx(0.4)
    assert found["runs"]["raw"]["exact_match_se"] == pytest.approx(0.1 / sqrt(3))
    assert found["runs"]["formats"]["train_loss"] == pytest.approx(3.0)
    assert found["runs"]["formats"]["cost"]["steps"] == 250
    assert found["before"] == {"exact_match": pytest.approx(0.01), "exact_match_se": pytest.approx(0)}
    assert found["by_seed"] == {str(seed): one["runs"] for seed, one in enumerate(reports)}
    assert list(found["differences"]) == ["formats - raw"]
    differences = found["differences"]["formats - raw"]
    assert set(differences) == {"exact_match", "train_loss"}  # figures that both runs have on every seed
    assert differences["exact_match"] == pytest.approx(paired([0.1, 0.2, 0.3]))
    assert differences["train_loss"] == {"mean": 0, "low": 0, "high": 0}


def test_nested_figures_have_means_and_values_that_one_seed_lacks_are_left_out():
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
        one["retrieval"] = {"top_1": {"exact_match": one["runs"]["formats"]["exact_match"]}}
    found = quickstart.over_seeds(reports, [0, 1])
    # Means 0.5, standard deviation 0.5 / sqrt(2), over two seeds.
    job = {"exact_match": 0.5, "exact_match_se": pytest.approx(0.25), "n": 4}
    assert found["runs"]["formats"]["by_relation"] == {"job": job}
    assert found["runs"]["formats"]["cost"] == {"tokens": 10}
    assert not {"f1", "curve", "transitions"} & set(found["runs"]["formats"])
    assert found["open_book"] == {"exact_match": pytest.approx(0.55)}
    assert found["retrieval"] == {"top_1": found["open_book"]}
    assert "open_book" not in quickstart.over_seeds([report(0.1, 0, 1), report(0.2, 0, 1)], [0, 1])


def test_a_figure_without_a_value_for_one_seed_has_no_difference():
    reports = [report(0.3, 0.1, 1.0), report(0.5, 0.2, 2.0)]
    reports[1]["runs"]["formats"]["train_loss"] = None
    assert set(quickstart.over_seeds(reports, [0, 1])["differences"]["formats - raw"]) == {"exact_match"}


@pytest.mark.parametrize("seeds", [[], [1], [1, 1]])
def test_fewer_than_two_different_seeds_are_an_error_before_anything_runs(tmp_path: Path, seeds: list[int]):
    with pytest.raises(ValueError, match=r"seeds=.*: give two or more different seeds"):
        quickstart.run_seeds(quickstart.QUICKSTART, tmp_path / "runs", {}, seeds)
    assert not (tmp_path / "runs").exists()


def test_the_folder_of_a_later_run_is_checked_before_the_first_run(tmp_path: Path, base: Path):
    run_folder.claim(tmp_path / "formats", {"another": "recipe"}, {}, [8], overwrite=False)
    with pytest.raises(ValueError, match="formats' contains a run with other options"):
        quickstart.run_recipes(quickstart.QUICKSTART[:2], tmp_path, {"model_name_or_path": str(base), "use_cpu": True})
    assert [path.name for path in tmp_path.iterdir()] == ["formats"]


def test_a_folder_with_other_files_is_an_error_and_is_not_changed(tmp_path: Path):
    (tmp_path / "thesis.md").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"contains thesis.md, which this command did not write. Choose a new"):
        quickstart.run_recipes(quickstart.QUICKSTART, tmp_path, {})
    with pytest.raises(ValueError, match=r"contains thesis.md"):
        quickstart.run_seeds(quickstart.QUICKSTART, tmp_path, {}, [0, 1])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.md"]
