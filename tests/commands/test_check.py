"""`knowlearn check` on reports that are written by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.commands.check import BARS, check
from hf_knowlearn.reports.schema import new_report

Command = Callable[..., tuple[int, str, str]]

BEFORE = {"correct": 0.1, "retention": 1.0, "chat": {"fulfilled": 0.4, "n": 100}}
AFTER = {
    "correct": 0.62,
    "retention": 0.91,
    "transitions": {"retention_questions": {"learned": 5, "retained": 80, "forgotten": 20, "never": 3}},
    "chat": {"fulfilled": 0.38, "n": 100},
    "open_book": 0.5,
    "drift": {"kl": 0.2},
}
# The value of each bar in the report of these figures.
VALUES = {"min_correct": 0.62, "min_retention": 0.8, "min_chat": 0.95, "min_reading": 0.5, "max_drift": 0.2}


def report(after: dict[str, Any] = AFTER, before: dict[str, Any] = BEFORE) -> dict[str, Any]:
    return new_report(before, {"trained": after}, {}, {"questions": 20})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "report.json").write_text(json.dumps(report()), encoding="utf-8")
    return tmp_path


def words(folder: Path, bars: dict[str, float]) -> list[str]:
    return ["check", str(folder), *(word for name, bar in bars.items() for word in (f"--{name}", str(bar)))]


def test_a_bar_that_equals_the_value_is_met(folder: Path, command: Command):
    code, out, err = command(*words(folder, VALUES))
    assert (code, err) == (0, "")
    assert "The share of questions answered correctly after training is 0.6200, and --min_correct requires" in out
    assert out.count("\n") == len(VALUES)


@pytest.mark.parametrize("name", BARS)
def test_a_missed_bar_gives_exit_code_3_and_one_sentence(name: str, folder: Path, command: Command):
    assert BARS.keys() == VALUES.keys()
    step = -0.01 if name == "max_drift" else 0.01
    code, out, _ = command(*words(folder, VALUES | {name: round(VALUES[name] + step, 2)}))
    assert code == 3
    limit = "most 0.19" if name == "max_drift" else f"least {VALUES[name] + 0.01:g}"
    assert out.endswith(f" is {VALUES[name]:.4f}, but --{name} requires at {limit}.\n")
    assert out.count("\n") == 1


def test_every_missed_bar_has_a_sentence(folder: Path, command: Command):
    code, out, _ = command(*words(folder, {"min_correct": 0.7, "min_retention": 0.9, "min_chat": 0.9}))
    assert code == 3
    assert out.splitlines() == [
        "The share of questions answered correctly after training is 0.6200, but --min_correct requires at least 0.7.",
        "The share of retention questions known before training that are still answered correctly is 0.8000, but"
        " --min_retention requires at least 0.9.",
    ]


def test_json_has_every_bar(folder: Path, command: Command):
    code, out, _ = command(*words(folder, {"min_correct": 0.7, "max_drift": 0.5}), "--json")
    assert code == 3
    assert json.loads(out) == {
        "run": str(folder),
        "met": False,
        "bars": [
            {"option": "min_correct", "value": 0.62, "bar": 0.7, "met": False},
            {"option": "max_drift", "value": 0.2, "bar": 0.5, "met": True},
        ],
    }
    code, out, _ = command(*words(folder, {"min_correct": 0}), "--json")
    assert (code, json.loads(out)["met"]) == (0, True)


def test_without_counts_of_transitions_the_figure_retention_is_used():
    after = {name: value for name, value in AFTER.items() if name != "transitions"}
    assert check(report(after), {"min_retention": 0.9})[0].value == 0.91


@pytest.mark.parametrize("name", BARS)
def test_a_bar_on_a_figure_that_was_not_measured_is_an_error(name: str, folder: Path, command: Command):
    (folder / "report.json").write_text(json.dumps(report({"correct": None}, {})), encoding="utf-8")
    code, out, err = command(*words(folder, {name: 0}))
    assert (code, out) == (2, "")
    assert f"--{name}: the run did not measure the " in err


def test_chat_ability_that_the_base_model_does_not_have_is_not_measured():
    with pytest.raises(ValueError, match="fulfils at least one instruction before training"):
        check(report(before={"chat": {"fulfilled": 0.0}}), {"min_chat": 0})


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        ({}, "There is no bar to check. Give at least one of --min_correct, --min_retention, --min_chat"),
        ({"min_correct": 60}, "--min_correct 60: give a number from 0 to 1."),
        ({"min_chat": -0.1}, "--min_chat -0.1: give a number from 0 to 1."),
        ({"min_retention": "nan"}, "--min_retention nan: give a number from 0 to 1."),
        ({"max_drift": -1}, "--max_drift -1: give a number of at least 0."),
        ({"max_drift": "inf"}, "--max_drift inf: give a number of at least 0."),
    ],
)
def test_a_bar_out_of_range_is_an_error(bars: dict[str, Any], message: str, folder: Path, command: Command):
    code, out, err = command(*words(folder, bars))
    assert (code, out) == (2, "")
    assert message in err


def test_all_problems_are_in_one_message(folder: Path, command: Command):
    (folder / "report.json").write_text(json.dumps(report({"correct": 0.5}, {})), encoding="utf-8")
    code, _, err = command(*words(folder, {"min_correct": 5, "min_chat": 0.9}))
    assert code == 2
    assert "--min_correct 5" in err
    assert "--min_chat: the run did not measure" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no report.json. Give the output folder of a finished run."),
        ("{", "this file is not the report of a run"),
        ("[]", "this file is not the report of a run"),
        (json.dumps({**report(), "runs": {"a": AFTER, "b": AFTER}}), "the report is about several runs"),
        (json.dumps({**report(), "by_seed": {"0": {}}}), "the report is about several runs"),
    ],
)
def test_a_folder_without_the_report_of_one_run_is_an_error(
    content: str | None, message: str, tmp_path: Path, command: Command
):
    if content is not None:
        (tmp_path / "report.json").write_text(content, encoding="utf-8")
    code, out, err = command(*words(tmp_path, {"min_correct": 0.5}))
    assert (code, out) == (2, "")
    assert message in err
