"""`FormatAugmentedDataset`: its rows, its sources, its cache and its errors."""

import json
import re
from dataclasses import replace

import datasets
import huggingface_hub
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hf_knowlearn
from hf_knowlearn import views
from hf_knowlearn.documents import Document, read_documents
from hf_knowlearn.format_aug import FormatAugmentedDataset, builder, document_store, load_format_aug
from hf_knowlearn.format_aug.config import FormatAugConfig
from hf_knowlearn.format_aug.dataset_rows import dataset_rows
from hf_knowlearn.worlds import World

FAMILIES = ("formats", "order", "masked", "mixed")


@pytest.fixture
def people():
    world = World(11)
    return [world.biography(person) for person in world.people(0, 6)]


# Rows


def test_there_is_a_configuration_for_every_family():
    assert [config.name for config in FormatAugmentedDataset.BUILDER_CONFIGS] == [*FAMILIES] == [*views.FAMILIES]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_the_views_of_one_document_after_the_other(family, write):
    path = write(5)
    rows = load_format_aug(path, family, num_views=3, seed=4, split="train").to_list()
    expected = [view for document in read_documents(path) for view in views.FAMILIES[family](document, 3, 4)]
    texts = [row["completion"] if family in ("masked", "mixed") else row["text"] for row in rows]
    assert texts == [view.text for view in expected]
    assert [row.get("prompt", "") for row in rows] == [view.prompt for view in expected]
    for name, column in {"document_id": "document_id", "part": "part", "index": "view", "format": "format"}.items():
        assert [row[column] for row in rows] == [getattr(view, name) for view in expected]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_columns(family, people):
    texts = ["text"] if family in ("formats", "order") else ["prompt", "completion"]
    loaded = load_format_aug(people, family, num_views=1, split="train")
    assert loaded.column_names == [*texts, "document_id", "part", "view", "format"]


def test_only_masked_views_have_a_prompt(people):
    weights = {"formats": 1, "order": 1}
    rows = load_format_aug(people, "mixed", num_views=4, weights=weights, split="train")
    assert set(rows["prompt"]) == {""}
    assert all(load_format_aug(people, "masked", num_views=2, split="train")["prompt"])


@pytest.mark.parametrize("options", [{"groups": ["lists"]}, {"hold_out": "lists"}, {"groups": ["lists", "marks"]}])
def test_groups_are_passed_to_the_family(options, people):
    rows = load_format_aug(people, num_views=2, split="train", **options)
    expected = [view for document in people for view in views.format_views(document, 2, **options)]
    assert rows["format"][:] == [view.format for view in expected]


@pytest.mark.parametrize(
    ("family", "options"), [("masked", {"ratio": (0.2, 0.3)}), ("mixed", {"weights": {"masked": 3, "order": 1}})]
)
def test_options_of_one_family_are_passed_to_it(family, options, people):
    rows = load_format_aug(people, family, num_views=4, split="train", **options)
    expected = [view for document in people for view in views.FAMILIES[family](document, 4, **options)]
    assert rows["prompt"][:] == [view.prompt for view in expected]
    assert rows["prompt"][:] != load_format_aug(people, family, num_views=4, split="train")["prompt"][:]


def test_include_raw_adds_each_document_unchanged_before_its_views(people):
    rows = load_format_aug(people, num_views=2, include_raw=True, split="train").to_list()
    without = load_format_aug(people, num_views=2, split="train").to_list()
    assert [row for row in rows if row["view"] >= 0] == without
    raw = [row for row in rows if row["view"] < 0]
    assert [row["text"] for row in raw] == [document.text for document in people]
    assert {(row["view"], row["format"]) for row in raw} == {(-1, "raw")}
    assert [row["view"] for row in rows] == [-1, 0, 1] * len(people)


def test_language_replaces_the_language_of_all_documents(people, monkeypatch):
    languages = []
    formats = views.FAMILIES["formats"]

    def recording(document, *arguments, **options):
        languages.append(document.language)
        return formats(document, *arguments, **options)

    monkeypatch.setitem(views.FAMILIES, "formats", recording)
    load_format_aug([replace(people[0], language="fr"), people[1]], num_views=1)
    load_format_aug(people[:2], num_views=1, language="de")
    assert languages == ["fr", "en", "de", "de"]


def test_the_language_of_files_is_detected_unless_the_option_sets_it(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(
        "Die Fähre verlässt den Hafen um sechs. Sie fährt am 4. Mai. Der Hafen ist tief.", encoding="utf-8"
    )
    rows = {code: load_format_aug(path, num_views=3, split="train", language=code) for code in (None, "de", "en")}
    assert rows[None]["text"][:] == rows["de"]["text"][:] != rows["en"]["text"][:]


def test_max_chars_splits_a_document_into_parts_that_cover_it(people):
    text = "\n\n".join(document.text for document in people)
    rows = load_format_aug(
        [Document("all", text, title="People")], num_views=1, include_raw=True, max_chars=400, split="train"
    ).to_list()
    parts = [row for row in rows if row["format"] == "raw"]
    assert [row["part"] for row in parts] == list(range(len(parts)))
    assert all(row["text"].startswith("People\n\n") for row in rows)
    own = [row["text"].removeprefix("People\n\n") for row in parts]
    assert "".join(own) == text
    assert 1 < max(map(len, own)) <= 400
    assert len(rows) == 2 * len(parts)


def test_unusual_characters_are_unchanged(tmp_path):
    texts = ["Ærø ligger i Danmark. 🏝️ Øen er lille.", "第一句。第二句。", 'Tab\there. A "quote" \\ there.\x85Next.']
    path = tmp_path / "hard.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    rows = load_format_aug(path, num_views=1, include_raw=True, split="train").to_list()
    assert [row["text"] for row in rows if row["view"] < 0] == texts
    assert [row["document_id"] for row in rows if row["view"] < 0] == [f"hard.jsonl:{line}" for line in (1, 2, 3)]


# Sources


def test_a_folder_is_read_as_read_documents_reads_it(tmp_path, write):
    write(3, name="folder/people.jsonl")
    (tmp_path / "folder" / "deep").mkdir()
    (tmp_path / "folder" / "deep" / "mill.md").write_text("# The mill\n\nIt grinds rye. It is old.\n")
    (tmp_path / "folder" / "ferry.txt").write_text("\ufeffThe ferry leaves at six.\r\nIt carries cars.")
    (tmp_path / "folder" / "gaps.jsonl").write_text('\n{"text": "First. Second."}\n\n\n{"text": "Third. Fourth."}\n\n')
    rows = load_format_aug(tmp_path / "folder", num_views=1, include_raw=True, split="train").to_list()
    read = [(row["document_id"], row["text"]) for row in rows if row["view"] < 0]
    assert read == [(document.id, document.text) for document in read_documents(tmp_path / "folder")]
    assert len(read) == 7


def test_a_mapping_gives_one_split_per_name(write):
    source = {"train": write(3), "test": write(5, first=3, name="others.jsonl")}
    loaded = load_format_aug(source, num_views=2)
    assert {split: len(set(rows["document_id"])) for split, rows in loaded.items()} == {"train": 3, "test": 2}
    assert load_format_aug(source, num_views=2, split="test").to_list() == loaded["test"].to_list()
    streamed = load_format_aug(source, num_views=2, streaming=True)
    assert {split: list(rows) for split, rows in streamed.items()} == {s: r.to_list() for s, r in loaded.items()}


@pytest.fixture
def hub(monkeypatch):
    """A fake Hub: `hub[name, revision]` is {split: rows}; `hub.requests` lists what was loaded."""

    class Hub(dict):
        requests = []

    def splits(name, config=None, *, revision=None):
        if (name, revision) not in hub:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub.")
        return list(hub[name, revision])

    def load(name, config=None, *, split, revision=None):
        splits(name, revision=revision)
        hub.requests.append((name, config, split, revision))
        rows = datasets.Dataset.from_list(hub[name, revision][split])
        # Why: the fingerprint of a real dataset depends on the path of its cache, and so on the commit.
        return datasets.Dataset(rows.data, fingerprint=datasets.fingerprint.Hasher.hash([name, split, rows.to_list()]))

    hub = Hub()
    monkeypatch.setattr(datasets, "get_dataset_split_names", splits)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return hub


def rows_on_hub(*texts):
    return [{"body": f"{text}. Second sentence."} for text in texts]


def test_a_dataset_on_the_hub_gives_all_its_splits_or_the_chosen_one(hub):
    hub["us/facts", None] = {"train": rows_on_hub("One", "Two"), "test": rows_on_hub("Three")}
    options = {"num_views": 1, "text_column": "body", "include_raw": True}
    both = load_format_aug("us/facts", **options)
    assert {split: rows["document_id"][::2] for split, rows in both.items()} == {
        "train": ["train:1", "train:2"],
        "test": ["test:1"],
    }
    chosen = load_format_aug("us/facts", source_split="test", **options)
    assert list(chosen) == ["test"]
    assert chosen["test"].to_list() == both["test"].to_list()


def test_configuration_and_revision_are_passed_to_the_hub(hub):
    hub["us/facts", "v2"] = {"train": rows_on_hub("One")}
    load_format_aug("us/facts", num_views=1, text_column="body", source_config="big", source_revision="v2")
    assert set(hub.requests) == {("us/facts", "big", "train", "v2")}


def test_a_changed_dataset_on_the_hub_gives_new_rows(hub):
    options = {"num_views": 1, "text_column": "body", "include_raw": True, "split": "train"}
    for word in ("One", "Uno"):
        hub["us/facts", None] = {"train": rows_on_hub(word)}
        assert load_format_aug("us/facts", **options)["text"][0] == f"{word}. Second sentence."


def test_a_missing_dataset_on_the_hub_is_named(hub):
    message = r"us/nothing: no such path \(.*\), and the dataset cannot be loaded from the Hub: Dataset 'us/nothing'"
    with pytest.raises(ValueError, match=message):
        load_format_aug("us/nothing")


def test_a_missing_network_is_an_error_at_once(hub, monkeypatch):
    def no_network(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", no_network)
    # Why: `datasets` would try again for half a minute.
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_, **__: pytest.fail("datasets was called"))
    with pytest.raises(ValueError, match=r"us/facts: .* cannot be reached \(no network\)"):
        load_format_aug("us/facts", text_column="body")
    assert not hub.requests


def test_ids_of_a_list_of_files_are_paths_from_their_common_folder(tmp_path):
    for name in ("a/x.txt", "b/x.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"This is {name}. Second sentence.")
    rows = load_format_aug([tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt"], num_views=1, split="train")
    assert rows["document_id"][:] == ["a/x.txt", "b/x.txt"]
    (tmp_path / "b").rename(tmp_path / "c")
    rows = load_format_aug([tmp_path / "a" / "x.txt", tmp_path / "c" / "x.txt"], num_views=1, split="train")
    assert rows["document_id"][:] == ["a/x.txt", "c/x.txt"]


def test_reading_options_work_as_in_read_documents(tmp_path):
    lines = [{"key": 7, "body": "One. Two.", "name": "A"}, {"key": 8, "body": " ", "name": "B"}]
    lines.append({"key": 9, "body": "One. Two.", "name": "C"})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {"text_column": "body", "id_column": "key", "title_column": "name"}
    rows = load_format_aug(path, num_views=1, empty="drop", duplicates="drop", split="train", **columns)
    assert rows["document_id"][:] == ["7"]
    rows = load_format_aug(path, num_views=1, empty="drop", split="train", **columns)
    assert rows["document_id"][:] == ["7", "9"]
    with pytest.raises(ValueError, match="text contains only white space"):
        load_format_aug(path, num_views=1, **columns)


def test_all_problems_of_documents_are_reported_before_a_stream_starts(tmp_path, cache):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Fine. Here."}\n{"text": ""}\n{"txt": "x"}\nnothing\n')
    with pytest.raises(ValueError, match="3 problems") as error:
        load_format_aug(path, streaming=True)
    assert all(f"rows.jsonl:{line}: " in str(error.value) for line in (2, 3, 4))
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} <= {".lock"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.jsonl", "nowhere.jsonl: no such file or folder"),
        ([], "the list of paths is empty"),
        ({}, "source must be a path.* got {}"),
        (7, "source must be a path, a name on the Hub, a list of these or of Documents, or a mapping from.* got 7"),
        (
            {"train": None, "test": 7},
            "source must be a path.* got {'train': None, 'test': 7}",
        ),
        (
            {"train": "no.txt", "test": "not.txt"},
            r"no.txt: no such file or folder(.|\n)*not.txt: no such file or folder",
        ),
    ],
)
def test_an_unusable_source_raises_an_error(source, words):
    with pytest.raises(ValueError, match=words):
        load_format_aug(source)


def test_a_missing_path_is_an_error_even_if_the_other_paths_are_cached(tmp_path):
    (tmp_path / "here.txt").write_text("One. Two.")
    load_format_aug([tmp_path / "here.txt"], num_views=1)
    with pytest.raises(ValueError, match=r"gone\.txt: no such file or folder"):
        load_format_aug([tmp_path / "here.txt", tmp_path / "gone.txt"], num_views=1)


def test_a_list_of_documents_and_paths_is_an_error(people, tmp_path):
    with pytest.raises(ValueError, match="source must be a path, a name on the Hub, a list of these or of Documents"):
        load_format_aug([people[0], "more.txt"])


def test_only_parts_of_a_document_may_share_an_id(people):
    with pytest.raises(ValueError, match=r"have the same id: \['person-000000'\]. Give each document a different id"):
        load_format_aug([*people, replace(people[0], text="Other. Words.")])
    parts = [replace(people[0], part=part, start=100 * part) for part in (0, 1)]
    assert load_format_aug(parts, num_views=1, split="train")["part"][:] == [0, 1]


def test_documents_are_written_to_the_cache_once(write, cache, monkeypatch):
    path = write(3)
    load_format_aug(path, streaming=True)
    (copy,) = (cache / "format_aug" / "documents").rglob("*.arrow")
    monkeypatch.setattr(document_store, "iter_documents", lambda *a, **o: iter(()))
    assert len(list(load_format_aug(path, "order", streaming=True, num_views=1, split="train"))) == 3
    assert list((cache / "format_aug" / "documents").rglob("*.arrow")) == [copy]


def test_an_interrupted_write_leaves_no_file(write, cache, monkeypatch):
    def interrupted(source, **options):
        yield Document("one", "One. Two.")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(document_store, "iter_documents", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_format_aug(write(3), streaming=True)
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} <= {".lock"}
    assert len(list(load_format_aug(write(3), streaming=True, num_views=1, split="train"))) == 3


def test_the_class_and_the_function_give_the_same_rows(write):
    path = write(4)
    by_class = FormatAugmentedDataset(config_name="formats", source=path, num_views=2, seed=5)
    by_class.download_and_prepare()
    by_function = load_format_aug(path, num_views=2, seed=5, split="train")
    assert by_class.as_dataset("train").to_list() == by_function.to_list()
    assert hf_knowlearn.FormatAugmentedDataset is FormatAugmentedDataset
    assert hf_knowlearn.load_format_aug is load_format_aug


# Writing


def test_two_processes_write_the_same_rows_as_one(write, tmp_path):
    path = write(7)
    one, two = (
        load_format_aug(path, num_views=2, num_proc=processes, cache_dir=tmp_path / str(processes), split="train")
        for processes in (1, 2)
    )
    assert one.to_list() == two.to_list()
    assert len(one.cache_files) == 1
    assert len(two.cache_files) == 2


def test_max_shard_size_limits_the_size_of_files(write, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "TABLE_CHARS", 2000)
    path = write(40)
    whole = load_format_aug(path, num_views=2, cache_dir=tmp_path / "whole", split="train")
    parts = load_format_aug(path, num_views=2, cache_dir=tmp_path / "parts", max_shard_size="8KB", split="train")
    assert len(whole.cache_files) == 1
    assert len(parts.cache_files) > 2
    assert parts.to_list() == whole.to_list()


def test_the_builder_writes_parquet_files(write, tmp_path):
    path = write(4)
    parquet_builder = FormatAugmentedDataset(source=path, num_views=2)
    parquet_builder.download_and_prepare(tmp_path / "published", file_format="parquet")
    (file,) = (tmp_path / "published").glob("*.parquet")
    assert pyarrow.parquet.read_table(file).to_pylist() == load_format_aug(path, num_views=2)["train"].to_list()


def test_a_stream_has_the_rows_that_would_be_written(write, cache):
    path = write(5)
    streamed = list(load_format_aug(path, "mixed", num_views=3, include_raw=True, streaming=True, split="train"))
    assert [file.name for file in cache.rglob("*.arrow")] == ["generator-train.arrow"]  # the documents
    assert streamed == load_format_aug(path, "mixed", num_views=3, include_raw=True, split="train").to_list()


# Cache


def test_cached_rows_are_not_made_again(write, monkeypatch):
    path = write(3)
    first = load_format_aug(path, num_views=2, split="train")
    monkeypatch.setattr(builder, "dataset_rows", None)
    assert load_format_aug(path, num_views=2, split="train").cache_files == first.cache_files


def test_changed_documents_in_the_same_file_give_new_rows(write):
    path = write(3)
    before = load_format_aug(path, num_views=2, split="train")
    assert write(4, first=1) == path
    after = load_format_aug(path, num_views=2, split="train")
    assert after["document_id"][:] == [f"person-{number:06d}" for number in (1, 1, 2, 2, 3, 3)]
    assert before._fingerprint != after._fingerprint


@pytest.mark.parametrize("change", [{"id": "9"}, {"title": "Nobody"}, {"language": "fr"}, {"part": 1}, {"start": 7}])
def test_every_field_of_a_document_changes_the_hash(change, people):
    hashes = {FormatAugmentedDataset(source=[replace(people[0], **c)]).hash for c in ({}, change)}
    assert len(hashes) == 2


@pytest.mark.parametrize("file", ["formats.py", "marks.toml"])
def test_changed_code_gives_new_rows(file, write, tmp_path, monkeypatch):
    path = write(2)
    code = tmp_path / "code" / file
    code.parent.mkdir()
    code.write_text("before")
    monkeypatch.setattr(builder, "CODE", (code.parent,))
    before = load_format_aug(path, num_views=1, split="train")
    code.write_text("after")
    formats = views.FAMILIES["formats"]
    changed = lambda *a, **options: [replace(view, text=view.text + "!") for view in formats(*a, **options)]  # noqa: E731
    monkeypatch.setitem(views.FAMILIES, "formats", changed)
    after = load_format_aug(path, num_views=1, split="train")
    assert after["text"][:] == [text + "!" for text in before["text"]]


def test_the_hash_covers_the_code_that_makes_rows():
    names = {file.relative_to(builder.PACKAGE).as_posix() for folder in builder.CODE for file in folder.rglob("*.py")}
    assert {"documents/splitting.py", "views/formats.py", "prompts/templates.py", "format_aug/rows.py"} <= names


def test_another_version_of_sentencex_changes_the_hash(people, monkeypatch):
    before = FormatAugmentedDataset(source=people).hash
    monkeypatch.setattr(document_store, "version", lambda name: {"sentencex": "99"}[name])
    assert FormatAugmentedDataset(source=people).hash != before


def test_the_same_documents_in_another_folder_use_the_same_cache(write):
    here = load_format_aug(write(3), num_views=2, split="train")
    there = load_format_aug(write(3, name="elsewhere/people.jsonl"), num_views=2, split="train")
    assert here.cache_files == there.cache_files


@pytest.mark.parametrize(
    "options", [{"num_views": 3}, {"seed": 1}, {"groups": ["lists"]}, {"include_raw": True}, {"max_chars": 90}]
)
def test_other_options_use_another_cache(options, people):
    plain, other = (FormatAugmentedDataset(source=people, **{"num_views": 2, **o}) for o in ({}, options))
    assert plain.cache_dir != other.cache_dir
    assert plain.cache_dir == FormatAugmentedDataset(source=people, num_views=2).cache_dir


def test_the_cache_folder_is_named_format_aug(people, cache):
    load_format_aug(people, num_views=2)
    assert [folder.name for folder in cache.iterdir() if folder.is_dir()] == ["format_aug"]


# Errors


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("outline", {}, "unknown configuration 'outline'; choose from formats, order, masked, mixed"),
        ("formats", {"zzz": 3}, "unknown option 'zzz'; the options are source, source_config, "),
        ("formats", {"num_views": 0}, "num_views must be an integer of at least 1, got 0"),
        ("formats", {"num_views": True}, "num_views must be an integer of at least 1, got True"),
        ("formats", {"epochs": 1.5}, "epochs must be an integer of at least 1, got 1.5"),
        ("formats", {"max_chars": -1}, "max_chars must be an integer of at least 1, got -1"),
        ("formats", {"seed": "7"}, "seed must be an integer, got '7'"),
        (
            "formats",
            {"groups": ["lists", "lots"]},
            r"groups must be a list of groups .*, got \['lists', 'lots'\]",
        ),
        ("formats", {"groups": "lists"}, r"groups must be a list of groups of formats \(spacing, .*, got 'lists'"),
        ("formats", {"hold_out": "lots"}, r"hold_out must be a group of formats \(spacing, .*, got 'lots'"),
        ("masked", {"groups": ["lists"]}, "groups is an option of formats, order, mixed, not of masked"),
        ("formats", {"weights": {"order": 1}}, "weights is an option of mixed, not of formats; remove it"),
        (
            "mixed",
            {"weights": {"odd": 1}},
            r"weights must be a mapping from families \(formats, order, masked\)",
        ),
        ("mixed", {"weights": {"order": 0}}, "numbers of at least 0, not all 0, got {'order': 0}"),
        ("masked", {"ratio": (0.5, 0.1)}, r"ratio must be the smallest and the largest share.*got \(0.5, 0.1\)"),
        ("masked", {"ratio": 0.5}, "got 0.5"),
        ("formats", {"include_raw": "yes"}, "include_raw must be True or False, got 'yes'"),
        ("formats", {"exhausted": "stop"}, "exhausted must be 'raise' or 'repeat', got 'stop'"),
        ("formats", {"language": ""}, 'language must be a code of ISO 639 such as "en", "de" or "pt-BR", got \'\''),
        ("formats", {"language": "English"}, "language must be a code of ISO 639 .*, got 'English'"),
        ("formats", {"source": None}, "source must be a path.* got None"),
    ],
)
def test_a_wrong_option_is_an_error_before_anything_is_read(name, options, words, cache):
    with pytest.raises(ValueError, match=words):
        load_format_aug(**{"source": "/nowhere", "name": name, **options})
    assert not cache.exists()


def test_all_problems_are_reported_together():
    with pytest.raises(ValueError, match=r"'outline'.*'sed'.*num_views.*lots"):
        load_format_aug("/nowhere", "outline", sed=3, num_views=0, groups=["lots"])


def test_epochs_need_a_stream(people):
    with pytest.raises(ValueError, match=r"epochs=2: only a stream has epochs. Pass streaming=True"):
        load_format_aug(people, epochs=2)


def test_a_stream_has_no_processes(people):
    with pytest.raises(ValueError, match=r"num_proc=2, max_shard_size=None: a stream writes no rows to disk"):
        load_format_aug(people, streaming=True, num_proc=2)


@pytest.mark.parametrize("processes", [1, 2])
def test_all_documents_with_too_few_views_are_listed_and_nothing_is_written(processes, people, cache):
    documents = [Document("short-0", "Word."), *people, Document("short-1", "Word.")]
    with pytest.raises(ValueError, match="Rows cannot be made of ") as error:
        load_format_aug(documents, num_views=6, groups=["spacing"], num_proc=processes)
    # Why: each of two processes reports its own half of the documents, and the first error ends the run.
    named = re.findall("short-.", str(error.value))
    assert named == ["short-0", "short-1"] if processes == 1 else len(named) == 1
    assert [file.name for file in cache.rglob("*.arrow")] == ["generator-train.arrow"]  # the documents


def test_of_many_documents_with_too_few_views_20_are_listed_and_all_are_counted():
    documents = [Document(f"short-{number}", "Word.") for number in range(30)]
    with pytest.raises(ValueError, match="Rows cannot be made of 30 documents:") as error:
        load_format_aug(documents, num_views=6, groups=["spacing"])
    assert str(error.value).count("document 'short-") == 20
    assert str(error.value).endswith("... and 10 more.")


def test_repeat_starts_again_with_the_first_view(people):
    short = Document("short", "Word.")
    options = {"num_views": 7, "groups": ["spacing"], "exhausted": "repeat", "split": "train"}
    rows = load_format_aug([short, *people], **options).to_list()
    available = [view.text for view in views.format_views(short, 5, groups=["spacing"])]
    with pytest.raises(ValueError, match="'short'"):
        views.format_views(short, 6, groups=["spacing"])
    assert [row["text"] for row in rows[:7]] == [*available, *available[:2]]
    assert [row["view"] for row in rows] == [*range(7)] * (1 + len(people))
    assert len({row["text"] for row in rows[7:]}) == 7 * len(people)


def test_repeat_gives_the_same_sequence_on_disk_and_in_epochs():
    two = [Document("two", "One is here. Two is there.")]
    options = {"groups": ["spacing"], "exhausted": "repeat", "split": "train", "weights": {"order": 1, "masked": 1}}
    for family in ("order", "mixed"):
        own = {name: value for name, value in options.items() if family == "mixed" or name != "weights"}
        written = load_format_aug(two, family, num_views=30, **own).to_list()
        streamed = list(load_format_aug(two, family, epochs=30, streaming=True, **own))
        assert [{**row, "epoch": epoch} for epoch, row in enumerate(written)] == streamed
        texts = [(row.get("prompt"), row.get("completion"), row.get("text")) for row in written]
        assert 1 < len(set(texts)) < 30
        assert texts == (texts[: len(set(texts))] * 30)[:30]


quiet = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
words = st.lists(st.sampled_from(["One", "two.", "Three.", "She", "four\n\n", "Five."]), min_size=1, max_size=9)
weights = st.fixed_dictionaries({family: st.integers(0, 3) for family in ("formats", "order", "masked")})


def brute_force(family, document, number, **options):
    """At most `number` views of a document: one more at a time, until that raises an error."""
    found = []
    while len(found) < number:
        try:
            found = views.FAMILIES[family](document, len(found) + 1, 2, **options)
        except views.TooFewViewsError:
            break
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_repeat_cycles_through_the_sequence_that_brute_force_finds(family):
    repeated = set()

    @settings(quiet, max_examples=60)
    @given(words, weights, st.integers(1, 9), st.integers(0, 4))
    def check(words, weights, number, epoch):
        options = {"groups": ["spacing"]} if family in ("formats", "order") else {}
        if family == "mixed":
            options = {"groups": ["spacing"], "weights": {**weights, "formats": weights["formats"] + 1}}
        document = Document("d", " ".join(words))
        first = epoch * number
        sequence = brute_force(family, document, first + number, **options)
        config = FormatAugConfig(name=family, num_views=number, seed=2, exhausted="repeat", **options)
        if not sequence:
            with pytest.raises(views.TooFewViewsError):
                dataset_rows(config, document, epoch)
            return
        rows = dataset_rows(config, document, epoch)
        expected = [sequence[index % len(sequence)] for index in range(first, first + number)]
        texts = [(row.get("prompt", ""), row.get("completion", row.get("text")), row["format"]) for row in rows]
        assert texts == [(view.prompt, view.text, view.format) for view in expected]
        assert [row["view"] for row in rows] == [*range(first, first + number)]
        repeated.add(len(sequence) < first + number)

    check()
    assert repeated == {True, False}


def test_repeat_raises_an_error_for_a_document_without_views(people):
    empty = Document("empty", "Word.")  # no line of it can be broken
    with pytest.raises(ValueError, match="'empty' has only 0"):
        load_format_aug([*people, empty], num_views=2, groups=["breaks"], exhausted="repeat")
