"""Staging: a folder with exactly the files that are published.

Why: the files of a model are selected by what may be published (safetensors, JSON, text) and not by what may not, so
that a pickle, a checkpoint or a log is left out even if nobody thought of it.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn.hub.cards import model_card
from hf_knowlearn.hub.dataset_cards import UNLICENSED, UNNAMED, licensed, questions_card
from hf_knowlearn.hub.metadata import Published, single_run
from hf_knowlearn.hub.redaction import last_part, map_texts, redacted

WEIGHTS = ".safetensors"
MODEL_FILES = (WEIGHTS, ".json", ".jinja", ".txt", ".model")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
IGNORED = ("__pycache__", ".*", "*.py[cod]")
CHART = "scores.png"
RECIPE_HEADER = "# The options of a run of knowlearn. Of each path only the last part is published.\n"
QUESTION_COLUMNS = ("id", "question", "answers", "document_id", "relation", "fact_id", "options", "kind")


@dataclass(frozen=True)
class Run:
    """The folder of a finished run: its report, and the rows of `answers.after.jsonl` if that file exists."""

    folder: Path
    report: Mapping[str, Any]
    answers: Sequence[Mapping[str, Any]]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The options of the run."""
        recipe: Mapping[str, Any] = self.report["recipes"][single_run(self.report)]
        return recipe

    @property
    def model(self) -> Path:
        """The folder of its weights."""
        return self.folder / "model"

    @property
    def is_adapter(self) -> bool:
        """Whether its weights are an adapter."""
        return (self.model / "adapter_config.json").is_file()


def read_run(folder: Path) -> Run:
    """The finished run in a folder.

    Raises:
        ValueError: the folder has no finished run, several runs, or no model.
    """
    report = folder / "report.json"
    if not report.is_file():
        raise ValueError(
            f"{str(folder)!r} contains no finished run (no report.json): name the output_dir of a finished run."
        )
    answers = folder / "answers.after.jsonl"
    rows = answers.read_text(encoding="utf-8").splitlines() if answers.is_file() else []
    run = Run(folder, json.loads(report.read_text(encoding="utf-8")), [json.loads(row) for row in rows])
    if not run.model.is_dir():
        below = sorted(path.parent.relative_to(folder) for path in folder.glob("**/model") if path.is_dir())
        hint = f": name one of its runs, {', '.join(map(str, below[:10]))}" if below else ""
        raise ValueError(f"{str(folder)!r} has a report and no model{hint}.")
    single_run(run.report)
    return run


def stage_model(run: Run, folder: Path, about: Published, weights: Path, base: str) -> None:
    """Write the repository of a fine-tuned model: weights, tokenizer, recipe, report, chart and card.

    Args:
        weights: folder of the model's files: the run's, or one with the adapter merged.
        base: name of the base model in the adapter's configuration.

    Raises:
        ValueError: there are no weights in safetensors.
    """
    files = [path for path in sorted(weights.iterdir()) if path.suffix in MODEL_FILES]
    if not any(path.suffix == WEIGHTS for path in files):
        pickles = [path.name for path in weights.iterdir() if path.suffix in PICKLES]
        only = f", only {', '.join(pickles)}, which can run code when it is loaded" if pickles else ""
        raise ValueError(f"{str(weights)!r} contains no {WEIGHTS}{only}: save the model with save_pretrained first.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        _copy_file(path, folder / path.name, base)
    report = redacted(run.report, [run.folder.absolute(), Path.cwd(), Path.home()])
    has_chart = (run.folder / CHART).is_file()
    if has_chart:
        shutil.copyfile(run.folder / CHART, folder / CHART)
    recipe = yaml.safe_dump(report["recipes"][single_run(report)], sort_keys=True, allow_unicode=True)
    _write(folder / "recipe.yaml", RECIPE_HEADER + recipe)
    _write(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    _write(folder / "README.md", model_card(report, about, run.answers, has_chart))


def _copy_file(source: Path, target: Path, base: str) -> None:
    """Copy a file; in a configuration, paths of this machine are replaced."""
    if source.suffix == ".json" and source.name.endswith("config.json"):
        config = json.loads(source.read_text(encoding="utf-8"))
        if "base_model_name_or_path" in config:
            config["base_model_name_or_path"] = base
        _write(target, json.dumps(map_texts(config, _without_folder), indent=2, ensure_ascii=False) + "\n")
    else:
        shutil.copyfile(source, target)


def _without_folder(text: str) -> str:
    return last_part(text) if os.path.isabs(text) and len(text) > 1 else text


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def stage_folder(source: Path, folder: Path) -> None:
    """Copy a folder that is published unchanged, without caches and hidden files.

    Raises:
        ValueError: the folder has no card, or contains a pickle.
    """
    if not (source / "README.md").is_file():
        raise ValueError(f"{str(source)!r} has no README.md, which is the card: it cannot be published.")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*IGNORED), dirs_exist_ok=True)
    if pickles := [path.name for path in folder.rglob("*") if path.suffix in PICKLES]:
        raise ValueError(f"{str(source)!r} contains {', '.join(pickles)}, which can run code when it is loaded.")


def stage_views(source: Path, folder: Path, repo_id: str, license: str) -> None:
    """Copy a folder of views, with the licence in its card.

    Raises:
        ValueError: see `stage_folder`; or the folder has no views.
    """
    stage_folder(source, folder)
    if not list(folder.glob("data/*/*.parquet")):
        raise ValueError(
            f"{str(source)!r} contains no data/*/*.parquet, so no views: write them with"
            " knowlearn views PATH --export DIR, and publish DIR."
        )
    card = with_license((folder / "README.md").read_text(encoding="utf-8"), license)
    _write(folder / "README.md", card.replace(f'"{UNNAMED}"', f'"{repo_id}"'))


def license_of(card: str) -> str | None:
    """The licence in a card's metadata."""
    from huggingface_hub import DatasetCard

    license = DatasetCard(card, ignore_metadata_errors=True).data.get("license")
    return license if isinstance(license, str) else None


def with_license(text: str, license: str) -> str:
    """The card with this licence in its metadata and its text."""
    from huggingface_hub import DatasetCard

    card = DatasetCard(text, ignore_metadata_errors=True)
    if card.data.get("license") != license:
        card.data["license"] = license
        text = str(card)
    return text.replace(UNLICENSED, licensed(license))


def stage_questions(
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    folder: Path,
    repo_id: str,
    license: str,
    sources: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write a dataset of questions: a Parquet file for each split, and the card.

    Args:
        splits: rows with `QUESTION_COLUMNS`, by split.
        sources: `source` and `sha256` of each split.
    """
    import pyarrow as pa
    from pyarrow import parquet

    text, texts = pa.string(), pa.list_(pa.string())
    schema = pa.schema([(name, texts if name in ("answers", "options") else text) for name in QUESTION_COLUMNS])
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        table = pa.Table.from_pylist([{name: row[name] for name in QUESTION_COLUMNS} for row in rows], schema)
        parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    _write(folder / "README.md", questions_card(splits, repo_id, license, sources))


def file_list(folder: Path) -> str:
    """The files below a folder and their sizes, one per line."""
    from tabulate import tabulate

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [("", path.relative_to(folder).as_posix(), f"{path.stat().st_size:,}") for path in files]
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=("left", "left", "right"))
