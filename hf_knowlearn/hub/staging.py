"""Writes a staging folder, which has exactly the files that are published.

Why a list of allowed kinds of model files (safetensors, JSON, text): a list of forbidden kinds could be incomplete,
and then pickles, checkpoints or logs would be published.
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
    """A finished run.

    Args:
        folder: the output folder of the run.
        model: the folder of the fine-tuned model or adapter.
        is_adapter: whether the folder `model` contains an adapter.
        report: the content of `report.json`.
        recipe: the options of the run.
        answers: the rows of `answers.after.jsonl`. Empty if the file does not exist.
    """

    folder: Path
    model: Path
    is_adapter: bool
    report: Mapping[str, Any]
    recipe: Mapping[str, Any]
    answers: Sequence[Mapping[str, Any]]


def read_run(folder: Path) -> Run:
    """Read the finished run in a folder.

    Raises:
        ValueError: the folder contains no finished run, no model, or several runs.
    """
    model, answers = folder / "model", folder / "answers.after.jsonl"
    if not (folder / "report.json").is_file():
        raise ValueError(
            f"{str(folder)!r} contains no finished run: there is no report.json. Give the output_dir of a"
            " finished run."
        )
    if not model.is_dir():
        below = sorted(path.parent.relative_to(folder) for path in folder.glob("**/model") if path.is_dir())
        fix = f"one of its runs: {', '.join(map(str, below[:10]))}" if below else "a run that saved its model"
        raise ValueError(f"{str(folder)!r} contains a report but no model. Give the folder of {fix}.")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    rows = answers.read_text(encoding="utf-8").splitlines() if answers.is_file() else []
    is_adapter, recipe = (model / "adapter_config.json").is_file(), report["recipes"][single_run(report)]
    return Run(folder, model, is_adapter, report, recipe, list(map(json.loads, rows)))


def stage_model(run: Run, folder: Path, about: Published, weights: Path, base: str) -> None:
    """Write the files of a fine-tuned model to publish: weights, tokenizer, recipe, report, chart and card.

    Args:
        folder: the folder to write to.
        about: facts for the card that the report does not contain.
        weights: the folder with the model of the run or with the merged model.
        base: the name of the base model for the adapter's configuration.

    Raises:
        ValueError: `weights` contains no safetensors file.
    """
    files = [path for path in sorted(weights.iterdir()) if path.suffix in MODEL_FILES]
    if not any(path.suffix == WEIGHTS for path in files):
        names = ", ".join(sorted(path.name for path in weights.iterdir()))
        raise ValueError(
            f"{str(weights)!r} contains no {WEIGHTS} file, only {names}. Save the model with save_pretrained, which"
            f" writes {WEIGHTS} files."
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
    """Copy a file. In a configuration, replace each path of this machine by its last part."""
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
    """Copy a folder that is published unchanged, without caches and hidden files.

    Raises:
        ValueError: the folder contains no card (README.md), or it contains a pickle.
    """
    if not (source / "README.md").is_file():
        raise ValueError(f"{str(source)!r} contains no README.md. Add one: it becomes the card of the repository.")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*IGNORED), dirs_exist_ok=True)
    if pickles := [path.name for path in folder.rglob("*") if path.suffix in PICKLES]:
        raise ValueError(
            f"{str(source)!r} contains {', '.join(pickles)}. These are pickles, which can run code when they are"
            " loaded. Remove them."
        )


def stage_views(source: Path, folder: Path, repo_id: str, license: str | None) -> None:
    """Copy a folder of views, and write the licence and the name of the repository into its card.

    Args:
        license: the licence. None: the licence that the card already has.

    Raises:
        ValueError: the folder contains no views, its card has no licence and none is given, or `stage_folder` raises
            an error.
    """
    stage_folder(source, folder)
    if not list(folder.glob("data/*/*.parquet")):
        raise ValueError(
            f"{str(source)!r} contains no views (data/*/*.parquet). Write views with knowlearn views PATH --export"
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
        splits: the rows of each split, with the columns `QUESTION_COLUMNS`.
        folder: the folder to write to.
        sources: for each split, the `source` of its questions (a name) and their `sha256`.
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
    """Return a text that lists all files in a folder, with the size of each file in bytes."""
    from tabulate import tabulate

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [("", path.relative_to(folder).as_posix(), f"{path.stat().st_size:,}") for path in files]
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=("left", "left", "right"))
