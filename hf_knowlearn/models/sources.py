"""Finds the weights, the base model and the report of a model by its name.

For a name on the Hub, all files come from one commit, even if the repository changes in the meantime.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_knowlearn import run_files
from hf_knowlearn.models.base_model import ADAPTER, BASE_MODEL
from hf_knowlearn.models.hub_access import check_hub
from hf_knowlearn.models.loading import load_errors, model_path

CARD = "README.md"
# Files that are downloaded before the weights.
SMALL_FILES = (
    CARD, ADAPTER, BASE_MODEL, run_files.REPORT, run_files.RECIPE, "config.json", "tokenizer_config.json"
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """The locations of a model's weights, report and base model.

    Args:
        name: The name that the user gave.
        weights: The folder or the Hub name that transformers or PEFT loads.
        revision: The commit on the Hub; None for a folder.
        report_folder: The folder with the report and the card.
        weights_folder: The folder with the configuration and the tokenizer.
        base: The folder or the Hub name of an adapter's base model; None for a model without an adapter.
        base_revision: The commit of the base model on the Hub, if it is known.

    Example:
        >>> source = resolve_model("outputs/run")  # a finished run that trained an adapter
        >>> source.weights, source.base
        ('outputs/run/model', 'Qwen/Qwen3-0.6B')
    """

    name: str
    weights: str
    revision: str | None
    report_folder: Path
    weights_folder: Path
    base: str | None = None
    base_revision: str | None = None

    @property
    def has_tokenizer(self) -> bool:
        """Whether `weights_folder` has a tokenizer. If not, an adapter uses the tokenizer of its base model."""
        return (self.weights_folder / "tokenizer_config.json").is_file()

    @property
    def report(self) -> dict[str, Any] | None:
        """The report of the run that trained the model. None if there is no report."""
        return _read_report(self.report_folder)


def resolve_model(name: str, revision: str | None = None) -> Source:
    """Find the weights, the base model and the report of a model.

    Args:
        name: The output folder of a run, a folder with a model or an adapter, a name on the Hub, or `tiny_base`.
        revision: A branch, tag or commit of a model on the Hub.

    Raises:
        ValueError: There is no model with this name, or the base model of an adapter cannot be found.
    """
    weights = model_path(name)
    if Path(weights).is_dir():
        if revision is not None:
            raise ValueError(
                f"--revision {revision}: {name} is a folder, and a folder has no revisions. Remove --revision."
            )
        report_folder, weights_folder = _folders(name, Path(weights))
        weights = str(weights_folder)
    else:
        from huggingface_hub import snapshot_download

        check_hub(weights, name)
        with load_errors(weights, name):
            snapshot = snapshot_download(weights, revision=revision, allow_patterns=list(SMALL_FILES))
        report_folder = weights_folder = Path(snapshot)
        revision = weights_folder.name
    base: tuple[str | None, str | None] = None, None
    if (weights_folder / ADAPTER).is_file():
        base = _base(name, report_folder, weights_folder)
    elif not (weights_folder / "config.json").is_file():
        raise ValueError(
            f"{name}: there is neither a model (config.json) nor an adapter ({ADAPTER}). Give another folder or name."
        )
    return Source(name, weights, revision, report_folder, weights_folder, *base)


def _folders(name: str, folder: Path) -> tuple[Path, Path]:
    """Return the folder of the report and the folder of the weights.

    The output folder of a run contains the report. The subfolder `model` of this folder contains the weights.
    """
    if (folder / "model").is_dir():
        return folder, folder / "model"
    if (folder / run_files.RUN).is_file():
        raise ValueError(f"{name}: this run is not finished. To continue the run, repeat its command.")
    is_of_run = folder.name == "model" and (folder.parent / run_files.REPORT).is_file()
    return folder.parent if is_of_run else folder, folder


def _read_report(folder: Path) -> dict[str, Any] | None:
    path = folder / run_files.REPORT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _base(name: str, report_folder: Path, weights_folder: Path) -> tuple[str, str | None]:
    """Return the folder or the Hub name of an adapter's base model, and its commit on the Hub.

    Why the report is used too: `adapter_config.json` may name a folder that does not exist on this machine.
    """
    config = json.loads((weights_folder / ADAPTER).read_text(encoding="utf-8"))
    trained_on: Mapping[str, Any] = (_read_report(report_folder) or {}).get("model") or {}
    named = config.get("base_model_name_or_path")
    problems = []
    for candidate in dict.fromkeys([named, trained_on.get("name")]):
        try:
            if candidate:
                base = model_path(candidate)
                commit = trained_on.get("revision") if trained_on.get("name") == candidate else None
                return base, None if Path(base).exists() else config.get("revision") or commit
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(
        f"{name}: the base model {named!r} of this adapter is not on this machine. {' '.join(problems)} Copy the base"
        f" model to this path, or write its folder or Hub name into base_model_name_or_path of"
        f" {weights_folder / ADAPTER}."
    )
