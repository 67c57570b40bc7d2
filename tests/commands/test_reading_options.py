"""The options that decide how documents and questions are read, in every command that reads them."""

from pathlib import Path

import pytest

from hf_knowlearn.config.recipes import parse_recipe, read_options, recipe_of
from hf_knowlearn.config.settings import resolve
from hf_knowlearn.teach.data import load_data
from hf_knowlearn.teach.missing_sources import check_sources

from .conftest import Command


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A table of documents with an empty one, and a table of questions, both with unusual column names."""
    (tmp_path / "documents.csv").write_text("id,body\nferry,The ferry leaves at six.\nblank,\n", encoding="utf-8")
    (tmp_path / "questions.csv").write_text("q,a\nWhen does the ferry leave?,six\n", encoding="utf-8")
    return tmp_path


def test_teach_reads_named_columns_and_drops_empty_documents(tables: Path):
    words = ["--model", "tiny_base", "--output_dir", "out", "--use_cpu", "true"]
    words += ["--documents", f"{tables}/documents.csv", "--questions", f"{tables}/questions.csv"]
    words += ["--text_column", "body", "--empty", "drop", "--question_column", "q", "--answer_column", "a"]
    data = load_data(resolve(parse_recipe(words)))
    assert [document.text for document in data.documents] == ["The ferry leaves at six."]
    assert [(question.text, question.answers) for question in data.questions["questions"]] == [
        ("When does the ferry leave?", ("six",))
    ]


def test_a_column_applies_to_the_tables_beside_text_files(tables: Path, tmp_path: Path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mill.txt").write_text("The mill grinds rye.", encoding="utf-8")
    words = ["--model", "tiny_base", "--output_dir", "out", "--use_cpu", "true", "--text_column", "body"]
    words += ["--documents", f"{tables}/documents.csv", "--empty", "drop", "--replay_documents", f"{tmp_path}/old"]
    options = read_options(words)
    check_sources(options)
    data = load_data(resolve(recipe_of(options)))
    assert [document.text for document in data.documents] == ["The ferry leaves at six."]
    assert [document.text for document in data.replay_documents] == ["The mill grinds rye."]


def test_the_language_applies_to_all_documents(tables: Path, tmp_path: Path, command: Command):
    text = "Am 4. Mai 1768 zerstörte ein Brand die Mühle. Sie wurde später wieder aufgebaut."
    (tmp_path / "mill.txt").write_text(text, encoding="utf-8")
    words = ["--model", "tiny_base", "--output_dir", "out", "--use_cpu", "true", "--replay_documents", "world:new"]
    words += ["--documents", str(tmp_path / "mill.txt")]
    for options, expected in (([], ("de", "en")), (["--language", "pt_BR"], ("pt-BR", "pt-BR"))):
        data = load_data(resolve(parse_recipe([*words, *options])))
        assert (data.documents[0].language, data.replay_documents[0].language) == expected
    code, _, error = command("views", tmp_path / "mill.txt", "--language", "German")
    assert (code, "language='German': give a code of ISO 639 such as" in error) == (2, True)


def test_views_reads_named_columns_and_drops_empty_documents(tables: Path, command: Command):
    path = tables / "documents.csv"
    code, _, error = command("views", path, "--text_column", "body")
    assert (code, "use --empty drop" in error) == (2, True)
    code, shown, _ = command("views", path, "--text_column", "body", "--empty", "drop", "--num_views", 1)
    assert (code, "ferry leaves" in shown) == (0, True)


def test_recall_reads_named_columns(tables: Path, command: Command):
    columns = ("--question_column", "q", "--answer_column", "a")
    code, shown, _ = command("recall", "tiny_base", "--questions", tables / "questions.csv", *columns)
    assert code == 0
    assert "tiny_base" in shown


def test_export_lm_eval_reads_named_columns(tables: Path, command: Command):
    columns = ("--question_column", "q", "--answer_column", "a")
    words = ("--questions", tables / "questions.csv", "--output_dir", tables / "tasks", *columns)
    assert command("export-lm-eval", *words)[0] == 0
