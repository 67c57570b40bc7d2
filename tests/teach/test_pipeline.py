"""Whole runs: what they write, how they resume, which errors they raise, and how they load models."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.documents import read_questions
from hf_knowlearn.generation import responses as responses_module
from hf_knowlearn.generation.responses import ask
from hf_knowlearn.teach import stage_models, trainers

SCORES = {
    "correct",
    "correct_se",
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
    "answer_logprob",
    "answer_logprob_se",
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
    "guessing",
    "prompt",
}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def figures_of(folder: Path) -> dict[str, Any]:
    (figures,) = report_of(folder)["runs"].values()
    return figures


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
    assert set(report["before"]) == SCORES
    figures = report["runs"]["trained"]
    assert set(figures) == SCORES | OF_TRAINING
    assert (figures["steps"], figures["gradient_evaluations"]) == (2, 4)
    assert figures["train_loss"] > 0
    assert figures["seconds"] > 0

    for when in ("before", "after"):
        answers = lines_of(folder / f"answers.{when}.jsonl")
        assert [line["id"] for line in answers] == ["ferry-1", "mill-1"]
        columns = {"role", "id", "question", "answers", "response", "correct", "exact_match", "ended"}
        assert set(answers[0]) == columns | {"accepted", "answer_logprob"}
        assert all(answer["accepted"] in answer["answers"] and answer["answer_logprob"] < 0 for answer in answers)

    shown = capsys.readouterr().out
    assert "Precision: fp32 on cpu, weights loaded in float32." in shown
    assert re.search(r"^trained ", shown, re.MULTILINE)
    assert f"Written to {folder / 'report.html'}" in shown


def test_no_secret_is_written_to_the_run_folder(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, capsys: Any
):
    secret = "hf_" + "aSecretToken" * 3
    assert knowlearn("teach", **options, questions=questions, hub_token=secret, save_steps=1) == 0
    files = [path for path in options["output_dir"].rglob("*") if path.is_file()]
    assert any(path.name == "training_args.bin" for path in files)
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert secret not in "".join(capsys.readouterr())


def test_a_training_that_diverges_ends_with_exit_code_1_and_its_last_good_checkpoint(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, capsys: Any
):
    changes = {"learning_rate": 1e30, "max_steps": 6, "save_steps": 1, "lr_scheduler_type": "constant"}
    assert knowlearn("teach", **{**options, **changes}, questions=questions, use_peft=False) == 1
    error = capsys.readouterr().err
    assert re.search(r"stopped at step \d: .* is not finite.* Use a lower learning_rate", error)
    assert not (options["output_dir"] / "report.json").exists()
    for checkpoint in options["output_dir"].glob("checkpoints/checkpoint-*"):
        assert all(value.isfinite().all() for value in load_file(checkpoint / "model.safetensors").values())


def test_a_finished_run_whose_documents_changed_is_an_error(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, capsys: Any
):
    assert knowlearn("teach", **options, questions=questions) == 0
    assert knowlearn("teach", **options, questions=questions) == 0
    ferry = Path(options["documents"]) / "ferry.txt"
    ferry.write_text(ferry.read_text(encoding="utf-8") + " It sank.", encoding="utf-8")
    assert knowlearn("teach", **options, questions=questions) == 2
    assert "--documents: 2 items then, 2 now, but with other content" in capsys.readouterr().err


def test_the_saved_model_gives_the_recorded_responses(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path
):
    folder = options["output_dir"]
    changes = {"questions": questions, "learning_rate": 0.005, "max_steps": 12, "use_peft": True, "lora_r": 32}
    assert knowlearn("teach", **{**options, **changes}) == 0
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    responses = {}
    for when, model in (("before", options["model"]), ("after", folder / "model")):
        responses[when] = [line["response"] for line in lines_of(folder / f"answers.{when}.jsonl")]
        assert (
            ask(AutoModelForCausalLM.from_pretrained(model), tokenizer, read_questions(questions)) == responses[when]
        )
    assert responses["before"] != responses["after"]


def test_the_model_learns_what_it_is_trained_on(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, tmp_path: Path
):
    # After many steps on few replayed questions, the model answers all of them.
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
        "evaluation.replayed_questions": replay,
        "evaluation.retention_questions": questions,
    }
    assert knowlearn("teach", **{**options, **changes}) == 0
    report = report_of(options["output_dir"])
    assert report["before"]["replayed"] == 0
    figures = report["runs"]["trained"]
    assert figures["replayed"] == 1
    assert {"replayed_se", "retention", "retention_se"} < set(figures)
    assert "exact_match" not in figures
    assert figures["train_loss"] < 2.5


def test_a_run_without_questions_measures_knowledge_tokens(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    # The loss is logged although the run has fewer steps than logging_steps.
    assert knowlearn("teach", **{**options, "logging_steps": 10}) == 0
    (measured,) = report_of(options["output_dir"])["before"]
    assert measured == "knowledge_tokens"
    assert set(figures_of(options["output_dir"])) == {*OF_TRAINING, measured}
    assert figures_of(options["output_dir"])["train_loss"] > 0
    assert "not evaluated" in capsys.readouterr().out


def test_an_epoch_trains_on_each_document_once(knowlearn: Callable[..., int], options: dict[str, Any]):
    del options["max_steps"]
    assert knowlearn("teach", **options, num_train_epochs=6) == 0
    assert figures_of(options["output_dir"])["steps"] == 3  # 2 documents, 6 times, 4 rows per step
    assert figures_of(options["output_dir"])["gradient_evaluations"] == 3


# Resumed and finished runs


class Stopped(Exception):
    """Ends a process in the middle of a run."""


class Stop(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise Stopped


@pytest.mark.parametrize("use_peft", [False, True], ids=["full", "lora"])
def test_a_resumed_run_gives_the_same_result(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    use_peft: bool,
):
    changes = {"max_steps": 5, "save_steps": 2, "questions": questions, "sam_rho": 0.05, "learning_rate": 0.01}
    options |= {**changes, "use_peft": use_peft, **({"lora_dropout": 0.2} if use_peft else {}), "num_views": 3}
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    assert knowlearn("teach", **options) == 0

    new_trainer = trainers.new_trainer

    def stopping(*arguments: Any) -> Any:
        trainer = new_trainer(*arguments)
        trainer.add_callback(Stop())
        return trainer

    monkeypatch.setattr(trainers, "new_trainer", stopping)
    with pytest.raises(Stopped):
        knowlearn("teach", **{**options, "output_dir": broken})
    monkeypatch.setattr(trainers, "new_trainer", new_trainer)
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
    both = [figures_of(folder) for folder in (whole, broken)]
    for figures in both:
        for name in ("seconds", "train_seconds", "evaluation_seconds", "peak_memory_bytes"):
            (figures if name in figures else figures["cost"]).pop(name)
    assert both[0] == both[1]
    assert both[0]["gradient_evaluations"] == 10


@pytest.mark.parametrize("use_peft", [False, True], ids=["full", "lora"])
def test_a_base_model_that_changed_since_the_run_started_is_an_error(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    use_peft: bool,
):
    model = shutil.copytree(base, tmp_path / "own_base")
    options |= {"model": model, "use_peft": use_peft}

    def stopped(*_: Any) -> Any:
        raise Stopped

    def change_weights() -> None:
        weights = load_file(model / "model.safetensors")
        save_file(
            {name: weight * 2 for name, weight in weights.items()}, model / "model.safetensors", {"format": "pt"}
        )

    def error() -> str:
        assert knowlearn("teach", **options) == 2
        return capsys.readouterr().err

    message = f"contains a run whose base model {str(model)!r} has changed since it started"
    monkeypatch.setattr("hf_knowlearn.teach.measurements.Measurements.measure", stopped)
    with pytest.raises(Stopped):
        knowlearn("teach", **options)
    with pytest.raises(Stopped):  # the same weights are no error
        knowlearn("teach", **options)
    was = (model / "model.safetensors").read_bytes()
    change_weights()
    assert message in error()
    (options["output_dir"] / "report.json").write_text("{}")  # marks the run as finished
    assert message in error()
    assert "pass --overwrite to delete that run" in error()
    (model / "model.safetensors").write_bytes(was)
    (options["output_dir"] / "report.json").unlink()
    with pytest.raises(Stopped):
        knowlearn("teach", **options)


def test_a_resumed_run_reads_its_responses_from_the_cache(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, broken = options["output_dir"], options["output_dir"].with_name("broken")
    changes = {"questions": questions, "save_steps": 2}
    assert knowlearn("teach", **options, **changes) == 0

    def stopped(*arguments: Any) -> Any:
        raise Stopped

    monkeypatch.setattr(trainers, "save", stopped)  # after all responses
    with pytest.raises(Stopped):
        knowlearn("teach", **{**options, **changes, "output_dir": broken})
    monkeypatch.undo()
    monkeypatch.setattr(responses_module, "generate", stopped)  # all responses are cached
    assert knowlearn("teach", **{**options, **changes, "output_dir": broken}) == 0
    for when in ("before", "after"):
        assert lines_of(broken / f"answers.{when}.jsonl") == lines_of(whole / f"answers.{when}.jsonl")


def test_every_measurement_is_in_the_report(knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path):
    ferry = {"question": "When does the ferry to Ormel leave?", "answers": ["six"], "document_id": "ferry.txt"}
    mill = {"question": "What does the mill at Tarn grind?", "answers": ["rye"], "document_id": "mill.md"}
    other = {"question": "Who wrote The Castle?", "answers": ["Kafka"], "document_id": "castle.txt"}
    named = tmp_path / "named.jsonl"
    rows = [{**ferry, "id": "1"}, {**ferry, "id": "2", "kind": "alias"}, {**mill, "id": "3"}, {**other, "id": "4"}]
    named.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    replayed = tmp_path / "replayed.jsonl"  # a question of the evaluation, so its rows are contaminated
    replayed.write_text(json.dumps({**mill, "id": "0"}) + "\n", encoding="utf-8")
    changes = {"questions": named, "replay_questions": replayed, "replay_share": 0.5, "use_peft": True}
    evaluation = {"open_book": True, "knowledge_tokens": True, "every": 1, "instruction": "Answer in a word."}
    evaluation["compare_rag"] = True
    evaluation = {f"evaluation.{name}": value for name, value in evaluation.items()}
    assert knowlearn("teach", **options, **changes, **evaluation) == 0

    folder = options["output_dir"]
    report, figures = report_of(folder), figures_of(folder)
    assert report["counts"] == {"documents": 2, "questions": 3, "replayed_questions": 0, "retention_questions": 0}
    assert "no candidate correctly (1 question about documents outside the run)" in report["retention_source"]
    assert report["open_book"]["exact_match"] == 0
    assert len(lines_of(folder / "answers.open_book.jsonl")) == 3
    assert {name: of["found"] for name, of in report["retrieval"].items()} == {"top_1": 1, "top_3": 1}
    assert [line["passages"][0]["document_id"] for line in lines_of(folder / "answers.rag_1.jsonl")] == [
        "ferry.txt", "ferry.txt", "mill.md",
    ]  # fmt: skip
    assert [len(line["passages"]) for line in lines_of(folder / "answers.rag_3.jsonl")] == [2, 2, 2]
    retrieved = {name: of["correct"] for name, of in report["retrieval"].items()}
    assert figures["over_retrieval"]["top_1"] == figures["correct"] - retrieved["top_1"]
    assert [point["step"] for point in figures["curve"] if "exact_match" in point] == [1, 2]
    assert report["contamination"]["n"] == len({line["row"] for line in lines_of(folder / "contamination.jsonl")}) == 4
    assert report["contamination"]["rows"] == 8
    assert 0 < report["before"]["knowledge_tokens"]["probability"] < 0.1
    assert len(lines_of(folder / "knowledge_tokens.after.jsonl")) == 2
    assert figures["editing"]["reliability"]["n"] == 2
    assert figures["editing"]["portability"]["by_kind"].keys() == {"alias"}
    assert figures["drift"]["kl"] >= 0
    assert figures["cost"]["tokens"] > 0
    assert report["data"]["questions"]["n"] == 3
    assert len(report["data"]["documents"]["sha256"]) == 64


def test_questions_about_other_documents_that_the_base_model_answers_measure_retention(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = [
        {"id": "1", "question": "When does the ferry leave?", "answers": ["six"], "document_id": "ferry.txt"},
        *({"id": f"{n}", "question": f"What is {n}?", "answers": ["rye"], "document_id": "lost"} for n in (2, 3)),
    ]
    file = tmp_path / "named.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    decode, first = responses_module.decode_without_thoughts, iter([["six"], ["rye"], ["wheat"]])
    monkeypatch.setattr(
        responses_module, "decode_without_thoughts", lambda *arguments: next(first, None) or decode(*arguments)
    )
    assert knowlearn("teach", **options, questions=file, per_device_eval_batch_size=1) == 0
    report = report_of(options["output_dir"])
    assert report["counts"]["retention_questions"] == 1
    assert report["before"]["retention"] == 1
    assert figures_of(options["output_dir"])["transitions"]["retention_questions"]["forgotten"] == 1
    assert "the base model answers 1 correctly" in report["retention_source"]


def test_a_finished_run_is_not_repeated(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert knowlearn("teach", **options) == 0
    first = capsys.readouterr().out
    was = {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(stage_models, "load_base", None)  # no model is loaded
        assert knowlearn("teach", **options) == 0
    again = capsys.readouterr().out
    assert "contains this run, which is already finished. There is nothing to do." in again
    assert again[again.index("\n\n") :] == first[first.index("\n\n") :]  # the table and the paths
    assert {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()} == was

    assert knowlearn("teach", **{**options, "max_steps": 1}) == 2
    assert "max_steps: 2 in the folder, 1 now" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()} == was

    assert knowlearn("teach", **{**options, "max_steps": 1}, overwrite=True) == 0
    assert figures_of(options["output_dir"])["steps"] == 1


# Errors before anything is written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "./no/such/model"}, "--model ./no/such/model: there is no such folder."),
        ({"model": "nobody/nothing"}, "--model nobody/nothing: there is no such folder here, and loading from the"),
        ({"model": "{documents}"}, "/documents: loading failed: "),
        ({"max_length": 6}, "Document 'ferry.txt' has no views of at most 6 tokens. Increase max_length."),
        ({"questions": "{questions}", "evaluation.max_new_tokens": 600}, "600"),
        (
            {"questions": "{questions}", "evaluation.max_new_tokens": 1},
            "Set --evaluation.max_new_tokens to at least 3",
        ),
        ({"replay_documents": "{documents}", "replay_share": 0.01}, "of the 4 rows of a step, 0 would be replayed."),
        # Errors of TRL and PEFT when the trainer is made.
        ({"eval_strategy": "steps"}, "eval_strategy"),
        ({"lora_target_modules": "nowhere"}, "--lora_target_modules"),
        ({"use_peft": False, "dtype": "bfloat16", "sam_rho": 0.1}, "SAM (sam_rho=0.1)"),
    ],
)
def test_a_run_that_cannot_work_is_an_error_and_writes_nothing(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    questions: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
):
    paths = {"{documents}": options["documents"], "{questions}": questions}
    options |= {name: paths.get(str(value), value) for name, value in changes.items()}
    assert knowlearn("teach", **options) == 2
    assert message in capsys.readouterr().err
    assert not options["output_dir"].exists()


def test_an_error_leaves_the_run_that_would_be_overwritten(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    assert knowlearn("teach", **options) == 0
    was = {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()}
    assert knowlearn("teach", **options, overwrite=True, lora_target_modules="nowhere") == 2
    assert {path: path.read_bytes() for path in options["output_dir"].rglob("*") if path.is_file()} == was


def test_truncated_weights_are_an_error(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken"
    shutil.copytree(options["model"], broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert knowlearn("teach", **{**options, "model": broken}) == 2
    assert "broken: loading failed" in capsys.readouterr().err


# Options of the libraries


@pytest.mark.parametrize("trusted", [False, True])
def test_remote_code_runs_only_if_it_is_trusted(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, trusted: bool
):
    calls: list[dict[str, Any]] = []
    for name in ("AutoTokenizer", "AutoModelForCausalLM"):
        loaded = MagicMock(
            device=torch.device("cpu"), is_quantized=False, is_loaded_in_4bit=False, _hf_peft_config_loaded=False
        )
        loaded.config.name_or_path = str(options["model"])
        stub = SimpleNamespace(from_pretrained=lambda name, loaded=loaded, **named: calls.append(named) or loaded)
        monkeypatch.setattr(f"transformers.{name}", stub)
    monkeypatch.setattr("hf_knowlearn.models.loading.remove_added_end_token", lambda tokenizer: None)
    for check in ("check_embeddings", "check_end_token"):
        monkeypatch.setattr(stage_models, check, lambda *_: None)
    words = ["--trust_remote_code", str(trusted), "--model_revision", "abc"]
    changes = {"model_name_or_path": options.pop("model"), **options}
    stage_models.load_base(resolve(parse_recipe(words, changes)))
    assert [named["trust_remote_code"] for named in calls] == [trusted] * 2
    assert [named["revision"] for named in calls] == ["abc"] * 2


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"use_peft": False}, torch.float32),
        ({"use_peft": False, "bf16": True}, torch.float32),  # trained weights are fp32 under autocast
        ({"use_peft": True, "bf16": True}, torch.bfloat16),  # frozen weights are not
        ({"use_peft": True, "bf16": True, "dtype": "float32"}, torch.float32),
        ({"use_peft": False, "dtype": "bfloat16"}, torch.bfloat16),
    ],
)
def test_the_dtype_of_the_weights(options: dict[str, Any], changes: dict[str, Any], dtype: torch.dtype):
    recipe = parse_recipe([], {"model_name_or_path": options.pop("model"), **options, **changes})
    model, _ = stage_models.load_base(resolve(recipe))
    assert model.dtype == dtype


def test_a_model_without_padding_and_beginning_tokens_can_be_trained(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, tmp_path: Path
):
    # GPT-2 has one special token, the end token.
    from tokenizers import processors

    bare = tmp_path / "bare"
    shutil.copytree(options["model"], bare)
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    tokenizer.pad_token = tokenizer.bos_token = None
    tokenizer.save_pretrained(bare)
    assert AutoTokenizer.from_pretrained(bare)("x")["input_ids"] == tokenizer.convert_tokens_to_ids(["x"])
    assert knowlearn("teach", **{**options, "model": bare}, questions=questions) == 0
    assert figures_of(options["output_dir"])["steps"] == 2


@pytest.mark.slow
def test_two_processes_write_one_run(options: dict[str, Any], questions: Path, tmp_path: Path):
    options |= {"questions": questions, "per_device_train_batch_size": 1, "use_peft": False}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    # `--cpu --num_processes 2` starts a single process without a warning.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*launch, "-m", "hf_knowlearn.teach", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 steps of 4 rows" in done.stdout  # 2 micro-batches of 1 row in 2 processes
    assert done.stdout.count("Written to") == 1
    assert figures_of(options["output_dir"])["steps"] == 2
    assert len(lines_of(options["output_dir"] / "answers.after.jsonl")) == 2
    assert (options["output_dir"] / "model" / "model.safetensors").is_file()
