"""The progress of a run: the bar, the lines without a terminal, what trackers receive, and options of one stage."""

import io
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
from hf_knowlearn.generation.batching import run_batches
from hf_knowlearn.teach import progress, report_builder, stages, trainers
from hf_knowlearn.teach.estimate import TRAINING, Estimate, Part
from hf_knowlearn.teach.progress import Progress

LEFT = r"about \d+ (s|min) left in the run\."


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that `time.monotonic` returns: `now.value` seconds."""
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr("time.monotonic", lambda: now.value)
    return now


def new_progress(shown: bool = True) -> Progress:
    """The progress of a run of 20 rows before training and 100 s of training, if a token takes 0.5 s."""
    estimate = Estimate(0.5)
    estimate.plan([Part("evaluation", {"rows": 200.0}), Part("training", {TRAINING: 200.0})])
    return Progress(estimate, shown)


def evaluate(run: Progress, now: SimpleNamespace, seconds: float) -> None:
    """Compute 20 rows of 10 tokens, each in the given time."""

    def compute(batch: list[int], _: int) -> list[int]:
        now.value += seconds
        return batch

    with run.part("evaluation", {"evaluation": 0.0}):
        run_batches(range(20), 1, compute, work=[10.0] * 20, kind="rows")


def test_without_a_terminal_every_tenth_and_every_minute_is_a_line(
    now: SimpleNamespace, caplog: pytest.LogCaptureFixture
):
    run = new_progress()
    with caplog.at_level("INFO", "hf_knowlearn"):
        evaluate(run, now, 5.0)  # as estimated: 100 s of 200 s
        now.value += 70
        run.estimate.start("rows", 0)
        run.advances("rows", 0)
    assert [record.getMessage() for record in caplog.records] == [
        "Teaching: evaluation | 10 % | about 3 min left",
        "Teaching: evaluation | 20 % | about 3 min left",
        "Teaching: evaluation | 30 % | about 2 min left",
        "Teaching: evaluation | 40 % | about 2 min left",
        "Teaching: evaluation | 50 % | about 100 s left",
        "Teaching: evaluation | 63 % | about 100 s left",
    ]


def test_a_short_run_without_a_terminal_logs_no_line(now: SimpleNamespace, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "hf_knowlearn"):
        evaluate(new_progress(), now, 0.2)
    assert caplog.records == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error, as a terminal."""
    terminal, tqdm = Terminal(), progress.tqdm
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    monkeypatch.setattr(progress, "tqdm", lambda **options: tqdm(**options, file=terminal))
    return terminal


def test_a_terminal_shows_one_bar_that_is_removed_if_the_run_fails(now: SimpleNamespace, terminal: Terminal):
    run = new_progress()

    def fail() -> None:
        with run.part("training", {"training": 0.0}):
            run.estimate.start(TRAINING, 200)
            now.value += 50
            run.advances(TRAINING, 100)
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fail()
    shown = terminal.getvalue().split("\r")
    # The other half of the training takes 50 s, and the evaluation is estimated at 100 s.
    assert re.fullmatch(r"Teaching: training \|[^|]{20}\| 25 % \| about 2 min left *", shown[-3])
    assert shown[-2:] == [" " * len(shown[-2]), ""]


def test_the_share_that_is_shown_never_falls(now: SimpleNamespace, terminal: Terminal):
    run = new_progress()
    with run.part("training", {"training": 0.0}):
        now.value += 50
        run.advances(TRAINING, 100)
        run.estimate.start(TRAINING, 100_000)  # much more than planned
        now.value += 1
        run.advances(TRAINING, 1)
    shown = [int(share) for share in re.findall(r"(\d+) %", terminal.getvalue())]
    assert shown == sorted(shown)
    assert shown[-1] > 0


def test_the_bar_can_be_turned_off(now: SimpleNamespace, terminal: Terminal, caplog: pytest.LogCaptureFixture):
    run = new_progress(shown=False)
    with caplog.at_level("INFO", "hf_knowlearn"):
        evaluate(run, now, 5.0)
    assert (terminal.getvalue(), caplog.records) == ("", [])
    assert run.time_left == "about 100 s left"  # the stages still log it


def test_only_the_main_process_shows_a_bar(
    now: SimpleNamespace, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(progress, "PartialState", lambda: SimpleNamespace(is_main_process=False))
    evaluate(new_progress(), now, 5.0)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("sam_rho", [0.0, 0.05])
def test_training_counts_micro_batches_and_resumes(now: SimpleNamespace, sam_rho: float):
    run, state = new_progress(), TrainerState(global_step=5, max_steps=10)
    args: Any = SimpleNamespace(gradient_accumulation_steps=2, sam_rho=sam_rho)
    with run.part("training", {"training": 0.0}):
        part = run.estimate.parts[1]
        run.on_train_begin(args, state, None)
        assert part.done == {TRAINING: 100}  # five of ten steps
        now.value += 4
        run.on_substep_end(args, state, None)
        assert part.done[TRAINING] == 100 + (0 if sam_rho else 10)
        now.value += 4
        run.on_optimizer_step(args, state, None)
        assert part.done[TRAINING] == 120
        assert run.estimate.seconds_left() == pytest.approx(80 * 8 / 20 + 100)
        # The time of an evaluation during training is not the time of a step.
        run.starts("rows", 10)
        now.value += 1000
        run.advances("rows", 10)
        assert run.estimate.seconds_left() == pytest.approx(80 * 8 / 20 + 200 * 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(50, "about 50 s left"), (119, "about 119 s left"), (840, "about 14 min left"), (9000, "about 2.5 h left")],
)
def test_the_time_left_is_in_words(now: SimpleNamespace, seconds: float, text: str):
    run = Progress(Estimate(1.0))
    run.estimate.plan([Part("training", {TRAINING: seconds})])
    assert run.time_left == text


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
    expected = [
        "Stage 1 of 2: first, 2 steps", "Stage 1 of 2: first is trained",
        "Stage 2 of 2: second, 3 steps", "Stage 2 of 2: second is trained",
    ]  # fmt: skip
    assert len(lines) == 4
    for line, start in zip(lines, expected, strict=True):
        assert re.fullmatch(rf"{start}, {LEFT}", line)

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
    assert re.fullmatch(rf"Stage 2 of 2: second, 3 steps, {LEFT}", lines[1])


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
