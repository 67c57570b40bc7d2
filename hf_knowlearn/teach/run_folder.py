"""Manages a run folder: records which run the folder contains and whether the run is finished, and writes reports."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn.atomic_files import DRAFTS, atomic_write, delete, json_values, write_text
from hf_knowlearn.counts import number_of
from hf_knowlearn.reports.charts import draw, has_scores
from hf_knowlearn.reports.html import to_html
from hf_knowlearn.reports.markdown import to_markdown
from hf_knowlearn.reports.schema import Report
from hf_knowlearn.run_files import (
    ANSWERS,
    CHART,
    CHECKPOINTS,
    MODEL,
    RECIPE,
    REPORT,
    RUN,
    SELF_GENERATED,
    STAGES,
    TIMES,
)

MARK = "# The options of the run of knowlearn in this folder.\n"
MEASURED = ("chat", "perplexity", "knowledge_tokens", "mastery")
# Everything that a run writes. Other files in the folder are never deleted.
OURS = (
    RECIPE,
    RUN,
    TIMES,
    *ANSWERS,
    *(f"{name}.{when}.jsonl" for name in MEASURED for when in ("before", "after")),
    "drift.jsonl",
    "contamination.jsonl",
    SELF_GENERATED,
    STAGES,
    CHECKPOINTS,
    MODEL,
    "report.md",
    "report.html",
    CHART,
    REPORT,
)
OTHERWISE = "Otherwise choose another folder, or pass --overwrite to delete that run."
DISK_FULL = (ENOSPC, EDQUOT, EFBIG)  # error numbers of the operating system
LITTLE_SPACE = 50_000_000  # bytes; with less free space, an error while writing is reported as a full disk


def is_finished(folder: Path, options: Mapping[str, Any], overwrite: bool) -> bool:
    """Return whether `folder` contains the finished run with these options. This function changes nothing.

    Raises:
        ValueError: the folder cannot be created, it contains files but no run, or it contains a run with other options
            and `overwrite` is false.
    """
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        why = "is not writable" if parent.is_dir() else "is not a folder"
        raise ValueError(
            f"output_dir={str(folder)!r} cannot be created: {str(parent)!r} {why}. Choose another folder."
        )
    # Why: a process that was killed before it claimed the folder may have left folders and drafts.
    drafts = set(folder.glob(DRAFTS))
    if not any(path.is_file() and path not in drafts for path in folder.rglob("*")):
        return False
    text = (folder / RECIPE).read_text(encoding="utf-8") if (folder / RECIPE).is_file() else ""
    if not text.startswith(MARK):
        raise ValueError(
            f"output_dir={str(folder)!r} is not empty and contains no run of knowlearn ({RECIPE} of a run is missing)."
            " Choose a new or an empty folder."
        )
    if overwrite:
        return False
    if changed := changed_values(_by_stage(yaml.safe_load(text)), _by_stage(options)):
        raise ValueError(
            f"output_dir={str(folder)!r} contains a run with other options. These differ:\n"
            + "\n".join(changed)
            + "\nChoose another folder, or pass --overwrite to delete that run."
        )
    return (folder / REPORT).is_file()


def changed_values(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each key whose values in `before` and `now` differ."""
    unset = "(not set)"
    return [
        f"  {key}: {before.get(key, unset)!r} in the folder, {now.get(key, unset)!r} now"
        for key in sorted({*before, *now})
        if before.get(key, unset) != now.get(key, unset)
    ]


def _by_stage(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without nesting: `stages.NUMBER.OPTION`, `evaluation.OPTION` and options of the run."""
    flat = {key: value for key, value in options.items() if key not in ("stages", "evaluation")}
    for number, stage in enumerate(options.get("stages", ()), 1):
        flat |= {f"stages.{number}.{key}": value for key, value in stage.items()}
    return flat | {f"evaluation.{key}": value for key, value in (options.get("evaluation") or {}).items()}


def check_data_unchanged(folder: Path, data: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the data of the run in `folder` have not changed since the start of the run.

    Args:
        data: number of items and SHA-256 that each data set has now, by option.

    Raises:
        ValueError: lists the options whose data differ.
    """
    if (before := _recorded(folder, "data")) is None:
        return
    changed = []
    for option in dict.fromkeys([*before, *data]):
        was, now = (sets.get(option, {"n": 0}) for sets in (before, data))
        if was != now:
            same_number = ", but with other content" if was["n"] == now["n"] else ""
            changed.append(f"  --{option}: {number_of(was['n'], 'item')} then, {now['n']:,} now{same_number}")
    if changed:
        raise ValueError(
            f"output_dir={str(folder)!r} contains a run whose data have changed since it started:\n"
            + "\n".join(changed)
            + f"\nRestore the data. {OTHERWISE}"
        )


def check_model_unchanged(folder: Path, model: str, weights: str | None) -> None:
    """Check that the base model of the run in `folder` has not changed since the start of the run.

    Args:
        model: the name of the base model.
        weights: the fingerprint that the weights have now. If the fingerprint is unknown (None), nothing is checked.

    Raises:
        ValueError: the weights differ from those at the start of the run.
    """
    before = _recorded(folder, "weights")
    if before and weights and before != weights:
        raise ValueError(
            f"output_dir={str(folder)!r} contains a run whose base model {model!r} has changed since it started: the"
            f" fingerprint of the weights was {before} then, and is {weights} now. Restore the model. {OTHERWISE}"
        )


def check_rows_per_step(folder: Path, rows_per_step: Sequence[int]) -> None:
    """Check that an unfinished run continues with the number of rows per optimizer step with which it started.

    Raises:
        ValueError: the number of rows per step differs, because the number of processes differs. The remaining steps
            would then have other rows.
    """
    before = _recorded(folder, "rows_per_step")
    if before and before != list(rows_per_step):
        was, now = (" and ".join(map(str, rows)) for rows in (before, rows_per_step))
        raise ValueError(
            f"output_dir={str(folder)!r} contains an unfinished run with {was} rows per optimizer step. This command"
            f" would use {now}, because it runs with another number of processes. Use the same number of processes."
            f" {OTHERWISE}"
        )


def _recorded(folder: Path, name: str) -> Any:
    """Return a value that the run in `folder` recorded at its start. None if no run has started."""
    path = folder / RUN
    return json.loads(path.read_text(encoding="utf-8"))[name] if path.is_file() else None


def claim(
    folder: Path,
    options: Mapping[str, Any],
    data: Mapping[str, Mapping[str, Any]],
    rows_per_step: Sequence[int],
    overwrite: bool,
    weights: str | None = None,
) -> None:
    """Make `folder` the folder of this run. With `overwrite`, first delete the run that it contains.

    Args:
        options: the options of the run.
        data, rows_per_step, weights: see `check_data_unchanged`, `check_rows_per_step` and `check_model_unchanged`.
    """
    if overwrite:
        for name in OURS[::-1]:  # Why reversed: the marked recipe is deleted last, so that a repeat is possible
            delete(folder / name)
    for draft in [*folder.rglob(DRAFTS)]:  # drafts of a killed process
        delete(draft)
    write_text(folder / RECIPE, MARK + yaml.safe_dump(dict(options), sort_keys=True, allow_unicode=True))
    if not (folder / RUN).is_file():
        run = {"id": uuid.uuid4().hex, "data": data, "rows_per_step": list(rows_per_step), "weights": weights}
        write_text(folder / RUN, json.dumps(run, indent=2, ensure_ascii=False) + "\n")


def run_id(folder: Path) -> str:
    """Return the id of the run in `folder`. The manifest of each checkpoint of the run contains this id."""
    return str(_recorded(folder, "id"))


@contextmanager
def disk_full_errors(folder: Path) -> Iterator[None]:
    """Raise a `ValueError` that names the fix if a full disk causes an error within the block."""
    try:
        yield
    except Exception as error:
        parent = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(parent).free
        # Why: the errors of safetensors and torch have no error number, so a lack of free space identifies a full
        # disk.
        full = error.errno in DISK_FULL if isinstance(error, OSError) else free < LITTLE_SPACE
        if not full or isinstance(error, ValueError):
            raise
        raise ValueError(
            f"A file in {str(folder)!r} could not be written ({error}). Only {free / 1e6:,.0f} MB are free. Free some"
            " space and run the same command again. The run then continues from the last complete checkpoint."
        ) from error


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """If the block fails, delete the empty folders that the block created: `folder`, its parents and subfolders."""
    before = {path for path in (*folder.rglob("*"), folder, *folder.parents) if path.exists()}
    try:
        yield
    except BaseException:
        below = sorted(folder.rglob("*"), reverse=True)
        for path in [path for path in (*below, folder, *folder.parents) if path not in before and path.is_dir()]:
            with suppress(OSError):  # not empty
                path.rmdir()
        raise


def write_report(folder: Path, report: Report) -> None:
    """Write the report in all formats. Write report.json last, because this file marks the run as finished."""
    write_text(folder / "report.md", to_markdown(report))
    write_text(folder / "report.html", to_html(report))
    if has_scores(report):
        with atomic_write(folder / CHART) as draft:
            draw(report, draft)
    write_text(folder / REPORT, json.dumps(json_values(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_report(folder: Path) -> Report:
    """Read the report of the finished run in `folder`."""
    report: Report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return report
