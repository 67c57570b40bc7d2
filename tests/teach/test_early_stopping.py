"""Early stopping in a run: the step, the report, stages, SAM, and that an interrupted run stops in the same way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_knowlearn.evaluation.callback import FIGURES, RecallCallback
from hf_knowlearn.teach import stages, trainers

# The score `correct` after each step: the best is that of step 2, and with a patience of 2 training stops at step 4.
SCORES = [0.0, 0.1, 0.3, 0.2, 0.3, 0.9, 0.9]


class Stopped(Exception):
    """Ends a process in the middle of a run."""


class StopAtThree(TrainerCallback):
    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise Stopped


@pytest.fixture
def stopping(
    options: dict[str, Any], questions: Path, monkeypatch: pytest.MonkeyPatch, trained: list[Any]
) -> dict[str, Any]:
    """The options of a run of six steps that stops after four, because of these scores."""

    def figures(callback: RecallCallback) -> dict[str, float]:
        return dict.fromkeys(FIGURES, SCORES[callback.trainer.state.global_step])

    monkeypatch.setattr(RecallCallback, "_figures", figures)
    evaluation = {"every": 1, "early_stopping_patience": 2, "general_knowledge": False, "preview": 1}
    more = {"questions": questions, "max_steps": 6, "save_steps": 1, "learning_rate": 0.01}
    return {**options, **more, **{f"evaluation.{name}": value for name, value in evaluation.items()}}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trainers of the runs."""
    new_trainer, made = trainers.new_trainer, list[Any]()

    def recording(*arguments: Any) -> Any:
        made.append(new_trainer(*arguments))
        return made[-1]

    monkeypatch.setattr(trainers, "new_trainer", recording)
    monkeypatch.setattr("hf_knowlearn.teach.trainers.new_trainer", recording)
    return made


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / "model").glob("*model.safetensors")
    return load_file(path)


def figures_of(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report["runs"]["trained"]


@pytest.mark.parametrize("sam_rho", [pytest.param(0.0, marks=pytest.mark.slow), 0.05])
def test_a_run_that_stops_early_resumes_bit_for_bit(
    knowlearn: Callable[..., int],
    stopping: dict[str, Any],
    trained: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sam_rho: float,
):
    options = {**stopping, "sam_rho": sam_rho}
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    assert knowlearn("teach", **options) == 0
    assert "Training stops at step 4 of 6: correct has not improved in 2 evaluations (best: 0.300 at step 2)." in (
        capsys.readouterr().out
    )
    found = figures_of(whole)
    assert found["early_stop"] == {"step": 4, "best": 0.3, "best_step": 2, "patience": 2, "max_steps": 6}
    assert (found["steps"], found["gradient_evaluations"]) == (4, 8 if sam_rho else 4)
    (tokens,) = (
        entry["num_tokens"] for entry in trained[0].state.log_history if entry.get("num_tokens") and entry["step"] == 4
    )
    assert found["cost"]["tokens"] == tokens
    text = (whole / "report.md").read_text(encoding="utf-8")
    assert "Training stopped early, at step 4 of 6, because correct did not improve in 2 evaluations." in text
    assert "Its best value was 0.300, at step 2; the model is that of step 4. The questions decided" in text

    # Interrupted before it stops, and then after it stopped, before the evaluation of the model.
    options["output_dir"] = broken
    recording = trainers.new_trainer

    def interrupted(*arguments: Any) -> Any:
        trainer = recording(*arguments)
        trainer.add_callback(StopAtThree())
        return trainer

    def fail(*_: Any) -> None:
        raise Stopped

    for module, name, replacement in ((trainers, "new_trainer", interrupted), (stages, "log_figures", fail)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, replacement)
            with pytest.raises(Stopped):
                knowlearn("teach", **options)
    assert (broken / "checkpoints" / "checkpoint-4").is_dir()
    assert knowlearn("teach", **options) == 0
    assert trained[-1].state.global_step == 4
    one, other = weights_of(whole), weights_of(broken)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    again = figures_of(broken)
    for name in ("early_stop", "steps", "gradient_evaluations", "curve", "train_loss", "correct"):
        assert again[name] == found[name]
    assert again["cost"]["tokens"] == found["cost"]["tokens"]


def test_every_stage_stops_early_on_its_own(
    knowlearn: Callable[..., int], stopping: dict[str, Any], questions: Path, tmp_path: Path
):
    path = tmp_path / "curriculum.yaml"
    two = [
        {"name": "first", "train_on": ["train_questions"], "max_steps": 3},
        {"name": "second", "train_on": ["documents"], "max_steps": 6},
    ]
    path.write_text(json.dumps({"stages": two}), encoding="utf-8")
    del stopping["max_steps"]
    assert knowlearn("teach", **stopping, curriculum=path, train_questions=questions, use_peft=False) == 0
    report = json.loads((stopping["output_dir"] / "report.json").read_text(encoding="utf-8"))
    assert [stage["steps"] for stage in report["stages"]] == [3, 4]
    assert [stage.get("early_stop", {}).get("step") for stage in report["stages"]] == [None, 4]
    text = (stopping["output_dir"] / "report.md").read_text(encoding="utf-8")
    assert "trained: training stopped early, at step 4 of 6" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluation.early_stopping_patience": 2},
            "evaluation.early_stopping_patience=2 counts the evaluations during training, but there are none. Set"
            " evaluation.every to a number of steps, or remove evaluation.early_stopping_patience.",
        ),
        (
            {"evaluation.early_stopping_patience": 0, "evaluation.every": 1, "evaluation.preview": -1},
            "evaluation.early_stopping_patience=0: give a number of at least 1.",
        ),
        ({"evaluation.preview": -1}, "evaluation.preview=-1: give a number of at least 0."),
        (
            {"evaluation.early_stopping_patience": 2, "evaluation.every": 1},
            "evaluation.early_stopping_patience=2 needs questions, but the run evaluates none. Add --questions PATH",
        ),
    ],
)
def test_options_that_cannot_work_are_errors(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
):
    assert knowlearn("teach", **options, **changes) == 2
    assert message in capsys.readouterr().err
    assert not options["output_dir"].exists()
