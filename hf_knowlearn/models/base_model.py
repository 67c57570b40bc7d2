"""Records the base model of an adapter when the adapter is saved, and verifies it when the adapter is loaded.

The file `adapter_config.json` names the base model by its absolute path, or by its repository and commit. The file
`base_model.json` in the same folder has the fingerprint of the base model's weights. This file contains no path, so it
can be published.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.models.fingerprints import files_fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

ADAPTER, BASE_MODEL = "adapter_config.json", "base_model.json"


def record_base(folder: Path, model: "PreTrainedModel") -> None:
    """Record an adapter's base model, and the fingerprint of the base model's weights, in the folder of the adapter.

    If `folder` contains no adapter, nothing is written.

    Args:
        folder: The folder into which the adapter was saved.
        model: The base model, with or without the adapter.

    Example of `base_model.json`:
        {"name": "Qwen/Qwen3-0.6B", "revision": "c1899de2…", "weights": "9f0c2a61e8d7b345"}
    """
    if not (folder / ADAPTER).is_file():
        return
    name, commit = _loaded_from(model)
    path = Path(name)
    config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": str(path.absolute()) if path.exists() else name, "revision": commit}
    _write(folder / ADAPTER, config)
    shown = path.absolute().name if path.exists() else name
    _write(folder / BASE_MODEL, {"name": shown, "revision": commit, "weights": files_fingerprint(name, commit)})


def check_base(adapter: str, model: "PreTrainedModel", *, revision: str | None = None, label: str = "") -> None:
    """Check that `model` has the weights that an adapter was trained on.

    If the adapter has no record of these weights, nothing is checked.

    Args:
        adapter: The adapter's folder or its name on the Hub.
        revision: A branch, tag or commit of an adapter on the Hub.
        label: The adapter's name in the error message; by default `adapter`.

    Raises:
        ValueError: `model` has other weights than the base model that the adapter was trained on.
    """
    name, commit = _loaded_from(model)
    recorded = _recorded(adapter, revision)
    if recorded is None or recorded.get("weights") is None:
        if Path(name).exists() and not Path(name).is_absolute():
            logger.warning(
                "%s: the base model %r was not verified, because the adapter has no record of its weights.",
                label or adapter,
                name,
            )
        return
    found = files_fingerprint(name, commit)
    if found == recorded["weights"]:
        return
    trained_on = _shown(recorded["name"], recorded["revision"])
    raise ValueError(
        f"{label or adapter}: the adapter was trained on {trained_on}, whose weights have the fingerprint"
        f" {recorded['weights']}. The base model that was found is {_shown(name, commit)}, which has other weights"
        f" (fingerprint {found}). Write the folder or the Hub name of the right base model into"
        f" base_model_name_or_path of {ADAPTER}. If both base models are the same model in different dtypes, delete"
        f" {BASE_MODEL}, which is in the folder of {ADAPTER}."
    )


def _shown(name: str, commit: str | None) -> str:
    return f"{name!r} at {commit}" if commit else repr(name)


def _loaded_from(model: Any) -> tuple[str, str | None]:
    """Return the folder or the Hub name that a model was loaded from, and its commit on the Hub."""
    return str(model.config.name_or_path), getattr(model.config, "_commit_hash", None)


def _recorded(adapter: str, revision: str | None) -> dict[str, Any] | None:
    from transformers.utils import cached_file

    path = cached_file(
        adapter,
        BASE_MODEL,
        revision=revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if path is None else dict(json.loads(Path(path).read_text(encoding="utf-8")))


def _write(path: Path, value: Any) -> None:
    atomic_files.write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
