"""Tests of `knowlearn publish`: it uploads what --dry_run writes, and another process can load it by name."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hub_server import HubServer

from hf_knowlearn.paths import FORMAT_AUG, KNOWLEDGE_RECALL

Publish = Callable[..., tuple[int, str, str]]

# Run by a process that knows only the names of the repositories.
LOAD = """
import json, sys
revision, snippet = json.loads(sys.argv[1])
exec(snippet)
from datasets import load_dataset
import evaluate
rows = load_dataset("ada/views", "formats", revision=revision, split="train").to_list()
streamed = list(load_dataset("ada/views", "formats", revision=revision, split="train", streaming=True))
masked = load_dataset("ada/views", "masked", split="train").column_names
questions = {split: rows.to_list() for split, rows in load_dataset("ada/questions").items()}
scores = evaluate.load("ada/knowledge_recall").compute(predictions=["six"], references=[["six"]])
print(json.dumps([answer, rows == streamed, len(rows), masked, questions, scores["exact_match"]]))
"""


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files(hub: HubServer, name: str, type: str = "model") -> dict[str, bytes]:
    """The files of the repository, without the one that the Hub writes."""
    there = hub.files(name, type=type)
    return {path: there[path] for path in there if path != ".gitattributes"}


@pytest.mark.parametrize(
    ("words", "type"),
    [
        (["adapter", "trained", "--license", "mit", "--name", "people"], "model"),
        (["questions", "questions.jsonl", "--license", "mit", "--name", "people"], "dataset"),
        (["views", FORMAT_AUG, "--name", "people"], "dataset"),
        (["metric", "--name", "people"], "space"),
    ],
)
def test_one_commit_uploads_what_a_dry_run_writes(
    words: list[str], type: str, base_on_hub: HubServer, run: Path, questions: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, publish: Publish,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = len(base_on_hub.log)
    code, output, error = publish(*words, "--dry_run", "--output_dir", tmp_path / "dry")
    assert (code, error) == (0, ""), error
    assert not [entry for entry in base_on_hub.log[before:] if entry.method != "GET"]
    staged = below(tmp_path / "dry")
    assert all(f"  {name} " in output for name in staged)
    assert not any("__pycache__" in name or name.endswith((".pyc", ".bin", ".pt")) for name in staged)
    texts = [text for name, text in staged.items() if not name.endswith((".safetensors", ".png", ".parquet"))]
    assert not any(str(tmp_path).encode() in text or b"/home/ann" in text for text in texts)
    for _ in range(2):  # the second upload changes nothing
        code, output, error = publish(*words)
        assert (code, "knowlearn:" in error) == (0, False), error
        assert "Published: http" in output
        assert files(base_on_hub, "ada/people", type) == staged
        assert len(base_on_hub.commits("ada/people", type=type)) == 2  # the first one of the repository, and this one


def test_another_process_loads_every_kind_of_repository(
    base_on_hub: HubServer, base: Path, run: Path, documents: Path, questions: Path, tmp_path: Path, publish: Publish
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from hf_knowlearn.cli import main
    from hf_knowlearn.documents import read_questions

    words = ("--views", "formats", "masked", "--num_views", "2", "--export", str(tmp_path / "views"))
    assert main(["views", str(documents), *words]) == 0
    assert publish("adapter", run, "--license", "mit")[0] == 0
    assert publish("views", tmp_path / "views", "--license", "mit")[0] == 0
    assert publish("questions", questions, "--retention", questions, "--license", "mit", "--name", "questions")[0] == 0
    assert publish("metric")[0] == 0
    card = files(base_on_hub, "ada/trained")["README.md"].decode()
    snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    revision = base_on_hub.repos["dataset", "ada/views"].at("main").sha
    environment = {**os.environ, "HF_HOME": str(tmp_path / "empty")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([revision, snippet])],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, streams_alike, rows, masked, loaded, exact = json.loads(done.stdout.strip().splitlines()[-1])
    # The same adapter from the run folder, with the same question.
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    inputs = tokenizer("Question: Where was Mesmal Fesdrul born?\nAnswer:", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=32, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert answer == tokenizer.decode(output, skip_special_tokens=True)
    assert answer
    assert (streams_alike, rows) == (True, 4)
    assert masked[:2] == ["prompt", "completion"]
    assert [row["question"] for row in loaded["qa_eval"]] == [question.text for question in read_questions(questions)]
    assert loaded["retention"] == loaded["qa_eval"]
    assert exact == 1.0


def test_published_questions_have_the_hash_on_their_card(
    hub: HubServer, tmp_path: Path, publish: Publish, questions: Path
):
    from hf_knowlearn.documents import read_questions
    from hf_knowlearn.teach.provenance import fingerprint

    more = {
        "id": "7",
        "question": "Which?",
        "answers": ["a", "b"],
        "options": ["a", "c"],
        "relation": "r",
        "fact_id": "f",
    }
    with questions.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({**more, "document_id": "d"}) + "\n")
    sha256 = fingerprint(read_questions(questions))
    assert publish("questions", questions, "--license", "mit")[0] == 0
    published = files(hub, "ada/questions", "dataset")
    assert sha256 in published["README.md"].decode()
    (tmp_path / "back.parquet").write_bytes(published["data/qa_eval-00000-of-00001.parquet"])
    assert fingerprint(read_questions(tmp_path / "back.parquet")) == sha256
    assert "id: questions" not in published["README.md"].decode()


def test_a_merged_adapter_gives_the_same_logits(
    base_on_hub: HubServer, base: Path, run: Path, tmp_path: Path, publish: Publish
):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    code, _, error = publish(
        "adapter", run, "--license", "mit", "--merged", "--dry_run", "--output_dir", tmp_path / "m"
    )
    assert code == 0, error
    ids = AutoTokenizer.from_pretrained(tmp_path / "m")("Who is who?", return_tensors="pt")["input_ids"]
    apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "model")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    with torch.no_grad():
        torch.testing.assert_close(whole(ids).logits, apart(ids).logits, atol=1e-5, rtol=1e-5)
    assert not (tmp_path / "m" / "adapter_config.json").exists()
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card
    assert "The adapter is merged into the base model." in card


def test_old_files_are_deleted_except_in_foreign_repositories(
    base_on_hub: HubServer, run: Path, questions: Path, publish: Publish
):
    hub = base_on_hub
    assert publish("questions", questions, "--retention", questions, "--license", "mit", "--name", "q")[0] == 0
    assert publish("questions", questions, "--license", "mit", "--name", "q")[0] == 0
    assert set(files(hub, "ada/q", "dataset")) == {"README.md", "data/qa_eval-00000-of-00001.parquet"}
    hub.add_repo("ada/precious", {"README.md": b"# Mine", "years_of_work.csv": b"1"}, type="dataset")
    code, _, error = publish("questions", questions, "--license", "mit", "--name", "precious")
    assert code == 2
    assert "ada/precious exists, and knowlearn did not write it" in error
    assert "years_of_work.csv" in files(hub, "ada/precious", "dataset")


# Visibility


def test_a_repository_is_public_only_if_all_its_training_data_is(base_on_hub: HubServer, run: Path, publish: Publish):
    hub = base_on_hub
    assert publish("adapter", run, "--license", "mit", "--name", "local")[0] == 0
    assert hub.repos["model", "ada/local"].private
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["recipes"]["trained"] |= {"documents": "ada/documents", "stages": []}
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    hub.add_repo("ada/documents", {"README.md": b"---\nlicense: cc-by-sa-4.0\n---\n"}, type="dataset", private=True)
    code, _, error = publish("adapter", run, "--name", "hidden")
    assert code == 2  # without a token it cannot be read, so its licence is unknown
    assert "--license: the licence of ada/documents is unknown" in error
    hub.repos["dataset", "ada/documents"].private = False
    assert publish("adapter", run, "--name", "open")[0] == 0
    assert not hub.repos["model", "ada/open"].private
    card = files(hub, "ada/open")["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "cc-by-sa-4.0"
    assert publish("adapter", run, "--name", "closed", "--private")[0] == 0
    assert hub.repos["model", "ada/closed"].private


def test_a_private_upload_to_a_public_repository_is_an_error(base_on_hub: HubServer, run: Path, publish: Publish):
    assert publish("adapter", run, "--license", "mit", "--public", "--name", "x")[0] == 0
    code, _, error = publish("adapter", run, "--license", "mit", "--name", "x")
    assert code == 2
    assert "ada/x exists and is public, but this upload is private. Add --public" in error


# Errors


def test_a_secret_stops_the_upload_before_the_repository_exists(
    base_on_hub: HubServer, run: Path, publish: Publish, tmp_path: Path
):
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["recipes"]["trained"]["evaluation"]["instruction"] = token = "hf_" + "aBcD" * 9
    (run / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    code, output, error = publish("adapter", run, "--license", "mit")
    assert code == 2
    for name in ("README.md", "recipe.yaml", "report.json"):
        assert re.search(rf"  {re.escape(name)}, line \d+: a Hugging Face token", error)
    assert token not in output + error
    assert ("model", "ada/trained") not in base_on_hub.repos
    assert publish("adapter", run, "--license", "mit", "--dry_run", "--output_dir", tmp_path / "dry")[0] == 2
    assert not (tmp_path / "dry").exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["adapter"], "SOURCE is missing. Give the path of what to publish: knowlearn publish adapter SOURCE."),
        (["metric", "x"], "SOURCE x: publish metric always publishes the metric of this package. Remove SOURCE."),
        (["adapter", "x", "--dry_run"], "--dry_run writes the files into the folder --output_dir. Give both"),
        (["metric", "--dry_run", "--output_dir", "trained"], "exists. Choose a new or an empty folder"),
        (["adapter", "trained", "--license", "my own!"], "--license 'my own!': give an identifier of the Hub"),
        (["views", "x", "--merged"], "--merged is an option of publish adapter only. Remove --merged."),
        (["metric", "--train", "x"], "--train is an option of publish questions only. Remove --train."),
        (["adapter", "x", "--base_model", "./x"], "--base_model './x': give the name of the base model on the Hub"),
        (["adapter", "nowhere"], "'nowhere' contains no finished run: there is no report.json"),
        (["adapter", "trained"], "--license: the licence of documents, train.jsonl is unknown"),
        (["views", "trained", "--license", "mit"], "'trained' contains no README.md"),
        (["questions", "nowhere.jsonl", "--license", "mit"], "no such file or folder"),
        (["metric", "--name", "a/b"], "Repo id must be in the form"),
    ],
)
def test_errors_in_the_options_are_found_before_any_upload(
    words: list[str], error: str, hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, _, message = publish(*words)
    assert code == 2
    assert error in message
    assert not [entry for entry in hub.log if entry.method != "GET"]


def test_an_adapter_of_a_local_base_model_needs_its_name_on_the_hub(
    base_on_hub: HubServer, base: Path, run: Path, publish: Publish
):
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["model"]["name"] = str(base)
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    code, _, error = publish("adapter", run, "--license", "mit")
    assert code == 2
    assert f"The adapter's base model is '{base.name}', a folder on this machine" in error
    assert publish("adapter", run, "--license", "mit", "--base_model", "ada/base")[0] == 0
    config = json.loads(files(base_on_hub, "ada/trained")["adapter_config.json"])
    assert config["base_model_name_or_path"] == "ada/base"


def test_a_folder_of_several_runs_and_pickled_weights_are_errors(
    hub: HubServer, run: Path, tmp_path: Path, publish: Publish
):
    study = tmp_path / "study"
    (study / "seed_0").mkdir(parents=True)
    (run / "report.json").rename(study / "report.json")
    run.rename(study / "seed_0" / "trained")
    code, _, error = publish("adapter", study, "--license", "mit")
    assert (code, "contains a report but no model. Give the folder of one of its runs: seed_0/trained" in error) == (
        2,
        True,
    )
    run = study / "seed_0" / "trained"
    (study / "report.json").rename(run / "report.json")
    (run / "model" / "adapter_model.safetensors").rename(run / "model" / "adapter_model.bin")
    code, _, error = publish("adapter", run, "--license", "mit")
    assert code == 2
    assert re.search(r"contains no \.safetensors file, only [\w.,_ ]*adapter_model\.bin", error)


def test_errors_of_token_namespace_and_network_name_the_fix(
    hub: HubServer, questions: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish
):
    from huggingface_hub import constants

    words = ("questions", questions, "--license", "mit")
    hub.add_user("bob", token="hf_bob")
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    assert "ada/questions: your token has no write access to this namespace" in publish(*words)[2]
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    assert "ada/questions: you are not logged in to the Hub" in publish(*words)[2]
    monkeypatch.delenv("HF_TOKEN")
    assert "ada/questions: you are not logged in to the Hub" in publish(*words)[2]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "ada/questions: HF_HUB_OFFLINE is set, so nothing can be published" in publish(*words)[2]
    assert ("dataset", "ada/questions") not in hub.repos


def test_the_folders_of_this_package_are_published_unchanged(hub: HubServer, publish: Publish):
    for kind, folder, type in (("views", FORMAT_AUG, "dataset"), ("metric", KNOWLEDGE_RECALL, "space")):
        source = () if kind == "metric" else (folder,)
        code, _, error = publish(kind, *source, "--name", kind)
        assert code == 0, error
        assert not hub.repos[type, f"ada/{kind}"].private
        expected = {name: text for name, text in below(folder).items() if "__pycache__" not in name}
        assert files(hub, f"ada/{kind}", type) == expected
    assert {"builder.py", "README.md"} <= set(files(hub, "ada/views", "dataset"))
