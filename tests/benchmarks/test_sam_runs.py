"""The benchmark of SAM runs, small, and says what it measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "sam.py"


def run(*words):
    words = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=600, env=os.environ).stdout


@pytest.mark.slow
def test_each_arm_is_measured_beside_the_plain_trainer(tmp_path):
    file = tmp_path / "sam.json"
    small = ["--shape", "tiny", "--trained", "lora", "--accumulation", 2, "--steps", 2, "--repeats", 1]
    run(*small, "--batch", 1, "--length", 8, "--results", file)
    (part,) = json.loads(file.read_text()).values()
    arms = part["results"]["arms"]
    passes = {name: figures["passes_a_step"] for name, figures in arms.items()}
    late = passes.pop("a=1, late")
    assert passes == {
        "plain": 1,
        "exact": 2,
        "adaptive": 2,
        "random": 1,
        "msam": 1,
        "by hand": 1,
        "by hand, pytorch_optimizer": 2,
        "a=1": 1.5,
    }
    assert 1 <= late < 1.5
    assert arms["plain"]["ratio"] == {"median": 1, "min": 1, "max": 1}
    assert all(figures["step_ms"]["median"] > 0 for figures in arms.values())
    lines = run("--table", "--results", file).splitlines()
    assert len(lines) == 2 + len(arms)
    assert "| tiny | lora | 2 | exact |" in lines[3]
