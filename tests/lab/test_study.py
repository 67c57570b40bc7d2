"""A study: its file, and the errors for a study that is unfair or invalid."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_knowlearn.lab.study import MOST_SCREENED, choose, read_study
from hf_knowlearn.paths import RECIPES

STUDIES = sorted((RECIPES / "lab").glob("*.yaml"))
NEEDED = {"model_name_or_path": "tiny_base", "documents": "world:new", "use_cpu": True}


def write(folder: Path, **study: Any) -> Path:
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump({"options": NEEDED, **study}, sort_keys=False), encoding="utf-8")
    return path


def error_of(path: Path) -> str:
    with pytest.raises(ValueError, match=r"[Ss]tudy ") as found:
        read_study(path)
    return str(found.value)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(path: Path, tmp_path: Path):
    study = read_study(path)
    planned = study.runs(tmp_path)
    assert study.question
    assert len({run.recipe.output_dir for run in planned}) == len(planned)
    assert all(run.recipe.training.seed == run.seed and run.recipe.training.run_name == run.arm for run in planned)
    assert f"knowlearn lab recipes/lab/{path.name}" in path.read_text(encoding="utf-8")


def test_the_package_contains_studies():
    assert STUDIES


def test_options_of_an_arm_win_over_those_of_the_study_which_win_over_the_recipes(tmp_path: Path):
    (tmp_path / "plain.yaml").write_text("learning_rate: 1.0\nmax_steps: 1\nnum_views: 2\n", encoding="utf-8")
    options = {**NEEDED, "max_steps": 2, "num_views": 4, "evaluation": {"shots": 2, "max_new_tokens": 7}}
    arms = {"first": {"max_steps": 3}, "second": {"evaluation": {"shots": 1}}}
    study = read_study(write(tmp_path, config="plain.yaml", options=options, arms=arms))
    first, second = (run.recipe for run in study.runs(tmp_path))
    assert (first.training.max_steps, second.training.max_steps) == (3, 2)
    assert (first.evaluation.shots, second.evaluation.shots) == (2, 1)
    for recipe in (first, second):
        assert (recipe.training.learning_rate, recipe.teach.num_views) == (1.0, 4)
        assert recipe.evaluation.max_new_tokens == 7


def test_options_given_for_all_runs_win_over_those_of_an_arm(tmp_path: Path):
    study = read_study(write(tmp_path, arms={"a": {"max_steps": 3}}))
    (run,) = study.runs(tmp_path, {"max_steps": 5})
    assert run.recipe.training.max_steps == 5


def test_an_arm_can_take_the_options_of_another_by_a_yaml_anchor(tmp_path: Path):
    path = write(tmp_path, arms={"a": {}})
    arms = "arms:\n  a: &a {sam_rho: 0.1, max_steps: 3, against: b}\n  b: {<<: *a, max_steps: 4}\n"
    path.write_text(path.read_text(encoding="utf-8").replace("arms:\n  a: {}\n", arms), encoding="utf-8")
    study = read_study(path)
    assert study.arms["b"]["sam_rho"] == 0.1
    assert [run.recipe.training.max_steps for run in study.runs(tmp_path)] == [3, 4]
    assert study.against == {"a": "b", "b": "b"}


def test_an_arm_can_be_a_curriculum_and_paths_can_contain_the_seed(tmp_path: Path):
    arms = {"pit": {"curriculum": "cpt", "questions": "of/{seed}/q.jsonl"}}
    study = read_study(write(tmp_path, arms=arms, final={"arms": ["pit"], "seeds": [4, 5]}))
    runs = study.runs(tmp_path / "out")
    assert [run.recipe.teach.questions for run in runs] == ["of/4/q.jsonl", "of/5/q.jsonl"]
    assert [run.recipe.training.run_name for run in runs] == ["pit", "pit"]
    assert runs[1].recipe.output_dir == tmp_path / "out" / "pit" / "seed_5"
    assert {run.phase for run in runs} == {"final"}


def test_the_first_arm_is_the_baseline_unless_an_arm_or_the_study_names_another(tmp_path: Path):
    arms = {"a": {}, "b": {"sam_rho": 0.1}, "c": {"sam_rho": 0.2, "against": "b"}}
    study = read_study(write(tmp_path, arms=arms))
    assert study.against == {"a": "a", "b": "a", "c": "b"}
    assert all("against" not in options for options in study.arms.values())
    assert read_study(write(tmp_path, arms=arms, against="b")).against == {"a": "b", "b": "b", "c": "b"}
    assert "against: there is no arm 'aa'" in error_of(write(tmp_path, arms={"a": {}, "b": {"against": "aa"}}))


def test_without_phases_every_arm_is_screened_on_one_seed(tmp_path: Path):
    runs = read_study(write(tmp_path, arms={"a": {}, "b": {"sam_rho": 0.1}})).runs(tmp_path)
    assert [(run.phase, run.arm, run.seed) for run in runs] == [("screening", "a", 0), ("screening", "b", 0)]


def test_without_arms_a_phase_has_all_arms(tmp_path: Path):
    runs = read_study(write(tmp_path, arms={"a": {}, "b": {"sam_rho": 0.1}}, final={"seeds": [3]})).runs(tmp_path)
    assert [(run.phase, run.arm, run.seed) for run in runs] == [("final", "a", 3), ("final", "b", 3)]


def test_runs_can_be_chosen_by_phase_arm_and_seed(tmp_path: Path):
    phases = {"screening": {"seeds": [9]}, "final": {"arms": ["b"], "seeds": [0, 1]}}
    runs = read_study(write(tmp_path, arms={"a": {}, "b": {"sam_rho": 0.1}}, **phases)).runs(tmp_path)

    def chosen(**which: Any) -> list[tuple[str, int]]:
        return [(run.arm, run.seed) for run in choose(runs, **which)]

    assert chosen() == [("a", 9), ("b", 9), ("b", 0), ("b", 1)]
    assert chosen(phase="final") == [("b", 0), ("b", 1)]
    assert chosen(arms=["b"], seeds=[9, 1]) == [("b", 9), ("b", 1)]
    with pytest.raises(ValueError, match=r"no run with phase final, arm a\. Add --list to the command"):
        choose(runs, phase="final", arms=["a"])
    with pytest.raises(ValueError, match="no run with arm bb, seed 2"):
        choose(runs, arms=["b", "bb"], seeds=[0, 2])


def test_invalid_options_of_all_arms_are_reported_together(tmp_path: Path):
    arms = {"a": {"sam_roh": 0.1}, "b": {"learning_rate": "fast"}}
    with pytest.raises(ValueError, match="sam_roh") as found:
        read_study(write(tmp_path, arms=arms)).runs(tmp_path)
    assert "arm 'a': " in str(found.value)
    assert "arm 'b': " in str(found.value)
    assert "learning_rate" in str(found.value)


def test_an_unfair_study_is_an_error(tmp_path: Path):
    many = {f"a{number}": {"max_steps": number + 1} for number in range(MOST_SCREENED + 1)}
    assert (
        "screening: 41 runs: give at most 40 (arms times seeds). The best of more runs is often the best by chance"
        in error_of(write(tmp_path, arms=many))
    )
    phases = {"screening": {"seeds": [0]}, "final": {"arms": ["a"], "seeds": [0, 1]}}
    assert "final: seeds: [0]: these are also seeds of the screening. Choose other seeds" in error_of(
        write(tmp_path, arms={"a": {}}, **phases)
    )


def test_all_problems_of_the_file_are_reported_together(tmp_path: Path):
    arms = {"a b": {}, "up": {}, "own": {"seed": 3}}
    message = error_of(write(tmp_path, arms=arms, agianst="up", against="upp", final={"arms": ["up"]}))
    for part in (
        "agianst: unknown",
        "arm 'a b': give a name of letters",
        "arm 'own': seed: knowlearn lab sets these options",
        "against: there is no arm 'upp'",
        "final: give both arms and seeds, or neither",
    ):
        assert part in message


def test_all_problems_of_phases_and_options_are_reported_together(tmp_path: Path):
    phases = {"screening": {"seed": [7]}, "final": {"arms": ["a", "a"], "seeds": [1], "amrs": ["a"]}}
    message = error_of(write(tmp_path, arms={"a": {}}, options={"seed": 3, "run_name": "x"}, **phases))
    for part in (
        "options: run_name, seed: knowlearn lab sets these options",
        "screening: seed: unknown",
        "final: amrs: unknown",
        "final: arms: a, a: give each value only once",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"arms": {"a": 3}}, "arm 'a': 3: give `name: value`"),
        ({"arms": {"a": "x"}}, "arm 'a': 'x': give `name: value`"),
        ({"arms": {"a": {}}, "options": [1]}, "options: [1]: give `name: value`"),
        ({"arms": {"a": {}}, "screening": [1]}, "screening: [1]: give `name: value`"),
        ({"arms": {"a": {}}, "screening": {"arms": None}}, "screening: arms: None: give a list"),
        ({"arms": {"a": {}}, "final": {"arms": "a", "seeds": [1]}}, "final: arms: 'a': give a list"),
        ({"arms": {"a": {}}, "final": {"seeds": 1}}, "final: seeds: 1: give a list"),
        ({"arms": {"a": {}}, "final": {"seeds": [1, "b"]}}, "final: seeds: [1, 'b']: give whole numbers"),
        ({"arms": {"a": {}}, "final": {"seeds": [1, 1]}}, "final: seeds: 1, 1: give each value only once"),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error(tmp_path: Path, wrong: dict[str, Any], error: str):
    assert error in error_of(write(tmp_path, **wrong))


def test_the_name_of_an_arm_can_be_a_number(tmp_path: Path):
    study = read_study(
        write(tmp_path, arms={1: {"max_steps": 7}, "a": {"against": 1}}, final={"arms": [1], "seeds": [0]})
    )
    assert study.arms["1"]["max_steps"] == 7
    assert study.against == {"1": "1", "a": "1"}
    assert study.phases["final"].arms == ["1"]


@pytest.mark.parametrize(
    ("text", "error"), [("arms: [", "is not valid YAML"), ("question: why", "has no `arms:`"), ("", "has no")]
)
def test_a_file_that_is_no_study_is_an_error(tmp_path: Path, text: str, error: str):
    (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
    assert error in error_of(tmp_path / "trial.yaml")


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match=r"The study .*none.yaml. does not exist"):
        read_study(tmp_path / "none.yaml")
