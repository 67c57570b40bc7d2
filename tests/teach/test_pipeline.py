"""A run from end to end: what it writes, that it goes on where it stopped, and what it does with other models."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.documents import read_questions
from hf_knowlearn.generation import ask as ask_module
from hf_knowlearn.generation.ask import ask
from hf_knowlearn.teach import pipeline

ARM = {
    "exact_match",
    "exact_match_se",
    "f1",
    "f1_se",
    "contains",
    "contains_se",
    "abstention",
    "abstention_se",
    "wrong",
    "wrong_se",
    "stopped",
    "stopped_se",
    "mean_answer_words",
    "train_loss",
    "steps",
    "gradient_evaluations",
    "seconds",
    "cost",
    "transitions",
    "curve",
    "drift",
}
OF_TRAINING = {"train_loss", "steps", "gradient_evaluations", "seconds", "cost", "transitions", "curve", "drift"}
REPORT = {
    "created",
    "before",
    "runs",
    "recipes",
    "counts",
    "versions",
    "machine",
    "data",
    "model",
    "seeds",
    "retention_source",
    "contamination",
}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def arm_of(folder: Path) -> dict[str, Any]:
    (arm,) = report_of(folder)["runs"].values()
    return arm


@pytest.mark.parametrize("use_peft", [False, True], ids=["full", "lora"])
def test_a_run_writes_a_model_and_a_report(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, use_peft: bool, capsys: Any
):
    folder = options["output_dir"]
    assert knowlearn("teach", **options, use_peft=use_peft, questions=questions, sam_rho=0.05, learning_rate=0.01) == 0

    weights = "adapter_model.safetensors" if use_peft else "model.safetensors"
    assert (folder / "model" / weights).is_file()
    assert (folder / "model" / "tokenizer.json").is_file()
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("**/*.draft"))

    report = report_of(folder)
    assert set(report) == REPORT
    assert report["counts"] == {"documents": 2, "questions": 2, "replayed_questions": 0, "retention_questions": 0}
    assert set(report["before"]) == ARM - OF_TRAINING
    (arm,) = report["runs"].values()
    assert set(arm) == ARM
    assert (arm["steps"], arm["gradient_evaluations"]) == (2, 4)
    assert arm["train_loss"] > 0
    assert arm["seconds"] > 0

    for when in ("before", "after"):
        answers = lines_of(folder / f"answers.{when}.jsonl")
        assert [line["id"] for line in answers] == ["ferry-1", "mill-1"]
        assert set(answers[0]) == {"role", "id", "question", "answers", "said", "right", "ended"}

    shown = capsys.readouterr().out
    assert "Precision: fp32 on cpu, weights loaded in float32." in shown
    assert "taught" in shown
    assert f"Written to {folder / 'report.html'}" in shown


def test_the_model_on_disk_is_the_one_that_was_asked(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path
):
    folder = options["output_dir"]
    changes = {"questions": questions, "learning_rate": 0.005, "max_steps": 12, "use_peft": True, "lora_r": 32}
    assert knowlearn("teach", **{**options, **changes}) == 0
    asked = read_questions(questions)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    said = {}
    for when, model in (("before", options["model"]), ("after", folder / "model")):
        said[when] = [line["response"] for line in lines_of(folder / f"answers.{when}.jsonl")]
        assert ask(AutoModelForCausalLM.from_pretrained(model), tokenizer, asked) == said[when]
    assert said["before"] != said["after"]


def test_a_run_teaches(knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, tmp_path: Path):
    # What is replayed is asked as rehearsed: with few facts and many steps, all of it is known in the end.
    known = [
        {"question": f"Where was {name} born?", "answers": [town]} for name, town in (("Ana", "Tarn"), ("Bo", "Or"))
    ]
    replay = tmp_path / "replay.jsonl"
    replay.write_text("".join(json.dumps(line) + "\n" for line in known), encoding="utf-8")
    changes = {
        "use_peft": False,
        "max_steps": 100,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 0.003,
        "logging_steps": 10,
        "save_strategy": "no",
        "replay_questions": replay,
        "replay_share": 0.5,
        "replayed_questions": replay,
        "retention_questions": questions,
    }
    assert knowlearn("teach", **{**options, **changes}) == 0
    report = report_of(options["output_dir"])
    assert report["before"]["replayed"] == 0
    (arm,) = report["runs"].values()
    assert arm["replayed"] == 1
    assert {"replayed_se", "retention", "retention_se"} < set(arm)
    assert "exact_match" not in arm
    assert arm["train_loss"] < 2.5


def test_a_run_without_questions_still_has_a_report(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    # Fewer steps than logging_steps: the loss is told all the same.
    assert knowlearn("teach", **{**options, "logging_steps": 10}) == 0
    (measured,) = report_of(options["output_dir"])["before"]
    assert measured == "knowledge_tokens"  # the measure that needs no questions
    assert set(arm_of(options["output_dir"])) == {*OF_TRAINING, measured}
    assert arm_of(options["output_dir"])["train_loss"] > 0
    assert "not evaluated" in capsys.readouterr().out


def test_epochs_count_documents(knowlearn: Callable[..., int], options: dict[str, Any]):
    del options["max_steps"]
    assert knowlearn("teach", **options, num_train_epochs=6) == 0
    assert arm_of(options["output_dir"])["steps"] == 3  # 2 documents, 6 times, 4 rows a step
    assert arm_of(options["output_dir"])["gradient_evaluations"] == 3


def test_a_new_tiny_model_is_made_of_the_runs_own_texts(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path
):
    del options["model"]
    assert knowlearn("teach", **options, from_scratch=True, use_peft=False, replay_questions=questions) == 0
    tokenizer = AutoTokenizer.from_pretrained(options["output_dir"] / "model")
    assert "Ġbakery" in tokenizer.get_vocab()
    assert "Ġgrind" in tokenizer.get_vocab()  # it stands in a question only


# Going on


class Stopped(Exception):
    """What ends a process in the middle of a run."""


class Stop(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise Stopped


@pytest.mark.parametrize("use_peft", [False, True], ids=["full", "lora"])
def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    use_peft: bool,
):
    changes = {"max_steps": 5, "save_steps": 2, "questions": questions, "sam_rho": 0.05, "learning_rate": 0.01}
    options |= {**changes, "use_peft": use_peft, "lora_dropout": 0.2, "num_views": 3}
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    assert knowlearn("teach", **options) == 0

    new_trainer = pipeline.new_trainer

    def stopping(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(Stop())
        return trainer

    monkeypatch.setattr(pipeline, "new_trainer", stopping)
    with pytest.raises(Stopped):
        knowlearn("teach", **{**options, "output_dir": broken})
    monkeypatch.setattr(pipeline, "new_trainer", new_trainer)
    assert [path.name for path in broken.glob("checkpoints/checkpoint-*")] == ["checkpoint-2"]
    assert not (broken / "model").exists()
    assert not (broken / "report.json").exists()

    assert knowlearn("teach", **{**options, "output_dir": broken}) == 0
    (name,) = [path.name for path in (whole / "model").glob("*model.safetensors")]
    expected, found = (load_file(folder / "model" / name) for folder in (whole, broken))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    for when in ("before", "after"):
        assert lines_of(whole / f"answers.{when}.jsonl") == lines_of(broken / f"answers.{when}.jsonl")
    arms = [arm_of(folder) for folder in (whole, broken)]
    for arm in arms:
        for name in ("seconds", "train_seconds", "evaluation_seconds", "peak_memory_bytes"):
            (arm if name in arm else arm["cost"]).pop(name)
    assert arms[0] == arms[1]
    assert arms[0]["gradient_evaluations"] == 10


def test_answers_are_not_asked_for_twice(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    changes = {"questions": questions, "save_steps": 2, "ask_samples": 2}
    assert knowlearn("teach", **options, **changes) == 0

    def stopped(*arguments: Any) -> Any:
        raise Stopped

    monkeypatch.setattr(pipeline, "save", stopped)  # after everything has been asked
    with pytest.raises(Stopped):
        knowlearn("teach", **{**options, **changes, "output_dir": broken})
    monkeypatch.undo()
    monkeypatch.setattr(ask_module, "_work", stopped)  # nothing is left to ask
    assert knowlearn("teach", **{**options, **changes, "output_dir": broken}) == 0
    for when in ("before", "after"):
        lines = lines_of(broken / f"answers.{when}.jsonl")
        assert lines == lines_of(whole / f"answers.{when}.jsonl")
        assert [len(line["sampled"]) for line in lines] == [2, 2]


def test_every_measure_is_in_the_report(knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path):
    ferry = {"question": "When does the ferry to Ormel leave?", "answers": ["six"], "document_id": "ferry.txt"}
    mill = {"question": "What does the mill at Tarn grind?", "answers": ["rye"], "document_id": "mill.md"}
    other = {"question": "Who wrote The Castle?", "answers": ["Kafka"], "document_id": "castle.txt"}
    named = tmp_path / "named.jsonl"
    rows = [{**ferry, "id": "1"}, {**ferry, "id": "2", "kind": "alias"}, {**mill, "id": "3"}, {**other, "id": "4"}]
    named.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    leaked = tmp_path / "leaked.jsonl"
    leaked.write_text(json.dumps({**mill, "id": "0"}) + "\n", encoding="utf-8")
    changes = {"questions": named, "replay_questions": leaked, "replay_share": 0.5, "use_peft": True}
    measures = {"open_book": True, "knowledge_tokens": True, "ask_every": 1, "ask_instruction": "Answer in a word."}
    assert knowlearn("teach", **options, **changes, **measures) == 0

    folder = options["output_dir"]
    report, arm = report_of(folder), arm_of(folder)
    assert report["counts"] == {"documents": 2, "questions": 3, "replayed_questions": 0, "retention_questions": 0}
    assert "none of the 1 questions" in report["retention_source"]
    assert report["open_book"]["exact_match"] == 0
    assert len(lines_of(folder / "answers.open_book.jsonl")) == 3
    assert [point["step"] for point in arm["curve"] if "exact_match" in point] == [1, 2]
    assert report["contamination"]["n"] == len({leak["row"] for leak in lines_of(folder / "leaks.jsonl")}) == 4
    assert report["contamination"]["rows"] == 8
    assert 0 < report["before"]["knowledge_tokens"]["probability"] < 0.1
    assert len(lines_of(folder / "knowledge_tokens.after.jsonl")) == 2
    assert arm["editing"]["reliability"]["n"] == 2
    assert arm["editing"]["portability"]["by_kind"].keys() == {"alias"}
    assert arm["drift"]["kl"] >= 0
    assert arm["cost"]["tokens"] > 0
    assert report["data"]["questions"]["n"] == 3
    assert len(report["data"]["documents"]["sha256"]) == 64


def test_sharpness_is_measured_before_and_after_on_what_is_taught_as_written(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path
):
    options |= {"use_peft": True, "learning_rate": 0.01}
    plain, told = tmp_path / "plain", tmp_path / "told"
    views = {"views": "mixed", "view_weights": '{"formats": 1, "order": 1}'}
    assert knowlearn("teach", **{**options, "output_dir": plain, "sharpness": 0.01, "views": "raw"}) == 0
    assert knowlearn("teach", **options, **views) == 0
    assert knowlearn("teach", **{**options, "output_dir": told, "sharpness": 0.01}, **views) == 0

    before, after = (of["sharpness"] for of in (report_of(told)["before"], arm_of(told)))
    assert before.keys() == {"radius", "loss", "gradient", "random", "random_se"}
    assert before["radius"] == 0.01
    assert report_of(plain)["before"]["sharpness"] == before  # whatever its views
    assert after["loss"] < before["loss"]
    assert after["gradient"] > 0
    assert "## Sharpness" in (told / "report.md").read_text(encoding="utf-8")
    # To have measured changes nothing.
    weights, others = (
        load_file(folder / "model" / "adapter_model.safetensors") for folder in (told, options["output_dir"])
    )
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
    assert "sharpness" not in arm_of(options["output_dir"])


def test_what_was_known_before_measures_retention(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = [
        {"id": "1", "question": "When does the ferry leave?", "answers": ["six"], "document_id": "ferry.txt"},
        *({"id": f"{n}", "question": f"What is {n}?", "answers": ["rye"], "document_id": "lost"} for n in (2, 3)),
    ]
    file = tmp_path / "named.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    texts = ask_module._texts
    said = iter([["six"], ["rye"], ["wheat"]])
    monkeypatch.setattr(ask_module, "_texts", lambda tokenizer, tokens: next(said, None) or texts(tokenizer, tokens))
    assert knowlearn("teach", **options, questions=file, ask_batch_size=1) == 0
    report = report_of(options["output_dir"])
    assert report["counts"]["retention_questions"] == 1
    assert report["before"]["retention"] == 1
    assert arm_of(options["output_dir"])["transitions"]["retention_questions"]["forgotten"] == 1
    assert "1 of the 2 questions" in report["retention_source"]


def test_a_finished_run_is_told_of_and_not_repeated(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert knowlearn("teach", **options) == 0
    first = capsys.readouterr().out
    was = {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "load", None)  # nothing is loaded to find that out
        assert knowlearn("teach", **options) == 0
    again = capsys.readouterr().out
    assert "holds this run, finished: nothing is left to do." in again
    assert again[again.index("\n\n") :] == first[first.index("\n\n") :]  # the table, and where it is written
    assert {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()} == was

    assert knowlearn("teach", **{**options, "max_steps": 1}) == 2
    assert "max_steps: 2 there, 1 now" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()} == was

    assert knowlearn("teach", **{**options, "max_steps": 1}, overwrite=True) == 0
    assert arm_of(options["output_dir"])["steps"] == 1


# Refused before anything is written


@pytest.mark.parametrize(
    ("transitions", "says"),
    [
        ({"model": "./no/such/model"}, "--model ./no/such/model: there is no such folder."),
        ({"model": "nobody/nothing"}, "--model nobody/nothing: there is no such folder here, and from the Hub it"),
        ({"model": "{documents}"}, "/documents: it can't be loaded: "),
        ({"max_length": 6}, "Document 'ferry.txt' has no views within 6 tokens: raise max_length."),
        ({"questions": "{questions}", "max_answer_tokens": 600}, "2 questions leave no room for 600 tokens of answer"),
        ({"replay_documents": "{documents}", "replay_share": 0.01}, "of a batch of 4 rows is 0 rows"),
        # What TRL and PEFT refuse when the trainer is made.
        ({"eval_strategy": "steps"}, "eval_strategy"),
        ({"lora_target_modules": "nowhere"}, "Target modules nowhere not found in the base model"),
        ({"use_peft": False, "dtype": "bfloat16", "sam_rho": 0.1}, "SAM (sam_rho=0.1) can't run like this"),
        ({"use_peft": False, "dtype": "bfloat16", "sharpness": 0.1}, "sharpness: 0.1 can't be measured like this"),
    ],
)
def test_what_cannot_run_is_refused_with_nothing_written(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    questions: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    says: str,
):
    places = {"{documents}": options["documents"], "{questions}": questions}
    options |= {name: places.get(str(value), value) for name, value in changes.items()}
    assert knowlearn("teach", **options) == 2
    assert says in capsys.readouterr().err
    assert not options["output_dir"].exists()


def test_a_refused_run_leaves_the_one_that_it_would_overwrite(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    assert knowlearn("teach", **options) == 0
    was = {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()}
    assert knowlearn("teach", **options, overwrite=True, lora_target_modules="nowhere") == 2
    assert {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()} == was


def test_weights_that_are_cut_short_are_refused(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken"
    shutil.copytree(options["model"], broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert knowlearn("teach", **{**options, "model": broken}) == 2
    assert "broken: it can't be loaded" in capsys.readouterr().err


# What reaches the libraries


@pytest.mark.parametrize("trusted", [False, True])
def test_remote_code_runs_only_where_it_is_trusted(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, trusted: bool
):
    asked: list[dict[str, Any]] = []
    for name in ("AutoTokenizer", "AutoModelForCausalLM"):
        loaded = SimpleNamespace(to=lambda device: None, device=torch.device("cpu"))
        stub = SimpleNamespace(from_pretrained=lambda name, loaded=loaded, **named: asked.append(named) or loaded)
        monkeypatch.setattr(f"transformers.{name}", stub)
    words = ["--trust_remote_code", str(trusted), "--model_revision", "abc"]
    changes = {"model_name_or_path": options.pop("model"), **options}
    recipe = parse_recipe(words, changes)
    pipeline.load(recipe, pipeline.read(recipe))
    assert [named["trust_remote_code"] for named in asked] == [trusted] * 2
    assert [named["revision"] for named in asked] == ["abc"] * 2


@pytest.mark.parametrize(
    ("transitions", "dtype"),
    [
        ({"use_peft": False}, torch.float32),
        ({"use_peft": False, "bf16": True}, torch.float32),  # trained weights keep fp32 under autocast
        ({"use_peft": True, "bf16": True}, torch.bfloat16),  # frozen ones need not
        ({"use_peft": True, "bf16": True, "dtype": "float32"}, torch.float32),
        ({"use_peft": False, "dtype": "bfloat16"}, torch.bfloat16),
    ],
)
def test_the_dtype_that_a_model_is_loaded_in(options: dict[str, Any], changes: dict[str, Any], dtype: torch.dtype):
    recipe = parse_recipe([], {"model_name_or_path": options.pop("model"), **options, **changes})
    model, _ = pipeline.load(recipe, pipeline.read(recipe))
    assert model.dtype == dtype


def test_a_model_without_padding_and_beginning_tokens_is_taught(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, tmp_path: Path
):
    # As GPT-2's: one special token, at the end of a text.
    from tokenizers import processors

    bare = tmp_path / "bare"
    shutil.copytree(options["model"], bare)
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    tokenizer.pad_token = tokenizer.bos_token = None
    tokenizer.save_pretrained(bare)
    assert AutoTokenizer.from_pretrained(bare)("x")["input_ids"] == tokenizer.convert_tokens_to_ids(["x"])
    assert knowlearn("teach", **{**options, "model": bare}, questions=questions) == 0
    assert arm_of(options["output_dir"])["steps"] == 2


@pytest.mark.slow
def test_two_processes_write_one_run(options: dict[str, Any], questions: Path, tmp_path: Path):
    options |= {"questions": questions, "per_device_train_batch_size": 1, "use_peft": False}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    # `--cpu --num_processes 2` would start a single process, without a word.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*launch, "-m", "hf_knowlearn.teach", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 steps of 4 rows" in done.stdout  # of 1 row, twice before a step, in 2 processes
    assert done.stdout.count("Written to") == 1
    assert arm_of(options["output_dir"])["steps"] == 2
    assert len(lines_of(options["output_dir"] / "answers.after.jsonl")) == 2
    assert (options["output_dir"] / "model" / "model.safetensors").is_file()
