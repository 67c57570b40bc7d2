"""Self replay: who wrote the texts and when, what is trained of them, and that a run that goes on reads the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.documents import Document, Question, read_questions
from hf_knowlearn.generation.free_text import GeneratedText, generate_texts
from hf_knowlearn.generation.sampling import SampleRandom, choose, cumulative
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach import pipeline, self_replay
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.provenance import fingerprint
from hf_knowlearn.teach.schedule import make_schedule
from hf_knowlearn.teach.sources import load_replay_prompts
from hf_knowlearn.views import raw_view

OWN = {
    "max_steps": 3,
    "replay_self": 6,
    "replay_self_prompts": ["Question:", "Bo"],
    "replay_self_tokens": 9,
    "replay_share": 0.5,
}


@pytest.fixture
def own(options: dict[str, Any]) -> dict[str, Any]:
    """A run that replays six texts of its own."""
    return {**options, "use_peft": False, "learning_rate": 0.01, **OWN}


def run(options: dict[str, Any]) -> dict[str, Any]:
    given = {"model_name_or_path" if name == "model" else name: value for name, value in options.items()}
    return pipeline.teach(parse_recipe([], {name: str(v) if isinstance(v, Path) else v for name, v in given.items()}))


def sampled(folder: Path) -> tuple[dict[str, Any], list[GeneratedText]]:
    head, *lines = map(json.loads, (folder / self_replay.FILE).read_text(encoding="utf-8").splitlines())
    return head, [GeneratedText(**line) for line in lines]


# What is written


def test_the_untaught_model_writes_them_once_before_it_is_taught(own: dict[str, Any], base: Path):
    report, folder = run(own), own["output_dir"]
    head, texts = sampled(folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    again = generate_texts(model, tokenizer, 6, OWN["replay_self_prompts"], max_new_tokens=9, seed=42, stream="replay")
    assert texts == again
    assert head == {
        "name": str(base), "revision": None, "seed": 42, "n": 6, "openings": ["Question:", "Bo"], "max_new_tokens": 9,
        "temperature": 1.0,
    }  # fmt: skip
    assert report["data"]["replay_self"] == {
        "source": "sampled from the model before", "n": 6, "sha256": fingerprint(texts)
    }  # fmt: skip
    taught = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert (
        generate_texts(taught, tokenizer, 6, OWN["replay_self_prompts"], max_new_tokens=9, seed=42, stream="replay")
        != texts
    )


@pytest.mark.parametrize(("beside", "n"), [({}, 6), ({"replay_documents": "old.txt"}, 3)])
def test_no_text_is_written_that_would_not_be_read(
    own: dict[str, Any], beside: dict[str, str], n: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "old.txt").write_text("Old ones are read in turn with them.", encoding="utf-8")
    given = {name: str(tmp_path / file) for name, file in beside.items()}
    read: list[set[str]] = []
    with caplog.at_level("INFO", "hf_knowlearn"):
        report = run_reading({**own, **given, "replay_self": 6000}, read)
    _, texts = sampled(own["output_dir"])
    assert read == [{one.text for one in texts}]
    assert len(texts) == report["data"]["replay_self"]["n"] == n
    assert f"Replayed: {n} texts are written, not 6000 (replay_self): no more are read." in caplog.text


def test_a_stage_that_chooses_its_questions_may_read_all(own: dict[str, Any]):
    recipe = parse_recipe(
        [], {"model_name_or_path" if name == "model" else name: value for name, value in own.items()}
    )
    epochs = replace(recipe, training=replace(recipe.training, max_steps=-1))
    material = RunData([], [], [], {})
    assert self_replay._wanted(replace(recipe, teach=replace(recipe.teach, replay_self=60)), material) == 6
    assert self_replay._wanted(epochs, material) == 6
    none = replace(recipe, teach=replace(recipe.teach, replay_share=0.0))
    assert self_replay._wanted(none, material) == 0


def test_openings_take_turns_and_batches_change_nothing(base: Path):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    openings = ["", "Question:", "A longer one, of more words than"]
    texts = generate_texts(model, tokenizer, 7, openings, max_new_tokens=6)
    assert [one.opening for one in texts] == [*openings, *openings, ""]
    assert generate_texts(model, tokenizer, 7, openings, max_new_tokens=6, batch_size=2) == texts
    # Alone, an opening is read as in the row that it is trained in.
    ids = torch.tensor([tokenizer("Question:")["input_ids"]])
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[:, -1]
    drawn = np.array([SampleRandom(0, "text", 0, 1)[0]])
    assert texts[1].text.startswith(tokenizer.decode(choose(*cumulative(logits, 1.0, 0), np.array([0]), drawn)))
    with pytest.raises(ValueError, match=r"^number=0: give a whole number from 1 up; openings is empty: give one"):
        generate_texts(model, tokenizer, 0, [])


def test_a_text_says_whether_it_ended(base: Path):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    with torch.no_grad():  # as sure to end as it is not to
        model.lm_head.weight[tokenizer.eos_token_id] *= 30
    texts = generate_texts(model, tokenizer, 40, max_new_tokens=2)
    lengths = {one.ended: set() for one in texts}
    for one in texts:
        lengths[one.ended].add(len(tokenizer(one.text, add_special_tokens=False)["input_ids"]))
    assert lengths[True] == {1}
    assert 2 in lengths[False]


# What is trained


def test_they_take_turns_with_the_other_replay():
    views = [raw_view(Document(f"d{i}", f"Old {i}.")) for i in range(3)]
    questions = [Question(f"q{i}", f"Old {i}?", ("Yes",)) for i in range(3)]
    own = [GeneratedText("Once", " upon a time.", True), GeneratedText("", "Then", False)]

    def laid_out(**replay: Any) -> list[dict[str, str]]:
        told = [[raw_view(Document("new", "New."))]]
        how: dict[str, Any] = {"steps": 4, "batch": 4, "replayed": 3, "trained_as": lambda q, a: (q, a), "seed": 0}
        return make_schedule(told, views, questions, **how, **replay)

    rows = laid_out(replay_self=own)
    assert [sorted(row["view"].partition(",")[0] for row in rows[i : i + 4]) for i in (0, 4, 8, 12)] == [
        ["formats/as_written", "formats/as_written", "question", "self"]
    ] * 4
    assert {"prompt": "Once", "completion": " upon a time.", "document_id": "", "view": "self"} in rows
    assert {"prompt": "", "completion": "Then", "document_id": "", "view": "self, cut"} in rows
    # Without them the other replay is what it was.
    assert [r for r in laid_out() if r["view"] == "question"][:4] == [r for r in rows if r["view"] == "question"]


def test_the_model_learns_its_own_words_but_no_end_that_it_did_not_write(own: dict[str, Any], base: Path):
    given = {"model_name_or_path" if name == "model" else name: value for name, value in own.items()}
    recipe = parse_recipe([], given)
    material = pipeline.read(recipe)
    model, tokenizer = pipeline.load(recipe, material)
    texts = [GeneratedText("Question:", " Who?", True), GeneratedText("Question:", " Where was", False)]
    rows = pipeline.rows_of(recipe, pipeline.replace(material, replay_self=texts), tokenizer, None)
    trainer = pipeline.new_trainer(recipe, material, model, tokenizer, rows)
    learned = {}
    for row, example in zip(rows, trainer.train_dataset, strict=True):
        assert tokenizer.decode(example["input_ids"], skip_special_tokens=True) == row["prompt"] + row["completion"]
        assert example["input_ids"][-1] == tokenizer.eos_token_id
        learned[row["completion"]] = tokenizer.decode([label for label in example["labels"] if label != -100])
    assert learned.pop(" Who?") == " Who?" + tokenizer.eos_token
    assert learned.pop(" Where was") == " Where was"
    assert all(text.endswith(tokenizer.eos_token) for text in learned.values())
    assert len(learned) > 1


def test_the_share_counts_them(own: dict[str, Any], caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "hf_knowlearn"):
        run({**own, "replay_self_prompts": None})
    assert "3 steps of 4 rows, 2 of them replay" in caplog.text
    assert "Nothing is replayed" not in caplog.text
    assert "Replayed: 6 texts that the model itself wrote" in caplog.text


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"replay_self_prompts": [""]}, True),
        ({"replay_self_prompts": ["", "Bo"]}, False),
        ({"replay_self_prompts": None}, False),
        ({"replay_self_prompts": [""], "replay_questions": "questions"}, False),
        ({"replay_self_prompts": [""], "questions": None}, False),
    ],
)
def test_whoever_is_reminded_of_no_answer_is_warned(
    own: dict[str, Any], questions: Path, given: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
):
    given = {name: str(questions) if value == "questions" else value for name, value in given.items()}
    run({**own, "questions": str(questions), **given})
    assert ("So a model forgets how to answer" in caplog.text) == warned


def test_a_run_without_replay_says_so(options: dict[str, Any], caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "hf_knowlearn"):
        report = run(options)
    assert "Nothing is replayed: what the model knew before may be forgotten" in caplog.text
    assert "replay_self" not in report["data"]
    assert not (options["output_dir"] / self_replay.FILE).exists()


# A run that goes on


def test_a_run_that_goes_on_reads_what_is_written(
    own: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = {**own, "output_dir": tmp_path / "whole", "save_steps": 1, "max_steps": 3}
    run(whole)
    stopped = {**whole, "output_dir": tmp_path / "stopped"}
    with monkeypatch.context() as during:
        during.setattr(pipeline, "save", stop)
        with pytest.raises(InterruptedError):
            run(stopped)
    (last,) = (tmp_path / "stopped" / "checkpoints").glob("checkpoint-3")
    monkeypatch.setattr(self_replay, "generate_texts", stop)  # not a second time
    run(stopped)
    weights = [
        load_file(folder / "model" / "model.safetensors") for folder in (whole["output_dir"], stopped["output_dir"])
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert last


def stop(*_: Any, **__: Any) -> None:
    raise InterruptedError


def test_texts_of_other_options_are_refused(own: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as during:
        during.setattr(pipeline, "train_stages", stop)
        with pytest.raises(InterruptedError):
            run(own)
    path = own["output_dir"] / self_replay.FILE
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    other = json.dumps({**json.loads(head), "revision": "0123abc"})
    path.write_text("\n".join([other, *lines]) + "\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"(?s)sampled otherwise:\n  revision: '0123abc' there, None now\n.*--overwrite"
    ):
        run(own)
    report = run({**own, "overwrite": True})
    assert report["data"]["replay_self"]["n"] == 6
    assert sampled(own["output_dir"])[0]["revision"] is None


# By KL


@pytest.mark.parametrize("use_peft", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["full", "lora"])
def test_by_kl_a_model_stays_nearer_to_what_it_was(own: dict[str, Any], tmp_path: Path, use_peft: bool):
    # Nearly all of a batch is rehearsed, so that what is learned of the documents is small beside it.
    more = {"replay_self": 24, "replay_share": 0.75, "max_steps": 6, "use_peft": use_peft, "learning_rate": 0.003}
    drifts = {}
    for weight in (0, 20):
        report = run({**own, **more, "replay_kl": weight, "output_dir": tmp_path / f"kl-{weight}"})
        (arm,) = report["runs"].values()
        drifts[weight] = arm["drift"]["kl"]
        assert report["recipes"]["taught"]["replay_kl"] == weight
    assert drifts[20] < 0.5 * drifts[0]


# Stages


def test_each_stage_replays_as_many_as_it_says(own: dict[str, Any]):
    given = {name: value for name, value in own.items() if name != "replay_self"}
    stages = [
        {"name": "none", "max_steps": 1, "replay_self": 0},
        {"name": "some", "max_steps": 4, "replay_self": 3},
        {"name": "all", "max_steps": 4, "replay_self": 6, "replay_kl": 1},
    ]
    read: list[set[str]] = []
    report = run_reading({**given, "stages": stages}, read)
    _, texts = sampled(own["output_dir"])
    assert read == [set(), {one.text for one in texts[:3]}, {one.text for one in texts}]
    assert report["data"]["replay_self"]["n"] == 6


def run_reading(options: dict[str, Any], read: list[set[str]]) -> dict[str, Any]:
    """Runs, and notes what of the model's own each stage was trained on."""
    with pytest.MonkeyPatch.context() as during:
        train = pipeline.train

        def noting(trainer: Any, run: str) -> float:
            rows = trainer.train_dataset
            read.append({row["completion"].replace("<|end|>", "") for row in rows if row["view"].startswith("self")})
            return train(trainer, run)

        during.setattr(pipeline, "train", noting)
        return run(options)


# What can't be


def test_what_can_not_be_is_told_before_anything_is_written(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    del options["replay_self"]
    assert knowlearn("teach", **options, replay_self=-1, replay_self_tokens=0) == 2
    assert "replay_self_tokens=0: give 1 or more.\nreplay_self=-1: give 0 or more." in capsys.readouterr().err
    (tmp_path / "empty.txt").write_text("\n \n")
    options["replay_self"] = 0
    assert knowlearn("teach", **options, replay_self_prompts=tmp_path / "empty.txt") == 2
    said = capsys.readouterr().err
    assert "empty.txt' holds no line to begin a text with: write one a line." in said
    assert "--replay_self_prompts: no text is sampled to be replayed: set replay_self" in said
    assert knowlearn("teach", **options, replay_kl=1) == 2
    assert "--replay_kl: no text is sampled to be replayed: set replay_self" in capsys.readouterr().err
    del options["replay_self"]
    assert knowlearn("teach", **options, replay_self=2, replay_kl=-1) == 2
    assert "replay_kl=-1.0: give a number of 0 or more" in capsys.readouterr().err
    scratch = {name: value for name, value in options.items() if name != "model"}
    assert knowlearn("teach", **scratch, from_scratch=True, replay_self=2) == 2
    assert "--replay_self: a model from scratch knows nothing to be reminded of" in capsys.readouterr().err
    assert knowlearn("teach", **options, replay_self=2, replay_share=0.1) == 2
    assert "replay_share=0.1 of a batch of 4 rows is 0 rows" in capsys.readouterr().err
    assert not options["output_dir"].exists()


def test_openings_are_words_or_the_lines_of_a_file(tmp_path: Path):
    (tmp_path / "names.txt").write_text("Ana\n\n Bo \n", encoding="utf-8")
    assert load_replay_prompts(["general:questions"])[0].text == "What is the capital of France?"
    nothing, general = load_replay_prompts(None)[::2], load_replay_prompts(None)[1::2]
    assert set(nothing) == {""}
    assert general == load_replay_prompts(["general:questions"])
    assert len({question.text for question in general}) == len(general) > 100
    assert load_replay_prompts(["Question:", ""]) == ["Question:", ""]
    assert load_replay_prompts([str(tmp_path / "names.txt")]) == ["Ana", " Bo "]
    assert load_replay_prompts(["", str(tmp_path / "names.txt")]) == ["", "Ana", "", " Bo "]
    assert load_replay_prompts(["many words " * 99]) == ["many words " * 99]


def test_questions_are_openings_without_their_answers(own: dict[str, Any], questions: Path):
    run({**own, "replay_self_prompts": ["", str(questions)], "replay_self": 4})
    asked = [plain_prompt(one.text) for one in read_questions(questions)]
    assert [one.opening for one in sampled(own["output_dir"])[1]] == ["", asked[0], "", asked[1]]
