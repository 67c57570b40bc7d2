"""Two processes in one run folder: the second gets an error that names the first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_knowlearn.teach.run_lock import run_lock

HOLD = """
import sys
from pathlib import Path
from hf_knowlearn.teach.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """A process that holds the lock of `folder` until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_gets_an_error_that_names_the_first(tmp_path: Path):
    folder = tmp_path / "run"
    with hold(folder) as process, pytest.raises(ValueError, match="is in use by process") as raised, run_lock(folder):
        pass
    assert f"process {process.pid}." in str(raised.value)
    assert not folder.exists()
    with run_lock(folder):  # free again
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path):
    with hold(tmp_path) as process:
        process.kill()
    with run_lock(tmp_path), run_lock(tmp_path / "another"):
        assert os.getpid()


def test_a_folder_has_one_lock_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    in_use = pytest.raises(ValueError, match="output_dir='run' is in use")
    with hold(tmp_path / "run"), in_use, run_lock(Path("run")):
        pass
