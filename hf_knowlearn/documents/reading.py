"""Documents and questions from files and from the Hub, one at a time, checked on the way.

The surprising decision: nothing is skipped in silence. The first thing that is wrong ends the documents; the rest is
still read, so that one error tells all that is wrong.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from hf_knowlearn.documents import duplicates as copies
from hf_knowlearn.documents import table_columns, tabular, text_files
from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.digests import Digests
from hf_knowlearn.documents.document import Document, Question, show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.files import PathLike, files_at, folder_above, hub_name
from hf_knowlearn.documents.hub import hub_rows, load_split
from hf_knowlearn.documents.tabular import Check, Row, Rows

logger = logging.getLogger(__name__)

Item = TypeVar("Item", Document, Question, Conversation)
Paths: TypeAlias = "PathLike | Sequence[PathLike]"


@dataclass(frozen=True)
class Kind:
    """How files of a suffix are read."""

    rows: Callable[[Path, Check], Rows]
    unit: str = "row"  # what the numbers count
    if_nothing: str = "holds no row; leave it out"
    if_blank: str = ""  # how a text may have come to be empty
    is_text: bool = False  # one document, whose columns are ours and not the user's to name


TABLES = {
    ".csv": Kind(tabular.csv_rows, "line"),
    ".json": Kind(tabular.json_rows),
    ".jsonl": Kind(tabular.json_lines, "line", "holds no line; write one JSON object a line, or take the file away"),
    ".parquet": Kind(tabular.parquet_rows),
    ".tsv": Kind(tabular.tsv_rows, "line"),
}
TEXTS = {
    ".md": Kind(text_files.markdown, is_text=True),
    ".txt": Kind(text_files.plain_text, is_text=True),
    **dict.fromkeys(text_files.CONVERTED, Kind(text_files.converted, is_text=True)),
    ".pdf": Kind(text_files.converted, if_blank=" (if its pages are pictures, run OCR on it first)", is_text=True),
}
DOCUMENTS = dict(sorted({**TABLES, **TEXTS}.items()))


@dataclass(frozen=True)
class Source:
    """A file or a split on the Hub: `place` names it in messages, `name` in ids."""

    place: str
    name: str
    kind: Kind
    rows: Callable[[Check], Rows]


@dataclass(frozen=True)
class Hub:
    """What the name of a data set on the Hub leaves open."""

    config: str | None = None
    split: str | None = None
    revision: str | None = None


def read_documents(
    path: Paths,
    *,
    text_column: str | None = None,
    id_column: str | None = None,
    title_column: str | None = None,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    empty: str = "raise",
    duplicates: str = "keep",
    near_duplicates: float | None = None,
) -> list[Document]:
    """Documents of a file, of all files in a folder and its folders (sorted by name, none hidden), or of the Hub.

    | what | one document is | title |
    |---|---|---|
    | `.txt` | the file | the file's name without suffix |
    | `.md` | the file | its first `# ` heading, else as above |
    | `.pdf .docx .pptx .html .htm .epub` | the file, as Markdown | as of `.md`; of `.epub` the book's own |
    | `.jsonl` | a line, one JSON object | column `title` |
    | `.json` | an object of a list, or the one object it is | column `title` |
    | `.csv .tsv` | a row below the header; an empty field is a null | column `title` |
    | `.parquet`, a data set on the Hub | a row | column `title` |

    The conversion to Markdown is that of `markitdown`: `pip install "hf_knowlearn[documents]"`. No plugin of it is
    loaded, nothing is fetched, and a file is converted by its suffix alone. The Markdown is taken as it is, with a
    picture's place marked by `![](…)` and a slide's beginning by a comment.

    A file's id is its path below the folder. A row's is the first of its columns `id`, `document_id`, `wiki_id` that
    is not null, else `<file>:<line>` (`.jsonl`, `.csv`, `.tsv`; the line it begins at), `<file>:<row>` or, on the Hub,
    `<split>:<row>`, all counted from 1. Whole numbers become text. A row may have a `language`; columns not used go to
    `metadata`. Texts, ids and titles come out in NFC, with plain line ends and no byte order mark.

    Nothing is repaired beyond that or skipped in silence. Refused, all at once and by file and line, are texts that
    are not UTF-8, hold a NUL or half a surrogate pair; missing columns (with those there are); ids given twice; rows
    that are not what their format says; files that hold nothing or can't be read or converted. Files of other
    suffixes in a folder are named in the log.

    Args:
        path: a file, a folder, `owner/name` of a data set on the Hub (`hf://datasets/owner/name` likewise), or a list
            of those. What exists here is a path. With a list, ids tell the path below the folder common to all.
        text_column, id_column, title_column: the columns to take, in place of the names above.
        config, split, revision: of the data set on the Hub. Without a split it must have one only.
        empty: "raise" refuses documents that are empty, null or only white space; "drop" leaves them out and names
            them in the log. It is an error if none is left.
        duplicates: of documents with the text of an earlier one, white space around it aside: "keep" them and name
            them in the log, "drop" all but the first and name them, or "raise". Kept by default, since two documents
            may say the same and each have its questions; a copy weighs twice in training, hence the log.
        near_duplicates: also treat so what is at least this similar (0.5 to 1; 0.8 is usual) to an earlier document
            kept: the Jaccard similarity of all runs of five words, whatever their case and punctuation, computed
            exactly for the pairs that MinHash proposes (128 permutations; a pair just at the threshold is missed at
            most once in 10,000). Needs `datasketch`, in the extra above, and keeps all texts in memory.

    Raises:
        ValueError: with all that is wrong.
    """
    return list(
        iter_documents(
            path,
            text_column=text_column,
            id_column=id_column,
            title_column=title_column,
            config=config,
            split=split,
            revision=revision,
            empty=empty,
            duplicates=duplicates,
            near_duplicates=near_duplicates,
        )
    )


def iter_documents(
    path: Paths,
    *,
    text_column: str | None = None,
    id_column: str | None = None,
    title_column: str | None = None,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    empty: str = "raise",
    duplicates: str = "keep",
    near_duplicates: float | None = None,
) -> Iterator[Document]:
    """What `read_documents` reads, by the same options, one document at a time.

    Options and paths are checked at once. After the first problem no document comes any more: the rest is still read,
    and then ValueError raised with all that is wrong. So what was made of the documents is void until the last is out.

    In memory are the document at hand and some 120 bytes of each before it (its id, and digests of the id and of the
    text); of `.json` the whole file, of `.parquet` a page of each column, and with `near_duplicates` all texts and
    some 10 kB of each.
    """
    columns = table_columns.Documents(text_column, id_column, title_column)
    _check_options(columns, empty, duplicates, near_duplicates)
    subject = f"documents at {_named(path)}"
    problems = ErrorReport(f"The {subject}")
    sources = _sources(path, DOCUMENTS, Hub(config, split, revision), problems)
    if columns != table_columns.Documents() and sources and all(source.kind.is_text for source in sources):
        problems.add(_named(path), "a column is named, but only texts are here and no table; leave it out")
    emptied = ErrorReport(f"Dropped from the {subject}", "empty document") if empty == "drop" else None
    known = copies.Copies(near_duplicates)
    items = _items(
        sources, lambda source: table_columns.Documents() if source.kind.is_text else columns, problems, emptied
    )
    documents = _documents(items, known, duplicates, emptied, problems, subject)
    if problems:
        next(documents)  # raises, and tells what else is wrong
    return documents


def read_questions(
    path: Paths,
    on_bad: str = "raise",
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> list[Question]:
    """Questions of `.jsonl .json .csv .tsv .parquet` files, a folder of them, or a data set on the Hub.

    A row has `question` or `text`, and `answers` (a list, or SQuAD's {"text": [...]}) or `answer`. Optional: `id`
    (else `<file>:<line>`, as of documents), `document_id` or `wiki_id`, `relation`, `fact_id`, `options`, `kind`.
    Raises one ValueError with all problems. With `on_bad="drop"` bad lines are left out and logged, each by its line.
    """
    if on_bad not in ("raise", "drop"):
        raise ValueError(f'on_bad must be "raise" or "drop", got {show(on_bad)}.')
    problems = ErrorReport(f"The questions at {_named(path)}")
    sources = _sources(path, TABLES, Hub(config, split, revision), problems)
    questions = [item for _, _, item in _items(sources, lambda source: table_columns.Questions(), problems, None)]
    droppable = bool(questions) and not problems.of_whole_files()
    if on_bad == "raise" or not droppable:
        if droppable:
            problems.ways_out.add('To go on without the bad lines: on_bad="drop".')
        problems.raise_if_any()
    elif problems:
        logger.warning("Dropped bad lines. %s", problems.listing())
    logger.info("Read %d questions from %s.", len(questions), _named(path))
    return questions


def read_conversations(path: Paths) -> list[Conversation]:
    """Conversations of the files that questions may be in, or of a data set on the Hub.

    A row has `messages` in TRL's form; optional are `tools`, as a list or as JSON, and `id` (else `<file>:<line>`).
    Raises one ValueError with all problems.
    """
    problems = ErrorReport(f"The conversations at {_named(path)}")
    sources = _sources(path, TABLES, Hub(), problems)
    conversations = [
        item for _, _, item in _items(sources, lambda source: table_columns.Conversations(), problems, None)
    ]
    problems.raise_if_any()
    logger.info("Read %d conversations from %s.", len(conversations), _named(path))
    return conversations


def _listed(path: Paths) -> list[PathLike]:
    if isinstance(path, (str, os.PathLike)):
        return [path]
    if isinstance(path, (list, tuple)) and all(isinstance(some, (str, os.PathLike)) for some in path):
        return list(path)
    raise ValueError(f"path must be a path, a data set's name on the Hub, or a list of those, got {show(path)}.")


def _named(path: Paths) -> str:
    paths = _listed(path)
    more = f" and {len(paths) - 3} more" * (len(paths) > 3)
    return ", ".join(str(some)[:300] for some in paths[:3]) + more


# What is read


def _check_options(
    columns: table_columns.Documents, empty: str, duplicates: str, near_duplicates: float | None
) -> None:
    wrong = [
        f"{name}_column must be a column's name, got {show(value)}"
        for name, value in vars(columns).items()
        if value is not None and not isinstance(value, str)
    ]
    if empty not in ("raise", "drop"):
        wrong.append(f'empty must be "raise" or "drop", got {show(empty)}')
    if duplicates not in ("keep", "drop", "raise"):
        wrong.append(f'duplicates must be "keep", "drop" or "raise", got {show(duplicates)}')
    if near_duplicates is not None:
        wrong.extend(copies.wrong_threshold(near_duplicates))
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}.")


def _sources(path: Paths, kinds: Mapping[str, Kind], hub: Hub, problems: ErrorReport) -> list[Source]:
    suffixes = tuple(kinds)
    several = not isinstance(path, (str, os.PathLike))
    paths = _listed(path)
    if not paths:
        problems.add("[]", "no path is given; give at least one")
    names = {given: hub_name(given, suffixes) for given in paths}
    here = [given for given in paths if names[given] is None]
    if paths == here and paths and hub != Hub():
        problems.add(_named(path), "config, split and revision are for a data set on the Hub, and this is a path")
    base = folder_above(here) if several else None
    sources: list[Source] = []
    for given in paths:
        if name := names[given]:
            sources.extend(_sources_on_hub(given, name, hub, problems))
        else:
            sources.extend(_sources_here(files_at(given, suffixes, base, problems), kinds, problems))
    return sources


def _sources_here(
    files: Sequence[tuple[Path, str]], kinds: Mapping[str, Kind], problems: ErrorReport
) -> Iterator[Source]:
    if missing := text_files.missing_library([str(file) for file, _ in files]):
        problems.add(*missing)
        files = [(file, name) for file, name in files if file.suffix.lower() not in text_files.CONVERTED]
    for file, name in files:
        kind = kinds[file.suffix.lower()]
        yield Source(str(file), name, kind, partial(kind.rows, file))


def _sources_on_hub(given: PathLike, name: str, hub: Hub, problems: ErrorReport) -> Iterator[Source]:
    try:
        split, dataset = load_split(name, hub.config, hub.split, hub.revision)
    except ValueError as error:
        problems.add(given, str(error).rstrip("."))
    else:
        yield Source(f"{name}[{split}]", split, TABLES[".parquet"], partial(hub_rows, dataset))


# What comes of it


class _Places:
    """Where items were found, each as one int: a text apiece would cost more memory than all else that is kept."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._starts: list[int] = []
        self._end = 0

    def enter(self, source: Source) -> None:
        self._sources.append(source)
        self._starts.append(self._end)

    def of(self, number: int) -> int:
        self._end = self._starts[-1] + number + 1
        return self._end - 1

    def named(self, place: int) -> str:
        at = bisect_right(self._starts, place) - 1
        number = place - self._starts[at]
        return f"{self._sources[at].place}:{number}" if number else self._sources[at].place


def _items(
    sources: Iterable[Source],
    maker_of: Callable[[Source], table_columns.Maker[Item]],
    problems: ErrorReport,
    emptied: ErrorReport | None,
) -> Iterator[tuple[Source, int, Item]]:
    """The items of all sources; what is wrong goes to `problems`, so that the rest is still looked at."""
    taken = Digests()  # of ids
    places = _Places()
    for source in sources:
        places.enter(source)
        for number, item in _items_of(source, maker_of(source), problems, emptied):
            place = places.of(number)
            if (before := taken.first(item.id, place)) == place:
                yield source, number, item
            else:
                what = f"the id {show(item.id)} is taken by {places.named(before)}; give each its own"
                problems.add(source.place, what, number, source.kind.unit)


def _items_of(
    source: Source, maker: table_columns.Maker[Item], problems: ErrorReport, emptied: ErrorReport | None
) -> Iterator[tuple[int, Item]]:
    nothing = True
    try:
        for number, row in source.rows(maker.check):
            nothing = False
            place = f"{source.name}:{number}" if number else source.name
            try:
                item = _made(row, maker, place)
            except ValueError as error:
                # The entry names file and line already: not once more as the id made from them.
                what = str(error).rpartition(f"{show(place)}: ")[2].rstrip(".")
                is_empty = not isinstance(row, ValueError) and maker.is_empty(row)
                if is_empty and emptied is None:
                    problems.ways_out.add('To go on without the empty ones: empty="drop".')
                told = emptied if is_empty and emptied is not None else problems
                told.add(source.place, what + source.kind.if_blank * is_empty, number, source.kind.unit)
            else:
                yield number, item
    except OSError as error:
        nothing = False
        problems.add(source.place, f"can't be read ({error.strerror or error}); see what it is and who may read it")
    except ValueError as error:
        nothing = False
        problems.add(source.place, str(error).rstrip("."))
    if nothing:
        problems.add(source.place, source.kind.if_nothing)


def _made(row: Row | ValueError, maker: table_columns.Maker[Item], place: str) -> Item:
    if isinstance(row, ValueError):
        raise row
    return maker.make(row, place)


def _documents(
    items: Iterable[tuple[Source, int, Document]],
    known: copies.Copies,
    duplicates: str,
    emptied: ErrorReport | None,
    problems: ErrorReport,
    subject: str,
) -> Iterator[Document]:
    done = "Dropped from" if duplicates == "drop" else "Kept among"
    report = problems if duplicates == "raise" else ErrorReport(f"{done} the {subject}", "duplicate")
    count = 0
    try:
        for source, number, document in items:
            if copied := known.original(document):
                report.add(source.place, copied, number, source.kind.unit)
                if duplicates == "raise":
                    problems.ways_out.add('To go on with them: duplicates="keep"; without: duplicates="drop".')
            if not problems and not (copied and duplicates == "drop"):
                count += 1
                yield document
        problems.raise_if_any()
        if emptied and not count:
            raise ValueError(f"Nothing is left of the {subject}.\n{emptied.listing(most=20, most_numbers=3)}")
        logger.info("Read %d %s.", count, subject)
    finally:  # also when the caller wants no more
        if not problems:
            _tell(emptied)
            _tell(report, most=20 if duplicates == "keep" else None)


def _tell(report: ErrorReport | None, most: int | None = None) -> None:
    """What is left out is named to the last; of what is kept, and so not lost, a beginning is enough."""
    if report:
        logger.warning("%s", report.listing(most))
