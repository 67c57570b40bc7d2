"""Without a network, a name on the Hub is reported at once, and a model in the cache is loaded at once."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hf_knowlearn.paths import TINY_BASE

# A port of this machine on which nothing listens.
NO_HUB = "http://127.0.0.1:9"


def run_offline(tmp_path: Path, *words: str) -> tuple[int, str, float]:
    """The exit code, the output and the seconds of `knowlearn *words` on a machine without a network."""
    environment = {**os.environ, "HF_ENDPOINT": NO_HUB, "HF_HOME": str(tmp_path / "cache")}
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        environment.pop(name, None)
    start = time.monotonic()
    command = [sys.executable, "-m", "hf_knowlearn.cli", *words]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - start


@pytest.mark.parametrize(
    "words",
    [
        ("teach", "--model", "org/name", "--documents", "world:new", "--output_dir", "out"),
        ("quickstart", "--model", "org/name"),
        ("ask", "org/name", "Who?"),
        ("recall", "org/name"),
        ("merge", "org/name", "--output_dir", "out"),
    ],
    ids=lambda words: words[0],
)
def test_a_model_on_the_hub_is_an_error_at_once_without_a_network(tmp_path: Path, words: tuple[str, ...]):
    code, shown, seconds = run_offline(tmp_path, *words)
    assert code == 2
    assert f"org/name: there is no such folder here, and the Hub ({NO_HUB}) cannot be reached" in shown
    assert "Check the network, or give the path of a folder with a model." in shown
    assert "Retrying" not in shown
    assert seconds < 6  # a few tenths of a second on a computer that does nothing else


def test_a_dataset_on_the_hub_is_an_error_at_once_without_a_network(tmp_path: Path):
    code, shown, seconds = run_offline(tmp_path, "views", "org/name")
    assert (code, f"the Hub ({NO_HUB}) cannot be reached" in shown, "Retrying" in shown) == (2, True, False)
    assert seconds < 10


def test_a_model_in_the_cache_is_loaded_without_a_network(tmp_path: Path):
    repo = tmp_path / "cache" / "hub" / "models--org--tiny"
    commit = "a" * 40
    shutil.copytree(TINY_BASE, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    code, shown, _ = run_offline(tmp_path, "ask", "org/tiny", "Who?")
    assert code == 0
    assert f"The Hub ({NO_HUB}) cannot be reached" in shown
    assert "Retrying" not in shown
