"""The answer cache: a JSONL file of responses that grows during generation. An interrupted run continues from it.

The first line of the file has everything that the responses depend on. Each process appends to its own part file
(`answers.jsonl.part0`). The whole file is written at the end.
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
        texts: the greedy response, then the sampled ones.
        ended: why the greedy response ended, see `Responses.ended`.
    """

    texts: list[str]
    ended: str


class AnswerCache:
    """Responses by (question id, prompt number), stored at `path` and in parts beside it.

    Args:
        path: a JSONL file. All processes must see its folder.
        header: everything that the responses depend on, as JSON values.
        rank: number of this process.

    Raises:
        ValueError: a file at `path` has another header, or is not an answer cache.

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
        self._has_whole_lines = False  # whether `_part` begins with the header and ends with a line break

    def parts(self) -> list[Path]:
        """The part files beside the file, from any number of processes."""
        return sorted(self.path.parent.glob(f"{self.path.name}.part*"))

    def append(self, responses: Mapping[CacheKey, PromptResponses]) -> None:
        """Write responses to the part of this process."""
        if not self._has_whole_lines:
            stored = _whole_lines(self._part) if self._part.exists() else b""
            atomic_files.write_text(self._part, stored.decode() or _lines([self.header]))
            self._has_whole_lines = True
        with self._part.open("a", encoding="utf-8") as file:
            file.write(_lines(_row(*item) for item in responses.items()))

    def finish(self, responses: Mapping[CacheKey, PromptResponses]) -> None:
        """Write the whole file and delete the part files. One process calls this method after all processes have
        finished."""
        atomic_files.write_text(self.path, _lines([self.header, *(_row(*item) for item in responses.items())]))
        for part in self.parts():
            part.unlink()


def _row(key: CacheKey, responses: PromptResponses) -> dict[str, Any]:
    greedy, *sampled = responses.texts
    return {"id": key[0], "prompt": key[1], "greedy": greedy, "sampled": sampled, "ended": responses.ended}


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _whole_lines(file: Path) -> bytes:
    """The content of a file. If a crash truncated the last line, this line is left out."""
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _read(file: Path, header: Mapping[str, Any]) -> dict[CacheKey, PromptResponses]:
    """The responses in a file."""
    lines = _whole_lines(file).splitlines()
    if not lines:
        return {}
    try:
        stored, *rows = [json.loads(line) for line in lines]
        responses = {
            (row["id"], row["prompt"]): PromptResponses([row["greedy"], *row["sampled"]], row["ended"]) for row in rows
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(file)!r} is not an answer cache ({error!r}): choose another file.") from None
    if stored != header:
        names = sorted(name for name in {*stored, *header} if stored.get(name) != header.get(name))
        differences = "\n".join(f"  {name}: {stored.get(name)!r} there, {header.get(name)!r} now" for name in names)
        raise ValueError(
            f"{str(file)!r} contains answers of another model, or for other prompts or settings:\n{differences}\n"
            "Choose another file, or delete that one."
        )
    return responses
