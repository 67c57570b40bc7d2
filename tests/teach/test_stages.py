"""Stages: what a recipe may say of them, what each reads, and that a run of them, stopped anywhere, ends as if not."""

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
from hf_knowlearn.config.teach_arguments import TeachArguments
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.evaluation.mastery import Mastery
from hf_knowlearn.paths import CURRICULA
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach import pipeline, stages
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.data import read as read_material
from hf_knowlearn.teach.schedule import make_schedule, tell

SHIPPED = sorted(path.stem for path in CURRICULA.glob("*.yaml"))
NEEDED = {"model_name_or_path": "somewhere", "documents": "new", "output_dir": "out", "use_cpu": True}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test of this file asks anything of the network, not even in vain."""
    asked: list[Any] = []

    def refuse(*address: Any, **_: Any) -> None:
        asked.append(address)
        raise OSError("There is no network.")

    for owner, name in ((socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "getaddrinfo")):
        monkeypatch.setattr(owner, name, refuse)
    yield
    assert asked == []


@pytest.fixture
def staged(tmp_path: Path) -> Callable[..., Any]:
    """Parses a recipe of these stages, with these options beside them."""

    def staged(stages: Any, **options: Any) -> Any:
        return parse_recipe([], {**NEEDED, **options, "stages": stages})

    return staged


# As a recipe writes them


def test_a_stage_has_the_runs_options_where_it_names_none(staged: Callable[..., Any]):
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


def test_the_options_of_a_run_repeat_it_with_its_stages(staged: Callable[..., Any], tmp_path: Path):
    import yaml

    run = staged(
        [{"name": "a", "learning_rate": "1e-4", "train_questions": None}, {"name": "b", "reads": "documents"}]
    )
    assert run.options["stages"] == [
        {"name": "a", "learning_rate": 1e-4, "train_questions": None},
        {"name": "b", "reads": ["documents"]},
    ]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(run.options), encoding="utf-8")
    again = parse_recipe(["--config", str(tmp_path / "recipe.yaml"), "--output_dir", "out"])
    assert again.options == run.options


def test_a_run_without_stages_is_its_own_only_one():
    run = parse_recipe([], NEEDED)
    assert run.stages == ()
    assert run.steps == (run,)
    assert "stages" not in run.options


@pytest.mark.parametrize("given", [[], {}, "two", [1], None])
def test_stages_that_are_no_list_of_stages_are_refused(staged: Callable[..., Any], given: Any):
    with pytest.raises(ValueError, match=r"^stages: .*: give a list of stages, one at least, each with a name"):
        staged(given)


def test_names_that_cannot_be_are_told_all_at_once(staged: Callable[..., Any]):
    with pytest.raises(ValueError, match="stages") as refusal:
        staged([{"name": "a"}, {}, {"name": "A"}, {"name": "../b"}, {"name": 3}])
    assert [line.partition(": give")[0] for line in str(refusal.value).splitlines()] == [
        "stages: name of stage 2: None",
        "stages: name of stage 4: '../b'",
        "stages: name of stage 5: 3",
        "stages: 2 stages are named 'a'",
    ]


def test_what_is_wrong_with_any_stage_is_told_at_once_with_its_name(staged: Callable[..., Any]):
    wrong = [
        {"name": "a", "num_viewz": 3},
        {"name": "b", "max_steps": "many"},
        {"name": "c", "questions": "asked.jsonl", "seed": 1, "model_name_or_path": "other"},
        {"name": "d", "documents": None},
        {"name": "e", "reads": ["train_questions"]},
        {"name": "f", "part_tokens": 1, "reads": ["all"]},
        {"name": "g"},
    ]
    with pytest.raises(ValueError, match="stage") as refusal:
        staged(wrong)
    told = str(refusal.value)
    assert "stage 'a': Unknown options:\n  num_viewz (did you mean num_views?)" in told
    assert "stage 'b': Options with values that they can't have:\n  max_steps: invalid int value: 'many'" in told
    assert "stage 'c': questions, seed, model_name_or_path: an option of the whole run." in told
    assert "stage 'd': it has nothing to read." in told
    assert "stage 'e': reads=['train_questions'], but the run is given no train_questions: pass --train_q" in told
    assert "stage 'f': reads=['all']: give one or more of documents, train_documents, train_questions" in told
    assert "\npart_tokens=1" in told
    assert "'g'" not in told


def test_a_stage_has_no_folder_of_its_own_and_no_key_that_is_a_number(staged: Callable[..., Any]):
    with pytest.raises(
        ValueError, match=r"stage 'a': model_name_or_path, output_dir: an option of the whole run"
    ) as refusal:
        staged([{"name": "a", "model": "other", "output_dir": "x"}, {"name": "b", 3: 4, "nam": 5}])
    assert "stage 'b': Unknown options:\n  3\n  nam" in str(refusal.value)


def test_what_is_wrong_with_the_run_is_not_repeated_for_every_stage(staged: Callable[..., Any]):
    with pytest.raises(ValueError, match=r"^replay_share=2.0: give a share [^\n]*$"):
        staged([{"name": "a"}, {"name": "b"}], replay_share=2)


@pytest.mark.parametrize(
    ("options", "second", "says"),
    [
        ({"use_peft": False}, {"adapter": "merge"}, "stage 'b': adapter='merge', but use_peft is false"),
        ({"use_peft": False}, {"adapter": "new"}, "stage 'b': adapter='new', but use_peft is false"),
        ({"load_in_4bit": True}, {"adapter": "merge"}, "4 or 8 bits would round away what was learned"),
        ({}, {"lora_r": 4}, "stage 'b': lora_r: the stage trains the adapter of the one before"),
        ({}, {"adapter": "keep"}, "adapter: invalid choice: 'keep'"),
        ({}, {"optimizer": "continue"}, r"Unknown options:\n  optimizer \(did you mean optim\?\)"),
        ({"train_questions": "q"}, {"train_categories": ["Known"]}, r"train_categories=\['Known'\]: give one or more"),
        (
            {"train_questions": "q"},
            {"train_categories": ["MaybeKnown"], "classify": True},
            "stage 'b': it chooses questions by their class, so set classify: true in stage 'a', which comes before.",
        ),
    ],
)
def test_what_cannot_follow_a_stage_is_refused(
    staged: Callable[..., Any], options: dict[str, Any], second: dict[str, Any], says: str
):
    with pytest.raises(ValueError, match=says):
        staged([{"name": "a"}, {"name": "b", **second}], **options)


def test_a_new_adapter_may_have_another_shape(staged: Callable[..., Any]):
    run = staged([{"name": "a", "lora_r": 4}, {"name": "b", "adapter": "merge", "lora_r": 8}], lora_r=2)
    assert [stage.model.lora_r for stage in run.stages] == [4, 8]
    assert stages.merges(run)
    assert not stages.merges(staged([{"name": "a", "adapter": "continue"}, {"name": "b"}]))


def test_the_adapter_of_a_stage_that_is_not_there_is_refused(staged: Callable[..., Any]):
    with pytest.raises(ValueError, match=r"stage 'a': adapter='merge': no stage comes before, whose adapter"):
        staged([{"name": "a", "adapter": "merge"}, {"name": "b"}])
    with pytest.raises(ValueError, match=r"^adapter='new': no stage comes before"):
        parse_recipe(
            ["--model", "m", "--documents", "d", "--output_dir", "o", "--use_cpu", "true", "--adapter", "new"]
        )


# Curricula


def test_there_are_curricula_to_test():
    assert SHIPPED == ["cpt", "cpt_then_it", "gradual", "mixed", "pit", "pit_plus_plus"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_curriculum_lies_over_a_recipe_and_under_the_command_line(name: str, tmp_path: Path):
    config = tmp_path / "mine.yaml"
    config.write_text("extends: base.yaml\narm: mine\nreplay_share: 0.125\nnum_views: 3\n", encoding="utf-8")
    (tmp_path / "base.yaml").write_text("model_name_or_path: m\nlearning_rate: 0.5\nuse_cpu: true\n", encoding="utf-8")
    sets = {"documents": "new", "train_documents": "known", "train_questions": "about", "output_dir": "out"}
    words = ["--config", str(config), "--curriculum", name, "--num_views", "4"]
    run = parse_recipe([*words, *(word for option, path in sets.items() for word in (f"--{option}", path))])
    assert run.teach.arm == name
    assert [stage.name for stage in run.stages] == [
        stage["name"] for stage in read_recipe(CURRICULA / f"{name}.yaml")["stages"]
    ]
    assert {stage.training.learning_rate for stage in run.stages} == {0.5}
    assert {stage.teach.num_views for stage in run.stages} == {4}
    assert run.teach.replay_share == (0.25 if name == "gradual" else 0.125)


@pytest.mark.parametrize("name", ["pitt", "", "no/such.yaml"])
def test_a_curriculum_that_is_not_there_is_refused_with_those_that_are(name: str):
    with pytest.raises(ValueError, match=rf"--curriculum {name}: no such .*There are cpt, .*, pit, pit_plus_plus\."):
        parse_recipe(["--curriculum", name], NEEDED)


# What a stage reads


ABOUT = [Question(f"q{i}/{j}", f"What is {i}/{j}?", ("six",), document_id=f"d{i}") for i in range(5) for j in range(3)]
TOLD = [Document(f"d{i}", " ".join(f"Fact {j} of {i} and so on." for j in range(3))) for i in range(5)]


def rows_of(order: str, questions: list[Question] = ABOUT, batch: int = 1, epochs: int = 3) -> list[dict[str, str]]:
    told = tell(TOLD, TeachArguments(num_views=2), lambda texts: [1] * len(texts), None, 0)
    steps = epochs * (len(told) + len(questions)) // batch
    how: dict[str, Any] = {"replayed": 0, "trained_as": lambda asked, said: (plain_prompt(asked), said), "seed": 0}
    return make_schedule(told, [], [], steps=steps, batch=batch, **how, questions=questions, question_order=order)


@pytest.mark.parametrize("order", ["shuffled", "before"])
def test_questions_and_documents_are_read_once_an_epoch(order: str):
    rows = rows_of(order)
    for start in range(0, 60, 20):
        epoch = rows[start : start + 20]
        assert {row["prompt"] for row in epoch} == {"", *(plain_prompt(question.text) for question in ABOUT)}
        assert len({(row["prompt"], row["document_id"]) for row in epoch}) == 20


def test_questions_stand_right_before_their_document_and_never_after():
    rows = rows_of("before")
    for start in range(0, 60, 4):
        *asked, told = rows[start : start + 4]
        assert [row["view"] for row in asked] == ["question"] * 3
        assert told["view"].startswith("formats/")
        assert {row["document_id"] for row in asked} == {told["document_id"]}
    orders = {tuple(row["document_id"] for row in rows[start : start + 20 : 4]) for start in (0, 20, 40)}
    assert len(orders) == 3


def test_shuffled_questions_stand_on_both_sides_of_their_document():
    rows = rows_of("shuffled")[:20]
    place = {row["document_id"]: i for i, row in enumerate(rows) if row["view"] != "question"}
    assert {i < place[row["document_id"]] for i, row in enumerate(rows) if row["view"] == "question"} == {True, False}


def test_questions_before_a_document_that_is_not_read_are_refused():
    lost = [Question("x", "What is lost?", ("it",), document_id="elsewhere"), Question("y", "And this?", ("so",))]
    with pytest.raises(
        ValueError, match=r"2 questions are about no document that is read with them.*What is lost.*And this"
    ):
        rows_of("before", [*ABOUT, *lost])
    assert rows_of("shuffled", [*ABOUT, *lost])


def test_each_stage_reads_its_own_sets_and_the_run_asks_about_all(
    staged: Callable[..., Any], documents: Path, questions: Path, tmp_path: Path
):
    other = tmp_path / "other.txt"
    other.write_text("Another thing.", encoding="utf-8")
    run = staged(
        [
            {"name": "a", "reads": ["train_documents", "train_questions"]},
            {"name": "b", "documents": other, "reads": ["documents"]},
            {"name": "c", "train_questions": None, "replay_documents": documents},
        ],
        documents=documents, train_documents=other, train_questions=questions, questions=questions,
    )  # fmt: skip
    material = read_material(run)
    taught = [of.taught(stage.teach.reads) for of, stage in zip(material.steps, run.steps, strict=True)]
    assert [[one.id for one in told] for told, _ in taught] == [
        ["other.txt"],
        ["other.txt"],
        ["ferry.txt", "mill.md", "other.txt"],
    ]
    assert [len(asked) for _, asked in taught] == [2, 0, 0]
    assert [len(of.replay_documents) for of in material.steps] == [0, 0, 2]
    assert [one.id for one in material.documents] == ["other.txt", "ferry.txt", "mill.md"]  # of any stage
    assert len(material.asked["questions"]) == 2


def test_what_stages_cannot_read_is_told_at_once(staged: Callable[..., Any], tmp_path: Path):
    run = staged([{"name": "a"}, {"name": "b", "documents": tmp_path / "gone"}], documents=tmp_path / "none")
    with pytest.raises(ValueError, match=r"--documents: The documents at \S*none: ") as refusal:
        read_material(run)
    assert re.findall(r"^--documents: The documents at \S*/(\w+): ", str(refusal.value), re.MULTILINE) == [
        "none",
        "gone",
    ]


# Classes


def classes(*categories: str) -> list[Mastery]:
    return [Mastery(f"q{i}", 0.0, 0.0, category) for i, category in enumerate(categories)]  # type: ignore[arg-type]


FIRST = classes("HighlyKnown", "MaybeKnown", "MaybeKnown", "WeaklyKnown", "Unknown", "Unknown")
NOW = classes("HighlyKnown", "HighlyKnown", "MaybeKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


def chosen(staged: Callable[..., Any], **options: Any) -> tuple[str, str]:
    questions = [Question(f"q{i}", f"{i}?", ("x",)) for i in range(6)]
    material = RunData([], [], [Question("old", "Old?", ("y",))], {}, train_questions=questions)
    stage = staged([{"name": "a", "classify": True}, {"name": "b", **options}], train_questions="q").stages[1]
    read = stages.select(stage, material, FIRST, NOW)
    return tuple(" ".join(q.id for q in which) for which in (read.train_questions, read.replay_questions))


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
def test_a_stage_chooses_questions_by_their_class(
    staged: Callable[..., Any], options: dict[str, Any], trained: str, replayed: str
):
    assert chosen(staged, **options) == (trained, replayed)


def mixing_strategies() -> dict[str, dict[str, Any]]:
    """What the page of curricula says of each: the lines of a second stage."""
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
def test_a_way_of_mixing_chooses_what_its_row_says(
    staged: Callable[..., Any], strategy: str, trained: str, replayed: str
):
    lines = mixing_strategies()[strategy]
    assert chosen(staged, train_categories=["MaybeKnown"], **lines) == (trained, f"old {replayed}".strip())


def test_the_page_has_five_ways_of_mixing_and_gradual_the_fourth():
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


def test_a_stage_that_finds_no_question_of_its_classes_is_refused_with_those_there_are(staged: Callable[..., Any]):
    says = (
        "stage 'b': none of the questions to train on is Unknown, whose class has risen: there are 2 HighlyKnown,"
        " 2 MaybeKnown, 1 WeaklyKnown, 1 Unknown"
    )
    with pytest.raises(ValueError, match=says):
        chosen(staged, train_categories=["Unknown"], train_improved=True)


# From end to end


class Stopped(Exception):
    """What ends a process in the middle of a run."""


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
    """Writes stages as a curriculum and gives the options of a run of it."""
    del options["max_steps"]

    def curriculum(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
        path = tmp_path / "curriculum.yaml"
        path.write_text(json.dumps({"stages": list(stages)}), encoding="utf-8")  # JSON is YAML
        return {**options, "curriculum": path, "train_questions": questions, "questions": questions, **changes}

    return curriculum


ASK = {"name": "ask", "reads": ["train_questions"], "max_steps": 2}
READ = {"name": "read", "reads": ["documents"], "max_steps": 4}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("*model.safetensors")
    return load_file(path)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def without_times(report: dict[str, Any]) -> Any:
    """The report, or a part of it, without what differs from run to run."""
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


@pytest.mark.slow  # tests/test_killed.py stops such a run in the fast tests, too
@pytest.mark.parametrize(
    ("use_peft", "adapter"), [(True, "continue"), (True, "merge"), (True, "new"), (False, "continue")]
)
def test_a_run_of_stages_stopped_anywhere_ends_as_if_it_had_not_been(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    use_peft: bool,
    adapter: str,
):
    how = {"use_peft": use_peft, "lora_dropout": 0.2, "learning_rate": 0.01, "save_steps": 2, "num_views": 3}
    options = curriculum(ASK, {**READ, "adapter": adapter}, **how)
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    assert knowlearn("teach", **options) == 0
    options["output_dir"] = broken

    def stop(*arguments: Any) -> None:
        raise Stopped

    def run_with(module: Any, name: str, stand_in: Any) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, stand_in)
            return knowlearn("teach", **options)

    for module, name in (
        (stages, "write_record"),
        (pipeline, "next_trainer"),
    ):  # before a stage is finished, and after
        with pytest.raises(Stopped):
            run_with(module, name, stop)
    assert not (broken / "stages" / "1-ask" / "checkpoints").exists()
    new_trainer = pipeline.new_trainer

    def stopping(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(Stop())
        return trainer

    with pytest.raises(Stopped):  # within the second stage
        run_with(pipeline, "new_trainer", stopping)
    assert [path.name for path in broken.glob("stages/2-read/checkpoints/checkpoint-*")] == ["checkpoint-2"]

    assert knowlearn("teach", **options) == 0
    assert same(weights_of(whole / "model"), weights_of(broken / "model"))
    assert without_times(report_of(whole)) == without_times(report_of(broken))
    for name in ("answers.after.jsonl", "stages/1-ask/answers.after.jsonl"):
        assert (whole / name).read_text(encoding="utf-8") == (broken / name).read_text(encoding="utf-8")


class Terminate(TrainerCallback):
    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_is_told_to_end_saves_its_step_and_goes_on_as_if_it_had_not_been(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    how = {"use_peft": True, "lora_dropout": 0.2, "learning_rate": 0.01, "save_strategy": "no", "ask_every": 2}
    options = curriculum({**READ, "max_steps": 5}, **how)
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    new_trainer, trainers = pipeline.new_trainer, []

    def keeping(*arguments: Any) -> Any:
        trainers.append(new_trainer(*arguments))
        return trainers[-1]

    def terminating(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(Terminate())
        return trainer

    monkeypatch.setattr(pipeline, "new_trainer", keeping)
    assert knowlearn("teach", **options) == 0
    monkeypatch.setattr(pipeline, "new_trainer", terminating)
    with pytest.raises(SystemExit, match=r"^0$"):
        knowlearn("teach", **{**options, "output_dir": broken})
    assert "Stopped by SIGTERM after step 3, which is saved." in capsys.readouterr().out
    assert [path.parent.name for path in broken.glob("stages/*/checkpoints/*/manifest.json")] == ["checkpoint-3"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.setattr(pipeline, "new_trainer", new_trainer)
    assert knowlearn("teach", **{**options, "output_dir": broken}) == 0
    assert same(weights_of(whole / "model"), weights_of(broken / "model"))
    assert without_times(report_of(whole)) == without_times(report_of(broken))
    (counted,) = (
        entry["num_tokens"] for entry in trainers[0].state.log_history if entry["step"] == 5 and "loss" in entry
    )
    assert next(iter(report_of(whole)["runs"].values()))["cost"]["tokens"] == counted


def test_a_report_shows_what_was_known_after_every_stage(
    knowlearn: Callable[..., int], curriculum: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
):
    options = curriculum(ASK, {**READ, "max_steps": 3}, use_peft=False, arm="two")
    assert knowlearn("teach", **options) == 0
    folder = options["output_dir"]
    report = report_of(folder)
    assert [(stage["run"], stage["name"], stage["steps"]) for stage in report["stages"]] == [
        ("two", "ask", 2),
        ("two", "read", 3),
    ]
    (arm,) = report["runs"].values()
    assert set(report["stages"][0]) == {*arm, "run", "name"} - {"drift"}
    assert arm["exact_match"] == report["stages"][1]["exact_match"]
    assert arm["steps"] == arm["cost"]["steps"] == 5
    assert [point["step"] for point in arm["curve"]] == [1, 2, 3, 4, 5]
    assert arm["cost"]["evaluation_seconds"] > sum(stage["cost"]["evaluation_seconds"] for stage in report["stages"])
    assert report["counts"]["train_questions"] == 2
    assert report["contamination"]["rows"] == 5 * 4
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown[shown.index("recall  ") :].splitlines()[2:5]] == [
        "before",
        "after",
        "two",
    ]
    for page in ("report.md", "report.html"):
        assert "Stage by stage" in (folder / page).read_text(encoding="utf-8")
    kept = sorted(str(path.relative_to(folder)) for path in folder.glob("stages/**/*"))
    assert kept == ["stages/1-ask", "stages/1-ask/answers.after.jsonl", "stages/1-ask/stage.json"]

    assert knowlearn("teach", **curriculum(ASK, {**READ, "max_steps": 4}, use_peft=False, arm="two")) == 2
    assert "stages.2.max_steps: 3 there, 4 now" in capsys.readouterr().err


def test_a_stage_whose_model_was_deleted_is_missed_by_the_next(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def stop(*arguments: Any) -> None:
        raise Stopped

    options = curriculum(ASK, READ)
    monkeypatch.setattr(pipeline, "next_trainer", stop)
    with pytest.raises(Stopped):
        knowlearn("teach", **options)
    shutil.rmtree(options["output_dir"] / "stages" / "1-ask" / "model")
    assert knowlearn("teach", **options) == 2
    assert "1-ask/model' is gone, with which the stage after 'ask' begins: delete" in capsys.readouterr().err


def test_data_that_changed_since_a_run_began_are_refused_by_the_options_that_name_them(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def stop(*arguments: Any) -> None:
        raise Stopped

    monkeypatch.setattr(
        "hf_knowlearn.teach.measurements.measure", stop
    )  # a run is claimed, and asks and trains nothing
    options = curriculum(ASK, READ)
    ferry, mill = (options["documents"] / name for name in ("ferry.txt", "mill.md"))
    for _ in range(2):  # the same data are not refused
        with pytest.raises(Stopped):
            knowlearn("teach", **options)
    capsys.readouterr()
    was = {path: path.read_bytes() for path in (ferry, mill, questions)}

    def refusal() -> str:
        assert knowlearn("teach", **options) == 2
        return capsys.readouterr().err

    ferry.write_text("The ferry to Ormel leaves at ten.", encoding="utf-8")
    told = refusal()
    assert "holds a run that is not finished, and its data have changed since it began:\n  --documents: 2 then" in told
    assert told.splitlines()[1:-1] == ["  --documents: 2 then, 2 now, not the same ones"]
    ferry.unlink()
    assert refusal().splitlines()[1:-1] == ["  --documents: 2 then, 1 now"]
    shutil.rmtree(options["documents"])
    assert "--documents: The documents at " in refusal()
    options["documents"].mkdir()
    for path, content in was.items():
        path.write_bytes(content)
    questions.write_bytes(was[questions].splitlines(keepends=True)[0])
    assert refusal().splitlines()[1:-1] == [
        "  --train_questions: 2 then, 1 now",
        "  --questions: 2 then, 1 now",
    ]
    with pytest.raises(Stopped):
        knowlearn("teach", **options, overwrite=True)


def test_a_merged_adapter_is_part_of_the_model_in_the_end(
    knowlearn: Callable[..., int], curriculum: Callable[..., dict[str, Any]]
):
    new = {**READ, "adapter": "merge", "max_steps": 1, "lora_r": 4}
    options = curriculum({**ASK, "max_steps": 1}, new, use_peft=True, learning_rate=0.01, warmup_steps=0)
    assert knowlearn("teach", **options) == 0
    before, after = weights_of(options["model"]), weights_of(options["output_dir"] / "model")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("_proj" in name for name in moved)


@pytest.mark.parametrize(
    "name", [*(pytest.param(n, marks=pytest.mark.slow) for n in SHIPPED if n not in ("pit", "gradual")), "pit"]
)
def test_a_shipped_curriculum_runs(knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, name: str):
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


def test_gradual_learning_trains_on_what_is_improved_and_goes_on_without_asking_again(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    six: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    states = {"before": FIRST, "after": NOW}
    asked, read = [], []

    def classify(model: Any, tokenizer: Any, which: list[Question], *, answer_cache: Path, **how: Any) -> list[Mastery]:
        assert how["preset"] == "quick"
        asked.append(f"{answer_cache.parents[1].name} {answer_cache.name}")
        return states[answer_cache.name.split(".")[1]]

    rows_of = pipeline.rows_of

    def keeping(*arguments: Any) -> Any:
        read.append(rows_of(*arguments))
        return read[-1]

    monkeypatch.setattr("hf_knowlearn.evaluation.mastery.classify_mastery", classify)
    monkeypatch.setattr(pipeline, "rows_of", keeping)
    options = {**curriculum(), "curriculum": "gradual", "train_questions": six, "classify_preset": "quick"}
    del options["documents"]
    options |= {"num_train_epochs": 4, "replay_share": 0.5, "learning_rate": 0.01}
    before, after_first, after_second = (
        "run asked.before.mastery.jsonl",
        "1-half_known asked.after.mastery.jsonl",
        "2-improved asked.after.mastery.jsonl",
    )
    write_record = stages.write_record

    def stopping(*arguments: Any) -> None:
        write_record(*arguments)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_record", stopping)
        with pytest.raises(Stopped):
            knowlearn("teach", **options)
    assert asked == [before, after_first]
    assert knowlearn("teach", **options) == 0
    assert asked == [before, after_first, before, after_second]

    prompts = [[row["prompt"].split()[3].strip("?") for row in rows] for rows in read[-2:]]
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
    assert "after it was taught 6 questions" in page.replace("\u00a0", " ")
    assert "taught documents" not in page


def test_a_run_that_finds_nothing_half_known_says_so(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    six: Path,
    capsys: pytest.CaptureFixture[str],
):
    options = {**curriculum(), "curriculum": "gradual", "train_questions": six, "classify_preset": "quick"}
    assert knowlearn("teach", **options, max_answer_tokens=4) == 2
    says = (
        "stage 'half_known': none of the questions to train on is MaybeKnown: there are 0 HighlyKnown, 0 MaybeKnown,"
    )
    assert says in capsys.readouterr().err
    assert len((options["output_dir"] / "mastery.before.jsonl").read_text(encoding="utf-8").splitlines()) == 6


def test_too_few_questions_to_classify_are_refused_before_anything_is_written_with_all_else(
    knowlearn: Callable[..., int],
    curriculum: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    four = [{"id": f"q{i}", "question": f"What is {i}?", "answers": ["rye"], "relation": "is"} for i in range(4)]
    (tmp_path / "four.jsonl").write_text("".join(json.dumps(row) + "\n" for row in four), encoding="utf-8")
    odd = {"id": "a", "question": "Why?", "answers": ["so"], "kind": "odd"}
    (tmp_path / "odd.jsonl").write_text(json.dumps(odd) + "\n", encoding="utf-8")
    options = curriculum({**ASK, "classify": True, "question_order": "before", "train_categories": ["MaybeKnown"]})
    options |= {"train_questions": tmp_path / "four.jsonl", "questions": tmp_path / "odd.jsonl"}
    assert knowlearn("teach", **options) == 2
    said = capsys.readouterr().err
    assert "--classify: shots=4, and 4 questions find fewer examples of their relation" in said
    assert "--questions: these kinds are not known: 'odd'" in said
    assert "stage 'ask': question_order='before': 4 questions are about no document" in said
    assert not options["output_dir"].exists()
