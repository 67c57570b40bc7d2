"""Tests of `knowlearn lab`."""

import pytest

from hf_knowlearn import cli
from hf_knowlearn.paths import RECIPES


def test_an_unknown_arm_is_an_error_that_lists_the_arms(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["lab", str(RECIPES / "lab" / "ten_minutes.yaml"), "--arms", "nobody", "raw"]) == 2
    assert "--arms nobody: the study has no such arm. Its arms are " in capsys.readouterr().err
