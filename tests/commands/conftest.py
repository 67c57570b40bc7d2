"""Fixtures of the commands' tests: one run of two steps from the packaged base, and a function that runs a command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hf_knowlearn import cli
from hf_knowlearn.teach.sources import load_documents, load_questions

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run of two steps with an adapter, beside the questions of its evaluation."""
    folder = tmp_path_factory.mktemp("run")
    documents = load_documents("world:new")[:4]
    rows = [{"id": document.id, "text": document.text, "title": document.title} for document in documents]
    write_lines(folder / "documents.jsonl", rows)
    for name, split in (("questions", "new"), ("retention", "retention")):
        questions = load_questions(f"world:{split}")[:20]
        columns = ("id", "answers", "document_id", "relation")
        rows = [{"question": q.text, **{column: getattr(q, column) for column in columns}} for q in questions]
        write_lines(folder / f"{name}.jsonl", rows)
    options = {
        "model": "tiny_base",
        "documents": folder / "documents.jsonl",
        "questions": folder / "questions.jsonl",
        "evaluation.retention_questions": folder / "retention.jsonl",
        "output_dir": folder / "run",
        "views": "formats",
        "max_steps": 2,
        "replay_self": 0,
        "evaluation.general_knowledge": False,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "learning_rate": 0.05,  # so that the answers change
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    assert cli.main(["teach", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]) == 0
    return folder / "run"


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """`command(*words)` runs `knowlearn *words`, and returns the exit code, standard output and standard error."""

    def command(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([*map(str, words)])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture
def published(run: Path, tmp_path: Path) -> Path:
    """The run as published: its adapter and report, a card with rounded figures, and no answers."""
    folder = shutil.copytree(run / "model", tmp_path / "published")
    report = json.loads((run / "report.json").read_text())
    shutil.copy(run / "report.json", folder)
    figures_of_run, results = report["runs"]["trained"], []
    for split, role, figures in (
        ("qa_eval", "questions", {"correct": "correct", "exact_match": "exact_match", "f1": "f1"}),
        ("retention", "retention_questions", {"correct": "retention"}),
    ):
        for metric, name in figures.items():
            for type_, value in ((metric, figures_of_run[name]), (f"{metric}_se", figures_of_run[f"{name}_se"])):
                results.append(
                    EvalResult(
                        task_type="text-generation",
                        dataset_type=role,
                        dataset_name=role,
                        dataset_split=split,
                        dataset_revision=report["data"][role]["sha256"],
                        metric_type=type_,
                        metric_value=round(value, 4),
                    )
                )
    data = ModelCardData(library_name="peft", model_name="people", eval_results=results)
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n# people\n").save(folder / "README.md")
    return folder
