"""The plan: who is read in which step, in which view, and on which tokens the loss is taken."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.teach_arguments import TeachArguments
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach import pipeline
from hf_knowlearn.teach.schedule import make_schedule, replayed_rows, steps_for, tell
from hf_knowlearn.teach.sources import load_documents, load_questions
from hf_knowlearn.views import raw_view


def count_words(texts: list[str]) -> list[int]:
    """Stands in for a tokenizer's lengths."""
    return [len(text.split()) for text in texts]


def document(number: int, sentences: int = 3) -> Document:
    words = " ".join("and so on" for _ in range(number % 4))
    return Document(
        f"d{number}", " ".join(f"Fact {i} of {number} {words}." for i in range(sentences)), title=f"T{number}"
    )


NEW = [document(number) for number in range(7)]
OLD = [raw_view(document(number)) for number in range(100, 105)]
ASKED = [Question(f"q{i}", f"What is {i}?", (f"number {i}", "other"), document_id=f"d10{i}") for i in range(4)]


def plainly(asked: str, said: str) -> tuple[str, str]:
    return plain_prompt(asked), f" {said}"


def rows_of(seed: int = 0, steps: int = 30, batch: int = 8, replayed: int = 3, **sources: Any) -> list[dict[str, str]]:
    told = tell(NEW, TeachArguments(num_views=3), count_words, None, seed)
    material = {"replay_documents": OLD, "replay_questions": ASKED, **sources}
    return make_schedule(told, **material, steps=steps, batch=batch, replayed=replayed, trained_as=plainly, seed=seed)


def steps_of(rows: list[dict[str, str]], batch: int = 8) -> list[list[dict[str, str]]]:
    return [rows[i : i + batch] for i in range(0, len(rows), batch)]


def is_replay(row: dict[str, str]) -> bool:
    return row["document_id"].startswith("d10")


def test_every_step_holds_exactly_the_share_of_replay():
    steps = steps_of(rows_of())
    assert len(steps) == 30
    assert {len(step) for step in steps} == {8}
    assert {sum(map(is_replay, step)) for step in steps} == {3}


def test_replayed_documents_and_questions_take_turns_and_none_is_left_out():
    replayed = Counter(row["document_id"] for row in rows_of() if is_replay(row) and row["view"] != "question")
    asked = Counter(row["prompt"] for row in rows_of() if row["view"] == "question")
    assert sum(replayed.values()) == sum(asked.values()) == 45
    assert set(replayed.values()) == {9}
    assert set(asked.values()) == {11, 12}


@pytest.mark.parametrize("missing", ["replay_documents", "replay_questions"])
def test_one_kind_of_replay_alone_fills_the_share(missing: str):
    views = {row["view"] for row in rows_of(**{missing: []}) if is_replay(row)}
    assert views == ({"question"} if missing == "replay_documents" else {"formats/as_written"})


def test_without_replay_all_of_a_step_is_new():
    rows = rows_of(replayed=0, replay_documents=[], replay_questions=[])
    assert len(rows) == 240
    assert not any(map(is_replay, rows))


def test_every_document_is_told_once_an_epoch_and_in_its_next_view_each_time():
    # 5 new rows a step: an epoch of 7 documents does not end where a step does, and within a step rows are sorted.
    # With one row a step, rows are in the order in which they are told.
    told = tell(NEW, TeachArguments(num_views=3), count_words, None, 0)
    views = {of_one[0].document_id: [f"formats/{view.format}" for view in of_one] for of_one in told}
    rows = rows_of(steps=7 * 9, batch=1, replayed=0)
    for epoch, start in enumerate(range(0, len(rows), 7)):
        of_epoch = rows[start : start + 7]
        assert {row["document_id"] for row in of_epoch} == {one.id for one in NEW}
        assert all(row["view"] == views[row["document_id"]][epoch % 3] for row in of_epoch)


def test_the_order_of_documents_is_another_one_each_epoch():
    rows = rows_of(steps=7 * 9, batch=1, replayed=0)
    orders = {tuple(row["document_id"] for row in rows[start : start + 7]) for start in range(0, len(rows), 7)}
    assert len(orders) == 9


def test_the_plan_is_a_function_of_the_seed():
    assert rows_of(seed=3) == rows_of(seed=3)
    assert rows_of(seed=3) != rows_of(seed=4)


def test_a_longer_plan_begins_like_a_shorter_one():
    assert rows_of(steps=30)[: 12 * 8] == rows_of(steps=12)


def test_long_rows_come_first_in_a_step():
    for step in steps_of(rows_of()):
        lengths = [len(row["prompt"]) + len(row["completion"]) for row in step]
        assert lengths == sorted(lengths, reverse=True)


def test_a_question_is_a_prompt_and_its_first_answer():
    (row,) = {tuple(row.items()) for row in rows_of() if row["prompt"] == plain_prompt("What is 2?")}
    assert dict(row)["completion"] == " number 2"
    assert dict(row)["document_id"] == "d102"


# How documents are told


def test_a_long_document_is_cut_into_parts_that_tile_it():
    long = document(0, sentences=40)
    told = tell([long, document(1)], TeachArguments(num_views=2, part_tokens=30), count_words, None, 0)
    parts = [views for views in told if views[0].document_id == "d0"]
    assert len(parts) > 4
    assert [views[0].part for views in parts] == list(range(len(parts)))
    for views in zip(*parts, strict=True):  # in each of its formats
        words = "".join(view.text[start : start + length] for view in views for start, _, length in view.spans)
        assert "".join(words.split()) == "".join(long.text.split())


@pytest.mark.parametrize("views", ["raw", "formats", "order", "masked", "mixed"])
def test_no_view_is_longer_than_the_limit_however_much_a_format_adds(views: str):
    def count_characters(texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    arguments = TeachArguments(views=views, num_views=12, part_tokens=500)
    told = tell([document(0, sentences=80)], arguments, count_characters, 500, 0)
    lengths = [len(view.prompt + view.text) for of_part in told for view in of_part]
    assert max(lengths) <= 500
    assert max(lengths) > 250  # cut no finer than need be
    assert {len(of_part) for of_part in told} == {1 if views == "raw" else 12}


def test_a_mixture_is_told_by_its_weights():
    arguments = TeachArguments(views="mixed", view_weights='{"formats": 1, "order": 3}', num_views=8)
    told = tell([document(0, sentences=6)], arguments, count_words, None, 0)
    assert Counter(view.family for view in told[0]) == {"formats": 2, "order": 6}


def test_a_group_held_out_is_never_told_and_others_can_be_chosen():
    arguments = TeachArguments(num_views=20, format_groups=["lists", "marks", "shift"], hold_out="marks")
    told = tell([document(0, sentences=6)], arguments, count_words, None, 0)
    assert {mark.split(".")[0] for view in told[0] for mark in view.format.split("+")} == {"lists", "shift"}


def test_a_masked_document_is_the_completion_of_a_request():
    told = tell(NEW[:1], TeachArguments(views="masked", num_views=2), count_words, None, 0)
    rows = make_schedule(told, [], [], steps=2, batch=1, replayed=0, trained_as=plainly, seed=0)
    assert [row["completion"] for row in rows] == [NEW[0].text] * 2
    assert all("_" in row["prompt"] for row in rows)
    assert {row["view"].split("/")[0] for row in rows} == {"masked"}


def test_a_document_that_cannot_be_told_within_the_limit_is_refused_by_its_id():
    told_of = [document(number) for number in range(25)]
    with pytest.raises(ValueError, match=r"^Document 'd0' can't be told within 5 tokens: raise max_length") as refusal:
        tell(told_of, TeachArguments(), count_words, 5, 0)
    lines = str(refusal.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 5 more."


def test_a_part_of_white_space_alone_makes_no_view():
    def count_characters(texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    gap = Document("gap", "One fact." + " " * 100 + "\n" * 100 + "Another fact.", title="T")
    told = tell([gap], TeachArguments(num_views=2, part_tokens=20), count_characters, None, 0)
    assert all(view.text.strip() and view.spans for views in told for view in views)
    assert "".join(views[0].text for views in told).count("fact") == 2


def test_too_many_views_are_refused_with_how_many_there_can_be():
    with pytest.raises(ValueError, match="num_views=6, but document 'd0' has only 5 distinct orders"):
        tell([document(0)], TeachArguments(views="order", num_views=6, format_groups=[]), count_words, None, 0)


# How much


@pytest.mark.parametrize(
    ("share", "batch", "rows"), [(0.25, 32, 8), (0.25, 16, 4), (0.5, 3, 2), (0.1, 8, 1), (0.0, 8, 0)]
)
def test_the_share_of_replay_in_rows(share: float, batch: int, rows: int):
    assert replayed_rows(TeachArguments(replay_questions="q", replay_share=share), batch) == rows


def test_with_nothing_to_replay_there_is_no_replay_and_it_is_said(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "hf_knowlearn"):
        assert replayed_rows(TeachArguments(replay_share=0.25), 8) == 0
    assert "may be forgotten" in caplog.text


@pytest.mark.parametrize(
    ("share", "batch", "says"),
    [
        (0.01, 8, "replay_share=0.01 of a batch of 8 rows is 0 rows.*between 0.125 and 0.875"),
        (0.99, 8, "is 8 rows.*between 0.125 and 0.875"),
        (0.25, 1, r"is 0 rows: choose a larger batch \([^)]*\)\.$"),
    ],
)
def test_a_share_that_comes_to_nothing_or_everything_is_refused(share: float, batch: int, says: str):
    with pytest.raises(ValueError, match=says):
        replayed_rows(TeachArguments(replay_documents="d", replay_share=share), batch)


@pytest.mark.parametrize(
    ("epochs", "parts", "batch", "replayed", "steps"), [(12, 300, 32, 8, 150), (3, 10, 8, 0, 4), (1, 1, 8, 0, 1)]
)
def test_steps_are_counted_from_epochs(epochs: float, parts: int, batch: int, replayed: int, steps: int):
    assert steps_for([None] * parts, epochs, batch, replayed) == steps


# Where it comes from


def test_a_source_is_nothing_a_path_or_a_split_of_the_world(documents: Path, questions: Path):
    assert load_documents(None) == load_questions(None) == []
    assert [one.id for one in load_documents(str(documents))] == ["ferry.txt", "mill.md"]
    assert [one.id for one in load_questions(str(questions))] == ["ferry-1", "mill-1"]
    assert len(load_documents("world:new")) == 300
    assert len(load_questions("world:retention")) == 500


@pytest.mark.parametrize("source", [load_documents, load_questions])
def test_a_split_that_the_world_does_not_have_is_refused(source: Callable[[str], object]):
    with pytest.raises(ValueError, match=r"'world:nobody' names no split of the world in .*: old, .*new"):
        source("world:nobody")


# As TRL reads it


@pytest.fixture(scope="module")
def read_by_trl(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The plan of `formats.yaml` for two steps, the trainer that has tokenized it, and the tokenizer."""
    folder = tmp_path_factory.mktemp("plan")
    path = RECIPES / "quickstart" / "formats.yaml"
    changes = {"model_name_or_path": base, "output_dir": folder, "max_steps": 2, "use_cpu": True, "disable_tqdm": True}
    recipe = parse_recipe(["--config", str(path)], changes)
    material = pipeline.read(recipe)
    model, tokenizer = pipeline.load(recipe, material)
    rows = pipeline.rows_of(recipe, material, tokenizer, pipeline.longest_row(recipe, model))
    return rows, pipeline.new_trainer(recipe, material, model, tokenizer, rows), tokenizer


def test_the_loss_is_on_the_answer_alone_and_on_all_of_a_document(read_by_trl: Any):
    rows, trainer, tokenizer = read_by_trl
    examples = list(trainer.train_dataset)
    assert len(rows) == len(examples) == 2 * 28
    assert Counter(row["view"] == "question" for row in rows) == {False: 49, True: 7}
    for row, example in zip(rows, examples, strict=True):
        ids, labels = example["input_ids"], example["labels"]
        learned = [label for label in labels if label != -100]
        given = ids[: len(ids) - len(learned)]
        assert labels == [-100] * len(given) + learned
        assert ids == given + learned
        # No token stands over the border: what is masked is what the model will be given when it is asked.
        assert given == tokenizer(row["prompt"])["input_ids"]
        assert tokenizer.decode(learned) == row["completion"] + tokenizer.eos_token


def test_the_trainer_reads_the_plan_in_its_order(read_by_trl: Any):
    rows, trainer, tokenizer = read_by_trl
    batches = list(trainer.get_train_dataloader())
    told = [text for batch in batches for text in tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)]
    assert len(batches) == 2 * trainer.args.gradient_accumulation_steps
    assert told == [row["prompt"] + row["completion"] for row in rows]


def test_nothing_of_retention_is_in_the_rows_of_the_quickstart(base: Path, tmp_path: Path):
    changes = {"model_name_or_path": base, "output_dir": tmp_path, "use_cpu": True}
    recipe = parse_recipe(["--config", str(RECIPES / "quickstart" / "formats.yaml")], changes)
    material = pipeline.read(recipe)
    model, tokenizer = pipeline.load(recipe, material)
    rows = pipeline.rows_of(recipe, material, tokenizer, pipeline.longest_row(recipe, model))
    training = recipe.training
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    assert len(rows) == training.max_steps * batch == 250 * 28
    text = "\n".join(row["prompt"] + row["completion"] for row in rows)
    names = {one.title for one in load_documents("world:retention")}
    assert len(names) == 100
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)] == []
    kept = {question.document_id for question in material.asked["retention_questions"]}
    assert len(kept) == 100
    assert not kept & {row["document_id"] for row in rows}
    # Nor is any question that is asked for recall or as rehearsed.
    asked = {plain_prompt(q.text) for role in ("questions", "replayed_questions") for q in material.asked[role]}
    assert not asked & {row["prompt"] for row in rows}


def test_long_documents_that_are_replayed_are_cut_too(base: Path, documents: Path, tmp_path: Path):
    (tmp_path / "long.txt").write_text(" ".join(f"Fact {i} is that {i} follows." for i in range(200)))
    changes = {"model_name_or_path": base, "documents": documents, "replay_documents": tmp_path / "long.txt"}
    options = ["--output_dir", str(tmp_path), "--use_cpu", "true", "--max_length", "256", "--max_steps", "40"]
    options += ["--replay_self", "0"]
    recipe = parse_recipe(options, changes)
    material = pipeline.read(recipe)
    model, tokenizer = pipeline.load(recipe, material)
    rows = pipeline.rows_of(recipe, material, tokenizer, pipeline.longest_row(recipe, model))
    lengths = [len(tokenizer(row["completion"])["input_ids"]) + 1 for row in rows if row["document_id"] == "long.txt"]
    assert len(lengths) == 40 * 8  # replay_share is a half
    assert max(lengths) <= 256
    told = {row["completion"] for row in rows if row["document_id"] == "long.txt"}
    assert "".join(sorted("".join(told))) == "".join(sorted((tmp_path / "long.txt").read_text()))


def test_the_models_context_is_a_limit_where_max_length_is_none(base: Path, documents: Path, tmp_path: Path):
    (documents / "long.txt").write_text(" ".join(f"Fact {i} is that {i} follows." for i in range(500)))
    options = ["--max_length", "null", "--part_tokens", "9999", "--num_views", "3", "--use_cpu", "true"]
    recipe = parse_recipe(options, {"model_name_or_path": base, "documents": documents, "output_dir": tmp_path})
    material = pipeline.read(recipe)
    model, tokenizer = pipeline.load(recipe, material)
    rows = pipeline.rows_of(recipe, material, tokenizer, pipeline.longest_row(recipe, model))
    lengths = [len(tokenizer(row["completion"])["input_ids"]) + 1 for row in rows]
    assert 256 < max(lengths) <= model.config.max_position_embeddings == 512
