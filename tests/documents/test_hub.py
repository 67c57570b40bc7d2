"""Data sets on the Hub: by id, one split of them, and what can't be had is refused. The Hub is a folder here."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pytest

from hf_knowlearn.documents import Document, Question, iter_documents, read_documents, read_questions

Refusal = Callable[..., str]

CARD = """---
configs:
- config_name: one
  data_files:
  - {split: train, path: one.jsonl}
- config_name: two
  data_files:
  - {split: train, path: one.jsonl}
  - {split: test, path: two.jsonl}
---
"""


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Serves owner/name from a folder, by the functions of `datasets` themselves; returns what they were asked."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    rows = [{"text": "One.", "title": "T", "n": 5}, {"text": "Two.", "title": None, "n": 6}]
    (folder / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "two.jsonl").write_text(json.dumps({"text": None, "title": "Empty", "n": 7}) + "\n")
    asked = []

    def served(function: Callable[..., Any], path: str, *config: str, **options: Any) -> Any:
        asked.append({"path": path, "config": config, **options})
        return function(str(folder) if path == "owner/name" else path, *config, **options)

    for name in ("load_dataset", "get_dataset_split_names"):
        monkeypatch.setattr(datasets, name, partial(served, getattr(datasets, name)))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    return asked


@pytest.mark.parametrize("path", ["owner/name", "hf://datasets/owner/name"])
def test_the_only_split_is_read_with_ids_of_split_and_row(path: str):
    assert read_documents(path, config="one") == [
        Document("train:1", "One.", "T", metadata={"n": 5}),
        Document("train:2", "Two.", metadata={"n": 6}),
    ]


def test_columns_config_split_and_revision_are_passed_on(hub: list[dict[str, Any]]):
    (first, _) = read_documents("owner/name", config="two", split="train", revision="v1", id_column="n")
    assert first == Document("5", "One.", "T")
    assert hub == [{"path": "owner/name", "config": ("two",), "split": "train", "revision": "v1"}]


def test_several_splits_are_refused_by_name_and_nothing_is_loaded(refusal: Refusal, hub: list[dict[str, Any]]):
    assert "the dataset has the splits ['train', 'test']; choose one with split=" in refusal(
        read_documents, "owner/name", config="two"
    )
    assert [sorted(asked) for asked in hub] == [["config", "path", "revision"]]  # no split: only names were asked for


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "pick one among the available configs: ['one', 'two']"),
        ({"config": "three"}, "three"),
        ({"config": "one", "split": "test"}, "Unknown split \"test\". Should be one of ['train']"),
    ],
)
def test_a_config_or_split_that_is_not_there_is_refused_with_those_there_are(
    options: dict[str, str], says: str, refusal: Refusal
):
    message = refusal(read_documents, "owner/name", **options)
    assert says in message
    assert message.count("\n") == 1


def test_a_null_text_is_refused_by_split_and_row(refusal: Refusal):
    message = refusal(read_documents, "owner/name", config="two", split="test")
    assert "  owner/name[test]:1: text is empty; it needs at least one word." in message


def test_a_missing_column_is_refused_once(refusal: Refusal):
    message = refusal(read_documents, "owner/name", config="one", text_column="body")
    assert "owner/name[train]: no column 'body' for the text, only ['text', 'title', 'n']" in message
    assert "1 problem." in message


def test_questions_are_read_from_the_hub(hub: list[dict[str, Any]], tmp_path: Path):
    row = {"id": 1, "question": "Who?", "answers": {"text": ["Ada"], "answer_start": [0]}}
    (tmp_path / "hub" / "one.jsonl").write_text(json.dumps(row) + "\n")
    assert read_questions("owner/name", config="one") == [Question("1", "Who?", ("Ada",))]


def test_the_hub_and_files_may_stand_in_one_list(tmp_path: Path):
    (tmp_path / "a.txt").write_text("File.")
    documents = iter_documents(["owner/name", Path("a.txt")], config="one")
    assert [d.id for d in documents] == ["train:1", "train:2", "a.txt"]


def test_what_exists_here_is_a_path_and_the_hub_is_not_asked(tmp_path: Path, hub: list[dict[str, Any]]):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "a.txt").write_text("File.")
    assert [d.id for d in read_documents("owner/name")] == ["a.txt"]
    assert hub == []


@pytest.mark.parametrize("path", ["owner/name.jsonl", "owner/name/", "./owner", "a/b/c", "name", Path("owner/name")])
def test_other_names_of_nothing_are_paths_and_the_hub_is_not_asked(path: Any, hub: list[Any], refusal: Refusal):
    assert "no such file or folder (searched from " in refusal(read_documents, path)
    assert hub == []


def test_a_data_set_that_cannot_be_reached_is_refused_with_both_readings_of_its_name(refusal: Refusal, tmp_path: Path):
    says = f"no/where: no such path (searched from {tmp_path}), and no such dataset can be loaded from the Hub: Dataset 'no/where' doesn't exist"
    assert says in refusal(read_documents, "no/where")


@pytest.mark.parametrize("option", ["config", "split", "revision"])
def test_options_of_the_hub_are_refused_for_files(tmp_path: Path, option: str, refusal: Refusal):
    (tmp_path / "a.txt").write_text("File.")
    says = f"{tmp_path}: config, split and revision apply to datasets on the Hub, and this is a local path."
    assert says in refusal(read_documents, tmp_path, **{option: "x"})
