"""Checkpoints: each is sealed when it is whole, by a manifest of the SHA-256 of its files; no other is gone on from.

Trainer reads optimizer and random states as pickles, so they must be what this run wrote, to the last byte. The
surprising decision: Trainer's own rotation is off, because it deletes the last good checkpoint before the next one is
sealed, and a run that was killed in between would have none.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_knowlearn import atomic_files

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class SealCheckpoints(TrainerCallback):
    """Seals every checkpoint of `run` that is written, and then deletes the oldest, until `keep` are left.

    Args:
        keep: None or less than 1: all.
    """

    def __init__(self, run: str, keep: int | None) -> None:
        self.run, self.keep = run, max(0, keep or 0)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        PartialState().wait_for_everyone()  # each process writes random states of its own
        if not args.should_save:
            return
        assert args.output_dir is not None
        folder = Path(args.output_dir)
        seal(folder / f"checkpoint-{state.global_step}", self.run)
        if self.keep:
            written = [path for path in _by_step(folder) if _step(path) <= state.global_step]
            for path in written[: -self.keep]:
                shutil.rmtree(path)


def seal(checkpoint: Path, run: str) -> None:
    """Write the manifest of a checkpoint that is whole."""
    manifest = {"run": run, "sha256": _digests(checkpoint)}
    atomic_files.write_text(checkpoint / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def last_checkpoint(folder: Path, run: str) -> str | None:
    """The last checkpoint in `folder` that is as `run` has sealed it. Warns of each that it passes over."""
    for checkpoint in reversed(_by_step(folder)):
        if (problem := _problem(checkpoint, run)) is None:
            return str(checkpoint)
        logger.warning("%s is passed over: %s.", checkpoint, problem)
    return None


def _problem(checkpoint: Path, run: str) -> str | None:
    """Why a run can't go on from a checkpoint."""
    path = checkpoint / MANIFEST
    if not path.is_file():
        return f"it was not written to its end (it has no {MANIFEST})"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        writer, expected = manifest["run"], dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError):
        return f"its {MANIFEST} can't be read"
    if writer != run:
        return "another run wrote it"
    found = _digests(checkpoint)
    changed = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return f"not as it was written: {', '.join(changed)}" if changed else None


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file at and below `folder`, but the manifest."""
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
