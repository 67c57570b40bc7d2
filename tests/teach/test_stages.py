"""Stages: their options, what each trains on, and that an interrupted run with stages gives the same result."""

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_knowlearn.config.recipes import parse_recipe, read_recipe
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.evaluation.mastery import Mastery
from hf_knowlearn.format_aug.rows import Row, document_rows
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.paths import CURRICULA
from hf_knowlearn.teach import stages, trainers
from hf_knowlearn.teach.data import RunData, load_data
from hf_knowlearn.teach.schedule import make_schedule, training_units

SHIPPED = sorted(path.stem for path in CURRICULA.glob("*.yaml"))
NEEDED = {"model_name_or_path": "somewhere", "documents": "new", "output_dir": "out", "use_cpu": True}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test of this file tries to use the network."""
    attempts: list[Any] = []

    def fail(*address: Any, **_: Any) -> None:
        attempts.append(address)
        raise OSError("There is no network.")

    for owner, name in ((socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "getaddrinfo")):
        monkeypatch.setattr(owner, name, fail)
    yield
    assert attempts == []


@pytest.fixture
def staged(tmp_path: Path) -> Callable[..., Any]:
    """Parses a recipe with these stages and options."""

    def staged(stages: Any, **options: Any) -> Any:
        return parse_recipe([], {**NEEDED, **options, "stages": stages})

    return staged


# Options


def test_a_stage_has_the_options_of_the_run_unless_it_sets_its_own(staged: Callable[..., Any]):
    first, second = staged(
        [{"name": "a", "max_steps": 3}, {"name": "b", "views": "order", "learning_rate": "1e-4"}],
        views="formats",
        num_views=5,
        max_steps=9,
    ).stages
    assert (first.training.max_steps, second.training.max_steps) == (3, 9)
    assert (first.teach.views, second.teach.views) == ("formats", "order")
    assert (first.teach.num_views, second.teach.num_views) == (5, 5)
    assert second.training.learning_rate == 1e-4
    assert [stage.training.output_dir for stage in (first, second)] == [
        "out/stages/1-a/checkpoints",
        "out/stages/2-b/checkpoints",
    ]


def test_the_recorded_options_give_the_same_run(staged: Callable[..., Any], tmp_path: Path):
    import yaml

    run = staged(
        [{"name": "a", "learning_rate": "1e-4", "train_questions": None}, {"name": "b", "train_on": "documents"}]
    )
    assert run.options["stages"] == [
        {"name": "a", "learning_rate": 1e-4, "train_questions": None},
        {"name": "b", "train_on": ["documents"]},
    ]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(run.options), encoding="utf-8")
    again = parse_recipe(["--config", str(tmp_path / "recipe.yaml"), "--output_dir", "out"])
    assert again.options == run.options


def test_a_run_without_stages_has_one_stage_without_a_name():
    run = parse_recipe([], NEEDED)
    assert run.stages == ()
    assert "stages" not in run.options
    (stage,) = resolve(run).stages
    assert (stage.name, stage.label, stage.folder) == ("", "", run.output_dir)


@pytest.mark.parametrize("given", [[], {}, "two", [1], None])
def test_stages_must_be_a_list_of_options(staged: Callable[..., Any], given: Any):
    with pytest.raises(
        ValueError, match=r"^stages=.* is not a list of stages\. Give a list of mappings, each with a name"
    ):
        staged(given)


def test_all_invalid_names_of_stages_are_reported_together(staged: Callable[..., Any]):
    with pytest.raises(ValueError, match="stages") as raised:
        staged([{"name": "a"}, {}, {"name": "A"}, {"name": "../b"}, {"name": 3}])
    assert [re.split(r"\. Use|\. Give", line)[0] for line in str(raised.value).splitlines()] == [
        "stages: stage 2 has the name None",
        "stages: stage 4 has the name '../b'",
        "stages: stage 5 has the name 3",
        "stages: 2 stages have the name 'a'",
    ]


def test_the_problems_of_all_stages_are_reported_together_with_their_names(staged: Callable[..., Any]):
    wrong = [
        {"name": "a", "num_viewz": 3},
        {"name": "b", "max_steps": "many"},
        {"name": "c", "questions": "q.jsonl", "seed": 1, "model_name_or_path": "other"},
        {"name": "d", "documents": None},
        {"name": "e", "train_on": ["train_questions"]},
        {"name": "f", "num_views": 0, "train_on": ["all"]},
        {"name": "g"},
    ]
    with pytest.raises(ValueError, match="stage") as raised:
        staged(wrong)
    message = str(raised.value)
    assert "stage 'a': Unknown options:\n  num_viewz (did you mean num_views?)" in message
    assert "stage 'b': These options have invalid values:\n  max_steps: 'many' is not a whole number." in message
    assert "stage 'c': questions, seed, model_name_or_path: a stage cannot set these options." in message
    assert "stage 'd': this stage has nothing to train on." in message
    assert "stage 'e': train_on=['train_questions'], but the run has no train_questions. Add --train_q" in message
    assert "stage 'f': num_views=0: give a number of at least 1.\n" in message
    assert "train_on=['all']: give one or more of documents, train_documents, train_questions" in message
    assert "'g'" not in message


def test_a_stage_cannot_set_the_folder_or_the_model_and_its_options_are_words(staged: Callable[..., Any]):
    with pytest.raises(
        ValueError, match=r"stage 'a': model_name_or_path, output_dir: a stage cannot set these options"
    ) as raised:
        staged([{"name": "a", "model": "other", "output_dir": "x"}, {"name": "b", 3: 4, "nam": 5}])
    assert "stage 'b': Unknown options:\n  3\n  nam" in str(raised.value)


def test_a_problem_of_the_run_is_reported_once(staged: Callable[..., Any]):
    with pytest.raises(ValueError, match=r"^replay_share=2.0: give a share [^\n]*$"):
        staged([{"name": "a"}, {"name": "b"}], replay_share=2)


@pytest.mark.parametrize(
    ("options", "second", "message"),
    [
        ({"use_peft": False}, {"adapter": "merge"}, "stage 'b': adapter='merge', but use_peft is false"),
        ({"use_peft": False}, {"adapter": "new"}, "stage 'b': adapter='new', but use_peft is false"),
        ({"load_in_4bit": True}, {"adapter": "merge"}, "4 or 8 bits: rounding would remove what the adapter learned"),
        ({}, {"lora_r": 4}, "stage 'b': lora_r: this stage continues the adapter of the previous stage"),
        ({}, {"adapter": "keep"}, "adapter: 'keep' is not one of"),
        ({}, {"optimizer": "continue"}, r"Unknown options:\n  optimizer \(did you mean optim\?\)"),
        ({"train_questions": "q"}, {"train_categories": ["Known"]}, r"train_categories=\['Known'\]: give one or more"),
        (
            {"train_questions": "q"},
            {"train_categories": ["MaybeKnown"], "classify": "full"},
            r"stage 'b': this stage selects questions by their class. Set classify to full or quick in stage 'a'",
        ),
    ],
)
def test_a_stage_that_cannot_follow_another_is_an_error(
    staged: Callable[..., Any], options: dict[str, Any], second: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        staged([{"name": "a"}, {"name": "b", **second}], **options)


def test_a_new_adapter_can_have_another_shape(staged: Callable[..., Any]):
    run = staged([{"name": "a", "lora_r": 4}, {"name": "b", "adapter": "merge", "lora_r": 8}], lora_r=2)
    assert [stage.model.lora_r for stage in run.stages] == [4, 8]
    assert resolve(run).merges_adapter
    assert not resolve(staged([{"name": "a", "adapter": "continue"}, {"name": "b"}])).merges_adapter


def test_the_first_stage_has_no_previous_adapter(staged: Callable[..., Any]):
    with pytest.raises(ValueError, match=r"stage 'a': adapter='merge', but no earlier stage has an adapter to use"):
        staged([{"name": "a", "adapter": "merge"}, {"name": "b"}])
    with pytest.raises(ValueError, match=r"^adapter='new', but no earlier stage"):
        parse_recipe(
            ["--model", "m", "--documents", "d", "--output_dir", "o", "--use_cpu", "true", "--adapter", "new"]
        )


# Curricula


def test_the_package_has_six_curricula():
    assert SHIPPED == ["cpt", "cpt_then_it", "gradual", "mixed", "pit", "pit_plus_plus"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_curriculum_overrides_a_recipe_and_the_command_line_overrides_both(name: str, tmp_path: Path):
    config = tmp_path / "mine.yaml"
    config.write_text("extends: base.yaml\nrun_name: mine\nreplay_share: 0.125\nnum_views: 3\n", encoding="utf-8")
    (tmp_path / "base.yaml").write_text("model_name_or_path: m\nlearning_rate: 0.5\nuse_cpu: true\n", encoding="utf-8")
    sets = {"documents": "new", "train_documents": "known", "train_questions": "about", "output_dir": "out"}
    words = ["--config", str(config), "--curriculum", name, "--num_views", "4"]
    run = parse_recipe([*words, *(word for option, path in sets.items() for word in (f"--{option}", path))])
    assert run.training.run_name == name
    assert [stage.name for stage in run.stages] == [
        stage["name"] for stage in read_recipe(CURRICULA / f"{name}.yaml")["stages"]
    ]
    assert {stage.training.learning_rate for stage in run.stages} == {0.5}
    assert {stage.teach.num_views for stage in run.stages} == {4}
    assert run.teach.replay_share == (0.25 if name == "gradual" else 0.125)


@pytest.mark.parametrize("name", ["pitt", "", "no/such.yaml"])
def test_an_unknown_curriculum_is_an_error_that_lists_the_curricula(name: str):
    message = rf"--curriculum {name}: there is no such curriculum .*Give a file, or one of cpt, .*pit_plus_plus\."
    with pytest.raises(ValueError, match=message):
        parse_recipe(["--curriculum", name], NEEDED)


# What a stage trains on


DOCUMENTS = [Document(f"d{i}", " ".join(f"Fact {j} of {i} and so on." for j in range(3))) for i in range(5)]


def question_row(text: str, document_id: str) -> Row:
    row = {"prompt": f"Question: {text}", "completion": " six", "document_id": document_id}
    return {**row, "part": 0, "view": 0, "family": "question", "format": ""}


QUESTIONS = [question_row(f"What is {i}/{j}?", f"d{i}") for i in range(5) for j in range(3)]


def rows_of(order: str, questions: list[Row] = QUESTIONS, epochs: int = 3) -> list[Row]:
    """The rows of steps of one row."""
    parts = document_rows(DOCUMENTS, ViewSettings(num_views=2), lambda texts: [1] * len(texts), None)
    units = training_units(parts, questions, [], order)
    return make_schedule(units, [], steps=epochs * (len(parts) + len(questions)), batch=1, replayed=0, seed=0)


@pytest.mark.parametrize("order", ["shuffled", "before"])
def test_every_epoch_trains_on_each_question_and_document_once(order: str):
    rows = rows_of(order)
    for start in range(0, 60, 20):
        epoch = rows[start : start + 20]
        assert {row["prompt"] for row in epoch} == {"", *(question["prompt"] for question in QUESTIONS)}
        assert len({(row["prompt"], row["document_id"]) for row in epoch}) == 20


def test_questions_come_right_before_their_document():
    rows = rows_of("before")
    for start in range(0, 60, 4):
        *questions, document = rows[start : start + 4]
        assert [row["family"] for row in questions] == ["question"] * 3
        assert document["family"] == "formats"
        assert {row["document_id"] for row in questions} == {document["document_id"]}
    orders = {tuple(row["document_id"] for row in rows[start : start + 20 : 4]) for start in (0, 20, 40)}
    assert len(orders) == 3


def test_shuffled_questions_come_before_and_after_their_document():
    rows = rows_of("shuffled")[:20]
    position = {row["document_id"]: i for i, row in enumerate(rows) if row["family"] != "question"}
    questions = [(i, row) for i, row in enumerate(rows) if row["family"] == "question"]
    assert {i < position[row["document_id"]] for i, row in questions} == {True, False}


def test_questions_before_a_missing_document_are_an_error():
    lost = [question_row("What is lost?", "elsewhere"), question_row("And this?", "")]
    message = r"does not train on the documents of 2 questions.*What is lost.*And this"
    with pytest.raises(ValueError, match=message):
        rows_of("before", [*QUESTIONS, *lost])
    assert rows_of("shuffled", [*QUESTIONS, *lost])


def test_each_stage_has_its_own_data_and_the_evaluation_that_of_all(
    staged: Callable[..., Any], documents: Path, questions: Path, tmp_path: Path
):
    other = tmp_path / "other.txt"
    other.write_text("Another thing.", encoding="utf-8")
    run = staged(
        [
            {"name": "a", "train_on": ["train_documents", "train_questions"]},
            {"name": "b", "documents": other, "train_on": ["documents"]},
            {"name": "c", "train_questions": None, "replay_documents": documents},
        ],
        documents=documents, train_documents=other, train_questions=questions, questions=questions,
    )  # fmt: skip
    settings = resolve(run)
    data = load_data(settings)
    sets = [(own, stage.sources.train_on) for own, stage in zip(data.stages, settings.stages, strict=True)]
    assert [[one.id for one in own.training_documents(train_on)] for own, train_on in sets] == [
        ["other.txt"],
        ["other.txt"],
        ["ferry.txt", "mill.md", "other.txt"],
    ]
    assert [len(own.training_questions(train_on)) for own, train_on in sets] == [2, 0, 0]
    assert [len(own.replay_documents) for own in data.stages] == [0, 0, 2]
    assert [one.id for one in data.documents] == ["other.txt", "ferry.txt", "mill.md"]  # of all stages
    assert len(data.questions["questions"]) == 2


def test_missing_data_of_all_stages_are_reported_together(staged: Callable[..., Any], tmp_path: Path):
    run = staged([{"name": "a"}, {"name": "b", "documents": tmp_path / "gone"}], documents=tmp_path / "none")
    with pytest.raises(ValueError, match=r"--documents: ") as raised:
        load_data(resolve(run))
    assert re.findall(r"^--documents: .*/(none|gone)\b", str(raised.value), re.MULTILINE) == [
        "none",
        "gone",
    ]


# Selection of questions by mastery


def classes(*categories: str) -> list[Mastery]:
    return [Mastery(f"q{i}", 0.0, 0.0, category) for i, category in enumerate(categories)]  # type: ignore[arg-type]


FIRST = classes("HighlyKnown", "MaybeKnown", "MaybeKnown", "WeaklyKnown", "Unknown", "Unknown")
NOW = classes("HighlyKnown", "HighlyKnown", "MaybeKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


def selected(staged: Callable[..., Any], **options: Any) -> tuple[str, str]:
    questions = [Question(f"q{i}", f"{i}?", ("x",)) for i in range(6)]
    data = RunData([], [], [Question("old", "Old?", ("y",))], {}, train_questions=questions)
    run = staged([{"name": "a", "classify": "full"}, {"name": "b", **options}], train_questions="q")
    data = stages.select_questions(resolve(run).stages[1], data, FIRST, NOW)
    return " ".join(q.id for q in data.train_questions), " ".join(q.id for q in data.replay_questions)


@pytest.mark.parametrize(
    ("options", "trained", "replayed"),
    [
        ({}, "q0 q1 q2 q3 q4 q5", "old"),
        ({"train_categories": ["MaybeKnown"]}, "q2 q3", "old"),
        ({"train_categories": ["MaybeKnown", "Unknown"]}, "q2 q3 q5", "old"),
        ({"train_improved": True}, "q1 q3 q4", "old"),
        ({"train_categories": ["MaybeKnown"], "train_improved": True}, "q3", "old"),
        (
            {
                "train_categories": ["MaybeKnown"],
                "train_improved": True,
                "replay_categories": ["HighlyKnown", "MaybeKnown"],
            },
            "q3",
            "old q0 q1 q2",
        ),
    ],
)
def test_a_stage_selects_questions_by_their_class(
    staged: Callable[..., Any], options: dict[str, Any], trained: str, replayed: str
):
    assert selected(staged, **options) == (trained, replayed)


def mixing_strategies() -> dict[str, dict[str, Any]]:
    """The options of the second stage in each row of the table in docs/curricula.md."""
    import yaml

    page = (Path(__file__).parents[2] / "docs" / "curricula.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-e]) \|.*\|([^|]*)\|$", page, re.MULTILINE)
    return {name: yaml.safe_load("\n".join(re.findall("`(.*?)`", lines))) for name, lines in rows}


@pytest.mark.parametrize(
    ("strategy", "trained", "replayed"),
    [
        ("a", "q3", ""),
        ("b", "q3", "q2"),
        ("c", "q3", "q0 q1"),
        ("d", "q3", "q0 q1 q2"),
        ("e", "q2 q3", ""),
    ],
)
def test_a_variant_of_the_documentation_selects_what_its_row_states(
    staged: Callable[..., Any], strategy: str, trained: str, replayed: str
):
    lines = mixing_strategies()[strategy]
    assert selected(staged, train_categories=["MaybeKnown"], **lines) == (trained, f"old {replayed}".strip())


def test_the_documentation_has_five_variants_and_gradual_is_the_fourth():
    strategies = mixing_strategies()
    assert len(strategies) == 5
    _, second = read_recipe(CURRICULA / "gradual.yaml")["stages"]
    assert second == {"name": "improved", "train_categories": ["MaybeKnown"], **strategies["d"]}
    on_top = {"e": {"replay_categories": "null", "train_improved": "false"}, "a": {"replay_categories": "null"}}
    for strategy, typed in on_top.items():
        words = [word for name, value in typed.items() for word in (f"--stages.improved.{name}", value)]
        given = {"model_name_or_path": "m", "train_questions": "q", "output_dir": "out", "use_cpu": True}
        teach = parse_recipe(["--curriculum", "gradual", *words], given).stages[1].teach
        assert teach.replay_categories is None
        assert teach.train_improved is strategies[strategy]["train_improved"]


def test_a_stage_without_questions_of_its_classes_is_an_error_with_their_numbers(staged: Callable[..., Any]):
    message = (
        "stage 'b': no training question has the class Unknown and has improved. The classes of the questions are:"
        " 2 HighlyKnown, 2 MaybeKnown, 1 WeaklyKnown, 1 Unknown"
    )
    with pytest.raises(ValueError, match=message):
        selected(staged, train_categories=["Unknown"], train_improved=True)


# Whole runs


class Stopped(Exception):
    """Ends a process in the middle of a run."""


class Stop(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise Stopped


@pytest.fixture
def six(tmp_path: Path) -> Path:
    """A file of six questions of one relation."""
    path = tmp_path / "six.jsonl"
    rows = [{"id": f"q{i}", "question": f"What is {i}?", "answers": ["rye"], "relation": "is"} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def curriculum(tmp_path: Path, questions: Path, options: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Writes a curriculum, and returns the options of a run with it."""
    del options["max_steps"]

    def curriculum(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
        path = tmp_path / "curriculum.yaml"
        path.write_text(json.dumps({"stages": list(stages)}), encoding="utf-8")  # JSON is YAML
        return {**options, "curriculum": path, "train_questions": questions, "questions": questions, **changes}

    return curriculum


ANSWER = {"name": "answer", "train_on": ["train_questions"], "max_steps": 2}
LEARN = {"name": "learn", "train_on": ["documents"], "max_steps": 4}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("*model.safetensors")
    return load_file(path)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def without_times(report: dict[str, Any]) -> Any:
    """The report, or a part of it, without times, which differ from run to run."""
    if isinstance(report, dict):
        times = {
            "seconds",
            "train_seconds",
            "evaluation_seconds",
            "self_replay_seconds",
            "peak_memory_bytes",
            "created",
        }
        return {name: without_times(value) for name, value in report.items() if name not in times}
    return [without_times(value) for value in report] if isinstance(report, list) else report


@pytest.mark.slow  # tests/teach/test_killed.py interrupts such a run in the fast tests
@pytest.mark.parametrize(
    ("use_peft", "adapter"), [(True, "continue"), (True, "merge"), (True, "new"), (False, "continue")]
)
def test_an_interrupted_run_with_stages_gives_the_same_result(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    use_peft: bool,
    adapter: str,
):
    changes = {"use_peft": use_peft, "learning_rate": 0.01, "save_steps": 2, "num_views": 3}
    changes |= {"lora_dropout": 0.2} if use_peft else {}
    options = curriculum(ANSWER, {**LEARN, "adapter": adapter}, **changes)
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    assert knowlearn("teach", **options) == 0
    options["output_dir"] = broken

    def stop(*_: Any) -> None:
        raise Stopped

    def run_with(module: Any, name: str, replacement: Any) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, replacement)
            return knowlearn("teach", **options)

    for name in ("_write_record", "next_trainer"):  # before a stage is finished, and after
        with pytest.raises(Stopped):
            run_with(stages, name, stop)
    assert not (broken / "stages" / "1-answer" / "checkpoints").exists()
    new_trainer = trainers.new_trainer

    def stopping(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(Stop())
        return trainer

    with pytest.raises(Stopped):  # within the second stage
        run_with(trainers, "new_trainer", stopping)
    assert [path.name for path in broken.glob("stages/2-learn/checkpoints/checkpoint-*")] == ["checkpoint-2"]

    assert knowlearn("teach", **options) == 0
    assert same(weights_of(whole / "model"), weights_of(broken / "model"))
    assert without_times(report_of(whole)) == without_times(report_of(broken))
    for name in ("answers.after.jsonl", "stages/1-answer/answers.after.jsonl"):
        assert (whole / name).read_text(encoding="utf-8") == (broken / name).read_text(encoding="utf-8")


class Terminate(TrainerCallback):
    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_saves_a_checkpoint_and_the_resumed_run_gives_the_same_result(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    changes = {"use_peft": True, "lora_dropout": 0.2, "learning_rate": 0.01, "save_strategy": "no"}
    options = curriculum({**LEARN, "max_steps": 5}, **changes, **{"evaluation.every": 2})
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    new_trainer, made = trainers.new_trainer, []

    def recording(*arguments: Any) -> Any:
        made.append(new_trainer(*arguments))
        return made[-1]

    def terminating(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(Terminate())
        return trainer

    monkeypatch.setattr(trainers, "new_trainer", recording)
    assert knowlearn("teach", **options) == 0
    monkeypatch.setattr(trainers, "new_trainer", terminating)
    with pytest.raises(SystemExit, match=r"^0$"):
        knowlearn("teach", **{**options, "output_dir": broken})
    assert "Stopped by SIGTERM. Step 3 is saved." in capsys.readouterr().out
    assert [path.parent.name for path in broken.glob("stages/*/checkpoints/*/manifest.json")] == ["checkpoint-3"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.setattr(trainers, "new_trainer", new_trainer)
    assert knowlearn("teach", **{**options, "output_dir": broken}) == 0
    assert same(weights_of(whole / "model"), weights_of(broken / "model"))
    assert without_times(report_of(whole)) == without_times(report_of(broken))
    log = made[0].state.log_history
    (counted,) = (entry["num_tokens"] for entry in log if entry["step"] == 5 and "loss" in entry)
    assert report_of(whole)["runs"]["trained"]["cost"]["tokens"] == counted


def test_a_report_has_the_scores_after_every_stage(
    knowlearn: Callable[..., int], curriculum: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
):
    options = curriculum(ANSWER, {**LEARN, "max_steps": 3}, use_peft=False, run_name="two")
    assert knowlearn("teach", **options) == 0
    folder = options["output_dir"]
    report = report_of(folder)
    assert [(stage["run"], stage["name"], stage["steps"]) for stage in report["stages"]] == [
        ("two", "answer", 2),
        ("two", "learn", 3),
    ]
    figures = report["runs"]["two"]
    assert set(report["stages"][0]) == {*figures, "run", "name"} - {"drift"}
    assert figures["exact_match"] == report["stages"][1]["exact_match"]
    assert figures["steps"] == figures["cost"]["steps"] == 5
    assert [point["step"] for point in figures["curve"]] == [1, 2, 3, 4, 5]
    assert figures["cost"]["evaluation_seconds"] > sum(
        stage["cost"]["evaluation_seconds"] for stage in report["stages"]
    )
    assert report["counts"]["train_questions"] == 2
    assert report["contamination"]["rows"] == 5 * 4
    shown = capsys.readouterr().out
    table = shown[shown.index("correct  ") :].splitlines()
    assert [line.split("  ")[0] for line in table[2:6]] == ["before", "guessing", "after answer", "two"]
    for page in ("report.md", "report.html"):
        assert "Stage by stage" in (folder / page).read_text(encoding="utf-8")
    left = sorted(str(path.relative_to(folder)) for path in folder.glob("stages/**/*"))
    assert left == ["stages/1-answer", "stages/1-answer/answers.after.jsonl", "stages/1-answer/stage.json"]

    other = curriculum(ANSWER, {**LEARN, "max_steps": 4}, use_peft=False, run_name="two")
    assert knowlearn("teach", **other) == 2
    assert "stages.2.max_steps: 3 in the folder, 4 now" in capsys.readouterr().err


def test_a_deleted_model_of_a_finished_stage_is_an_error(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def stop(*_: Any) -> None:
        raise Stopped

    options = curriculum(ANSWER, LEARN)
    monkeypatch.setattr(stages, "next_trainer", stop)
    with pytest.raises(Stopped):
        knowlearn("teach", **options)
    shutil.rmtree(options["output_dir"] / "stages" / "1-answer" / "model")
    assert knowlearn("teach", **options) == 2
    assert "1-answer/model' is missing. The stage after 'answer' starts with this model." in capsys.readouterr().err


def test_changed_data_of_an_unfinished_run_are_an_error_that_lists_their_options(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def stop(*_: Any) -> None:
        raise Stopped

    # The run claims its folder, and then neither evaluates nor trains.
    monkeypatch.setattr("hf_knowlearn.teach.measurements.Measurements.measure", stop)
    options = curriculum(ANSWER, LEARN)
    ferry, mill = (options["documents"] / name for name in ("ferry.txt", "mill.md"))
    for _ in range(2):  # the same data are no error
        with pytest.raises(Stopped):
            knowlearn("teach", **options)
    capsys.readouterr()
    was = {path: path.read_bytes() for path in (ferry, mill, questions)}

    def error() -> str:
        assert knowlearn("teach", **options) == 2
        return capsys.readouterr().err

    ferry.write_text("The ferry to Ormel leaves at ten.", encoding="utf-8")
    message = error()
    assert "contains a run whose data have changed since it started:\n  --documents: 2 items" in message
    assert message.splitlines()[1:-1] == ["  --documents: 2 items then, 2 now, but with other content"]
    ferry.unlink()
    assert error().splitlines()[1:-1] == ["  --documents: 2 items then, 1 now"]
    shutil.rmtree(options["documents"])
    assert "--documents: " in error()
    options["documents"].mkdir()
    for path, content in was.items():
        path.write_bytes(content)
    questions.write_bytes(was[questions].splitlines(keepends=True)[0])
    assert error().splitlines()[1:-1] == [
        "  --train_questions: 2 items then, 1 now",
        "  --questions: 2 items then, 1 now",
    ]
    with pytest.raises(Stopped):
        knowlearn("teach", **options, overwrite=True)


def test_a_run_with_a_merged_adapter_ends_with_a_whole_model(
    knowlearn: Callable[..., int], curriculum: Callable[..., dict[str, Any]]
):
    new = {**LEARN, "adapter": "merge", "max_steps": 1, "lora_r": 4}
    options = curriculum({**ANSWER, "max_steps": 1}, new, use_peft=True, learning_rate=0.01, warmup_steps=0)
    assert knowlearn("teach", **options) == 0
    before, after = weights_of(options["model"]), weights_of(options["output_dir"] / "model")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("_proj" in name for name in moved)


@pytest.mark.parametrize(
    "name", [*(pytest.param(n, marks=pytest.mark.slow) for n in SHIPPED if n not in ("pit", "gradual")), "pit"]
)
def test_a_curriculum_of_the_package_runs(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, name: str
):
    known = tmp_path / "known"
    known.mkdir()
    (known / "ford.txt").write_text("The ford at Sarn is dry in June.", encoding="utf-8")
    row = {"question": "When is the ford at Sarn dry?", "answers": ["June"], "document_id": "ford.txt"}
    (tmp_path / "about.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    sets = {"train_documents": known, "train_questions": tmp_path / "about.jsonl"}
    assert knowlearn("teach", **{**options, "max_steps": 1}, **sets, curriculum=name) == 0
    stages = read_recipe(CURRICULA / f"{name}.yaml")["stages"]
    assert [stage["name"] for stage in report_of(options["output_dir"])["stages"]] == [
        stage["name"] for stage in stages
    ]


def test_gradual_learning_trains_on_improved_questions_and_resumes_without_classifying_again(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    six: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    states = {"before": FIRST, "after": NOW}
    measured: list[str] = []
    schedules: list[list[Row]] = []

    def classify(
        model: Any, tokenizer: Any, _: list[Question], *, answer_cache: Path, **options: Any
    ) -> list[Mastery]:
        assert options["preset"] == "quick"
        measured.append(f"{answer_cache.parents[1].name} {answer_cache.name}")
        return states[answer_cache.name.split(".")[1]]

    schedule_stage = stages.schedule_stage

    def recording(*arguments: Any, **named: Any) -> Any:
        stage, rows = schedule_stage(*arguments, **named)
        schedules.append(rows)
        return stage, rows

    monkeypatch.setattr("hf_knowlearn.evaluation.mastery.classify_mastery", classify)
    monkeypatch.setattr(stages, "schedule_stage", recording)
    options = {**curriculum(), "curriculum": "gradual", "train_questions": six, "classify": "quick"}
    del options["documents"]
    options |= {"num_train_epochs": 4, "replay_share": 0.5, "learning_rate": 0.01}
    before, after_first, after_second = (
        "run responses.before.mastery.jsonl",
        "1-half_known responses.after.mastery.jsonl",
        "2-improved responses.after.mastery.jsonl",
    )
    write_record = stages._write_record

    def stopping(*arguments: Any) -> None:
        write_record(*arguments)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(stages, "_write_record", stopping)
        with pytest.raises(Stopped):
            knowlearn("teach", **options)
    assert measured == [before, after_first]
    assert knowlearn("teach", **options) == 0
    assert measured == [before, after_first, before, after_second]

    prompts = [[row["prompt"].split()[3].strip("?") for row in rows] for rows in schedules[-2:]]
    assert [(set(of_stage), len(of_stage)) for of_stage in prompts] == [({"1", "2"}, 8), ({"3", "0", "1", "2"}, 8)]
    assert prompts[1].count("3") == 4

    report = report_of(options["output_dir"])
    assert report["before"]["mastery"]["counts"] == {"HighlyKnown": 1, "MaybeKnown": 2, "WeaklyKnown": 1, "Unknown": 2}
    assert report["stages"][0]["mastery"]["flow"]["Unknown"] == {
        "HighlyKnown": 0, "MaybeKnown": 0, "WeaklyKnown": 1, "Unknown": 1
    }  # fmt: skip
    page = (options["output_dir"] / "report.md").read_text(encoding="utf-8")
    assert "| after half_known | MaybeKnown | 2 | 1 | 1 | 0 |" in page
    assert "| after half_known | 6 | 2 | 2 | 1 | 1 |" in page
    assert "after training on 6 questions" in page.replace("\u00a0", " ")
    assert "documents it was trained on" not in page


def test_a_run_without_maybe_known_questions_is_an_error(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    six: Path,
    capsys: pytest.CaptureFixture[str],
):
    options = {**curriculum(), "curriculum": "gradual", "train_questions": six, "classify": "quick"}
    assert knowlearn("teach", **options, **{"evaluation.max_new_tokens": 4}) == 2
    message = (
        "stage 'half_known': no training question has the class MaybeKnown. The classes of the questions are:"
        " 0 HighlyKnown, 0 MaybeKnown,"
    )
    assert message in capsys.readouterr().err
    assert len((options["output_dir"] / "mastery.before.jsonl").read_text(encoding="utf-8").splitlines()) == 6


def test_problems_of_questions_and_schedules_are_reported_together_before_anything_is_written(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    four = [{"id": f"q{i}", "question": f"What is {i}?", "answers": ["rye"], "relation": "is"} for i in range(4)]
    (tmp_path / "four.jsonl").write_text("".join(json.dumps(row) + "\n" for row in four), encoding="utf-8")
    odd = {"id": "a", "question": "Why?", "answers": ["so"], "kind": "odd"}
    (tmp_path / "odd.jsonl").write_text(json.dumps(odd) + "\n", encoding="utf-8")
    options = curriculum(
        {**ANSWER, "classify": "full", "question_order": "before", "train_categories": ["MaybeKnown"]}
    )
    options |= {"train_questions": tmp_path / "four.jsonl", "questions": tmp_path / "odd.jsonl"}
    assert knowlearn("teach", **options) == 2
    error = capsys.readouterr().err
    assert "--classify: " in error, error
    assert "4 questions" in error.split("--classify: ")[1].split("\n")[0]
    assert "--questions: these values of `kind` are unknown: 'odd'" in error
    assert "stage 'answer': question_order='before' needs the document of each question" in error
    assert not options["output_dir"].exists()
