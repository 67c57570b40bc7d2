"""Datasets on the Hub, which is a local folder here: ids, splits, and errors."""

import json
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from hf_knowlearn.documents import Document, Question, iter_documents, read_documents, read_questions

ReadError = Callable[..., str]

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
    """Serves owner/name from a folder, by the functions of `datasets` themselves; returns the calls."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    rows = [{"text": "One.", "title": "T", "n": 5}, {"text": "Two.", "title": None, "n": 6}]
    (folder / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "two.jsonl").write_text(json.dumps({"text": None, "title": "Empty", "n": 7}) + "\n")
    calls = []

    def served(function: Callable[..., Any], path: str, *config: str, **options: Any) -> Any:
        calls.append({"path": path, "config": config, **options})
        return function(str(folder) if path == "owner/name" else path, *config, **options)

    for name in ("load_dataset", "get_dataset_split_names"):
        monkeypatch.setattr(datasets, name, partial(served, getattr(datasets, name)))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    return calls


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


def test_several_splits_are_an_error_with_their_names_and_nothing_is_loaded(
    read_error: ReadError, hub: list[dict[str, Any]]
):
    message = read_error(read_documents, "owner/name", config="two")
    assert "the dataset has several splits, ['train', 'test']; select one split, or give a file with" in message
    assert "split=" not in message  # the command line does not have this option
    assert [sorted(call) for call in hub] == [["config", "path", "revision"]]  # no split: only the names are loaded


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "pick one among the available configs: ['one', 'two']"),
        ({"config": "three"}, "three"),
        ({"config": "one", "split": "test"}, "Unknown split \"test\". Should be one of ['train']"),
    ],
)
def test_an_unknown_config_or_split_is_an_error_with_the_known_ones(
    options: dict[str, str], expected: str, read_error: ReadError
):
    message = read_error(read_documents, "owner/name", **options)
    assert expected in message
    assert message.count("\n") == 1


def test_a_null_text_is_an_error_with_split_and_row(read_error: ReadError):
    message = read_error(read_documents, "owner/name", config="two", split="test")
    assert "  owner/name[test]:1: text is empty; it needs at least one word." in message


def test_a_missing_column_is_reported_once(read_error: ReadError):
    message = read_error(read_documents, "owner/name", config="one", text_column="body")
    assert "owner/name[train]:1: the row has no column 'body', only ['text', 'title', 'n']" in message
    assert "(Also at 2.)" in message
    assert message.count("no column") == 1


def test_questions_are_read_from_the_hub(hub: list[dict[str, Any]], tmp_path: Path):
    row = {"id": 1, "question": "Who?", "answers": {"text": ["Ada"], "answer_start": [0]}}
    (tmp_path / "hub" / "one.jsonl").write_text(json.dumps(row) + "\n")
    assert read_questions("owner/name", config="one") == [Question("1", "Who?", ("Ada",))]


def test_a_list_may_mix_files_and_hub_datasets(tmp_path: Path):
    (tmp_path / "a.txt").write_text("File.")
    documents = iter_documents(["owner/name", Path("a.txt")], config="one")
    assert [d.id for d in documents] == ["train:1", "train:2", "a.txt"]


def test_an_existing_path_is_not_looked_up_on_the_hub(tmp_path: Path, hub: list[dict[str, Any]]):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "a.txt").write_text("File.")
    assert [d.id for d in read_documents("owner/name")] == ["a.txt"]
    assert hub == []


@pytest.mark.parametrize("path", ["owner/name.jsonl", "owner/name/", "./owner", "a/b/c", "name", Path("owner/name")])
def test_other_names_are_paths_and_not_looked_up_on_the_hub(path: Any, hub: list[Any], read_error: ReadError):
    assert "no such file or folder (searched from " in read_error(read_documents, path)
    assert hub == []


def test_an_unknown_name_is_an_error_about_the_path_and_the_dataset(read_error: ReadError, tmp_path: Path):
    expected = (
        f"no/where: no such path (searched from {tmp_path}), and the dataset cannot be loaded from the Hub: "
        "Dataset 'no/where' doesn't exist"
    )
    assert expected in read_error(read_documents, "no/where")


@pytest.mark.parametrize("option", ["config", "split", "revision"])
def test_hub_options_are_errors_for_files(tmp_path: Path, option: str, read_error: ReadError):
    (tmp_path / "a.txt").write_text("File.")
    expected = f"{tmp_path}: config, split and revision apply to datasets on the Hub, and this is a local path."
    assert expected in read_error(read_documents, tmp_path, **{option: "x"})


def test_a_missing_network_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch, read_error: ReadError, hub: list[dict[str, Any]]
):
    with socket.socket() as free:  # nobody listens there
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        start = time.monotonic()
        message = read_error(read_questions, "owner/name")
    assert f"the Hub ({endpoint}) cannot be reached (" in message
    assert "check the network, or give a local path." in message
    assert time.monotonic() - start < 5
    assert hub == []  # `datasets` was not called, which would try again for half a minute


def test_a_dataset_in_the_cache_is_read_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def no_network(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", no_network)
    with pytest.raises(ValueError, match=r"cannot be reached \(no network\)"):
        read_documents("owner/name", config="one")
    (tmp_path / "cache" / "owner___name").mkdir(parents=True)
    assert len(read_documents("owner/name", config="one")) == 2
