"""Source: what the name of a model stands for: where its weights are, over which base, and what is said of it.

The surprising decision: a repository is first brought down to one commit, and everything is read from that, so that
the weights are those which its card speaks of. An adapter knows its base by the path where that lay when it was
trained; where it isn't there, the run's report says what it was.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_knowlearn import run_files
from hf_knowlearn.models.loading import model_name, pretrained

CARD, ADAPTER = "README.md", "adapter_config.json"
# What is brought down of a repository before its weights are.
SMALL = (CARD, ADAPTER, run_files.REPORT, run_files.RECIPE, "config.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Source:
    """What the name of a model stands for.

    Args:
        name: as it was given.
        weights: the folder, or the name on the Hub, that transformers or PEFT loads.
        revision: the commit on the Hub; None of a folder.
        home: the folder with the report and the card.
        here: the folder with the files beside the weights.
        base, base_revision: of an adapter; None where the model is whole.
    """

    name: str
    weights: str
    revision: str | None
    home: Path
    here: Path
    base: str | None = None
    base_revision: str | None = None

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer lies beside the weights; an adapter may have none but its base's."""
        return (self.here / "tokenizer_config.json").is_file()

    @property
    def report(self) -> dict[str, Any] | None:
        """The report of the run that taught the model, if it is there."""
        return _report(self.home)


def find(name: str, revision: str | None = None) -> Source:
    """What `name` stands for.

    Args:
        name: the output folder of a run, a folder with a model or an adapter, a name on the Hub, or tiny_base.
        revision: of a name on the Hub.

    Raises:
        ValueError: nothing is there, it isn't a model, or the base of an adapter can't be told.
    """
    place = model_name(name)
    if Path(place).is_dir():
        if revision is not None:
            raise ValueError(f"--revision {revision}: {name} is a folder, which has none; leave it out.")
        home, here = _in_folder(name, Path(place))
        weights = str(here)
    else:
        from huggingface_hub import snapshot_download

        home = here = Path(pretrained(snapshot_download, place, name, revision=revision, allow_patterns=list(SMALL)))
        weights, revision = place, here.name
    if not (here / ADAPTER).is_file():
        if not (here / "config.json").is_file():
            raise ValueError(f"{name}: holds neither a model (config.json) nor an adapter ({ADAPTER}).")
        return Source(name, weights, revision, home, here)
    return Source(name, weights, revision, home, here, *_base(name, home, here))


def _in_folder(name: str, folder: Path) -> tuple[Path, Path]:
    """Where the report is, and where the weights are: of a run in `model/`."""
    if (folder / "model").is_dir():
        return folder, folder / "model"
    if (folder / run_files.RUN).is_file():
        raise ValueError(f"{name}: holds a run that isn't finished; give its command again to go on with it.")
    is_of_run = folder.name == "model" and (folder.parent / run_files.REPORT).is_file()
    return folder.parent if is_of_run else folder, folder


def _report(home: Path) -> dict[str, Any] | None:
    return (
        dict(json.loads((home / run_files.REPORT).read_text(encoding="utf-8")))
        if (home / run_files.REPORT).is_file()
        else None
    )


def _base(name: str, home: Path, here: Path) -> tuple[str, str | None]:
    """The base of the adapter, a folder or a name on the Hub, and its commit there."""
    config = json.loads((here / ADAPTER).read_text(encoding="utf-8"))
    origin: Mapping[str, Any] = (_report(home) or {}).get("model") or {}
    named = config.get("base_model_name_or_path")
    problems = []
    for candidate in dict.fromkeys([named, origin.get("name")]):
        try:
            if candidate:
                base = model_name(candidate)
                known = origin.get("revision") if origin.get("name") == candidate else None
                return base, None if Path(base).exists() else config.get("revision") or known
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(
        f"{name}: an adapter over {named!r}, which can't be found here. {' '.join(problems)} Put it there, or write"
        f" its folder or its name on the Hub into base_model_name_or_path of {here / ADAPTER}."
    )
