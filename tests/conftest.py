"""Fixtures of all tests: their own Hub and no network, one tiny base model per session, documents, `knowlearn`."""

import atexit
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer

# Before any library of the Hub is imported, which read these once: the Hub is ours, the cache starts empty, and nobody
# is logged in. Processes that a test starts inherit it. (xet is a store of its own, which our Hub is not.)
for name in [name for name in os.environ if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_"))]:
    del os.environ[name]
HUB = HubServer()
os.environ |= {
    "HF_ENDPOINT": HUB.endpoint,
    "HF_HOME": tempfile.mkdtemp(prefix="hf-home-"),
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # evaluate's, which go to another host
    "NO_PROXY": "127.0.0.1,localhost",
}
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
# Before torch is: workers that each take all cores wait for one another ten times as long as they compute.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

FERRY = "The ferry to Ormel leaves at six. It carries forty cars and a bakery."
MILL = "# The mill\n\nThe mill at Tarn grinds rye. Its wheel was built in 1820."
QUESTIONS = [
    {"id": "ferry-1", "question": "When does the ferry to Ormel leave?", "answers": ["six", "at six"]},
    {"id": "mill-1", "question": "What does the mill at Tarn grind?", "answers": ["rye"]},
]


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Every test draws the same random numbers alone, among others, and on another machine."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The Hub, as new, with the user ada logged in; of the organisation mill, too."""
    HUB.reset()
    HUB.add_user("ada", token="hf_ada", orgs={"mill": "write"})
    monkeypatch.setenv("HF_TOKEN", "hf_ada")
    yield HUB
    assert not HUB.errors
    HUB.reset()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny model whose tokenizer has read about forty people; in a folder, as from the Hub."""
    from hf_knowlearn.worlds.people import World
    from hf_knowlearn.worlds.tiny import new_model, new_tokenizer

    world = World(7)
    people = list(world.people(0, 40))
    questions = [f"Question: {q.text}\nAnswer: {q.answers[0]}" for person in people for q in world.questions(person)]
    tokenizer = new_tokenizer([*(world.biography(person).text for person in people), *questions])
    folder = tmp_path_factory.mktemp("base")
    tokenizer.save_pretrained(folder)
    new_model(tokenizer, seed=0).save_pretrained(folder)
    return folder


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder of two documents."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "ferry.txt").write_text(FERRY, encoding="utf-8")
    (folder / "mill.md").write_text(MILL, encoding="utf-8")
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A file of a question about each of the documents."""
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS), encoding="utf-8")
    return path


@pytest.fixture
def options(base: Path, documents: Path, tmp_path: Path) -> dict[str, Any]:
    """The options of a run of two steps on a CPU."""
    return {
        "model": base,
        "documents": documents,
        "output_dir": tmp_path / "run",
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "logging_steps": 1,
        "gradient_checkpointing": False,
        "replay_self": 0,
        "evaluation.general_knowledge": False,
        "disable_tqdm": True,
        "use_cpu": True,
    }


@pytest.fixture
def knowlearn() -> Callable[..., int]:
    """`knowlearn(command, **options)` as typed in a shell, in this process; returns the exit code."""
    from hf_knowlearn.cli import main

    def knowlearn(command: str, **options: Any) -> int:
        return main([command, *words(options)])

    return knowlearn


def words(options: dict[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
