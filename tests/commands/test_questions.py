"""`knowlearn questions`: its output, its errors, and a run on its questions."""

import json
import re
from pathlib import Path

import pytest

from .conftest import Command

TEXT = (
    "The ferry {0} sails from Tarn to Ormel on {1} May 1990 and costs £{1}00 a day.\n\nShips of the line are white.\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number, name in enumerate(("Alba", "Bera", "Cora", "Dora", "Eira")):
        (folder / f"{name}.md").write_text(f"# Ship {number}\n\n{TEXT.format(name, number + 1)}", encoding="utf-8")
    (folder / "short.txt").write_text("A line.\nAnother.\n", encoding="utf-8")
    return folder


def test_the_summary_counts_questions_and_reasons(command: Command, folder: Path, tmp_path: Path):
    output, summary = tmp_path / "questions.jsonl", tmp_path / "summary.json"
    code, out, _ = command("questions", folder, "--output", output, "--json", summary, "--language", "en")
    assert code == 0
    counts = json.loads(summary.read_text())
    assert counts["questions"] == len(output.read_text().splitlines()) == sum(counts["accepted"].values())
    assert counts["documents_without_a_question"] == ["short.txt"]
    assert f"{counts['questions']} questions from 6 documents" in out
    assert "1 document without a question: short.txt" in out
    for reason, count in counts["rejected"].items():
        assert f"  {reason:<42} {count:>9}" in out


def test_kinds_are_chosen(command: Command, folder: Path, tmp_path: Path):
    output = tmp_path / "questions.jsonl"
    assert command("questions", folder, "--output", output, "--kinds", "cloze", "choice")[0] == 0
    kinds = {json.loads(line)["kind"] for line in output.read_text().splitlines()}
    assert kinds
    assert kinds <= {"cloze", "choice"}


@pytest.mark.parametrize(
    ("path", "output", "message"),
    [
        ("documents", "questions.txt", "must end with .jsonl"),
        ("documents", "documents/questions.jsonl", "would be read as documents"),
        ("missing", "questions.jsonl", "no such file or folder"),
        ("images", "questions.jsonl", "no supported file"),
        ("code", "questions.jsonl", "No question can be made from 1 document.*kind code"),
        ("documents/short.txt", "questions.jsonl", "No question can be made from 1 document.*no facts"),
    ],
)
def test_mistakes_give_exit_code_2_and_no_file(
    command: Command, folder: Path, tmp_path: Path, path: str, output: str, message: str
):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"\x89PNG\x00\xff")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("import os\n\nprint(os.name)\nx = 1890\n")
    code, _, error = command("questions", tmp_path / path, "--output", tmp_path / output)
    assert code == 2
    assert re.search(message, error, re.DOTALL)
    assert not (tmp_path / output).exists()


def test_one_fact_in_a_thousand_documents_gives_each_question_once(command: Command, tmp_path: Path):
    row = {"title": "Ferry", "text": "The ferry leaves Tarn for Ormel at 6:30 every morning.", "language": "en"}
    lines = [json.dumps({"id": f"d{i}", **row}) for i in range(1000)]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    code, out, _ = command("questions", tmp_path / "d.jsonl", "--output", tmp_path / "q.jsonl")
    assert code == 0
    assert "3 questions from 1,000 documents" in out
    assert f"  {'repeated':<42} {'2,997':>9}" in out


def test_teach_evaluates_the_questions(command: Command, folder: Path, tmp_path: Path):
    output = tmp_path / "questions.jsonl"
    assert command("questions", folder, "--output", output, "--kinds", "cloze", "choice")[0] == 0
    options = {
        "model": "tiny_base",
        "documents": folder,
        "questions": output,
        "output_dir": tmp_path / "run",
        "views": "formats",
        "max_steps": 1,
        "replay_self": 0,
        "evaluation.general_knowledge": False,
        "per_device_train_batch_size": 2,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    code, _, error = command("teach", *(word for name, value in options.items() for word in (f"--{name}", value)))
    assert code == 0, error
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["data"]["questions"]["n"] == len(output.read_text().splitlines())
