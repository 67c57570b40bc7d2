"""A study from the command line: its runs are processes, and a finished run is not repeated."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_knowlearn.cli import main
from hf_knowlearn.lab import processes
from hf_knowlearn.lab.study import read_study


@pytest.fixture
def study(options: dict[str, Any], questions: Path, tmp_path: Path) -> Path:
    """Write a study of two arms. The files of one arm do not exist."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    base = {**given, "questions": str(questions), "use_peft": False, "num_views": 2, "report_to": "none"}
    base["model_name_or_path"] = base.pop("model")
    del base["output_dir"], base["disable_tqdm"]
    gone = {name: str(tmp_path / f"gone.{name}.jsonl") for name in ("documents", "questions")}
    arms = {"plain": {}, "lost": gone}
    path = tmp_path / "small.yaml"
    path.write_text(
        yaml.safe_dump({"question": "Does it run?", "options": base, "arms": arms}, sort_keys=False), encoding="utf-8"
    )
    return path


def test_a_failed_run_stops_no_other_and_a_finished_run_is_not_repeated(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [
        "lab",
        str(study),
        "--output_dir",
        str(tmp_path / "out"),
        "--jobs",
        "2",
        "--record",
        str(tmp_path / "record"),
    ]
    assert main(words) == 2
    shown = capsys.readouterr()
    assert "Study small: 2 runs, 0 of them done" in shown.out
    (lost,) = (line for line in shown.out.splitlines() if "lost, seed 0: exit code 2: " in line)
    assert "gone.questions.jsonl" in lost  # the last line of the log
    assert "gone.questions.jsonl" in shown.err
    assert "Fix the causes, and repeat the command" in shown.err
    assert "gone.documents.jsonl" in (tmp_path / "out" / "lost" / "seed_0.log").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))
    (copy,) = (tmp_path / "record").glob("lab-small-*.json")
    assert json.loads(copy.read_text(encoding="utf-8")) == found
    screening = found["phases"]["screening"]
    assert screening["planned"] == 2
    assert list(screening["failed"]) == ["lost, seed 0"]
    (run,) = screening["runs"]
    report = json.loads((tmp_path / "out" / "plain" / "seed_0" / "report.json").read_text(encoding="utf-8"))
    figures = report["runs"]["plain"]
    assert (run["correct"], run["steps"], run["tokens"]) == (figures["correct"], 2, figures["cost"]["tokens"])
    page = (tmp_path / "out" / "study.md").read_text(encoding="utf-8")
    assert "1 of 2 runs are missing" in page
    assert "| arm | seeds | correct | exact match |" in page
    assert f"| plain | 1 | {figures['correct']:.3f}" in page
    assert (tmp_path / "out" / "study.png").stat().st_size > 1000

    first = (tmp_path / "out" / "plain" / "seed_0" / "report.json").stat().st_mtime_ns
    assert main([*words, "--arms", "plain"]) == 0
    assert "Study small: 1 run, 1 of them done" in capsys.readouterr().out
    assert (tmp_path / "out" / "plain" / "seed_0" / "report.json").stat().st_mtime_ns == first
    assert main([*words, "--arms", "lost"]) == 2  # it fails again; the other stays in the tables
    found = json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))
    assert [run["arm"] for run in found["phases"]["screening"]["runs"]] == ["plain"]
    capsys.readouterr()
    assert main([*words, "--list"]) == 0
    assert "done  screening  plain, seed 0\nto do screening  lost, seed 0" in capsys.readouterr().out

    # The recipe beside a run's folder repeats the run alone, with the same answers.
    again = tmp_path / "out" / "plain" / "seed_0.yaml"
    alone = tmp_path / "alone"
    assert main(["teach", "--config", str(again), "--output_dir", str(alone)]) == 0
    assert (alone / "answers.after.jsonl").read_bytes() == (
        tmp_path / "out" / "plain" / "seed_0" / "answers.after.jsonl"
    ).read_bytes()


def test_a_folder_with_other_files_is_an_error_before_anything_runs(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "out" / "plain" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "thesis.md").write_text("mine", encoding="utf-8")
    assert main(["lab", str(study), "--output_dir", str(tmp_path / "out")]) == 2
    assert "is not empty and contains no run of knowlearn" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["thesis.md"]


def test_running_processes_are_terminated_when_the_generator_is_closed(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    started = []

    def start(run: Any, threads: int) -> "subprocess.Popen[bytes]":
        seconds = 0 if run.arm == "plain" else 600
        started.append(subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]))
        return started[-1]

    monkeypatch.setattr(processes, "_start", start)
    monkeypatch.setattr(processes, "_error", lambda run, code: None)
    runs = processes.run_all(read_study(study).runs(tmp_path), jobs=2)
    ended, error = next(runs)
    assert (ended.arm, error) == ("plain", None)
    assert len(started) == 2
    assert started[1].poll() is None
    runs.close()
    assert started[1].poll() is not None
