"""Transcript: the answers of a run of asking as a JSONL that grows while it is asked, and from which it goes on.

Its first line says what was asked of which weights, and a file of anything else is refused. The surprising decision:
each process writes a part of its own beside the file (`answers.jsonl.part0`), and the file appears when all is
answered, so that it is never half a file.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

Key = tuple[str, int]  # question id, prompt number


class Reply(NamedTuple):
    """What was said to one prompt: the greedy answer and the sampled ones, and how the greedy one ended."""

    texts: list[str]
    ended: str


class AnswerCache:
    """Answers by (question id, prompt number), kept in files at and beside `path`.

    Args:
        header: what the answers depend on, of plain values.
        rank: of this process.

    Raises:
        ValueError: a file there is of another header, or no transcript.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], rank: int = 0) -> None:
        self.path, self.rank = path, rank
        self.header: dict[str, Any] = json.loads(json.dumps(header))
        self.there: dict[Key, Reply] = {}
        for file in (path, *self.parts()):
            if file.exists():
                self.there.update(_read(file, self.header)[0])
        self.part: TextIO | None = None

    def parts(self) -> list[Path]:
        """The parts beside the file, of any number of processes."""
        return sorted(self.path.parent.glob(f"{self.path.name}.part*"))

    def __enter__(self) -> "AnswerCache":
        file = self.path.with_name(f"{self.path.name}.part{self.rank}")
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = _read(file, self.header)[1] if file.exists() else 0
        self.part = file.open("a", encoding="utf-8")
        self.part.truncate(whole)  # a line that a crash has torn
        if not whole:
            self._write([self.header])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.part is not None
        self.part.close()

    def append(self, answers: Mapping[Key, Reply]) -> None:
        """Write answers down, so that they are there whatever happens next."""
        self._write(_line(key, reply) for key, reply in answers.items())

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        assert self.part is not None
        self.part.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self.part.flush()

    def finish(self, answers: Mapping[Key, Reply]) -> None:
        """Write the file whole, and delete its parts; by one process, when all are done."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.draft")
        lines = [self.header, *(_line(key, reply) for key, reply in answers.items())]
        draft.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        os.replace(draft, self.path)
        for part in self.parts():
            part.unlink()


def _line(key: Key, reply: Reply) -> dict[str, Any]:
    greedy, *sampled = reply.texts
    return {"id": key[0], "prompt": key[1], "greedy": greedy, "sampled": sampled, "ended": reply.ended}


def _read(file: Path, header: Mapping[str, Any]) -> tuple[dict[Key, Reply], int]:
    """The answers in a file, and the bytes of its whole lines: the last one may have been torn by a crash."""
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].splitlines()
    if not lines:
        return {}, 0
    try:
        theirs, *rows = [json.loads(line) for line in lines]
        # A file of an earlier version doesn't say how its answers ended.
        answers = {
            (row["id"], row["prompt"]): Reply([row["greedy"], *row["sampled"]], row.get("ended", "")) for row in rows
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(file)!r} is no transcript of answers ({error!r}): choose another file.") from None
    if theirs != header:
        keys = sorted(key for key in {*theirs, *header} if theirs.get(key) != header.get(key))
        differ = "\n".join(f"  {key}: {theirs.get(key)!r} there, {header.get(key)!r} now" for key in keys)
        raise ValueError(
            f"{str(file)!r} holds answers of another asking. These differ:\n{differ}\nChoose another file, or delete"
            " that one."
        )
    return answers, whole
