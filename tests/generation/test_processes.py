"""Two processes, and one that is killed and started again, give the responses of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
from hf_knowlearn.generation.responses import generate_responses
from hf_knowlearn.generation.settings import GenerationSettings

SETTINGS = {"shots": 3, "prompts": 2, "samples": 4, "temperature": 0.8, "top_k": 20, "max_new_tokens": 8}
SCRIPT = """
import dataclasses, json, os, sys, time
from pathlib import Path
from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
from hf_knowlearn.generation.responses import ask, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings

folder, options, pause = Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3])
world_questions = [Question(**{**row, "answers": tuple(row["answers"]), "options": ()})
         for row in json.loads((folder / "questions.json").read_text())]
model = AutoModelForCausalLM.from_pretrained(folder / "model")
tokenizer = AutoTokenizer.from_pretrained(folder / "model")
model.register_forward_pre_hook(lambda *_: time.sleep(pause))
settings = GenerationSettings(**options)
state = PartialState(cpu=True)
assert state.num_processes == int(os.environ.get("WORLD_SIZE", "1"))
answers = generate_responses(model, tokenizer, world_questions, settings, answer_cache=folder / "answers.jsonl")
found = {
    "responses": [dataclasses.asdict(one) for one in answers],
    "plain": ask(model, tokenizer, world_questions, 5, 8),
    "logprobs": [dataclasses.asdict(one) for one in answer_logprobs(model, tokenizer, world_questions, settings)],
}
(folder / f"found.{state.process_index}.json").write_text(json.dumps(found))
"""


@pytest.fixture
def folder(model: Any, tokenizer: Any, world_questions: list[Question], tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "questions.json").write_text(
        json.dumps([vars(question) for question in world_questions]), encoding="utf-8"
    )
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def start(folder: Path, batch_size: int, pause: float = 0.0, launch: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    options = json.dumps({**SETTINGS, "batch_size": batch_size})
    return subprocess.Popen(
        [sys.executable, *launch, str(folder / "run.py"), str(folder), options, str(pause)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )


def read(folder: Path, rank: int = 0) -> dict[str, Any]:
    return json.loads((folder / f"found.{rank}.json").read_text(encoding="utf-8"))


def plain_values(answers: Any) -> Any:
    return json.loads(json.dumps([vars(one) for one in answers]))


@pytest.mark.slow
def test_two_processes_give_the_responses_of_one_process_and_leave_one_file(
    model: Any, tokenizer: Any, world_questions: list[Question], folder: Path
):
    two = start(folder, 4, launch=("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"))
    _, errors = two.communicate(timeout=300)
    assert two.returncode == 0, errors
    settings = GenerationSettings(**SETTINGS, batch_size=64)
    for rank in (0, 1):
        found = read(folder, rank)
        assert found["responses"] == plain_values(generate_responses(model, tokenizer, world_questions, settings))
        for ours, alone in zip(
            found["logprobs"], answer_logprobs(model, tokenizer, world_questions, settings), strict=True
        ):
            assert ours["total"] == pytest.approx(alone.total, abs=1e-3)
        assert len(found["plain"]) == len(world_questions)
    lines = (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 2 * len(world_questions)
    assert not list(folder.glob("answers.jsonl.part*"))


@pytest.mark.slow
def test_a_killed_process_continues_to_the_same_responses(
    model: Any, tokenizer: Any, world_questions: list[Question], folder: Path
):
    part = folder / "answers.jsonl.part0"
    killed = start(folder, 4, pause=0.05)
    deadline = time.monotonic() + 240
    while not part.exists() or len(part.read_bytes().splitlines()) < 10:
        assert time.monotonic() < deadline
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    there = len(part.read_bytes().splitlines())
    assert there < 1 + 2 * len(world_questions)
    again = start(folder, 7)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert read(folder)["responses"] == plain_values(
        generate_responses(model, tokenizer, world_questions, GenerationSettings(**SETTINGS))
    )
    assert not part.exists()
