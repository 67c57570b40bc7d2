"""Staging: a folder that holds exactly what is to be published, and nothing of the machine that it is published from.

The surprising decision: a model's files are chosen by what may be published (safetensors, JSON, text) and not by
what may not: a pickle, a checkpoint or a log that nobody thought of stays at home.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn.hub.cards import model_card
from hf_knowlearn.hub.dataset_cards import UNLICENSED, UNNAMED, licensed, questions_card
from hf_knowlearn.hub.metadata import Published, arm_of
from hf_knowlearn.hub.redaction import base_name, cleaned

WEIGHTS = ".safetensors"
OF_A_MODEL = (WEIGHTS, ".json", ".jinja", ".txt", ".model")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
LEFT = ("__pycache__", ".pytest_cache", ".ipynb_checkpoints", ".DS_Store", ".git", ".cache")
RECIPE_HEAD = "# The options of a run of knowlearn. Of a path only its last part is told.\n"
QUESTION_COLUMNS = ("id", "question", "answers", "document_id", "relation", "fact_id", "options", "kind")


@dataclass(frozen=True)
class Run:
    """The folder of a finished run: its report, and its answers where they are there."""

    folder: Path
    report: Mapping[str, Any]
    answers: Sequence[Mapping[str, Any]]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The options of the run."""
        recipe: Mapping[str, Any] = self.report["recipes"][arm_of(self.report)]
        return recipe

    @property
    def model(self) -> Path:
        """Where its weights lie."""
        return self.folder / "model"

    @property
    def is_adapter(self) -> bool:
        """Whether its weights are an adapter's."""
        return (self.model / "adapter_config.json").is_file()


def read_run(folder: Path) -> Run:
    """The finished run that a folder holds.

    Raises:
        ValueError: it holds none, or several, or one without a model.
    """
    report = folder / "report.json"
    if not report.is_file():
        raise ValueError(
            f"{str(folder)!r} holds no finished run (it has no report.json): name the output_dir of one, after it has"
            " ended."
        )
    answers = folder / "answers.after.jsonl"
    rows = answers.read_text(encoding="utf-8").splitlines() if answers.is_file() else []
    run = Run(folder, json.loads(report.read_text(encoding="utf-8")), [json.loads(row) for row in rows])
    if not run.model.is_dir():
        below = sorted(path.parent.relative_to(folder) for path in folder.glob("**/model") if path.is_dir())
        hint = f": name one of its runs, {', '.join(map(str, below[:10]))}" if below else ""
        raise ValueError(f"{str(folder)!r} has a report and no model{hint}.")
    arm_of(run.report)
    return run


def stage_model(run: Run, folder: Path, about: Published, weights: Path, base: str) -> None:
    """Write the repository of a taught model into `folder`: weights, tokenizer, recipe, report, chart and card.

    Args:
        weights: the folder with the model's files: the run's, or one with its adapter merged.
        base: what an adapter calls its base model.

    Raises:
        ValueError: there are no weights in safetensors.
    """
    files = [path for path in sorted(weights.iterdir()) if path.suffix in OF_A_MODEL]
    if not any(path.suffix == WEIGHTS for path in files):
        pickled = [path.name for path in weights.iterdir() if path.suffix in PICKLES]
        there = f", only {', '.join(pickled)}, which can run code on whoever loads it" if pickled else ""
        raise ValueError(f"{str(weights)!r} holds no {WEIGHTS}{there}: save the model with save_pretrained first.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        _copy_file(path, folder / path.name, base)
    report = cleaned(run.report, [run.folder.absolute(), Path.cwd(), Path.home()])
    if (run.folder / "scores.png").is_file():
        shutil.copyfile(run.folder / "scores.png", folder / "scores.png")
    recipe = yaml.safe_dump(report["recipes"][arm_of(report)], sort_keys=True, allow_unicode=True)
    _write(folder / "recipe.yaml", RECIPE_HEAD + recipe)
    _write(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    _write(folder / "README.md", model_card(report, about, run.answers, (folder / "scores.png").is_file()))


def _copy_file(path: Path, to: Path, base: str) -> None:
    """A copy; of a configuration one without paths of this machine."""
    if path.suffix == ".json" and path.name.endswith("config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if "base_model_name_or_path" in config:
            config["base_model_name_or_path"] = base
        _write(to, json.dumps(_without_paths(config), indent=2, ensure_ascii=False) + "\n")
    else:
        shutil.copyfile(path, to)


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_paths(of_name) for name, of_name in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return base_name(value) if isinstance(value, str) and os.path.isabs(value) and len(value) > 1 else value


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def stage_folder(source: Path, folder: Path) -> None:
    """Copy a folder that is published as it is, without caches and what is hidden.

    Raises:
        ValueError: it has no card, or holds a pickle.
    """
    if not (source / "README.md").is_file():
        raise ValueError(f"{str(source)!r} has no README.md, so no card: it is not a folder that is published.")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*LEFT, ".*", "*.py[cod]"), dirs_exist_ok=True)
    if pickled := [path.name for path in folder.rglob("*") if path.suffix in PICKLES]:
        raise ValueError(f"{str(source)!r} holds {', '.join(pickled)}, which can run code on whoever loads it.")


def stage_views(source: Path, folder: Path, repo_id: str, license: str) -> None:
    """Copy a folder of views, with the licence in its card.

    Raises:
        ValueError: as `stage_folder`; or it holds no views.
    """
    stage_folder(source, folder)
    if not list(folder.glob("data/*/*.parquet")):
        raise ValueError(
            f"{str(source)!r} holds no data/*/*.parquet, so no views: write them with"
            f" knowlearn views PATH --export DIR, and publish DIR."
        )
    card = with_license((folder / "README.md").read_text(encoding="utf-8"), license)
    _write(folder / "README.md", card.replace(f'"{UNNAMED}"', f'"{repo_id}"'))


def license_of(card: str) -> str | None:
    """The licence that a card's metadata names."""
    from huggingface_hub import DatasetCard

    named = DatasetCard(card, ignore_metadata_errors=True).data.get("license")
    return named if isinstance(named, str) else None


def with_license(card: str, license: str) -> str:
    """The card with this licence in its metadata, and in place of the request to name one."""
    if license_of(card) != license:
        head = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
        fields = head.match(card)
        data = yaml.safe_load(fields[1]) if fields else {}
        dumped = yaml.safe_dump({**data, "license": license}, sort_keys=False, allow_unicode=True)
        card = f"---\n{dumped}---\n" + (card[fields.end() :] if fields else f"\n{card}")
    return card.replace(UNLICENSED, licensed(license))


def stage_questions(
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    folder: Path,
    repo_id: str,
    license: str,
    sources: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write a dataset of questions: a split of parquet each, and its card.

    Args:
        splits: rows with `QUESTION_COLUMNS`.
        sources: of each split its `source` and `sha256`.
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


def tree(folder: Path) -> str:
    """The files below a folder and their sizes, one a line."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    width = max(map(len, names), default=0)
    return "\n".join(
        f"  {name.ljust(width)}  {path.stat().st_size:>13,}" for name, path in zip(names, files, strict=True)
    )
