"""Documents and questions: read from plain files (in Unicode NFC, UAX #15), checked, and cut into parts that tile.

The surprising decision: nothing is repaired or skipped in silence. A document is taken whole or refused, all
problems of a data set are told at once, and a part keeps its white space, so the parts joined are the document.
"""

from __future__ import annotations

import json
import logging
import os
import re
import reprlib
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from hf_knowlearn.knowledge_recall.scoring import normalize

logger = logging.getLogger(__name__)

Item = TypeVar("Item", "Document", "Question")


@dataclass(frozen=True)
class Document:
    """A text to be learned, or one part of it: `start` is the part's character offset in the whole document's text."""

    id: str
    text: str
    title: str = ""
    language: str = "en"
    part: int = 0
    start: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)  # a dict has no hash; documents go into sets

    def __post_init__(self) -> None:
        _refuse(f"Document {_show(self.id)}", _wrong_document(self))


@dataclass(frozen=True)
class Question:
    """A question with its accepted answers; `fact_id` joins the wordings of one fact."""

    id: str
    text: str
    answers: tuple[str, ...]
    document_id: str | None = None
    relation: str | None = None
    fact_id: str | None = None
    options: tuple[str, ...] = ()
    kind: str | None = None

    def __post_init__(self) -> None:
        _refuse(f"Question {_show(self.id)}", _wrong_question(self))


def _refuse(who: str, wrong: Iterator[str]) -> None:
    if problems := list(wrong):
        raise ValueError(f"{who}: {'; '.join(problems)}.")


def _wrong_document(document: Document) -> Iterator[str]:
    yield from _wrong_text("id", document.id)
    yield from _wrong_text("text", document.text)
    yield from _wrong_text("title", document.title, may_be_blank=True)
    yield from _wrong_text("language", document.language)
    for name in ("part", "start"):
        value = getattr(document, name)
        if type(value) is not int or value < 0:  # a bool is an int to isinstance
            yield f"{name} must be a whole number from 0 up, got {_show(value)}"
    if not isinstance(document.metadata, Mapping):
        yield f"metadata must be a mapping, got {_show(document.metadata)}"


def _wrong_question(question: Question) -> Iterator[str]:
    yield from _wrong_text("id", question.id)
    yield from _wrong_text("text", question.text)
    for name in ("document_id", "relation", "fact_id", "kind"):
        if (value := getattr(question, name)) is not None:
            yield from _wrong_text(name, value)
    yield from _wrong_texts("options", question.options)
    wrong_answers = list(_wrong_texts("answers", question.answers))
    yield from wrong_answers or _unanswerable(question.answers)


def _wrong_texts(name: str, values: object) -> Iterator[str]:
    if not isinstance(values, tuple):
        yield f"{name} must be a tuple of strings, such as ('Paris',), got {_show(values)}"
        return
    for index, value in enumerate(values):
        yield from _wrong_text(f"{name}[{index}]", value, may_be_blank=True)


def _unanswerable(answers: tuple[str, ...]) -> Iterator[str]:
    """An answer is compared after normalisation: one that is nothing then would be recalled by an empty reply."""
    if not answers:
        yield "there is no answer; a question needs at least one"
    elif not any(map(normalize, answers)):
        yield (
            f"of the answers {_show(list(answers))} nothing is left once case, punctuation and a/an/the are dropped; "
            "give an answer with a word in it"
        )


def _wrong_text(name: str, value: object, may_be_blank: bool = False) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name} must be a string, got {_show(value)}"
    elif not may_be_blank and not value.strip():
        yield f"{name} is {'only white space' if value else 'empty'}; give it a word"
    elif (place := _lone_surrogate(value)) is not None:
        yield (
            f"{name} holds half a surrogate pair ({value[place]!a} at character {place}), which can't be encoded; "
            "replace or remove it"
        )


def _lone_surrogate(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


_short = reprlib.Repr()  # a wrong value can be 50 MB long or nested without end
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = 20


def _show(value: object) -> str:
    """The value as Python writes it, with its type where that is the news, short enough for one line."""
    shown = _short.repr(value)
    return shown if isinstance(value, str | list) else f"{type(value).__name__} {shown}"


# Reading


def read_documents(path: str | os.PathLike[str]) -> list[Document]:
    """Documents of a `.txt`, `.md` or `.jsonl` file, or of all such files in a folder and its folders, sorted by name.

    A text file is one document: its id is the path below the folder, its title the file's stem, or the first `# `
    heading of a `.md`. A `.jsonl` row needs `text` and may have `title` and `language`; its id is the first of
    `id`, `document_id`, `wiki_id` that it has, else `<file>:<line>`; all other columns go to `metadata`.
    Texts come out in NFC, with `\n` line ends and no byte order mark. Raises one ValueError with all problems.
    """
    problems = _Problems(f"The documents at {os.fspath(path)[:300]}")
    makers = {".jsonl": _document_of_row, ".md": _document_of_markdown, ".txt": _document_of_text}
    documents = list(_read(path, makers, problems))
    problems.raise_if_any()
    logger.info("Read %d documents from %s.", len(documents), os.fspath(path))
    return documents


def read_questions(path: str | os.PathLike[str], on_bad: str = "raise") -> list[Question]:
    """Questions of a `.jsonl` file: `question` or `text`; `answers` (a list, or SQuAD's {"text": [...]}) or `answer`.

    Optional: `id` (else `<file>:<line>`), `document_id` or `wiki_id`, `relation`, `fact_id`, `options`, `kind`.
    Raises one ValueError with all problems. With `on_bad="drop"` bad lines are left out and logged, each by its line.
    """
    if on_bad not in ("raise", "drop"):
        raise ValueError(f'on_bad must be "raise" or "drop", got {_show(on_bad)}.')
    problems = _Problems(f"The questions at {os.fspath(path)[:300]}")
    questions = list(_read(path, {".jsonl": _question_of_row}, problems))
    droppable = bool(questions) and not problems.of_whole_files()
    if on_bad == "raise" or not droppable:
        problems.raise_if_any('To go on without the bad lines: on_bad="drop".' if droppable else "")
    elif problems:
        logger.warning("Dropped bad lines. %s", problems.listing())
    logger.info("Read %d questions from %s.", len(questions), os.fspath(path))
    return questions


class _Problems:
    """What is wrong with a data set, to be told at once; lines of one file with the same trouble share an entry."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.lines: dict[tuple[str, str], list[int]] = {}  # (file, what) -> lines, 0 for the file itself

    def __bool__(self) -> bool:
        return bool(self.lines)

    def add(self, file: str | os.PathLike[str], what: str, line: int = 0) -> None:
        self.lines.setdefault((os.fspath(file), what), []).append(line)

    def of_whole_files(self) -> bool:
        return any(0 in lines for lines in self.lines.values())

    def listing(self, most: int | None = None, most_lines: int | None = None) -> str:
        entries = [_entry(file, what, at, most_lines) for (file, what), at in islice(self.lines.items(), most)]
        if unsaid := len(self.lines) - len(entries):
            entries.append(f"  ... and {unsaid} more kinds of problem.")
        count = sum(map(len, self.lines.values()))
        text = "\n".join([f"{self.subject}: {count} problem{'s' * (count > 1)}.", *entries])
        return text.encode(errors="backslashreplace").decode()  # a file's name may hold bytes no terminal can show

    def raise_if_any(self, way_out: str = "") -> None:
        if self:
            raise ValueError("\n".join(filter(None, [self.listing(most=20, most_lines=3), way_out])))


def _entry(file: str, what: str, lines: list[int], most: int | None) -> str:
    place = f"{file}:{lines[0]}" if lines[0] else file
    others = ", ".join(map(str, lines[1:most]))
    unsaid = f" and {len(lines) - most} more" if most and len(lines) > most else ""
    return f"  {place}: {what}." + (f" (The same at line {others}{unsaid}.)" if others else "")


def _read(
    path: str | os.PathLike[str], makers: Mapping[str, Callable[[str, str], Item]], problems: _Problems
) -> Iterator[Item]:
    """The items of all files; what is wrong goes to `problems`, so that the rest is still looked at."""
    taken: dict[str, str] = {}  # id -> where
    for file, name in _files(path, tuple(makers), problems):
        for line, item in _items(file, name, makers[file.suffix.lower()], problems):
            if item.id in taken:
                problems.add(file, f"the id {_show(item.id)} is taken by {taken[item.id]}; give each its own", line)
            else:
                taken[item.id] = f"{file}:{line}" if line else str(file)
                yield item


def _items(file: Path, name: str, make: Callable[[str, str], Item], problems: _Problems) -> Iterator[tuple[int, Item]]:
    rows = 0
    try:
        for line, offset, raw in _lines(file):
            rows += 1
            place = f"{name}:{line}" if line else name
            try:
                item = make(_decoded(raw, offset), place)
            except ValueError as error:
                # The entry names file and line already: not once more as the id made from them.
                problems.add(file, str(error).rpartition(f"{_show(place)}: ")[2].rstrip("."), line)
            else:
                yield line, item
    except OSError as error:
        problems.add(file, f"can't be read ({error.strerror}); see what it is and who may read it")
    else:
        if not rows:
            problems.add(file, "holds no line; write one JSON object a line, or take the file away")


def _lines(file: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line, byte offset, bytes): a `.jsonl` line by line without the blank ones, any other file whole, as line 0."""
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(0, "a pipe or a device, not a file")  # opening a pipe would wait for ever
    with open(file, "rb") as opened:
        if file.suffix.lower() != ".jsonl":
            yield 0, 0, opened.read()
            return
        offset = 0
        for line, raw in enumerate(opened, 1):
            if raw.removeprefix(_BOM).strip():
                yield line, offset, raw
            offset += len(raw)


_BOM = b"\xef\xbb\xbf"


def _decoded(raw: bytes, offset: int) -> str:
    skipped = len(_BOM) if offset == 0 and raw.startswith(_BOM) else 0
    try:
        return raw[skipped:].decode()
    except UnicodeDecodeError as error:
        place = error.start + skipped
        hint = "it looks like UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte is 0x{raw[place]:02x}"
        message = f"not UTF-8 at byte {offset + place} ({hint}); save the file as UTF-8"
        raise ValueError(message) from None


# Which files


def _files(path: str | os.PathLike[str], suffixes: tuple[str, ...], problems: _Problems) -> list[tuple[Path, str]]:
    """(file, its name below `path`) of the files to read."""
    root, read = Path(path), ", ".join(suffixes)
    if not os.fspath(path):
        problems.add("''", "an empty path would mean the current folder; write '.' for that")
    elif not os.path.exists(path):  # unlike Path.exists, never raises
        at = f" (from {os.getcwd()})" * (not root.is_absolute())
        problems.add(str(root)[:300], f"nothing is there{at}; give a {read} file or a folder of them")
    elif root.is_dir():
        return _files_in(root, suffixes, problems)
    elif root.suffix.lower() not in suffixes:
        problems.add(root, f"a file with suffix {root.suffix!r} is not read; give a {read} file or a folder of them")
    else:
        return [(root, root.name)]
    return []


def _files_in(folder: Path, suffixes: tuple[str, ...], problems: _Problems) -> list[tuple[Path, str]]:
    above = set(map(str, Path(os.path.realpath(folder)).parents))  # a link to there would lead round
    found = [(file, file.relative_to(folder).as_posix()) for file in _walk(folder, above, problems)]
    chosen = [(file, name) for file, name in found if file.suffix.lower() in suffixes]
    others = [name for file, name in found if file.suffix.lower() not in suffixes]
    named = ", ".join(others[:5]) + f" and {len(others) - 5} more" * (len(others) > 5)
    if not chosen and not problems:
        there = f"only {named}" if others else "no file"
        problems.add(folder, f"holds {there}; read are {', '.join(suffixes)} files, and no hidden ones")
    elif others:
        logger.warning("Left unread in %s, by their suffix: %s.", folder, named)
    return chosen


def _walk(folder: Path, seen: set[str], problems: _Problems) -> Iterator[Path]:
    """Files below `folder`, sorted, no hidden ones; a link back up, or a second way in, isn't followed."""
    if (real := os.path.realpath(folder)) in seen:
        return
    seen.add(real)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        problems.add(folder, f"can't be opened ({error.strerror}); see who may read it")
        return
    for name in names:
        if os.path.isdir(folder / name):
            yield from _walk(folder / name, seen, problems)
        else:
            yield folder / name


# From text and rows


def _clean(value: Any) -> Any:
    """NFC, since a tokenizer and a scorer see two spellings of é as two words; one kind of line end."""
    if not isinstance(value, str):
        return value
    if (place := value.find("\0")) >= 0:
        raise ValueError(f"a NUL at character {place}; is it a binary or a UTF-16 file? Save it as UTF-8 text")
    return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))


def _document_of_text(text: str, name: str) -> Document:
    return Document(_clean(name), _clean(text), title=_clean(Path(name).stem))


def _document_of_markdown(text: str, name: str) -> Document:
    text = _clean(text)
    return Document(_clean(name), text, title=_first_heading(text) or _clean(Path(name).stem))


def _first_heading(text: str) -> str:
    fenced = False
    for line in text.split("\n"):
        if line.startswith(("```", "~~~")):
            fenced = not fenced  # a `# ` in there is a comment of some code
        elif not fenced and line.startswith("# ") and (heading := line[2:].strip().rstrip("#").strip()):
            return heading
    return ""


def _row(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:  # a plain ValueError for an integer of 5,000 digits
        why = f"{error.msg} at column {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(f"not JSON ({why}): {_show(text.strip())}; write one object a line") from None
    if not isinstance(row, dict):
        raise ValueError(f'a line must be a JSON object such as {{"text": "..."}}, got {_show(row)}')
    if re.search(r"\\u[dD][89a-fA-F]", text) and _lone_surrogate(json.dumps(row, ensure_ascii=False)) is not None:
        raise ValueError(f"half a surrogate pair (\\ud8.. to \\udf.. alone) in {_show(text.strip())}; remove it")
    return row


def _document_of_row(text: str, place: str) -> Document:
    row = _row(text)
    if "text" not in row:
        asks = " (is it a file of questions? They can't be among the documents)" if "question" in row else ""
        raise ValueError(f"no column 'text', only {_show(list(row))}{asks}; name the document's column 'text'")
    key, id = _first(row, "id", "document_id", "wiki_id")
    row.pop(key, None)
    words = _clean(row.pop("text"))
    titles = {name: _clean(row.pop(name, None)) for name in ("title", "language")}
    given = {name: value for name, value in titles.items() if value not in (None, "")}
    return Document(_name(id, place), words, metadata=row, **given)


def _question_of_row(text: str, place: str) -> Question:
    row = _row(text)
    key, asked = _first(row, "question", "text")
    if not key:
        raise ValueError(f"no column 'question' or 'text', only {_show(list(row))}; name the question's column so")
    id, document_id = _first(row, "id")[1], _first(row, "document_id", "wiki_id")[1]
    rest = {name: _name(row.get(name)) for name in ("relation", "fact_id", "kind")}
    options = _texts("options", row["options"]) if row.get("options") is not None else ()
    answers = _answers(row, options)
    return Question(_name(id, place), _clean(asked), answers, _name(document_id), options=options, **rest)


def _first(row: Mapping[str, Any], *names: str) -> tuple[str, Any]:
    """The first of the columns that holds something, and what it holds."""
    return next(((name, row[name]) for name in names if row.get(name) is not None), ("", None))


def _name(value: Any, default: str | None = None) -> Any:
    """Ids are often numbers: they become text, so that 7 in the documents is "7" in the questions."""
    return default if value is None else str(value) if type(value) is int else _clean(value)


def _answers(row: Mapping[str, Any], options: tuple[str, ...]) -> tuple[str, ...]:
    name, answers = _first(row, "answers", "answer")
    if not name:
        raise ValueError(f"no column 'answers' or 'answer', only {_show(list(row))}; a question needs an answer")
    if options and type(answers) is int:
        raise ValueError(f"{name} {answers} looks like the place of an option; write the option itself")
    if isinstance(answers, Mapping):
        answers = answers.get("text", answers)
    return _texts(name, [answers] if isinstance(answers, str) else answers)


def _texts(name: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise ValueError(f'{name} must be a list of texts, such as ["Paris"], got {_show(values)}')
    return tuple(map(_clean, values))


# Cutting

# A paragraph's end, or sentence-final punctuation with its closing quotes. The full-width kind (the ideographic stop,
# \uff01 and \uff1f) needs no white space after it.
_SENTENCE_END = re.compile(r"""\n\s*\n\s*|[.!?]["'”’»)\]*_]*\s+|[。\uff01\uff1f]["'”’」』\uff09]*\s*""")
_WORD = re.compile(r"\S+\s*")


def cut(document: Document, length: Callable[[str], int], limit: int) -> list[Document]:
    """The document in parts of at most `limit` by `length` (tokens of a text), which joined are the document again.

    Parts end where a sentence does; within a sentence that is too long, at white space; within such a word, anywhere.
    White space stays with the part before it; only a run of it that is over `limit` can make a part without a word.
    `length` is called a handful of times a part, on texts of about a part's size, however long the document.
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be a whole number of at least 1, got {_show(limit)}.")
    text = document.text
    if _fits(text, 0, len(text), length, limit):
        return [document]
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    ends += [len(text)] * (ends[-1:] != [len(text)])
    parts: list[Document] = []
    start, reach = 0, 4 * limit  # in characters; an English token has about 4
    while start < len(text):
        end = _part_end(text, start, ends, reach, length, limit)
        if end is None:
            where = f"character {start} ({text[start]!r}) of document {_show(document.id)}"
            raise ValueError(f"A limit of {limit} is too small: {where} measures {length(text[start])}. Raise it.")
        parts.append(_part(document, len(parts), start, end))
        start, reach = end, end - start
    return parts


def _part(document: Document, number: int, start: int, end: int) -> Document:
    part = copy(document)  # not `replace`: a part may be a mere run of white space, which is no document of its own
    changes = {"text": document.text[start:end], "part": document.part + number, "start": document.start + start}
    vars(part).update(changes)
    return part


def _part_end(
    text: str, start: int, ends: Sequence[int], reach: int, length: Callable[[str], int], limit: int
) -> int | None:
    """The farthest end of the part from `start`: of a sentence, else of a word, else anywhere; None if none fits."""

    def farthest(places: Sequence[int], first: int = 0) -> int | None:
        return _last_fitting(lambda end: _fits(text, start, end, length, limit), places, first, start + reach)

    # Words are looked for near by only, or a line of 50 MB would be searched to its end for each of its parts.
    near = text[start : start + 8 * limit]
    word = start + len(near) - len(near.lstrip())
    sentence = bisect_right(ends, word)  # the first end with a word before it
    if (end := farthest(ends, sentence)) is not None:
        return end
    stop = min(ends[sentence] if sentence < len(ends) else len(text), start + 8 * limit)
    words = [match.end() for match in _WORD.finditer(text, word, stop)]
    if stop not in (len(text), *ends[sentence : sentence + 1]):
        words = words[:-1]  # it goes on beyond `stop`
    end = farthest(words)
    return farthest(range(start + 1, stop + 1)) if end is None else end


def _fits(text: str, start: int, end: int, length: Callable[[str], int], limit: int) -> bool:
    """Whether `length` of the slice is within `limit`; of a very long slice only its beginning is measured."""
    probe = start + 8 * limit
    while probe < end:
        if length(text[start:probe]) > 1.5 * limit + 1:  # a longer text may have a few tokens less, but not a third
            return False
        probe = start + 4 * (probe - start)
    return length(text[start:end]) <= limit


def _last_fitting(fits: Callable[[int], bool], places: Sequence[int], first: int, guess: int) -> int | None:
    """The last of the ascending `places[first:]` that fits: exponential search from `guess`, then bisection."""
    low, high, step = first - 1, len(places), 1
    index = max(bisect_right(places, guess) - 1, first)
    while high - low > 1:
        if fits(places[index]):
            low = index
        else:
            high = index
        middle = (low + high) // 2
        index = min(middle, low + step) if low >= first else max(middle, high - step)
        step *= 2
    return places[low] if low >= first else None
