"""Stores responses in a JSONL file during generation, so that an interrupted run can continue.

The first line of the file is the header: all values on which the responses depend. During generation, each process
appends its responses to a separate part file, such as `answers.jsonl.part0`. At the end, one file replaces all part
files.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hf_knowlearn import atomic_files

CacheKey = tuple[str, int]  # question id, prompt number


class PromptResponses(NamedTuple):
    """The responses to one prompt.

    Args:
        texts: The greedy response, followed by the sampled responses.
        ended: What ended the greedy response (see `Responses.ended`).
    """

    texts: list[str]
    ended: str


class AnswerCache:
    """Reads and writes the responses to prompts. The key of a prompt is its question id and its prompt number.

    Args:
        path: A JSONL file in a folder that all processes can access.
        header: All values on which the responses depend, as values that JSON can store.
        rank: The index of this process, from 0.

    Raises:
        ValueError: The file is not an answer cache, or the header in the file differs from `header`.

    Example:
        >>> cache = AnswerCache(Path("answers.jsonl"), {"seed": 0})
        >>> cache.append({("q1", 0): PromptResponses(["Lyon"], "line")})
        >>> cache.finish({("q1", 0): PromptResponses(["Lyon"], "line")})
    """

    def __init__(self, path: Path, header: Mapping[str, Any], rank: int = 0) -> None:
        self.path = path
        self.header: dict[str, Any] = json.loads(json.dumps(header))
        self.stored: dict[CacheKey, PromptResponses] = {}
        for file in (path, *self.parts()):
            if file.exists():
                self.stored.update(_read(file, self.header))
        self._part = path.with_name(f"{path.name}.part{rank}")
        self._has_whole_lines = False  # whether the part file begins with the header and ends with a line break

    def parts(self) -> list[Path]:
        """Return the paths of the part files of all processes."""
        return sorted(self.path.parent.glob(f"{self.path.name}.part*"))

    def append(self, responses: Mapping[CacheKey, PromptResponses]) -> None:
        """Append responses to the part file of this process."""
        if not self._has_whole_lines:
            stored = _whole_lines(self._part) if self._part.exists() else b""
            atomic_files.write_text(self._part, stored.decode() or _lines([self.header]))
            self._has_whole_lines = True
        with self._part.open("a", encoding="utf-8") as file:
            file.write(_lines(_row(*item) for item in responses.items()))

    def finish(self, responses: Mapping[CacheKey, PromptResponses]) -> None:
        """Write all responses to one file and delete the part files.

        Only one process may call this method, after all processes have finished.
        """
        atomic_files.write_text(self.path, _lines([self.header, *(_row(*item) for item in responses.items())]))
        for part in self.parts():
            part.unlink()


def _row(key: CacheKey, responses: PromptResponses) -> dict[str, Any]:
    greedy, *sampled = responses.texts
    return {"id": key[0], "prompt": key[1], "greedy": greedy, "sampled": sampled, "ended": responses.ended}


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _whole_lines(file: Path) -> bytes:
    """Return the content of a file without its last line if a crash truncated this line."""
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _read(file: Path, header: Mapping[str, Any]) -> dict[CacheKey, PromptResponses]:
    """Return the responses in a cache file. Raise a `ValueError` if the header in the file differs from `header`."""
    lines = _whole_lines(file).splitlines()
    if not lines:
        return {}
    try:
        stored, *rows = [json.loads(line) for line in lines]
        responses = {
            (row["id"], row["prompt"]): PromptResponses([row["greedy"], *row["sampled"]], row["ended"]) for row in rows
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(file)!r} is not an answer cache ({error!r}). Choose another file.") from None
    if stored != header:
        names = sorted(name for name in {*stored, *header} if stored.get(name) != header.get(name))
        differences = "\n".join(
            f"  {name}: {stored.get(name)!r} in the file, {header.get(name)!r} now" for name in names
        )
        raise ValueError(
            f"{str(file)!r} contains answers of another model, or answers for other prompts or settings:\n"
            f"{differences}\nChoose another file, or delete this file."
        )
    return responses
