"""The command line: what a user types wrong, what is shown, and that nobody else prints."""

import ast
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hf_knowlearn
from hf_knowlearn import cli
from hf_knowlearn.console import TEACH_EXAMPLE, command_console
from hf_knowlearn.paths import PACKAGE
from hf_knowlearn.reports.schema import new_report
from hf_knowlearn.teach import run_folder

MODULES = sorted(PACKAGE.rglob("*.py"))


# What a user can mend: exit code 2, one message, nothing written


@pytest.mark.parametrize(
    ("option", "file", "content", "says"),
    [
        ("documents", "nowhere", None, "nowhere: nothing is there"),
        ("documents", "empty", "", "empty: holds no file"),
        ("documents", "blank.txt", " \n", "blank.txt: text is only white space"),
        ("documents", "latin.txt", b"caf\xe9", "latin.txt: not UTF-8 at byte 3"),
        ("documents", "rows.jsonl", '{"text": "a"}\n{oops', "rows.jsonl:2: not JSON"),
        ("documents", "picture.png", b"\x89PNG", "a file with suffix '.png' is not read"),
        ("documents", "world:nobody", None, "'world:nobody' names no split of the world"),
        ("questions", "none.jsonl", None, "none.jsonl: nothing is there"),
        ("questions", "rows.jsonl", '{"question": "a?"}', "rows.jsonl:1: no column 'answers' or 'answer'"),
        ("questions", "none.jsonl", '{"question": "a?", "answers": []}', "none.jsonl:1: there is no answer"),
        ("questions", "void.jsonl", '{"question": "a?", "answers": ["The", "!"]}', "void.jsonl:1: of the answers"),
        ("replay_questions", "rows.jsonl", "[]", "rows.jsonl:1: a line must be a JSON object"),
        ("output_dir", "taken", "notes", "is not empty and no run of knowlearn"),
        ("output_dir", "file.txt", "notes", "file.txt' is no folder"),
        (
            "config",
            "recipe.yaml",
            "model: x\nnum_viewz: 3\nview: y\n",
            "num_viewz (did you mean num_views?)\n  view (did",
        ),
        ("config", "recipe.yaml", "trust_remote_code: true", "A recipe can't"),
        ("max_steps", "many", None, "max_steps: invalid int value"),
    ],
)
def test_bad_input_ends_in_one_message_and_leaves_nothing(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    file: str,
    content: str | bytes | None,
    says: str,
):
    path = tmp_path / "given" / file
    path.parent.mkdir()
    if content is not None and not path.suffix:
        path.mkdir()
        path = path / "notes" if content else path
    if content:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    value = file if content is None and option in ("documents", "max_steps") else tmp_path / "given" / file
    was = sorted(tmp_path.rglob("*"))
    assert knowlearn("teach", **{**options, option: value}) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("knowlearn: ")
    assert says in shown.err
    assert "Traceback" not in shown.err
    assert sorted(tmp_path.rglob("*")) == was


def test_all_that_is_wrong_with_what_is_read_is_told_at_once(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    wrong = dict.fromkeys(("documents", "questions", "replay_documents", "retention_questions"), "nowhere")
    assert knowlearn("teach", **{**options, **wrong}) == 2
    told = re.findall(r"^(?:knowlearn: )?--(\w+): ", capsys.readouterr().err, re.MULTILINE)
    assert told == ["documents", "replay_documents", "questions", "retention_questions"]


def test_teach_alone_says_all_that_it_needs(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["teach"]) == 2
    shown = capsys.readouterr().err
    assert all(option in shown for option in ("--model", "--documents", "--output_dir"))


@pytest.mark.parametrize("words", [[], ["learn"], ["quickstart", "--step", "x"], ["quickstart", "--steps", "0"]])
def test_a_command_that_is_none_ends_in_usage(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert "usage: knowlearn" in capsys.readouterr().err


def test_what_is_no_fault_of_the_users_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), command_console():
        raise ZeroDivisionError


def test_started_as_a_module_it_is_the_same_command(tmp_path: Path):
    # As `accelerate launch -m hf_knowlearn.teach` starts it.
    command = [sys.executable, "-m", "hf_knowlearn.teach", "--config", "no.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("knowlearn: There is no recipe 'no.yaml'.")
    assert done.stdout == ""


# What is shown


def test_the_version_says_which_copy_is_running(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    shown = capsys.readouterr().out
    assert re.fullmatch(
        rf"knowlearn {re.escape(hf_knowlearn.__version__)}( \(commit \w+\))? from {re.escape(str(PACKAGE))}\n", shown
    )


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_for_teach_lists_its_options_with_their_help(word: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["teach", "--documents", "x", word]) == 0
    shown = capsys.readouterr().out
    assert TEACH_EXAMPLE in shown
    assert all(f"--{option}" in shown for option in ("documents", "num_views", "replay_share", "overwrite"))
    assert "every option of TRL's ModelConfig" in shown


def test_messages_go_to_standard_output_while_a_command_runs_and_no_longer(capsys: pytest.CaptureFixture[str]):
    logger = logging.getLogger("hf_knowlearn.anywhere")
    level = logger.getEffectiveLevel()
    with command_console() as outcome:
        logger.info("Read 3 documents.")
        raise ValueError("No such thing.")
    logger.warning("Later.")
    assert logger.getEffectiveLevel() == level
    shown = capsys.readouterr()
    assert outcome.code == 2
    assert shown.out == "Read 3 documents.\n"
    assert shown.err == "knowlearn: No such thing.\n"


def test_only_the_main_process_speaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RANK", "1")
    with command_console() as outcome:
        logging.getLogger("hf_knowlearn.anywhere").info("Read 3 documents.")
        outcome.show("Read 3 documents.")
    assert capsys.readouterr().out == ""


def test_a_warning_that_no_user_can_mend_is_kept_from_him_and_no_other():
    def warn() -> None:
        with command_console():
            warnings.warn("`gradient_checkpointing` is deprecated and will be removed", FutureWarning, stacklevel=1)
            warnings.warn("`optim` is deprecated", FutureWarning, stacklevel=1)

    with pytest.raises(FutureWarning, match="`optim` is deprecated"):  # a warning is an error here: the first one
        warn()


def small_report(arm: str) -> dict[str, Any]:
    figures = {"exact_match": 0.5, "exact_match_se": 0.1, "train_loss": 1.0, "seconds": 2.0}
    counts = {"documents": 1, "questions": 4, "replayed_questions": 0, "retention_questions": 0}
    return new_report({}, {arm: {**figures, "steps": 1, "gradient_evaluations": 1}}, {}, counts)


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Recipes that were taught, in order; none of them is."""
    recipes: list[Any] = []

    def teach(recipe: Any) -> dict[str, Any]:
        recipes.append(recipe)
        return small_report(recipe.teach.arm)

    monkeypatch.setattr("hf_knowlearn.lab.quickstart.teach", teach)
    return recipes


def test_quickstart_runs_its_three_arms_and_writes_one_report(
    taught: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "quick"
    words = ["--output_dir", str(folder), "--steps", "3", "--model", "other", "--overwrite"]
    assert cli.main(["quickstart", *words]) == 0
    assert [recipe.teach.arm for recipe in taught] == ["raw", "formats", "order_self"]
    assert [recipe.output_dir for recipe in taught] == [folder / r.teach.arm for r in taught]
    assert {(r.training.max_steps, r.model.model_name_or_path, r.teach.overwrite) for r in taught} == {
        (3, "other", True)
    }
    assert [recipe.teach.replay_self > 0 for recipe in taught] == [False, False, True]
    report = json.loads((folder / "report.json").read_text())
    assert list(report["runs"]) == ["raw", "formats", "order_self"]
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "report.html", "scores.png"}
    shown = capsys.readouterr().out
    assert "Arm 3 of 3: order_self" in shown
    assert "Written to " + ", ".join(f"{folder / f'report.{kind}'}" for kind in ("html", "md")) in shown


def test_quickstart_over_seeds_runs_each_arm_once_a_seed(taught: list[Any], tmp_path: Path):
    assert cli.main(["quickstart", "--output_dir", str(tmp_path), "--seeds", "3", "5"]) == 0
    assert [(r.training.seed, r.teach.arm) for r in taught] == [
        (seed, arm) for seed in (3, 5) for arm in ("raw", "formats", "order_self")
    ]
    assert len({recipe.output_dir for recipe in taught}) == 6
    assert set(run_folder.read_report(tmp_path)["differences"]) == {"formats - as_written", "order_self - as_written"}


def test_quickstart_refuses_one_seed_before_it_runs(
    taught: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["quickstart", "--output_dir", str(tmp_path), "--seeds", "3"]) == 2
    assert "give two to 10 different ones" in capsys.readouterr().err
    assert taught == []


# The house's manners


def calls(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def test_only_the_command_line_prints():
    assert {path.name for path in MODULES if any(calls(path, "print"))} == {"cli.py", "console.py"}


def test_loggers_are_named_by_their_package():
    named = {path: call.args[0] for path in MODULES for call in calls(path, "logging.getLogger")}
    assert len(named) > 5
    for path, name in named.items():
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        of_reporting = {"'hf_knowlearn'", "BITSANDBYTES"}
        allowed = {"__name__", f"'hf_knowlearn.{room}'"} | (of_reporting if room == "console" else set())
        assert ast.unparse(name) in allowed


def test_ctrl_c_ends_in_one_line_and_the_code_a_shell_gives_it(capsys: pytest.CaptureFixture[str]):
    with command_console() as outcome:
        raise KeyboardInterrupt
    assert outcome.code == 130
    assert "stopped. The same command goes on from the last checkpoint" in capsys.readouterr().err
