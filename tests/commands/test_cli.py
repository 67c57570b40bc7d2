"""The command line: errors of the user, output, and the modules that may print."""

import ast
import json
import logging
import os
import re
import subprocess
import sys
import time
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

ROOT = Path(__file__).parents[2]
MODULES = sorted(PACKAGE.rglob("*.py"))


# Errors of the user: exit code 2, one message, nothing written


@pytest.mark.parametrize(
    ("option", "file", "content", "message"),
    [
        ("documents", "nowhere", None, "nowhere: no such file or folder"),
        ("documents", "empty", "", "empty: no supported file"),
        ("documents", "blank.txt", " \n", "blank.txt: text contains only white space"),
        ("documents", "latin.txt", b"caf\xe9", "latin.txt: not UTF-8 at byte 3"),
        ("documents", "rows.jsonl", '{"text": "a"}\n{oops', "rows.jsonl:2: not JSON"),
        ("documents", "picture.png", b"\x89PNG", "supported are .csv, .docx"),
        ("documents", "world:nobody", None, "'world:nobody' is not a split of"),
        ("questions", "none.jsonl", None, "none.jsonl: no such file or folder"),
        ("questions", "rows.jsonl", '{"question": "a?"}', "rows.jsonl:1: the row has no column 'answers' or 'answer'"),
        ("questions", "none.jsonl", '{"question": "a?", "answers": []}', "none.jsonl:1: answers is empty"),
        ("questions", "void.jsonl", '{"question": "a?", "answers": ["The", "!"]}', "is left after normalization"),
        ("replay_questions", "rows.jsonl", "[]", "rows.jsonl:1: a row must be a JSON object"),
        ("output_dir", "taken", "notes", "is not empty and contains no run of knowlearn"),
        ("output_dir", "file.txt", "notes", "file.txt' is not a folder"),
        (
            "config",
            "recipe.yaml",
            "model: x\nnum_viewz: 3\nview: y\n",
            "num_viewz (did you mean num_views?)\n  view (did",
        ),
        ("config", "recipe.yaml", "trust_remote_code: true", "sets trust_remote"),
        ("max_steps", "many", None, "max_steps: 'many' is not a whole number."),
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
    message: str,
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
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert sorted(tmp_path.rglob("*")) == was


def test_problems_of_all_inputs_are_reported_together(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    wrong = dict.fromkeys(("documents", "questions", "replay_documents", "evaluation.retention_questions"), "nowhere")
    assert knowlearn("teach", **{**options, **wrong}) == 2
    reported = re.findall(r"^(?:knowlearn: )?--([\w.]+): ", capsys.readouterr().err, re.MULTILINE)
    assert sorted(reported) == sorted(wrong)


def test_teach_without_options_names_all_required_ones(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["teach"]) == 2
    shown = capsys.readouterr().err
    assert all(option in shown for option in ("--model", "--documents", "--output_dir"))


@pytest.mark.parametrize("words", [[], ["learn"], ["quickstart", "--step", "x"], ["quickstart", "--steps", "0"]])
def test_an_unknown_command_prints_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert "usage: knowlearn" in capsys.readouterr().err


# Loading torch takes seconds, so no mistake of the user may need it.
FAST = """
import sys
from hf_knowlearn.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code or 0
loaded = [name for name in ("torch", "datasets", "transformers", "trl", "scipy") if name in sys.modules]
print(code, loaded)
"""
MISTAKES = {
    "learn": "teach",
    "taech": "(did you mean teach?)",
    "teach --lr 1e-4": "lr (did you mean learning_rate?)",
    "teach": "--documents PATH",
    "teach --max_steps many": "'many' is not a whole number",
    "teach --eval_strategy steps": "evaluation.every",
    "teach --config nowhere.yaml": "There is no recipe 'nowhere.yaml'",
    "teach --model ./nowhere --documents world:new --output_dir out": "there is no such folder",
    "teach --model tiny_base --documents nowhere --output_dir out": "nowhere: no such file or folder",
    "teach --model tiny_base --documents world:new --output_dir out --num_views 0": "num_views=0",
    "teach --model tiny_base --documents world:new --output_dir out --fp16 true --use_cpu true": "fp16=True needs a",
    "teach --model tiny_base --documents world:new --output_dir out --log_level loud": "'loud' is not one of detail",
    "teach --model tiny_base --documents world:new --output_dir docs": "is not empty and contains no run of knowlearn",
    "teach --model tiny_base --documents world:new --output_dir out --adapter new": "no earlier stage has an adapter",
    "teach --model tiny_base --documents world:new --output_dir out --curriculum cpt_then_it --train_questions"
    " world:new --use_peft false --stages.answer.adapter merge": "adapter='merge', but use_peft is false",
    "teach --model tiny_base --documents world:new --output_dir out --use_peft false --lora_r 4": "lora_r=4 needs an",
    "teach --model tiny_base --documents docs --output_dir out --text_column body": "only tables have columns",
    "ask tiny_base": "QUESTION",
    "ask ./nowhere Who?": "there is no such folder",
    "ask tiny_base Who? --samples -1": "--samples -1",
    "recall ./nowhere": "there is no such folder",
    "recall tiny_base --questions nowhere.jsonl": "nowhere.jsonl: no such file",
    "merge ./nowhere --output_dir out": "there is no such folder",
    "merge tiny_base": "--output_dir",
    "views nowhere": "nowhere: no such file",
    "views world:new --view formats": "did you mean --views?",
    "lab nowhere.yaml": "The study 'nowhere.yaml' does not exist",
    "publish adapter nowhere --namespace me": "contains no finished run",
    "export-lm-eval --questions nowhere.jsonl --output_dir out": "nowhere.jsonl: no such file",
    "quickstart --stepz 1": "did you mean --steps",
    "quickstart --model ./nowhere": "there is no such folder",
}


def run_alone(words: list[str]) -> tuple[str, float, str]:
    """What `knowlearn` loads and prints in a process of its own, and the seconds that it takes."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", FAST, *words], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.splitlines()[-1], time.monotonic() - start, done.stdout + done.stderr


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_of_the_user_is_reported_at_once(words: str):
    last_line, seconds, shown = run_alone(words.split())
    assert MISTAKES[words] in shown
    assert last_line == "2 []"
    assert seconds < 3  # about 0.5 on a computer that does nothing else


@pytest.mark.parametrize("words", ["--help", "--version", "lab --help", "teach --help", "teach --help all"])
def test_help_does_not_load_slow_libraries(words: str):
    last_line, seconds, _ = run_alone(words.split())
    assert (last_line, seconds < 3) == ("0 []", True)


def test_an_unexpected_error_has_a_traceback():
    with pytest.raises(ZeroDivisionError), command_console():
        raise ZeroDivisionError


def test_the_module_teach_is_the_same_command(tmp_path: Path):
    # As `accelerate launch -m hf_knowlearn.teach` starts it.
    command = [sys.executable, "-m", "hf_knowlearn.teach", "--config", "no.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("knowlearn: There is no recipe 'no.yaml'.")
    assert done.stdout == ""


# Output


def test_the_version_names_the_folder_of_the_package(capsys: pytest.CaptureFixture[str]):
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
    assert all(f"--{option}" in shown for option in ("documents", "num_views", "replay_share", "max_steps"))
    assert "--help all shows the options of views" in shown


def test_messages_go_to_standard_output_only_while_a_command_runs(capsys: pytest.CaptureFixture[str]):
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


def test_only_the_main_process_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RANK", "1")
    with command_console() as outcome:
        logging.getLogger("hf_knowlearn.anywhere").info("Read 3 documents.")
        outcome.show("Read 3 documents.")
    assert capsys.readouterr().out == ""


def test_only_the_warning_about_trls_own_options_is_hidden():
    def warn() -> None:
        with command_console():
            warnings.warn("`gradient_checkpointing` is deprecated and will be removed", FutureWarning, stacklevel=1)
            warnings.warn("`optim` is deprecated", FutureWarning, stacklevel=1)

    with pytest.raises(FutureWarning, match="`optim` is deprecated"):  # the tests turn warnings into errors
        warn()


def small_report(name: str) -> dict[str, Any]:
    figures = {"correct": 0.5, "correct_se": 0.1, "train_loss": 1.0}
    cost = {"train_seconds": 2.0, "steps": 1, "gradient_evaluations": 1}
    counts = {"documents": 1, "questions": 4, "replayed_questions": 0, "retention_questions": 0}
    return new_report({}, {name: {**figures, "cost": cost}}, {}, counts)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The recipes that `teach` was called with. Nothing is trained."""
    recipes: list[Any] = []

    def teach(recipe: Any) -> dict[str, Any]:
        recipes.append(recipe)
        return small_report(recipe.training.run_name)

    monkeypatch.setattr("hf_knowlearn.lab.quickstart.teach", teach)
    return recipes


def test_quickstart_trains_three_runs_and_writes_one_report(
    trained: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "quick"
    words = ["--output_dir", str(folder), "--steps", "3", "--model", "other", "--overwrite"]
    assert cli.main(["quickstart", *words]) == 0
    assert [recipe.training.run_name for recipe in trained] == ["raw", "formats", "order_self"]
    assert [recipe.output_dir for recipe in trained] == [folder / r.training.run_name for r in trained]
    assert {(r.training.max_steps, r.model.model_name_or_path, r.teach.overwrite) for r in trained} == {
        (3, "other", True)
    }
    assert [recipe.teach.replay_self > 0 for recipe in trained] == [False, False, True]
    report = json.loads((folder / "report.json").read_text())
    assert list(report["runs"]) == ["raw", "formats", "order_self"]
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "report.html", "scores.png"}
    shown = capsys.readouterr().out
    assert "Run 3 of 3: order_self" in shown
    assert "Written to " + ", ".join(f"{folder / f'report.{kind}'}" for kind in ("html", "md")) in shown


def test_quickstart_over_seeds_trains_each_run_once_per_seed(trained: list[Any], tmp_path: Path):
    assert cli.main(["quickstart", "--output_dir", str(tmp_path), "--seeds", "3", "5"]) == 0
    assert [(r.training.seed, r.training.run_name) for r in trained] == [
        (seed, name) for seed in (3, 5) for name in ("raw", "formats", "order_self")
    ]
    assert len({recipe.output_dir for recipe in trained}) == 6
    assert set(run_folder.read_report(tmp_path)["differences"]) == {"formats - raw", "order_self - raw"}


def test_quickstart_with_one_seed_is_an_error_before_it_trains(
    trained: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["quickstart", "--output_dir", str(tmp_path), "--seeds", "3"]) == 2
    assert "give two or more different seeds" in capsys.readouterr().err
    assert trained == []


# Conventions of the code


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
        package = path.relative_to(PACKAGE).with_suffix("").parts[0]
        of_console = {"'hf_knowlearn'", "BITSANDBYTES"}
        allowed = {"__name__", f"'hf_knowlearn.{package}'"} | (of_console if package == "console" else set())
        assert ast.unparse(name) in allowed


def test_ctrl_c_prints_one_line_and_returns_130(capsys: pytest.CaptureFixture[str]):
    with command_console() as outcome:
        raise KeyboardInterrupt
    assert outcome.code == 130
    assert "stopped. Repeat the command to continue from the last checkpoint" in capsys.readouterr().err


BARS = """
import sys, time
from hf_knowlearn.console import command_console
with command_console():
    from datasets import Dataset
    Dataset.from_list([{"a": 1}] * 3).map(lambda row: (time.sleep(float(sys.argv[1])), row)[1], desc="Reading")
"""


@pytest.mark.parametrize(("rank", "seconds", "is_shown"), [(0, 0.0, False), (0, 0.6, True), (1, 0.6, False)])
def test_bars_of_libraries_are_shown_once_and_only_if_they_take_long(rank: int, seconds: float, is_shown: bool):
    environment = {**os.environ, "RANK": str(rank)}
    for name in ("TQDM_DELAY", "TQDM_DISABLE"):
        environment.pop(name, None)
    command = [sys.executable, "-c", BARS, str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ("Reading" in done.stderr) == is_shown
