"""Staging: a folder with exactly the files that are published.

Why: only allowed kinds of files of a model are published (safetensors, JSON, text). A list of forbidden kinds could
miss one, such as pickles, checkpoints or logs.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import metadata_load, metadata_save

from hf_knowlearn.hub.cards import model_card
from hf_knowlearn.hub.dataset_cards import UNNAMED, questions_card
from hf_knowlearn.hub.licenses import unlicensed
from hf_knowlearn.hub.metadata import Published, single_run
from hf_knowlearn.hub.redaction import last_part, map_texts, redacted

WEIGHTS = ".safetensors"
MODEL_FILES = (WEIGHTS, ".json", ".jinja", ".txt", ".model")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
IGNORED = ("__pycache__", ".*", "*.py[cod]")
CHART = "scores.png"
RECIPE_HEADER = "# The options of a run of knowlearn. Paths are shortened to their last part.\n"
QUESTION_COLUMNS = ("id", "question", "answers", "document_id", "relation", "fact_id", "options", "kind")


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, model, report and options, and the rows of `answers.after.jsonl` (empty if the file
    does not exist)."""

    folder: Path
    model: Path
    is_adapter: bool
    report: Mapping[str, Any]
    recipe: Mapping[str, Any]
    answers: Sequence[Mapping[str, Any]]


def read_run(folder: Path) -> Run:
    """The finished run in a folder.

    Raises:
        ValueError: the folder has no finished run, several runs, or no model.
    """
    model, answers = folder / "model", folder / "answers.after.jsonl"
    if not (folder / "report.json").is_file():
        raise ValueError(
            f"{str(folder)!r} contains no finished run (no report.json). Give the output_dir of a finished run."
        )
    if not model.is_dir():
        below = sorted(path.parent.relative_to(folder) for path in folder.glob("**/model") if path.is_dir())
        hint = f". Give the folder of one of its runs: {', '.join(map(str, below[:10]))}" if below else ""
        raise ValueError(f"{str(folder)!r} contains a report but no model{hint}.")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    rows = answers.read_text(encoding="utf-8").splitlines() if answers.is_file() else []
    is_adapter, recipe = (model / "adapter_config.json").is_file(), report["recipes"][single_run(report)]
    return Run(folder, model, is_adapter, report, recipe, list(map(json.loads, rows)))


def stage_model(run: Run, folder: Path, about: Published, weights: Path, base: str) -> None:
    """Write the repository of a fine-tuned model: weights, tokenizer, recipe, report, chart and card.

    Args:
        weights: folder of the model's files: the folder of the run, or a folder with the merged model.
        base: name of the base model to write into the adapter's configuration.

    Raises:
        ValueError: there are no weights in safetensors.
    """
    files = [path for path in sorted(weights.iterdir()) if path.suffix in MODEL_FILES]
    if not any(path.suffix == WEIGHTS for path in files):
        names = ", ".join(sorted(path.name for path in weights.iterdir()))
        raise ValueError(
            f"{str(weights)!r} contains no {WEIGHTS}, only {names}. Save the model with save_pretrained, which writes"
            " safetensors."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        _copy_file(path, folder / path.name, base)
    report = redacted(run.report, [run.folder.absolute(), Path.cwd(), Path.home()])
    has_chart = (run.folder / CHART).is_file()
    if has_chart:
        shutil.copyfile(run.folder / CHART, folder / CHART)
    recipe = yaml.safe_dump(report["recipes"][single_run(report)], sort_keys=True, allow_unicode=True)
    _write(folder / "recipe.yaml", RECIPE_HEADER + recipe)
    _write_json(folder / "report.json", report)
    _write(folder / "README.md", model_card(report, about, run.answers, has_chart))


def _copy_file(source: Path, target: Path, base: str) -> None:
    """Copy a file. In a configuration, replace the paths of this machine."""
    if not source.name.endswith("config.json"):
        shutil.copyfile(source, target)
        return
    config = json.loads(source.read_text(encoding="utf-8"))
    if "base_model_name_or_path" in config:
        config["base_model_name_or_path"] = base
    config = map_texts(config, lambda text: last_part(text) if os.path.isabs(text) and len(text) > 1 else text)
    _write_json(target, config)


def _write_json(path: Path, value: Any) -> None:
    _write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def stage_folder(source: Path, folder: Path) -> None:
    """Copy a folder that is published unchanged. Caches and hidden files are left out.

    Raises:
        ValueError: the folder has no card, or contains a pickle.
    """
    if not (source / "README.md").is_file():
        raise ValueError(
            f"{str(source)!r} has no README.md. Its README.md becomes the card of the repository: add one."
        )
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*IGNORED), dirs_exist_ok=True)
    if pickles := [path.name for path in folder.rglob("*") if path.suffix in PICKLES]:
        raise ValueError(
            f"{str(source)!r} contains {', '.join(pickles)}, and loading a pickle can run code. Remove these files."
        )


def stage_views(source: Path, folder: Path, repo_id: str, license: str | None) -> None:
    """Copy a folder of views, and write the licence into the metadata of its card: the given licence, or that of the
    card.

    Raises:
        ValueError: see `stage_folder`; or the folder has no views, or there is no licence.
    """
    stage_folder(source, folder)
    if not list(folder.glob("data/*/*.parquet")):
        raise ValueError(
            f"{str(source)!r} contains no views (data/*/*.parquet). Write them with knowlearn views PATH --export"
            " DIR, and publish DIR."
        )
    card = folder / "README.md"
    fields = metadata_load(card) or {}
    if license is None and "license" not in fields:
        raise ValueError(unlicensed(str(source / card.name)))
    if license not in (None, fields.get("license")):
        metadata_save(card, {**fields, "license": license})
    _write(card, card.read_text(encoding="utf-8").replace(f'"{UNNAMED}"', f'"{repo_id}"'))


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
        table = pa.Table.from_pylist(list(rows), schema)
        parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    _write(folder / "README.md", questions_card(splits, repo_id, license, sources))


def file_list(folder: Path) -> str:
    """The files below a folder and their sizes, one per line."""
    from tabulate import tabulate

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [("", path.relative_to(folder).as_posix(), f"{path.stat().st_size:,}") for path in files]
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=("left", "left", "right"))
