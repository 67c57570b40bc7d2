"""Provenance: what a run was made of (data by hash, the model by revision) and what it took (time, tokens, memory).

The surprising decision: what is hashed are the documents and questions as they were read, not the files, so that the
same data give the same hash from a folder, a table or the Hub.
"""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hf_knowlearn.paths import PACKAGE
from hf_knowlearn.teach.data import TRAINED_ON, RunData, sources

if TYPE_CHECKING:
    from hf_knowlearn.config.parsing import Recipe
    from hf_knowlearn.training import SAMSFTTrainer


def data_of(recipe: "Recipe", read: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Where each set of documents or questions came from, how many they are, and their hash; by the option's name."""
    return {
        option: {"source": _source(recipe, option), "n": len(items), "sha256": fingerprint(items)}
        for option, items in read.items()
        if items
    }


def fingerprints(recipe: "Recipe", material: RunData) -> dict[str, dict[str, Any]]:
    """How many items each set that the run reads has, and their hash; by the option that names it."""
    sets = dict(material.sets())
    if recipe.teach.retention_questions is None:
        # Which of the questions are asked for retention depends on the documents.
        asked = [*material.asked["questions"], *material.asked.get("retention_questions", [])]
        sets |= {"questions": sorted(asked, key=lambda question: question.id), "retention_questions": []}
    return {option: {"n": len(items), "sha256": fingerprint(items)} for option, items in sets.items() if items}


def _source(recipe: "Recipe", option: str) -> str | None:
    if option == "replay_self":
        return "sampled from the model before"
    if option not in TRAINED_ON:
        return getattr(recipe.teach, option, None)
    return ", ".join(sources(option, recipe.steps)) or None


def fingerprint(items: Sequence[Any]) -> str:
    """The SHA-256 of the items (documents, questions, conversations, sampled texts) in their order, as JSON."""
    digest = hashlib.sha256()
    for item in items:
        line = json.dumps(asdict(item), ensure_ascii=False, sort_keys=True, default=str)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def model_of(recipe: "Recipe", trainer: "SAMSFTTrainer") -> dict[str, Any]:
    """The model that a run started from, by name, and the commit on the Hub where it came from there."""
    name = "from scratch" if recipe.teach.from_scratch else recipe.model.model_name_or_path
    return {"name": name, "revision": getattr(trainer.model.config, "_commit_hash", None)}


def commit() -> str:
    """The commit of the code that is running, where that is a checkout; else nothing."""
    command = ["git", "-C", str(PACKAGE.parent), "rev-parse", "--short", "HEAD"]
    if not (PACKAGE.parent / ".git").exists() or shutil.which("git") is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def start_counting_memory() -> None:
    """Forget the peak of GPU memory so far."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def cost_of(trainer: "SAMSFTTrainer", train_seconds: float, ask_seconds: float) -> dict[str, Any]:
    """What a run took.

    `peak_memory_bytes` is of this process: on a GPU the most that was allocated there since `start_counting_memory`,
    else the most that was ever resident.
    """
    import torch

    cuda = trainer.args.device.type == "cuda"
    return {
        "train_seconds": train_seconds,
        "evaluation_seconds": ask_seconds,
        "steps": trainer.state.global_step,
        "gradient_evaluations": trainer.gradient_evaluations,
        "tokens": _tokens(trainer),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if cuda else _most_resident(),
        "device": torch.cuda.get_device_name() if cuda else trainer.args.device.type,
        "processes": trainer.args.world_size,
    }


def _tokens(trainer: "SAMSFTTrainer") -> int:
    """Tokens of the rows that are trained on. TRL's own count begins at 0 again when a run goes on."""
    from pyarrow import compute

    count: int = compute.sum(compute.list_value_length(trainer.train_dataset.data.column("input_ids"))).as_py()
    return count


def _most_resident() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kilobytes, but on a Mac


def curve_of(history: Sequence[Mapping[str, Any]], most: int = 500) -> list[dict[str, Any]]:
    """What was logged of loss and recall, by step; of a long run every so many of its points.

    Args:
        history: a trainer's log.
        most: how many points there may be.
    """
    names = {"loss": "loss", "recall/exact_match": "exact_match", "recall/exact_match_se": "exact_match_se"}
    points: dict[int, dict[str, Any]] = {}
    for entry in history:
        if found := {names[name]: value for name, value in entry.items() if name in names}:
            points.setdefault(entry["step"], {"step": entry["step"]}).update(found)
    every = -(-len(points) // most) or 1
    return [point for i, point in enumerate(points.values()) if i % every == 0 or "exact_match" in point]
