"""The builder: rows are the views of the documents, however they are asked for; and no cache outlives its reason."""

import json
import re
from dataclasses import replace

import datasets
import pyarrow.parquet
import pytest

import hf_knowlearn
from hf_knowlearn import views
from hf_knowlearn.documents import Document, read_documents
from hf_knowlearn.format_aug import FormatAugmentedDataset, builder, document_store, export, load_format_aug
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
def test_rows_are_the_views_of_each_document_in_turn(family, write):
    path = write(5)
    rows = load_format_aug(path, family, num_views=3, seed=4, split="train").to_list()
    expected = [view for document in read_documents(path) for view in views.FAMILIES[family](document, 3, 4)]
    texts = [row["completion"] if family in ("masked", "mixed") else row["text"] for row in rows]
    assert texts == [view.text for view in expected]
    assert [row.get("prompt", "") for row in rows] == [view.prompt for view in expected]
    for name, column in {"document_id": "document_id", "part": "part", "index": "view", "format": "format"}.items():
        assert [row[column] for row in rows] == [getattr(view, name) for view in expected]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_columns_are_text_or_prompt_and_completion_and_whence_they_are(family, people):
    texts = ["text"] if family in ("formats", "order") else ["prompt", "completion"]
    loaded = load_format_aug(people, family, num_views=1, split="train")
    assert loaded.column_names == [*texts, "document_id", "part", "view", "format"]


def test_the_views_of_a_mixture_that_ask_for_nothing_have_an_empty_prompt(people):
    weights = {"formats": 1, "order": 1}
    rows = load_format_aug(people, "mixed", num_views=4, weights=weights, split="train")
    assert set(rows["prompt"]) == {""}
    assert all(load_format_aug(people, "masked", num_views=2, split="train")["prompt"])


@pytest.mark.parametrize("options", [{"groups": ["lists"]}, {"hold_out": "lists"}, {"groups": ["lists", "marks"]}])
def test_groups_reach_the_family(options, people):
    rows = load_format_aug(people, num_views=2, split="train", **options)
    expected = [view for document in people for view in views.format_views(document, 2, **options)]
    assert rows["format"][:] == [view.format for view in expected]


@pytest.mark.parametrize(
    ("family", "options"), [("masked", {"ratio": (0.2, 0.3)}), ("mixed", {"weights": {"masked": 3, "order": 1}})]
)
def test_the_options_of_one_family_reach_it(family, options, people):
    rows = load_format_aug(people, family, num_views=4, split="train", **options)
    expected = [view for document in people for view in views.FAMILIES[family](document, 4, **options)]
    assert rows["prompt"][:] == [view.prompt for view in expected]
    assert rows["prompt"][:] != load_format_aug(people, family, num_views=4, split="train")["prompt"][:]


def test_the_original_stands_before_the_views_as_it_was_written(people):
    rows = load_format_aug(people, num_views=2, include_original=True, split="train").to_list()
    without = load_format_aug(people, num_views=2, split="train").to_list()
    assert [row for row in rows if row["view"] >= 0] == without
    originals = [row for row in rows if row["view"] < 0]
    assert [row["text"] for row in originals] == [document.text for document in people]
    assert {(row["view"], row["format"]) for row in originals} == {(-1, "raw")}
    assert [row["view"] for row in rows] == [-1, 0, 1] * len(people)


def test_a_language_is_that_of_all_documents(people, monkeypatch):
    asked = []
    formats = views.FAMILIES["formats"]

    def noting(document, *arguments, **options):
        asked.append(document.language)
        return formats(document, *arguments, **options)

    monkeypatch.setitem(views.FAMILIES, "formats", noting)
    load_format_aug([replace(people[0], language="fr"), people[1]], num_views=1)
    load_format_aug(people[:2], num_views=1, language="de")
    assert asked == ["fr", "en", "de", "de"]


def test_a_long_document_is_told_in_parts_that_tile_it(people):
    text = "\n\n".join(document.text for document in people)
    rows = load_format_aug(
        [Document("all", text, title="People")], num_views=1, include_original=True, max_chars=400, split="train"
    ).to_list()
    parts = [row for row in rows if row["format"] == "raw"]
    assert [row["part"] for row in parts] == list(range(len(parts)))
    assert "".join(row["text"] for row in parts) == text
    assert 1 < max(len(row["text"]) for row in parts) <= 400
    assert len(rows) == 2 * len(parts)


def test_what_tokenizers_and_files_find_hard_comes_out_as_it_went_in(tmp_path):
    texts = ["Ærø ligger i Danmark. 🏝️ Øen er lille.", "第一句。第二句。", 'Tab\there. A "quote" \\ there.\x85Next.']
    path = tmp_path / "hard.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    rows = load_format_aug(path, num_views=1, include_original=True, split="train").to_list()
    assert [row["text"] for row in rows if row["view"] < 0] == texts
    assert [row["document_id"] for row in rows if row["view"] < 0] == [f"hard.jsonl:{line}" for line in (1, 2, 3)]


# Sources


def test_files_of_a_folder_are_read_as_elsewhere_in_the_package(tmp_path, write):
    write(3, name="folder/people.jsonl")
    (tmp_path / "folder" / "deep").mkdir()
    (tmp_path / "folder" / "deep" / "mill.md").write_text("# The mill\n\nIt grinds rye. It is old.\n")
    (tmp_path / "folder" / "ferry.txt").write_text("\ufeffThe ferry leaves at six.\r\nIt carries cars.")
    (tmp_path / "folder" / "gaps.jsonl").write_text('\n{"text": "First. Second."}\n\n\n{"text": "Third. Fourth."}\n\n')
    rows = load_format_aug(tmp_path / "folder", num_views=1, include_original=True, split="train").to_list()
    told = [(row["document_id"], row["text"]) for row in rows if row["view"] < 0]
    assert told == [(document.id, document.text) for document in read_documents(tmp_path / "folder")]
    assert len(told) == 7


def test_splits_are_kept(write):
    source = {"train": write(3), "test": write(5, first=3, name="others.jsonl")}
    loaded = load_format_aug(source, num_views=2)
    assert {split: len(set(rows["document_id"])) for split, rows in loaded.items()} == {"train": 3, "test": 2}
    assert load_format_aug(source, num_views=2, split="test").to_list() == loaded["test"].to_list()
    streamed = load_format_aug(source, num_views=2, streaming=True)
    assert {split: list(rows) for split, rows in streamed.items()} == {s: r.to_list() for s, r in loaded.items()}


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the Hub: `hub[name, revision]` is {split: rows}; what was asked for is in `hub.asked`."""

    class Hub(dict):
        asked = []

    def splits(name, config=None, *, revision=None):
        if (name, revision) not in hub:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist on the Hub.")
        return list(hub[name, revision])

    def load(name, config=None, *, split, revision=None):
        hub.asked.append((name, config, split, revision))
        rows = datasets.Dataset.from_list(hub[name, revision][split])
        # As of a real one, whose fingerprint is made of the path of its cache, and so of the commit.
        return datasets.Dataset(rows.data, fingerprint=datasets.fingerprint.Hasher.hash([name, split, rows.to_list()]))

    hub = Hub()
    monkeypatch.setattr(datasets, "get_dataset_split_names", splits)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return hub


def rows_on_hub(*texts):
    return [{"body": f"{text}. Second sentence."} for text in texts]


def test_the_splits_of_a_dataset_on_the_hub_are_kept_or_one_is_chosen(hub):
    hub["us/facts", None] = {"train": rows_on_hub("One", "Two"), "test": rows_on_hub("Three")}
    options = {"num_views": 1, "text_column": "body", "include_original": True}
    both = load_format_aug("us/facts", **options)
    assert {split: rows["document_id"][::2] for split, rows in both.items()} == {
        "train": ["train:1", "train:2"],
        "test": ["test:1"],
    }
    chosen = load_format_aug("us/facts", source_split="test", **options)
    assert list(chosen) == ["test"]
    assert chosen["test"].to_list() == both["test"].to_list()


def test_configuration_and_revision_of_a_dataset_on_the_hub_are_passed_on(hub):
    hub["us/facts", "v2"] = {"train": rows_on_hub("One")}
    load_format_aug("us/facts", num_views=1, text_column="body", source_config="big", source_revision="v2")
    assert set(hub.asked) == {("us/facts", "big", "train", "v2")}


def test_another_commit_of_a_dataset_on_the_hub_is_told_anew(hub):
    options = {"num_views": 1, "text_column": "body", "include_original": True, "split": "train"}
    for word in ("One", "Uno"):
        hub["us/facts", None] = {"train": rows_on_hub(word)}
        assert load_format_aug("us/facts", **options)["text"][0] == f"{word}. Second sentence."


def test_a_dataset_that_the_hub_lacks_is_named(hub):
    with pytest.raises(ValueError, match="'us/nothing' is no path here, and as a data set on the Hub: Dataset 'us/no"):
        load_format_aug("us/nothing")


def test_a_list_of_files_is_told_as_one_and_their_names_tell_the_rows_apart(tmp_path):
    for name in ("a/x.txt", "b/x.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"This is {name}. Second sentence.")
    rows = load_format_aug([tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt"], num_views=1, split="train")
    assert rows["document_id"][:] == ["a/x.txt", "b/x.txt"]
    (tmp_path / "b").rename(tmp_path / "c")
    rows = load_format_aug([tmp_path / "a" / "x.txt", tmp_path / "c" / "x.txt"], num_views=1, split="train")
    assert rows["document_id"][:] == ["a/x.txt", "c/x.txt"]


def test_columns_and_what_is_dropped_are_as_in_reading(tmp_path):
    lines = [{"key": 7, "body": "One. Two.", "name": "A"}, {"key": 8, "body": " ", "name": "B"}]
    lines.append({"key": 9, "body": "One. Two.", "name": "C"})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {"text_column": "body", "id_column": "key", "title_column": "name"}
    rows = load_format_aug(path, num_views=1, empty="drop", duplicates="drop", split="train", **columns)
    assert rows["document_id"][:] == ["7"]
    rows = load_format_aug(path, num_views=1, empty="drop", split="train", **columns)
    assert rows["document_id"][:] == ["7", "9"]
    with pytest.raises(ValueError, match="text is only white space"):
        load_format_aug(path, num_views=1, **columns)


def test_all_that_is_wrong_with_documents_is_told_before_a_stream_begins(tmp_path, cache):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Fine. Here."}\n{"text": ""}\n{"txt": "x"}\nnothing\n')
    with pytest.raises(ValueError, match="3 problems") as refused:
        load_format_aug(path, streaming=True)
    assert all(f"rows.jsonl:{line}: " in str(refused.value) for line in (2, 3, 4))
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} <= {".lock"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.jsonl", "nowhere.jsonl: nothing is there"),
        ([], "no path is given"),
        ({}, "source names no split; give each split's source by its name"),
        (7, "source must be a path, a name on the Hub, a list or a mapping of splits, got 7"),
        (
            {"train": None, "test": 7},
            r"source\['train'\]: no source is given.*source\['test'\]: source must be a path",
        ),
        ({"train": "no.txt", "test": "not.txt"}, r"no.txt: nothing is there(.|\n)*not.txt: nothing is there"),
    ],
)
def test_a_source_that_is_none_is_refused(source, words):
    with pytest.raises(ValueError, match=words):
        load_format_aug(source)


def test_a_path_that_is_missing_is_missed_though_the_others_were_read_before(tmp_path):
    (tmp_path / "here.txt").write_text("One. Two.")
    load_format_aug([tmp_path / "here.txt"], num_views=1)
    with pytest.raises(ValueError, match=r"gone\.txt: nothing is there"):
        load_format_aug([tmp_path / "here.txt", tmp_path / "gone.txt"], num_views=1)


def test_documents_and_paths_do_not_go_together(people, tmp_path):
    with pytest.raises(ValueError, match="A list of documents holds a str"):
        load_format_aug([people[0], "more.txt"])


def test_documents_that_share_an_id_are_refused_unless_they_are_parts(people):
    with pytest.raises(ValueError, match=r"ids more than once: \['person-000000'\]. Give each document its own"):
        load_format_aug([*people, replace(people[0], text="Other. Words.")])
    parts = [replace(people[0], part=part, start=100 * part) for part in (0, 1)]
    assert load_format_aug(parts, num_views=1, split="train")["part"][:] == [0, 1]


def test_documents_are_copied_once_and_a_copy_is_not_touched_again(write, cache, monkeypatch):
    path = write(3)
    load_format_aug(path, streaming=True)
    (copy,) = (cache / "format_aug" / "documents").glob("*.jsonl")
    monkeypatch.setattr(document_store, "iter_documents", lambda *a, **o: iter(()))
    assert len(list(load_format_aug(path, "order", streaming=True, num_views=1, split="train"))) == 3
    assert list((cache / "format_aug" / "documents").glob("*.jsonl")) == [copy]


def test_a_copy_that_is_interrupted_leaves_nothing(write, cache, monkeypatch):
    def interrupted(source, **options):
        yield Document("one", "One. Two.")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(document_store, "iter_documents", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_format_aug(write(3), streaming=True)
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} <= {".lock"}
    assert len(list(load_format_aug(write(3), streaming=True, num_views=1, split="train"))) == 3


def test_the_class_and_the_function_give_the_same(write):
    path = write(4)
    by_class = FormatAugmentedDataset(config_name="formats", source=path, num_views=2, seed=5)
    by_class.download_and_prepare()
    by_function = load_format_aug(path, num_views=2, seed=5, split="train")
    assert by_class.as_dataset("train").to_list() == by_function.to_list()
    assert hf_knowlearn.FormatAugmentedDataset is FormatAugmentedDataset
    assert hf_knowlearn.load_format_aug is load_format_aug


# Ways of making them


def test_two_processes_write_what_one_writes(write, tmp_path):
    path = write(7)
    one, two = (
        load_format_aug(path, num_views=2, num_proc=processes, cache_dir=tmp_path / str(processes), split="train")
        for processes in (1, 2)
    )
    assert one.to_list() == two.to_list()
    assert len(one.cache_files) == 1
    assert len(two.cache_files) == 2


def test_a_split_is_written_in_files_of_the_size_asked_for(write, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "TABLE_CHARS", 2000)
    path = write(40)
    whole = load_format_aug(path, num_views=2, cache_dir=tmp_path / "whole", split="train")
    parts = load_format_aug(path, num_views=2, cache_dir=tmp_path / "parts", max_shard_size="8KB", split="train")
    assert len(whole.cache_files) == 1
    assert len(parts.cache_files) > 2
    assert parts.to_list() == whole.to_list()


def test_it_writes_parquet_that_can_be_published(write, tmp_path):
    path = write(4)
    maker = FormatAugmentedDataset(source=path, num_views=2)
    maker.download_and_prepare(tmp_path / "published", file_format="parquet")
    (file,) = (tmp_path / "published").glob("*.parquet")
    assert pyarrow.parquet.read_table(file).to_pylist() == load_format_aug(path, num_views=2)["train"].to_list()


def test_a_stream_is_what_would_have_been_written(write, cache):
    path = write(5)
    streamed = list(load_format_aug(path, "mixed", num_views=3, include_original=True, streaming=True, split="train"))
    assert not list(cache.rglob("*.arrow"))
    assert streamed == load_format_aug(path, "mixed", num_views=3, include_original=True, split="train").to_list()


# Caches


def test_what_was_made_is_not_made_again(write, monkeypatch):
    path = write(3)
    first = load_format_aug(path, num_views=2, split="train")
    monkeypatch.setattr(builder, "rows", None)
    assert load_format_aug(path, num_views=2, split="train").cache_files == first.cache_files


def test_changed_documents_are_told_anew_though_file_and_options_are_the_same(write):
    path = write(3)
    before = load_format_aug(path, num_views=2, split="train")
    assert write(4, first=1) == path
    after = load_format_aug(path, num_views=2, split="train")
    assert after["document_id"][:] == [f"person-{number:06d}" for number in (1, 1, 2, 2, 3, 3)]
    assert before._fingerprint != after._fingerprint


@pytest.mark.parametrize("change", [{"id": "9"}, {"title": "Nobody"}, {"language": "fr"}, {"part": 1}, {"start": 7}])
def test_any_field_of_documents_given_as_such_tells_them_apart(change, people):
    hashes = {FormatAugmentedDataset(source=[replace(people[0], **c)]).hash for c in ({}, change)}
    assert len(hashes) == 2


def test_changed_code_tells_documents_anew(write, tmp_path, monkeypatch):
    path = write(2)
    code = tmp_path / "code" / "formats.py"
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


def test_the_code_that_is_hashed_is_all_that_tells_documents():
    hashed = {file for path in builder.CODE for file in ([path] if path.is_file() else path.rglob("*.py"))}
    names = {file.relative_to(builder.PACKAGE).as_posix() for file in hashed}
    assert {"documents/splitting.py", "views/formats.py", "format_aug/rows.py"} <= names
    assert all(file.is_file() for file in hashed)


def test_sentencex_counts_as_code(monkeypatch):
    before = builder.code_hash()
    monkeypatch.setattr(builder, "version", lambda name: {"sentencex": "99"}[name])
    assert builder.code_hash() != before


def test_the_same_documents_elsewhere_are_not_told_again(write):
    here = load_format_aug(write(3), num_views=2, split="train")
    there = load_format_aug(write(3, name="elsewhere/people.jsonl"), num_views=2, split="train")
    assert here.cache_files == there.cache_files


@pytest.mark.parametrize(
    "options", [{"num_views": 3}, {"seed": 1}, {"groups": ["lists"]}, {"include_original": True}, {"max_chars": 90}]
)
def test_other_options_are_another_cache(options, people):
    plain, other = (FormatAugmentedDataset(source=people, **{"num_views": 2, **o}) for o in ({}, options))
    assert plain.cache_dir != other.cache_dir
    assert plain.cache_dir == FormatAugmentedDataset(source=people, num_views=2).cache_dir


def test_a_cache_is_named_format_aug(people, cache):
    load_format_aug(people, num_views=2)
    assert [folder.name for folder in cache.iterdir() if folder.is_dir()] == ["format_aug"]


# Refusals


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("outline", {}, "the configuration 'outline' is none of formats, order, masked, mixed"),
        ("formats", {"num_view": 3}, "there is no option 'num_view'; did you mean num_views"),
        ("formats", {"zzz": 3}, "there is no option 'zzz'; the options are source, source_config, "),
        ("formats", {"num_views": 0}, "num_views must be a whole number from 1 up, got 0"),
        ("formats", {"num_views": True}, "num_views must be a whole number from 1 up, got True"),
        ("formats", {"epochs": 1.5}, "epochs must be a whole number from 1 up, got 1.5"),
        ("formats", {"max_chars": -1}, "max_chars must be a whole number from 1 up, got -1"),
        ("formats", {"seed": "7"}, "seed must be a whole number, got '7'"),
        ("formats", {"groups": ["lists", "lots"]}, r"unknown groups of formats \['lots'\]; choose from spacing, "),
        ("formats", {"groups": "lists"}, "groups must be a list of groups of formats, got 'lists'"),
        ("formats", {"hold_out": "lots"}, r"unknown groups of formats \['lots'\]"),
        ("masked", {"groups": ["lists"]}, "groups is an option of formats and order and mixed, not of masked"),
        ("formats", {"weights": {"order": 1}}, "weights is an option of mixed, not of formats; leave it out"),
        ("mixed", {"weights": {"odd": 1}}, r"weights must give families \(formats, order, masked\) numbers"),
        ("mixed", {"weights": {"order": 0}}, "numbers from 0 up, not all 0, got {'order': 0}"),
        ("masked", {"ratio": (0.5, 0.1)}, r"ratio must be the least and the most masked.*got \(0.5, 0.1\)"),
        ("masked", {"ratio": 0.5}, "got 0.5"),
        ("formats", {"include_original": "yes"}, "include_original must be True or False, got 'yes'"),
        ("formats", {"exhausted": "stop"}, "exhausted must be one of raise, repeat, got 'stop'"),
        ("formats", {"language": ""}, "language must be a word, got ''"),
        ("formats", {"source": None}, "no source is given"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read(name, options, words, cache):
    with pytest.raises(ValueError, match=words):
        load_format_aug(**{"source": "/nowhere", "name": name, **options})
    assert not cache.exists()


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ValueError, match=r"'outline'.*'sed'.*num_views.*lots"):
        load_format_aug("/nowhere", "outline", sed=3, num_views=0, groups=["lots"])


def test_epochs_are_for_streams_alone(people):
    with pytest.raises(ValueError, match=r"epochs=2: epochs are for streams. Pass streaming=True"):
        load_format_aug(people, epochs=2)


def test_a_stream_takes_no_processes(people):
    with pytest.raises(ValueError, match=r"num_proc=2, max_shard_size=None: a stream writes no rows to disk"):
        load_format_aug(people, streaming=True, num_proc=2)


@pytest.mark.parametrize("processes", [1, 2])
def test_documents_with_too_few_views_are_all_named_and_nothing_is_left(processes, people, cache):
    documents = [Document("short-0", "Word."), *people, Document("short-1", "Word.")]
    with pytest.raises(ValueError, match="can't be told as asked") as refused:
        load_format_aug(documents, num_views=6, groups=["spacing"], num_proc=processes)
    # Of two processes, each tells of its own half, and the first that fails is heard.
    named = re.findall("short-.", str(refused.value))
    assert named == ["short-0", "short-1"] if processes == 1 else len(named) == 1
    assert {file.suffix for file in cache.rglob("*") if file.is_file()} == {".jsonl", ".lock"}  # of the documents


def test_of_many_documents_in_trouble_some_are_shown_and_all_are_counted():
    documents = [Document(f"short-{number}", "Word.") for number in range(30)]
    with pytest.raises(ValueError, match="30 documents can't be told") as refused:
        load_format_aug(documents, num_views=6, groups=["spacing"])
    assert str(refused.value).count("document 'short-") == 20
    assert str(refused.value).endswith("... and 10 more.")


def test_a_document_with_too_few_views_may_begin_again(people):
    short = Document("short", "Word.")
    options = {"num_views": 7, "groups": ["spacing"], "exhausted": "repeat", "split": "train"}
    rows = load_format_aug([short, *people], **options).to_list()
    all_there_are = [view.text for view in views.format_views(short, 5, groups=["spacing"])]
    with pytest.raises(ValueError, match="'short'"):
        views.format_views(short, 6, groups=["spacing"])
    assert [row["text"] for row in rows[:7]] == [*all_there_are, *all_there_are[:2]]
    assert [row["view"] for row in rows] == [*range(7)] * (1 + len(people))
    assert len({row["text"] for row in rows[7:]}) == 7 * len(people)


def test_views_begin_again_alike_on_disk_and_in_epochs():
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


def test_repeating_hides_no_other_trouble(people):
    empty = Document("empty", "Word.")  # no line of it can be broken
    with pytest.raises(ValueError, match="'empty' has only 0"):
        load_format_aug([*people, empty], num_views=2, groups=["breaks"], exhausted="repeat")


# Publishing


def test_what_is_exported_loads_as_every_family_without_the_package(people, tmp_path):
    files = export(people, tmp_path / "data", num_views=2, seed=3)
    assert [file.relative_to(tmp_path / "data").parts[0] for file in files] == sorted(FAMILIES)
    for file in files:
        (family,) = set(FAMILIES) & set(file.parts)
        loaded = datasets.load_dataset("parquet", data_files=str(file), split="train")
        assert loaded.to_list() == load_format_aug(people, family, num_views=2, seed=3, split="train").to_list()


def test_an_export_that_fails_leaves_what_was_there(people, tmp_path):
    export(people[:2], tmp_path / "data", num_views=1)
    before = {file: file.read_bytes() for file in (tmp_path / "data").rglob("*.parquet")}
    with pytest.raises(ValueError, match="can't be told"):
        export([*people, Document("short", "Word.")], tmp_path / "data", num_views=2)  # it has no other order
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")} == before
