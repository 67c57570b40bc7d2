"""Seals checkpoints. A sealed checkpoint has a manifest with the SHA-256 of each of its files.

Why: Trainer loads the states of the optimizer and of random number generators from pickles, which can run code. A run
therefore resumes only from its own unchanged checkpoints.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_knowlearn import atomic_files
from hf_knowlearn.models.base_model import record_base

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class SealCheckpoints(TrainerCallback):
    """Seals every checkpoint of a run after it is saved, and then deletes the oldest checkpoints.

    Before a checkpoint of an adapter is sealed, its base model is recorded (see `record_base`).

    Why: Trainer's `save_total_limit` deletes old checkpoints before this callback seals the new checkpoint. A run that
    is killed between the two would have no sealed checkpoint.

    Args:
        run: the id of the run.
        limit: maximum number of checkpoints in the folder. None or 0: no limit.
    """

    def __init__(self, run: str, limit: int | None) -> None:
        self.run, self.limit = run, max(0, limit or 0)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes the state of its own random number generators
        if not args.should_save:
            return
        assert args.output_dir is not None
        folder = Path(args.output_dir)
        checkpoint = folder / f"checkpoint-{state.global_step}"
        record_base(checkpoint, others.get("model"))
        seal(checkpoint, self.run)
        if self.limit:
            written = [path for path in _by_step(folder) if _step(path) <= state.global_step]
            for path in written[: -self.limit]:
                shutil.rmtree(path)


def seal(checkpoint: Path, run: str) -> None:
    """Write the manifest of a complete checkpoint."""
    manifest = {"run": run, "sha256": _digests(checkpoint)}
    atomic_files.write_text(checkpoint / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def last_checkpoint(folder: Path, run: str) -> str | None:
    """Return the last checkpoint in `folder` that is unchanged since the run `run` sealed it, or None.

    Log a warning for each later checkpoint, which the run cannot use.
    """
    for checkpoint in reversed(_by_step(folder)):
        if (problem := _problem(checkpoint, run)) is None:
            return str(checkpoint)
        logger.warning("Skipping %s: %s.", checkpoint, problem)
    return None


def _problem(checkpoint: Path, run: str) -> str | None:
    """Return the reason why the run `run` cannot resume from a checkpoint, or None if there is no such reason."""
    path = checkpoint / MANIFEST
    if not path.is_file():
        return f"it is incomplete (it has no {MANIFEST})"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        writer, expected = manifest["run"], dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError):
        return f"its {MANIFEST} is not valid"
    if writer != run:
        return "another run wrote it"
    found = _digests(checkpoint)
    changed = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return f"files have changed: {', '.join(changed)}" if changed else None


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` except the manifest, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _by_step(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-[0-9]*"), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])
