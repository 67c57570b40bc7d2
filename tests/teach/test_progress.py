"""Progress: what a run with stages logs while it trains, and sends to trackers; options of one stage."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerState

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.teach import progress, report_builder, stages, trainers
from hf_knowlearn.teach.progress import Progress

LEFT = "of training left in the run."


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that `Progress` measures."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_estimated_from_the_steps_of_this_process(
    clock: list[float], caplog: pytest.LogCaptureFixture
):
    run = Progress(["first", "second", "third"], [10, 120, 60])
    state: Any = TrainerState(global_step=4)  # an earlier process made four steps
    with caplog.at_level("INFO", "hf_knowlearn"):
        run.starts(0)
        run.on_train_begin(None, state, None)
        clock[0] += 12.0  # two seconds a step
        state.global_step = 10
        run.on_train_end(None, state, None)
        run.ends(0)
        run.starts(1)
        run.on_train_begin(None, TrainerState(global_step=0), None)
        clock[0] += 120.0  # one second a step: 132 s for 126 steps
        run.on_train_end(None, TrainerState(global_step=120), None)
        run.ends(1)
        run.starts(2)
        run.ends(2)
    assert [record.getMessage() for record in caplog.records] == [
        "\nStage 1 of 3: first, 10 steps.",
        f"Stage 1 of 3: first is trained; about 6.0 min {LEFT}",
        f"\nStage 2 of 3: second, 120 steps; about 6.0 min {LEFT}",
        f"Stage 2 of 3: second is trained; about 63 s {LEFT}",
        f"\nStage 3 of 3: third, 60 steps; about 63 s {LEFT}",
        "Stage 3 of 3: third is trained.",
    ]


def test_the_time_of_a_finished_stage_counts_for_the_estimate(caplog: pytest.LogCaptureFixture):
    run = Progress(["first", "second"], [10, 120])
    with caplog.at_level("INFO", "hf_knowlearn"):
        run.already_finished(0, 10, 5.0)
        run.starts(1)
    assert [record.getMessage() for record in caplog.records] == [
        "\nStage 1 of 2: first is finished.",
        f"\nStage 2 of 2: second, 120 steps; about 60 s {LEFT}",
    ]


class Tracker(TrainerCallback):
    """Records what a tracker receives."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.arguments: list[str] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.arguments += [args.to_json_string(), str(args.to_sanitized_dict())]

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        self.logged.append((state.global_step, dict(logs)))


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A tracker in every trainer of a run."""
    found, new_trainer = Tracker(), trainers.new_trainer

    def tracked(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(found)
        return trainer

    monkeypatch.setattr(trainers, "new_trainer", tracked)
    return found


@pytest.fixture
def curriculum(tmp_path: Path, questions: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run of two stages."""
    path = tmp_path / "curriculum.yaml"
    two = [
        {"name": "first", "train_on": ["train_questions"], "max_steps": 2},
        {"name": "second", "train_on": ["documents"], "max_steps": 3, "sam_rho": 0.05},
    ]
    path.write_text(json.dumps({"stages": two}), encoding="utf-8")
    del options["max_steps"]
    roles = ("questions", "evaluation.replayed_questions", "evaluation.retention_questions")
    sets = dict.fromkeys(("train_questions", *roles), questions)
    return {**options, **sets, "curriculum": path, "use_peft": False}


def test_a_run_logs_its_progress_and_sends_its_figures_to_trackers(
    knowlearn: Callable[..., int],
    curriculum: dict[str, Any],
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert knowlearn("teach", **curriculum, hub_token="hf_a_secret") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Stage ")]
    assert lines[0] == "Stage 1 of 2: first, 2 steps."
    assert re.fullmatch(rf"Stage 1 of 2: first is trained; about \d+ s {LEFT}", lines[1])
    assert re.fullmatch(rf"Stage 2 of 2: second, 3 steps; about \d+ s {LEFT}", lines[2])
    assert lines[3:] == ["Stage 2 of 2: second is trained."]

    report = json.loads((curriculum["output_dir"] / "report.json").read_text(encoding="utf-8"))
    figures = [(step, logs) for step, logs in tracker.logged if "recall/exact_match" in logs]
    assert [step for step, _ in figures] == [2, 3]
    for (_, logs), stage in zip(figures, report["stages"], strict=True):
        assert set(logs) == {*(f"recall/{name}" for name in report_builder.LOGGED), "epoch"}
        assert {f"recall/{name}": stage[name] for name in report_builder.LOGGED}.items() <= logs.items()
    assert {"sam/realised_rho", "sam/cosine", "sam/grad_norm"} <= set().union(*(logs for _, logs in tracker.logged))
    assert all(isinstance(value, int | float) for _, logs in tracker.logged for value in logs.values())
    assert tracker.arguments
    assert "hf_a_secret" not in "".join(tracker.arguments)

    # The report is the same without the figures that are logged.
    monkeypatch.setattr(stages, "log_figures", lambda *_: None)
    assert knowlearn("teach", **{**curriculum, "output_dir": curriculum["output_dir"].with_name("unlogged")}) == 0
    unlogged = json.loads((curriculum["output_dir"].with_name("unlogged") / "report.json").read_text(encoding="utf-8"))
    for stage, other in zip(report["stages"], unlogged["stages"], strict=True):
        assert stage["curve"] == other["curve"]
        assert stage["train_loss"] == other["train_loss"]
        assert stage["cost"]["tokens"] == other["cost"]["tokens"]
        assert [set(point) for point in stage["curve"]] == [{"step", "loss"}] * stage["steps"]


def test_trackers_receive_the_number_of_questions_of_each_class(monkeypatch: pytest.MonkeyPatch):
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr("transformers.Trainer.log", lambda trainer, logs: logged.append(logs))
    trainer: Any = object()
    report_builder.log_figures(trainer, {"mastery": {"n": 3, "counts": {"HighlyKnown": 1, "Unknown": 2}}})
    report_builder.log_figures(trainer, {"exact_match": None, "steps": 2})  # not evaluated
    assert logged == [{"mastery/HighlyKnown": 1, "mastery/Unknown": 2}]


def test_a_resumed_run_counts_the_finished_stage(
    knowlearn: Callable[..., int],
    curriculum: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    class Stopped(Exception):
        pass

    write_record = stages._write_record

    def stopping(*arguments: Any) -> None:
        write_record(*arguments)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(stages, "_write_record", stopping)
        with pytest.raises(Stopped):
            knowlearn("teach", **curriculum)
    capsys.readouterr()
    assert knowlearn("teach", **curriculum) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Stage ")]
    assert lines[0] == "Stage 1 of 2: first is finished."
    assert re.fullmatch(rf"Stage 2 of 2: second, 3 steps; about \d+ s {LEFT}", lines[1])


def test_an_unknown_tracker_is_an_error_that_lists_the_known_ones():
    needed = {"model_name_or_path": "m", "documents": "d", "output_dir": "o", "use_cpu": True}
    with pytest.raises(
        ValueError, match=r"^--report_to tensorbord: this is not a tracker\. Give one of .*tensorboard"
    ):
        parse_recipe(["--report_to", "tensorbord"], needed)


def test_tensorboard_has_the_figures_of_every_stage(knowlearn: Callable[..., int], curriculum: dict[str, Any]):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert knowlearn("teach", **curriculum, report_to="tensorboard") == 0
    scalars_of(curriculum["output_dir"], lambda path: EventAccumulator(str(path)).Reload().Tags()["scalars"])


class Writer:
    """Replaces TensorBoard's writer, which may not be installed: writes the names of scalars to a file."""

    def __init__(self, log_dir: str) -> None:
        self.path = Path(log_dir) / "events.names"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(f"{name}\n")

    def add_text(self, *_: Any) -> None: ...

    flush = close = add_text


def test_the_figures_of_tensorboard_are_not_deleted_with_the_checkpoints_of_a_stage(
    knowlearn: Callable[..., int], curriculum: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: True)
    monkeypatch.setattr("hf_knowlearn.models.packages._is_found", lambda module: True)
    assert knowlearn("teach", **curriculum, report_to="tensorboard") == 0
    scalars_of(curriculum["output_dir"], lambda path: path.read_text(encoding="utf-8").splitlines())


def scalars_of(folder: Path, read: Callable[[Path], list[str]]) -> None:
    """Check that each stage has its losses and its scores."""
    folders = sorted((folder / "stages").iterdir())
    assert len(folders) == 2
    for stage in folders:
        names = {name for path in stage.glob("runs/events.*") for name in read(path)}
        assert {"train/loss", "train/recall/retention"} <= names


# An option of one stage


TWO = [{"name": "first-stage", "max_steps": 3}, {"name": "v1.5", "train_on": ["documents"]}]
NEEDED = {"model_name_or_path": "m", "documents": "d", "train_questions": "q", "output_dir": "o", "use_cpu": True}


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """A command line with a curriculum of two stages."""
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps({"stages": TWO, "max_steps": 9}), encoding="utf-8")
    return ["--curriculum", str(path)]


def test_the_command_line_sets_an_option_of_one_stage(two: list[str]):
    words = ["--stages.first-stage.max-steps=20", "--stages.v1.5.train_on", "documents", "train_questions"]
    run = parse_recipe([*two, *words, "--stages.v1.5.learning_rate", "1e-3"], NEEDED)
    assert [stage.training.max_steps for stage in run.stages] == [20, 9]
    assert run.options["stages"] == [
        {"name": "first-stage", "max_steps": 20},
        {"name": "v1.5", "train_on": ["documents", "train_questions"], "learning_rate": 0.001},
    ]


def test_an_option_of_an_unknown_stage_is_an_error_that_lists_the_stages(two: list[str]):
    words = ["--stages.other.max_steps", "2", "--stages.max_steps", "2", "--stages.v1.5.name", "x"]
    with pytest.raises(ValueError, match="stages") as raised:
        parse_recipe([*two, *words], NEEDED)
    problem = "Write --stages.NAME.OPTION or --evaluation.OPTION. The stages are first-stage, v1.5."
    assert str(raised.value).splitlines() == [f"{word} is not possible. {problem}" for word in words[::2]]


def test_an_option_of_a_stage_is_an_error_in_a_run_without_stages():
    message = r"^--stages.other.seed is not possible. Write --stages.NAME.OPTION or .*. The run has no stages.$"
    with pytest.raises(ValueError, match=message):
        parse_recipe(["--stages.other.seed", "2"], NEEDED)


def test_an_unknown_option_of_a_stage_is_an_error_with_the_nearest_known_one(two: list[str]):
    message = r"^stage 'v1.5': Unknown options:\n  max_stepz \(did you mean max_steps\?\)$"
    with pytest.raises(ValueError, match=message):
        parse_recipe([*two, "--stages.v1.5.max_stepz", "2"], NEEDED)
