"""A run with stages in two processes has the scores of one process, and the processes share the generation."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.paths import RECIPES
from hf_knowlearn.worlds.splits import read_splits

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, sys
from collections import Counter
from pathlib import Path
from hf_knowlearn.cli import main
from hf_knowlearn.generation.answer_cache import AnswerCache

shares, append = Counter(), AnswerCache.append

def counting(self, answers):
    shares["/".join(self.path.parts[-2:])] += len(answers)
    append(self, answers)

AnswerCache.append = counting
code = main(["teach", *sys.argv[2:]])
Path(sys.argv[1], f"shares.{os.environ.get('RANK', '0')}.json").write_text(json.dumps(shares))
sys.exit(code)
"""
TIMES = {"seconds", "train_seconds", "evaluation_seconds", "self_replay_seconds", "peak_memory_bytes"}


@pytest.fixture
def half_known(tmp_path: Path) -> Path:
    """Questions about people that the tiny base was trained on, and about others: it knows some answers in part, and
    others after a stage."""
    path = tmp_path / "half_known.jsonl"
    world = read_splits(RECIPES / "world.yaml")
    questions = [*world["replayed"].questions()[:24], *world["new"].questions()[:40]]
    path.write_text("".join(json.dumps(asdict(question)) + "\n" for question in questions), encoding="utf-8")
    return path


@pytest.fixture
def teach_in(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], list[dict[str, int]]]]:
    """`teach_in(processes, **options)`: the report, and the number of responses of each process, by cache file."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def teach_in(processes: int, **options: Any) -> tuple[dict[str, Any], list[dict[str, int]]]:
        folder = tmp_path / f"in_{processes}"
        folder.mkdir()
        options |= {"output_dir": folder / "run", "per_device_train_batch_size": 8 // processes}
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        command = [sys.executable, *(launch if processes > 1 else []), str(script), str(folder), *words]
        roots = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        done = subprocess.run(command, env={**os.environ, **roots}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        shares = [json.loads((folder / f"shares.{rank}.json").read_text()) for rank in range(processes)]
        return json.loads((folder / "run" / "report.json").read_text(encoding="utf-8")), shares

    return teach_in


@pytest.mark.parametrize("curriculum", ["cpt_then_it", "gradual"])
def test_two_processes_give_the_scores_of_one(
    teach_in: Callable[..., tuple[dict[str, Any], list[dict[str, int]]]],
    documents: Path,
    half_known: Path,
    curriculum: str,
):
    options = {
        "model": "tiny_base", "curriculum": curriculum, "train_questions": half_known, "questions": half_known,
        "use_peft": False, "use_cpu": True, "disable_tqdm": True, "gradient_checkpointing": False,
        "gradient_accumulation_steps": 1, "max_steps": 6, "learning_rate": 1e-3, "logging_steps": 1,
        "per_device_eval_batch_size": 8, "evaluation.max_new_tokens": 8,
    }  # fmt: skip
    options |= {"documents": documents} if curriculum == "cpt_then_it" else {"classify": "quick"}
    (one, alone), (two, shares) = (teach_in(processes, **options) for processes in (1, 2))

    runs = [report["runs"][curriculum] for report in (one, two)]
    assert [figures["cost"]["processes"] for figures in runs] == [1, 2]
    assert scores_of(one["before"]) == scores_of(two["before"])
    assert len(one["stages"]) == len(two["stages"]) == 2
    for of_one, of_two in zip([*one["stages"], runs[0]], [*two["stages"], runs[1]], strict=True):
        assert scores_of(of_one) == scores_of(of_two)
        assert of_one["steps"] == of_two["steps"]
        assert of_one["train_loss"] == pytest.approx(of_two["train_loss"], rel=1e-3)
    assert 0 < runs[0]["exact_match"] < 1

    kinds = {name.rpartition("/")[2] for name in alone[0]}
    assert any("mastery" in kind for kind in kinds) == (curriculum == "gradual")
    assert [set(share) for share in shares] == [set(alone[0])] * 2
    for name, count in alone[0].items():
        assert sum(share[name] for share in shares) == count
        assert min(share[name] for share in shares) >= count // 3


def scores_of(figures: dict[str, Any]) -> dict[str, Any]:
    """The scores without the costs."""
    return {name: figures[name] for name in ("exact_match", "f1", "contains", "wrong", "mastery") if name in figures}
