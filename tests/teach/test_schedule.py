"""The schedule: which rows every step trains on, in which view, and which of their tokens have loss."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.config.recipes import parse_recipe
from hf_knowlearn.config.settings import StageSettings, resolve
from hf_knowlearn.documents import Document
from hf_knowlearn.format_aug.rows import Row, document_rows
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.prompts.limits import context_length
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach.data import load_data
from hf_knowlearn.teach.schedule import make_schedule, schedule_stages, training_units
from hf_knowlearn.teach.sources import load_documents, load_questions
from hf_knowlearn.teach.stage_models import load_base
from hf_knowlearn.teach.trainers import new_trainer


def count_words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def count_characters(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def document(number: int, sentences: int = 3) -> Document:
    words = " ".join("and so on" for _ in range(number % 4))
    text = " ".join(f"Fact {i} of {number} {words}." for i in range(sentences))
    return Document(f"d{number}", text, title=f"T{number}")


def question_row(number: int) -> Row:
    row = {"prompt": f"What is {number}?", "completion": f" number {number}", "document_id": f"d10{number}"}
    return {**row, "part": 0, "view": 0, "family": "question", "format": ""}


NEW = document_rows([document(number) for number in range(7)], ViewSettings(num_views=3), count_words, None)
OLD = [
    row
    for part in document_rows([document(n) for n in range(100, 105)], ViewSettings("raw"), count_words, None)
    for row in part
]
OLD_QUESTIONS = [question_row(number) for number in range(4)]


TABLE = "| town | product |\n| --- | --- |\n" + "".join(f"| Town {i} | Product {i} of the town |\n" for i in range(20))


def schedule(seed: int = 0, steps: int = 30, batch: int = 8, replayed: int = 3, **replay: list[Row]) -> list[Row]:
    sources = {"documents": OLD, "questions": OLD_QUESTIONS, **replay}
    units = training_units(NEW, [], [], "shuffled")
    return make_schedule(units, [*sources.values()], steps=steps, batch=batch, replayed=replayed, seed=seed)


def steps_of(rows: list[Row], batch: int = 8) -> list[list[Row]]:
    return [rows[i : i + batch] for i in range(0, len(rows), batch)]


def is_replayed(row: Row) -> bool:
    return row["document_id"].startswith("d10")


def test_every_step_has_the_same_number_of_replayed_rows():
    steps = steps_of(schedule())
    assert len(steps) == 30
    assert {len(step) for step in steps} == {8}
    assert {sum(map(is_replayed, step)) for step in steps} == {3}


def test_replayed_documents_and_questions_alternate_and_each_is_replayed():
    replayed = [row for row in schedule() if is_replayed(row)]
    documents = Counter(row["document_id"] for row in replayed if row["family"] != "question")
    questions = Counter(row["prompt"] for row in replayed if row["family"] == "question")
    assert sum(documents.values()) == sum(questions.values()) == 45
    assert set(documents.values()) == {9}
    assert set(questions.values()) == {11, 12}


@pytest.mark.parametrize("missing", ["documents", "questions"])
def test_one_source_of_replay_fills_the_share_alone(missing: str):
    replayed = [row for row in schedule(**{missing: []}) if is_replayed(row)]
    assert len(replayed) == 30 * 3
    assert {row["family"] == "question" for row in replayed} == {missing == "documents"}


def test_without_replay_every_row_is_new():
    rows = schedule(replayed=0, documents=[], questions=[])
    assert len(rows) == 240
    assert not any(map(is_replayed, rows))


def test_every_epoch_trains_on_each_document_once_in_its_next_view():
    # With one row per step the rows are in the order of training; within a step they are sorted by length.
    rows = schedule(steps=7 * 9, batch=1, replayed=0)
    for epoch, start in enumerate(range(0, len(rows), 7)):
        of_epoch = rows[start : start + 7]
        assert {row["document_id"] for row in of_epoch} == {f"d{number}" for number in range(7)}
        assert {row["view"] for row in of_epoch} == {epoch % 3}


def test_documents_with_fewer_views_are_trained_on_equally_often():
    documents = [document(0), replace(document(1), text=TABLE), document(2)]
    parts = document_rows(documents, ViewSettings(num_views=12), count_words, None)
    counts = [len(part) for part in parts]
    assert counts[0] == counts[2] == 12 > counts[1]
    units = training_units(parts, [], [], "shuffled")
    rows = make_schedule(units, [], steps=36, batch=1, replayed=0, seed=0)
    assert Counter(row["document_id"] for row in rows) == {"d0": 12, "d1": 12, "d2": 12}
    views = Counter(row["view"] for row in rows if row["document_id"] == "d1")
    assert max(views.values()) - min(views.values()) <= 1  # each view of the table occurs about equally often
    assert len(views) == counts[1]


def test_an_epoch_may_end_within_a_step():
    rows = schedule(steps=7)  # 5 new rows in every step
    assert Counter(row["document_id"] for row in rows if not is_replayed(row)) == {f"d{n}": 5 for n in range(7)}


def test_every_epoch_has_another_order_of_documents():
    rows = schedule(steps=7 * 9, batch=1, replayed=0)
    orders = {tuple(row["document_id"] for row in rows[start : start + 7]) for start in range(0, len(rows), 7)}
    assert len(orders) == 9


def test_the_seed_determines_the_schedule():
    def split(seed: int) -> tuple[list[Row], list[Row]]:
        rows = schedule(seed=seed, batch=2, replayed=1)
        return [row for row in rows if is_replayed(row)], [row for row in rows if not is_replayed(row)]

    assert split(3) == split(3)
    assert all(of_one != of_other for of_one, of_other in zip(split(3), split(4), strict=True))


def test_a_longer_schedule_starts_with_the_shorter_one():
    assert schedule(steps=30)[: 12 * 8] == schedule(steps=12)


def test_the_longest_rows_of_a_step_come_first():
    for step in steps_of(schedule()):
        lengths = [len(row["prompt"]) + len(row["completion"]) for row in step]
        assert lengths == sorted(lengths, reverse=True)


# Views of documents


@pytest.mark.parametrize("family", ["raw", "formats", "order", "masked", "mixed"])
def test_every_view_of_a_long_document_fits_into_a_row(family: str):
    settings = ViewSettings(family, num_views=12, part_tokens=500)
    parts = document_rows([document(0, sentences=80)], settings, count_characters, 500)
    lengths = [len(row["prompt"] + row["completion"]) for part in parts for row in part]
    assert max(lengths) <= 500
    assert max(lengths) > 250  # parts are not shorter than necessary
    assert {len(part) for part in parts} == {1 if family == "raw" else 12}


def test_weights_set_the_number_of_views_of_each_family():
    settings = ViewSettings("mixed", num_views=8, weights={"formats": 1, "order": 3})
    (part,) = document_rows([document(0, sentences=6)], settings, count_words, None)
    assert Counter(row["family"] for row in part) == {"formats": 2, "order": 6}


def test_formats_are_sampled_from_the_given_groups_without_the_held_out_one():
    settings = ViewSettings(num_views=20, groups=["lists", "marks", "shift"], hold_out="marks")
    (part,) = document_rows([document(0, sentences=6)], settings, count_words, None)
    assert {name.split(".")[0] for row in part for name in row["format"].split("+")} == {"lists", "shift"}


def test_a_masked_document_is_the_completion_of_a_prompt():
    parts = document_rows([document(0)], ViewSettings("masked", num_views=2), count_words, None)
    rows = make_schedule(training_units(parts, [], [], "shuffled"), [], steps=2, batch=1, replayed=0, seed=0)
    assert [row["completion"] for row in rows] == [document(0).text] * 2
    assert all("_" in row["prompt"] for row in rows)
    assert {row["family"] for row in rows} == {"masked"}


def test_a_part_of_white_space_has_no_views():
    gap = Document("gap", "One fact." + " " * 100 + "\n" * 100 + "Another fact.", title="T")
    parts = document_rows([gap], ViewSettings(num_views=2, part_tokens=20), count_characters, None)
    assert all(row["completion"].strip() for part in parts for row in part)
    assert "".join(part[0]["completion"] for part in parts).count("fact") == 2


# Number of steps and of replayed rows


@pytest.fixture(scope="module")
def stage() -> StageSettings:
    """The stage of a run without stages, on a CPU."""
    given = {"model_name_or_path": "m", "documents": "d", "output_dir": "o", "use_cpu": True, "replay_self": 0}
    return resolve(parse_recipe([], {**given, "max_steps": -1})).stages[0]


def with_batch(stage: StageSettings, batch: int, share: float = 0.0, **training: Any) -> StageSettings:
    options = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": 1, **training}
    return replace(
        stage,
        training=replace(stage.training, **options),
        replay=replace(stage.replay, share=share),
        sources=replace(stage.sources, replay_questions="q"),
    )


@pytest.mark.parametrize(
    ("share", "batch", "rows"), [(0.25, 32, 8), (0.25, 16, 4), (0.5, 3, 2), (0.1, 8, 1), (0.0, 8, 0)]
)
def test_the_share_of_replay_in_rows(stage: StageSettings, share: float, batch: int, rows: int):
    assert with_batch(stage, batch, share).replayed_rows_per_step == rows


@pytest.mark.parametrize(
    ("share", "batch", "message"),
    [
        (0.01, 8, "replay_share=0.01: of the 8 rows of a step, 0 would be replayed.*between 0.125 and 0.875"),
        (0.99, 8, "of the 8 rows of a step, 8 would be replayed.*between 0.125 and 0.875"),
        (0.25, 1, r"of the 1 row of a step, 0 would be replayed\..* or gradient_accumulation_steps\.$"),
    ],
)
def test_a_share_that_rounds_to_no_row_or_to_all_rows_raises_an_error(
    stage: StageSettings, share: float, batch: int, message: str
):
    with pytest.raises(ValueError, match=message):
        with_batch(stage, batch, share).replayed_rows_per_step  # noqa: B018


@pytest.mark.parametrize(
    ("epochs", "units", "batch", "replayed", "steps"), [(12, 300, 32, 8, 150), (3, 10, 8, 0, 4), (1, 1, 8, 0, 1)]
)
def test_the_number_of_steps_follows_from_the_epochs(
    stage: StageSettings, epochs: float, units: int, batch: int, replayed: int, steps: int
):
    assert with_batch(stage, batch, num_train_epochs=epochs).with_steps(units, replayed).max_steps == steps


# Sources


def test_a_source_is_a_path_or_a_split_of_the_synthetic_world(documents: Path, questions: Path):
    assert load_documents(None) == load_questions(None) == []
    assert [one.id for one in load_documents(str(documents))] == ["ferry.txt", "mill.md"]
    assert [one.id for one in load_questions(str(questions))] == ["ferry-1", "mill-1"]
    assert len(load_documents("world:new")) == 300
    assert len(load_questions("world:retention")) == 500


@pytest.mark.parametrize("load", [load_documents, load_questions])
def test_an_unknown_split_is_an_error_that_lists_the_splits(load: Callable[[str], object]):
    with pytest.raises(
        ValueError, match=r"'world:nobody' is not a split of .*\. Choose one of its splits: old, .*new"
    ):
        load("world:nobody")


# With the tokenizer and the trainer


def scheduled(arguments: list[str], **changes: Any) -> tuple[Any, ...]:
    """Settings, data, model, tokenizer and the rows of the only stage."""
    settings = resolve(parse_recipe(arguments, {"use_cpu": True, **changes}))
    data = load_data(settings)
    model, tokenizer = load_base(settings)
    settings, (rows,) = schedule_stages(settings.with_context(context_length(model)), data, tokenizer)
    return settings, data, model, tokenizer, rows


@pytest.fixture(scope="module")
def tokenized(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rows of two steps of `formats.yaml`, the trainer that has tokenized them, and the tokenizer."""
    changes = {"model_name_or_path": str(base), "output_dir": str(tmp_path_factory.mktemp("run")), "max_steps": 2}
    config = ["--config", str(RECIPES / "quickstart" / "formats.yaml")]
    settings, data, model, tokenizer, rows = scheduled(config, **changes, disable_tqdm=True)
    return rows, new_trainer(settings, settings.stages[0], data, model, tokenizer, rows), tokenizer


def test_the_loss_is_on_all_tokens_of_a_document_and_on_the_answer_of_a_question(tokenized: Any):
    rows, trainer, tokenizer = tokenized
    examples = list(trainer.train_dataset)
    assert len(rows) == len(examples) == 2 * 28
    assert Counter(row["family"] == "question" for row in rows) == {False: 49, True: 7}
    for row, example in zip(rows, examples, strict=True):
        ids, labels = example["input_ids"], example["labels"]
        learned = [label for label in labels if label != -100]
        prompt = ids[: len(ids) - len(learned)]
        assert labels == [-100] * len(prompt) + learned
        assert ids == prompt + learned
        # No token spans prompt and completion, so the tokens without loss are those of the prompt in the evaluation.
        assert prompt == tokenizer(row["prompt"])["input_ids"]
        assert tokenizer.decode(learned) == row["completion"] + tokenizer.eos_token


def test_the_trainer_trains_on_the_rows_in_their_order(tokenized: Any):
    rows, trainer, tokenizer = tokenized
    batches = list(trainer.get_train_dataloader())
    texts = [
        text for batch in batches for text in tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    ]
    assert len(batches) == 2 * trainer.args.gradient_accumulation_steps
    assert texts == [row["prompt"] + row["completion"] for row in rows]


def test_the_quickstart_trains_on_nothing_that_it_evaluates(base: Path, tmp_path: Path):
    config = ["--config", str(RECIPES / "quickstart" / "formats.yaml")]
    settings, data, _, _, rows = scheduled(config, model_name_or_path=str(base), output_dir=str(tmp_path))
    assert len(rows) == settings.stages[0].max_steps * settings.stages[0].rows_per_step == 250 * 28
    text = "\n".join(row["prompt"] + row["completion"] for row in rows)
    names = {one.title for one in load_documents("world:retention")}
    assert len(names) == 100
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)] == []
    retained = {question.document_id for question in data.questions["retention_questions"]}
    assert len(retained) == 100
    assert not retained & {row["document_id"] for row in rows}
    roles = ("questions", "replayed_questions")
    evaluated = {plain_prompt(question.text) for role in roles for question in data.questions[role]}
    assert evaluated
    assert not evaluated & {row["prompt"] for row in rows}


def test_long_replayed_documents_are_split(base: Path, documents: Path, tmp_path: Path):
    facts = [f"Fact {i} is that {i} follows." for i in range(200)]
    (tmp_path / "long.txt").write_text(" ".join(facts))
    words = ["--max_length", "256", "--max_steps", "40", "--replay_self", "0", "--replay_share", "0.5"]
    changes = {"documents": str(documents), "replay_documents": str(tmp_path / "long.txt")}
    settings, _, _, tokenizer, rows = scheduled(
        words, model_name_or_path=str(base), output_dir=str(tmp_path), **changes
    )
    replayed = [row["completion"] for row in rows if row["document_id"] == "long.txt"]
    assert len(replayed) == 40 * settings.stages[0].rows_per_step / 2
    assert max(len(tokenizer(text)["input_ids"]) + 1 for text in replayed) <= 256
    assert all(text.startswith("long\n\nFact ") for text in replayed)  # each part begins with the title
    parts = {text.removeprefix("long\n\n").strip() for text in replayed}
    assert sorted(" ".join(parts).split()) == sorted(" ".join(facts).split())
    assert Counter(fact for fact in facts for part in parts if fact in part) == Counter(facts)


def test_without_max_length_the_context_of_the_model_is_the_limit(base: Path, documents: Path, tmp_path: Path):
    (documents / "long.txt").write_text(" ".join(f"Fact {i} is that {i} follows." for i in range(500)))
    words = ["--max_length", "null", "--num_views", "3", "--documents", str(documents)]
    _, _, model, tokenizer, rows = scheduled(words, model_name_or_path=str(base), output_dir=str(tmp_path))
    lengths = [len(tokenizer(row["completion"])["input_ids"]) + 1 for row in rows]
    assert 256 < max(lengths) <= model.config.max_position_embeddings == 512


def test_a_run_without_replay_states_that_the_model_may_forget(
    base: Path, documents: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    words = ["--documents", str(documents), "--max_steps", "1", "--model", str(base), "--output_dir", str(tmp_path)]
    with caplog.at_level("INFO", "hf_knowlearn"):
        scheduled(words, replay_self=0, replay_share=0.25)
    assert "Nothing is replayed, so the model may forget what it knew" in caplog.text
    assert re.search(r"1 step of \d+ rows, 0 of them replayed", caplog.text)


def test_the_problems_of_a_schedule_follow_problems_found_elsewhere(base: Path, documents: Path, tmp_path: Path):
    changes = {"model_name_or_path": str(base), "documents": str(documents), "output_dir": str(tmp_path)}
    settings = resolve(parse_recipe([], {**changes, "use_cpu": True, "max_length": 6}))
    tokenizer = load_base(settings)[1]
    with pytest.raises(ValueError, match=r"^Found elsewhere\.\n.*'ferry\.txt'.*\n.*'mill\.md'"):
        schedule_stages(settings, load_data(settings), tokenizer, ["Found elsewhere."])
