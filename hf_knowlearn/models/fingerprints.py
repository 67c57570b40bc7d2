"""Computes fingerprints of the weights of a model, in memory or in files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def weights_fingerprint(model: "PreTrainedModel") -> str:
    """Return a hash of up to 64 evenly spaced values of every weight tensor. Training changes this hash."""
    return _fingerprint(model.named_parameters())


def files_fingerprint(name: str, revision: str | None = None) -> str | None:
    """Return the fingerprint of the weights in the safetensors files of a model. None if it has no such file.

    The fingerprint does not depend on how the model is loaded or on how its weights are divided into files.

    Args:
        name: A folder, or the Hub name of a model whose files are in the cache.
        revision: The commit of a model on the Hub.
    """
    files = _weight_files(name, revision)
    return _fingerprint(_stored(files)) if files else None


def commit_of(name: str, revision: str | None = None) -> str | None:
    """Return the commit of a model on the Hub, as its files in the cache state it. None for a folder."""
    from transformers.utils import CONFIG_NAME
    from transformers.utils.hub import extract_commit_hash

    commit: str | None = None if Path(name).is_dir() else extract_commit_hash(_find(name, CONFIG_NAME, revision), None)
    return commit


def _find(name: str, file: str, revision: str | None) -> str | None:
    """Return the path of a file in a folder or in the cache of the Hub. None if the file is missing."""
    from transformers.utils import cached_file

    path: str | None = cached_file(
        name,
        file,
        revision=revision,
        local_files_only=not Path(name).is_dir(),
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return path


def _weight_files(name: str, revision: str | None) -> list[Path]:
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

    if single := _find(name, SAFE_WEIGHTS_NAME, revision):
        return [Path(single)]
    if index := _find(name, SAFE_WEIGHTS_INDEX_NAME, revision):
        shards = set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values())
        return [Path(index).parent / shard for shard in shards]
    return []


def _stored(files: Iterable[Path]) -> "Iterable[tuple[str, torch.Tensor]]":
    """Yield the name and the values of each weight in safetensors files, sorted by name.

    The files are mapped into memory, so a value is loaded from the disk only when it is used.
    """
    from contextlib import ExitStack

    from safetensors import safe_open

    with ExitStack() as stack:
        opened = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
        file_of = {name: file for file in opened for name in file.keys()}  # noqa: SIM118
        for name in sorted(file_of):
            yield name, file_of[name].get_tensor(name)


def _fingerprint(weights: "Iterable[tuple[str, torch.Tensor]]") -> str:
    import torch

    digest = hashlib.blake2b(digest_size=8)
    for name, weight in weights:
        flat = weight.detach().reshape(-1)
        some = flat[:: max(len(flat) // 64, 1)][:64].cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + bytes(some.contiguous().view(torch.uint8).tolist()))
    return digest.hexdigest()
