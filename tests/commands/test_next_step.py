"""The last line of `knowlearn teach` is a command that works."""

import shlex
from pathlib import Path

import pytest

from hf_knowlearn.reports.markdown import next_step

from .conftest import Command


def test_the_last_line_of_teach_is_a_command_that_works(run: Path, command: Command):
    code, shown, _ = command("teach", "--config", run / "recipe.yaml", "--output_dir", run)
    last_line = shown.splitlines()[-1]
    assert (code, last_line.partition(": ")[0]) == (0, "Next")
    words = shlex.split(last_line.partition(": ")[2])
    assert words[:3] == ["knowlearn", "ask", str(run)]
    code, answer, _ = command(*words[1:])
    assert (code, bool(answer.strip())) == (0, True)


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ({}, "Next: knowlearn ask 'my run' 'Who ...?'"),
        ({"evaluation": {"template": "chat"}}, "Next: knowlearn ask 'my run' 'Who ...?' --template chat"),
    ],
)
def test_the_next_step_quotes_its_words_and_uses_the_template_of_the_run(recipe: dict[str, object], line: str):
    assert next_step({"runs": {"a": {}}, "recipes": {"a": recipe}}, Path("my run")) == line
