"""The output folder of a run: whose it is, whether it is finished, and files that appear whole or not at all."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any

import yaml

from hf_knowlearn.atomic_files import DRAFTS, atomic_write, delete, json_values, write_text
from hf_knowlearn.reports.charts import draw
from hf_knowlearn.reports.html import to_html
from hf_knowlearn.reports.markdown import to_markdown
from hf_knowlearn.reports.schema import Report
from hf_knowlearn.run_files import RECIPE, REPORT, RUN

MARK = "# The options of a run of knowlearn, which lies in this folder.\n"
# All that a run writes. Whatever else lies in its folder is not ours to delete.
ANSWERS = ("answers.before.jsonl", "answers.open_book.jsonl", "answers.after.jsonl")
LISTS = (
    *ANSWERS,
    *(f"{name}.{when}.jsonl" for name in ("knowledge_tokens", "mastery") for when in ("before", "after")),
    "leaks.jsonl",
)
# What the operating system says of a file that has no room, and what safetensors and torch make of it.
FULL = (ENOSPC, EDQUOT, EFBIG)
NO_ROOM = re.compile(
    rf"\(os error ({'|'.join(map(str, FULL))})\)|PytorchStreamWriter failed|unexpected pos \d+ vs \d+"
)
OURS = (
    RECIPE,
    RUN,
    *LISTS,
    "replay.self.jsonl",
    "stages",
    "checkpoints",
    "model",
    "report.md",
    "report.html",
    "scores.png",
    REPORT,
)


def is_finished(folder: Path, recipe: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether `folder` holds the finished run of `recipe`. Looks, and changes nothing.

    Raises:
        ValueError: the folder holds another recipe's run and `overwrite` is not set; or what it holds is no run of
            ours, which `overwrite` does not delete either.
    """
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        why = "can't be written" if place.is_dir() else "is no folder"
        raise ValueError(f"output_dir={str(folder)!r} can't be made: {str(place)!r} {why}. Choose another.")
    # A process that was killed may have left folders and drafts before it could make the folder its own.
    drafts = set(folder.glob(DRAFTS))
    if not any(path.is_file() and path not in drafts for path in folder.rglob("*")):
        return False
    text = (folder / RECIPE).read_text(encoding="utf-8") if (folder / RECIPE).is_file() else ""
    if not text.startswith(MARK):
        raise ValueError(
            f"output_dir={str(folder)!r} is not empty and no run of knowlearn (it holds no {RECIPE} that a run wrote):"
            f" choose a folder that is new or empty."
        )
    if overwrite:
        return False
    if differ := differences(_by_stage(yaml.safe_load(text)), _by_stage(recipe)):
        raise ValueError(
            f"output_dir={str(folder)!r} holds the run of another recipe. These keys differ:\n"
            + "\n".join(differ)
            + "\nChoose another folder, or pass --overwrite to delete that run."
        )
    return (folder / REPORT).is_file()


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each key whose values differ, between what lies in a folder and what is asked for."""
    unset = "(not set)"
    return [
        f"  {key}: {there.get(key, unset)!r} there, {now.get(key, unset)!r} now"
        for key in sorted({*there, *now})
        if there.get(key, unset) != now.get(key, unset)
    ]


def _by_stage(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with those of the stages beside them as `stages.1.max_steps`."""
    of_stages = {
        f"stages.{number}.{key}": value
        for number, stage in enumerate(recipe.get("stages", ()), 1)
        for key, value in stage.items()
    }
    return {**{key: value for key, value in recipe.items() if key != "stages"}, **of_stages}


def refuse_other_data(folder: Path, data: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to go on with a run whose data have changed since it began.

    Args:
        data: the number of items and the SHA-256 of each set that is read, by the option that names it.

    Raises:
        ValueError: with the options whose data differ.
    """
    if not (folder / RUN).is_file():
        return
    there = json.loads((folder / RUN).read_text(encoding="utf-8"))["data"]
    none = {"n": 0}
    differ = [
        f"  --{option}: {there.get(option, none)['n']} then, {data.get(option, none)['n']} now"
        + (", not the same ones" if there.get(option, none)["n"] == data.get(option, none)["n"] else "")
        for option in dict.fromkeys([*there, *data])
        if there.get(option) != data.get(option)
    ]
    if differ:
        raise ValueError(
            f"output_dir={str(folder)!r} holds a run that is not finished, and its data have changed since it began:\n"
            + "\n".join(differ)
            + "\nPut them back as they were to go on with it, choose another folder, or pass --overwrite to delete"
            " that run."
        )


def claim(folder: Path, recipe: Mapping[str, Any], data: Mapping[str, Mapping[str, Any]], overwrite: bool) -> None:
    """Make `folder` the place of the run of `recipe` on `data`: marked, and without the run before if `overwrite`."""
    if overwrite:
        for name in OURS[::-1]:  # the mark last, so that it can be done again if it is cut short
            delete(folder / name)
    for draft in [*folder.rglob(DRAFTS)]:  # of a process that was killed
        delete(draft)
    write_text(folder / RECIPE, MARK + yaml.safe_dump(dict(recipe), sort_keys=True, allow_unicode=True))
    if not (folder / RUN).is_file():
        write_text(
            folder / RUN, json.dumps({"id": uuid.uuid4().hex, "data": data}, indent=2, ensure_ascii=False) + "\n"
        )


def run_id(folder: Path) -> str:
    """The id of the run that claimed `folder`, by which it knows what it wrote itself."""
    run: str = json.loads((folder / RUN).read_text(encoding="utf-8"))["id"]
    return run


@contextmanager
def room_for(folder: Path) -> Iterator[None]:
    """Within the block, a file that the disk has no room for is told of as what the user can mend.

    Raises:
        ValueError: in place of what the operating system, safetensors or torch said.
    """
    try:
        yield
    except Exception as error:
        if (error.errno if isinstance(error, OSError) else None) not in FULL and not NO_ROOM.search(str(error)):
            raise
        place = next(path for path in (folder, *folder.parents) if path.exists())
        left = f"{shutil.disk_usage(place).free / 1e6:,.0f} MB"
        raise ValueError(
            f"output_dir={str(folder)!r}: a file could not be written ({error}), and the run has stopped. There are"
            f" {left} left: make room. Whatever was written whole is kept, the last good checkpoint too, and the same"
            " command goes on from there."
        ) from error


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """If the block fails, the folders that it made at and below `folder` are gone again, where they are empty."""
    there = {path for path in (*folder.rglob("*"), folder, *folder.parents) if path.exists()}
    try:
        yield
    except BaseException:
        below = sorted(folder.rglob("*"), reverse=True)
        for path in [path for path in (*below, folder, *folder.parents) if path not in there and path.is_dir()]:
            with suppress(OSError):  # not empty, so not to be deleted
                path.rmdir()
        raise


def write_report(folder: Path, report: Report) -> None:
    """report.md, report.html and scores.png, then report.json: a folder that holds the last holds a finished run."""
    write_text(folder / "report.md", to_markdown(report))
    write_text(folder / "report.html", to_html(report))
    with atomic_write(folder / "scores.png") as draft:
        draw(report, draft)
    write_text(folder / REPORT, json.dumps(json_values(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_report(folder: Path) -> Report:
    """The report of the finished run that `folder` holds."""
    report: Report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return report
