"""What is published is what --dry_run shows, and it loads again from another process, with nothing but its name."""

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

# Run by a process that has nothing but the names of the repositories.
LOAD = """
import json, sys
revision, snippet = json.loads(sys.argv[1])
exec(snippet)
from datasets import load_dataset
import evaluate
rows = load_dataset("ada/views", "formats", revision=revision, split="train").to_list()
streamed = list(load_dataset("ada/views", "formats", revision=revision, split="train", streaming=True))
masked = load_dataset("ada/views", "masked", split="train").column_names
asked = {split: rows.to_list() for split, rows in load_dataset("ada/asked").items()}
recall = evaluate.load("ada/knowledge_recall").compute(predictions=["six"], references=[["six"]])
print(json.dumps([answer, rows == streamed, len(rows), masked, asked, recall["exact_match"]]))
"""


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files(hub: HubServer, name: str, type: str = "model") -> dict[str, bytes]:
    """The repository's files, without the one that the Hub writes."""
    there = hub.files(name, type=type)
    return {path: there[path] for path in there if path != ".gitattributes"}


@pytest.mark.parametrize(
    ("words", "type"),
    [
        (["adapter", "taught", "--license", "mit", "--name", "people"], "model"),
        (["questions", "questions.jsonl", "--license", "mit", "--name", "people"], "dataset"),
        (["views", FORMAT_AUG, "--name", "people"], "dataset"),
        (["metric", "--name", "people"], "space"),
    ],
)
def test_what_is_pushed_is_what_a_dry_run_writes_in_one_commit(
    words: list[str], type: str, base_on_hub: HubServer, run: Path, questions: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, publish: Publish,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = len(base_on_hub.log)
    code, said, complaint = publish(*words, "--dry_run", "--output_dir", tmp_path / "dry")
    assert (code, complaint) == (0, ""), complaint
    assert not [entry for entry in base_on_hub.log[before:] if entry.method != "GET"]
    staged = below(tmp_path / "dry")
    assert all(f"  {name} " in said for name in staged)
    assert not any("__pycache__" in name or name.endswith((".pyc", ".bin", ".pt")) for name in staged)
    texts = [text for name, text in staged.items() if not name.endswith((".safetensors", ".png", ".parquet"))]
    assert not any(str(tmp_path).encode() in text or b"/home/ann" in text for text in texts)
    for _ in range(2):  # the second time nothing is left to do
        code, said, complaint = publish(*words)
        assert (code, "knowlearn:" in complaint) == (0, False), complaint
        assert "Published: http" in said
        assert files(base_on_hub, "ada/people", type) == staged
        assert len(base_on_hub.commits("ada/people", type=type)) == 2  # the repository's own first one, and ours


def test_all_kinds_load_again_in_another_process(
    base_on_hub: HubServer, base: Path, run: Path, documents: Path, questions: Path, tmp_path: Path, publish: Publish
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from hf_knowlearn.cli import main
    from hf_knowlearn.documents import read_questions

    words = ("--family", "formats,masked", "--num_views", "2", "--export", str(tmp_path / "views"))
    assert main(["views", str(documents), *words]) == 0
    assert publish("adapter", run, "--license", "mit")[0] == 0
    assert publish("views", tmp_path / "views", "--license", "mit")[0] == 0
    assert publish("questions", questions, "--retention", questions, "--license", "mit", "--name", "asked")[0] == 0
    assert publish("metric")[0] == 0
    card = files(base_on_hub, "ada/taught")["README.md"].decode()
    snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    revision = base_on_hub.repos["dataset", "ada/views"].at("main").sha
    environment = {**os.environ, "HF_HOME": str(tmp_path / "empty")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([revision, snippet])],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, streams_alike, rows, masked, asked, exact = json.loads(done.stdout.strip().splitlines()[-1])
    # The same adapter from here, asked the same.
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    inputs = tokenizer("Question: Where was Mesmal Fesdrul born?\nAnswer:", return_tensors="pt")
    said = model.generate(**inputs, max_new_tokens=32, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert answer == tokenizer.decode(said, skip_special_tokens=True)
    assert answer
    assert (streams_alike, rows) == (True, 4)
    assert masked[:2] == ["prompt", "completion"]
    assert [row["question"] for row in asked["qa_eval"]] == [question.text for question in read_questions(questions)]
    assert asked["retention"] == asked["qa_eval"]
    assert exact == 1.0


def test_questions_read_back_have_the_hash_that_their_card_names(
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


def test_an_adapter_made_part_of_its_base_says_what_both_said(
    base_on_hub: HubServer, base: Path, run: Path, tmp_path: Path, publish: Publish
):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    code, _, complaint = publish(
        "adapter", run, "--license", "mit", "--merged", "--dry_run", "--output_dir", tmp_path / "m"
    )
    assert code == 0, complaint
    ids = AutoTokenizer.from_pretrained(tmp_path / "m")("Who is who?", return_tensors="pt")["input_ids"]
    apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "model")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    with torch.no_grad():
        torch.testing.assert_close(whole(ids).logits, apart(ids).logits, atol=1e-5, rtol=1e-5)
    assert not (tmp_path / "m" / "adapter_config.json").exists()
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card
    assert "Its adapter is merged into it." in card


def test_files_that_a_publish_lacks_are_deleted_and_nobody_elses(
    base_on_hub: HubServer, run: Path, questions: Path, publish: Publish
):
    hub = base_on_hub
    assert publish("questions", questions, "--retention", questions, "--license", "mit", "--name", "q")[0] == 0
    assert publish("questions", questions, "--license", "mit", "--name", "q")[0] == 0
    assert set(files(hub, "ada/q", "dataset")) == {"README.md", "data/qa_eval-00000-of-00001.parquet"}
    hub.add_repo("ada/precious", {"README.md": b"# Mine", "years_of_work.csv": b"1"}, type="dataset")
    code, _, complaint = publish("questions", questions, "--license", "mit", "--name", "precious")
    assert code == 2
    assert "ada/precious is there, and knowlearn has not made it (it holds years_of_work.csv" in complaint
    assert "years_of_work.csv" in files(hub, "ada/precious", "dataset")


# Who may read it


def test_what_was_taught_from_files_is_private_and_from_public_datasets_public(
    base_on_hub: HubServer, run: Path, publish: Publish
):
    hub = base_on_hub
    assert publish("adapter", run, "--license", "mit", "--name", "local")[0] == 0
    assert hub.repos["model", "ada/local"].private
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["recipes"]["taught"] |= {"documents": "ada/documents", "stages": []}
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    hub.add_repo("ada/documents", {"README.md": b"---\nlicense: cc-by-sa-4.0\n---\n"}, type="dataset", private=True)
    code, _, complaint = publish("adapter", run, "--name", "hidden")
    assert code == 2  # it can't be seen without a token, so nothing is known of it
    assert "--license: under which terms ada/documents may be passed on isn't known" in complaint
    hub.repos["dataset", "ada/documents"].private = False
    assert publish("adapter", run, "--name", "open")[0] == 0
    assert not hub.repos["model", "ada/open"].private
    card = files(hub, "ada/open")["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "cc-by-sa-4.0"
    assert publish("adapter", run, "--name", "closed", "--private")[0] == 0
    assert hub.repos["model", "ada/closed"].private


def test_what_shall_be_private_is_not_put_where_all_can_read(base_on_hub: HubServer, run: Path, publish: Publish):
    assert publish("adapter", run, "--license", "mit", "--public", "--name", "x")[0] == 0
    code, _, complaint = publish("adapter", run, "--license", "mit", "--name", "x")
    assert code == 2
    assert "ada/x is there and public, and this shall be private: pass --public" in complaint


# What a user can mend


def test_a_secret_stops_it_before_anything_is_made(
    base_on_hub: HubServer, run: Path, publish: Publish, tmp_path: Path
):
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["recipes"]["taught"]["project"] = "not here"
    report["recipes"]["taught"]["ask_instruction"] = token = "hf_" + "aBcD" * 9
    (run / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    code, said, complaint = publish("adapter", run, "--license", "mit")
    assert code == 2
    for name in ("README.md", "recipe.yaml", "report.json"):
        assert re.search(rf"  {re.escape(name)}, line \d+: a Hugging Face token", complaint)
    assert token not in said + complaint
    assert ("model", "ada/taught") not in base_on_hub.repos
    assert publish("adapter", run, "--license", "mit", "--dry_run", "--output_dir", tmp_path / "dry")[0] == 2
    assert not (tmp_path / "dry").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["adapter"], "Give what is to be published: knowlearn publish adapter SOURCE."),
        (["metric", "x"], "x: the metric is the one in this package; leave SOURCE out."),
        (["adapter", "x", "--dry_run"], "--dry_run and --output_dir go together"),
        (["metric", "--dry_run", "--output_dir", "taught"], "is there already: choose a new or an empty folder"),
        (["adapter", "taught", "--license", "my own!"], "--license 'my own!': give an identifier of the Hub's"),
        (["views", "x", "--merged"], "--merged is for publish adapter: leave it out."),
        (["metric", "--train", "x"], "--train is for publish questions: leave it out."),
        (["adapter", "x", "--base_model", "./x"], "--base_model './x': give its name on the Hub, OWNER/NAME."),
        (["adapter", "nowhere"], "'nowhere' holds no finished run (it has no report.json)"),
        (["adapter", "taught"], "--license: under which terms documents, train.jsonl may be passed on isn't known"),
        (["views", "taught", "--license", "mit"], "'taught' has no README.md"),
        (["questions", "nowhere.jsonl", "--license", "mit"], "no such file or folder"),
        (["metric", "--name", "a/b"], "Repo id must be in the form"),
    ],
)
def test_what_is_wrong_is_said_before_the_hub_hears_of_it(
    words: list[str], complaint: str, hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    publish: Publish,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, _, said = publish(*words)
    assert code == 2
    assert complaint in said
    assert not [entry for entry in hub.log if entry.method != "GET"]


def test_an_adapter_whose_base_is_here_alone_needs_its_name_on_the_hub(
    base_on_hub: HubServer, base: Path, run: Path, publish: Publish
):
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    report["model"]["name"] = str(base)
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    code, _, complaint = publish("adapter", run, "--license", "mit")
    assert code == 2
    assert f"The adapter's base model is '{base.name}', a folder of this machine" in complaint
    assert publish("adapter", run, "--license", "mit", "--base_model", "ada/base")[0] == 0
    config = json.loads(files(base_on_hub, "ada/taught")["adapter_config.json"])
    assert config["base_model_name_or_path"] == "ada/base"


def test_a_study_names_its_runs_and_pickled_weights_are_refused(
    hub: HubServer, run: Path, tmp_path: Path, publish: Publish
):
    study = tmp_path / "study"
    (study / "seed_0").mkdir(parents=True)
    (run / "report.json").rename(study / "report.json")
    run.rename(study / "seed_0" / "taught")
    code, _, complaint = publish("adapter", study, "--license", "mit")
    assert (code, "has a report and no model: name one of its runs, seed_0/taught" in complaint) == (2, True)
    run = study / "seed_0" / "taught"
    (study / "report.json").rename(run / "report.json")
    (run / "model" / "adapter_model.safetensors").rename(run / "model" / "adapter_model.bin")
    code, _, complaint = publish("adapter", run, "--license", "mit")
    assert code == 2
    assert re.search(r"holds no \.safetensors, only [\w.,_ ]*adapter_model\.bin", complaint)


def test_no_token_a_strangers_namespace_and_no_network_are_said_plainly(
    hub: HubServer, questions: Path, monkeypatch: pytest.MonkeyPatch, publish: Publish
):
    from huggingface_hub import constants

    words = ("questions", questions, "--license", "mit")
    hub.add_user("bob", token="hf_bob")
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    assert "ada/questions: your token may not write there" in publish(*words)[2]
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    assert "ada/questions: the Hub doesn't know who you are" in publish(*words)[2]
    monkeypatch.delenv("HF_TOKEN")
    assert "ada/questions: the Hub doesn't know who you are" in publish(*words)[2]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "ada/questions: HF_HUB_OFFLINE is set, so the Hub isn't asked" in publish(*words)[2]
    assert ("dataset", "ada/questions") not in hub.repos


def test_the_folders_of_this_package_are_published_as_they_lie(hub: HubServer, publish: Publish):
    for kind, folder, type in (("views", FORMAT_AUG, "dataset"), ("metric", KNOWLEDGE_RECALL, "space")):
        source = () if kind == "metric" else (folder,)
        code, _, complaint = publish(kind, *source, "--name", kind)
        assert code == 0, complaint
        assert not hub.repos[type, f"ada/{kind}"].private
        there = {name: text for name, text in below(folder).items() if "__pycache__" not in name}
        assert files(hub, f"ada/{kind}", type) == there
    assert {"builder.py", "README.md"} <= set(files(hub, "ada/views", "dataset"))
