"""From the Hub, with an empty cache: answers of an adapter, and the check of its card, at one commit."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from hub_server import HubServer
from huggingface_hub import HfApi
from pyarrow import parquet

from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.teach.sources import load_questions

Command = Callable[..., tuple[int, str, str]]
SPLITS = {"questions": "qa_eval", "retention": "retention"}


def test_a_published_adapter_answers_and_its_card_holds(
    hub: HubServer, run: Path, published: Path, command: Command, tmp_path: Path
):
    hub.add_repo("ada/base", contents(TINY_BASE))
    commit = HfApi().model_info("ada/base").sha
    change(published / "adapter_config.json", base_model_name_or_path="ada/base")
    change(published / "report.json", model={"name": "ada/base", "revision": commit})
    report = json.loads((published / "report.json").read_text())
    report["recipes"]["trained"]["questions"] = "questions.jsonl"
    report["recipes"]["trained"]["evaluation"]["retention_questions"] = "retention.jsonl"
    (published / "report.json").write_text(json.dumps(report))
    hub.add_repo("ada/people", contents(published), private=True)
    # A later commit of the base does not matter to the adapter.
    HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="ada/base")

    row = json.loads((run / "answers.after.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert command("ask", "ada/people", row["question"])[:2] == (0, row["response"].strip() + "\n")

    code, _, error = command("recall", "ada/people")
    assert code == 2
    assert report["data"]["questions"]["sha256"] in error
    hub.add_repo("ada/questions", question_files(run, tmp_path), type="dataset")
    words = ("--card", "--questions", "ada/questions", "--retention_questions", "ada/questions")
    code, shown, _ = command("recall", "ada/people", *words)
    assert (code, shown.count("  equal\n")) == (0, 4)  # correct, exact match, F1 and retention
    assert f"ada/people at {HfApi().model_info('ada/people').sha}: adapter on base" in shown
    assert f"ada/base at {commit}" in shown


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def question_files(run: Path, folder: Path) -> dict[str, bytes]:
    """The questions as a dataset with a split for each role."""
    files = {}
    for name, split in SPLITS.items():
        questions = load_questions(str(run.parent / f"{name}.jsonl"))
        columns = ("id", "answers", "document_id", "relation")
        rows = [{"question": q.text, **{column: getattr(q, column) for column in columns}} for q in questions]
        parquet.write_table(pa.Table.from_pylist(rows), folder / split)
        files[f"data/{split}-00000-of-00001.parquet"] = (folder / split).read_bytes()
    return files
