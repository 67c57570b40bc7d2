"""Readers of documents, questions and conversations, from files and from the Hub.

A problem does not end the reading. All rows are checked, and one error reports all problems.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, Question, show
from hf_knowlearn.documents.duplicates import DuplicateIndex, threshold_problems
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.items import read_items
from hf_knowlearn.documents.sources import (
    DOCUMENT_FORMATS,
    TABLE_FORMATS,
    HubOptions,
    Paths,
    Source,
    describe,
    find_sources,
)
from hf_knowlearn.documents.table_columns import ConversationColumns, DocumentColumns, QuestionColumns

logger = logging.getLogger(__name__)


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
    """Read documents from a file, a folder (with its subfolders), or a dataset on the Hub.

    | format | one document is | title |
    |---|---|---|
    | `.txt` | the file | the file's name without suffix |
    | `.md` | the file | the first `# ` heading, else as `.txt` |
    | `.pdf .docx .pptx .html .htm .epub` | the file, converted to Markdown | as `.md`; for `.epub` the book's title |
    | `.jsonl` | a line with one JSON object | column `title` |
    | `.json` | an object of the list, or the only object | column `title` |
    | `.csv .tsv` | a row below the header; an empty field is null | column `title` |
    | `.parquet`, a dataset on the Hub | a row | column `title` |

    `markitdown` converts to Markdown (`pip install "hf_knowlearn[documents]"`). The suffix of a file selects the
    converter. Plugins are not loaded, and nothing is downloaded.

    The id of a file is its path below the folder. The id of a row is the first column of `id`, `document_id` and
    `wiki_id` that is not null, else `<file>:<line>` (`.jsonl`, `.csv`, `.tsv`), `<file>:<row>`, or `<split>:<row>` on
    the Hub, all counted from 1. Integers become strings. The column `language` sets the language, and unused columns
    become `metadata`. Texts, ids and titles are normalized to NFC, with `\\n` as line break and no byte order mark.

    Files in a folder are read in the order of their names. Hidden files are ignored, and files with other suffixes are
    named in the log.

    Args:
        path: a file, a folder, the `owner/name` of a dataset on the Hub (also `hf://datasets/owner/name`), or a list
            of these. A path that exists locally is never looked up on the Hub. In a list, ids are paths below the
            folder that all paths share.
        text_column, id_column, title_column: columns to use instead of the ones above.
        config, split, revision: config, split and revision of the dataset on the Hub. The split is required if there
            are several.
        empty: "raise" makes an empty document an error. "drop" skips empty documents and names them in the log; it is
            an error if none is left. A text is empty if it is null or contains only white space.
        duplicates: what to do with documents whose text equals an earlier one, except for white space around it.
            "keep" names them in the log, "drop" removes and names them, "raise" makes them an error. A duplicate has
            twice the weight in training.
        near_duplicates: also treat documents as duplicates whose similarity to an earlier document is at least this
            value, from 0.5 to 1 (0.8 is usual). Similarity is the Jaccard similarity of all runs of five words,
            without case and punctuation. It is computed exactly for the pairs that MinHash proposes with 128
            permutations; a pair at the threshold is missed with a probability of at most 1 in 10,000. Requires
            `datasketch` (`pip install "hf_knowlearn[documents]"`), and all texts stay in memory.

    Raises:
        ValueError: with all problems, each with its file and line: texts that are not UTF-8 or contain a NUL or an
            unpaired surrogate, missing columns, repeated ids, malformed rows, and files that are empty or cannot be
            read or converted.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("ferry.txt").write_text("The ferry leaves at six.")
        >>> _ = Path("mill.md").write_text("# The mill\\n\\nIt grinds rye.")
        >>> [(document.id, document.title) for document in read_documents(".")]
        [('ferry.txt', 'ferry'), ('mill.md', 'The mill')]
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
    """Read documents one at a time, with the arguments of `read_documents`.

    Arguments and paths are checked immediately. After the first problem no more documents are yielded; the remaining
    rows are checked, and then ValueError is raised with all problems. Documents are therefore known to be valid as a
    set only when the iterator ends.

    Memory: the current document, and about 300 bytes of each earlier one (its id, its place and a digest of its
    text). A `.json` file is loaded as a whole, of a `.parquet` file one page of each column. With `near_duplicates`
    all texts stay in memory, and about 10 kB more for each document.

    Raises:
        ValueError: as `read_documents`.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("rows.csv").write_text("id,text\\na,The ferry leaves at six.\\nb,The mill grinds rye.\\n")
        >>> for document in iter_documents("rows.csv"):
        ...     print(document.id, document.text)
        a The ferry leaves at six.
        b The mill grinds rye.
    """
    columns = DocumentColumns(text_column, id_column, title_column)
    _check_options(columns, empty, duplicates, near_duplicates)
    subject = f"documents at {describe(path)}"
    problems = ErrorReport(f"The {subject}")
    sources = find_sources(path, DOCUMENT_FORMATS, HubOptions(config, split, revision), problems)
    if columns != DocumentColumns() and sources and all(source.format.is_text for source in sources):
        problems.add(
            describe(path), "a column is given, but there are only text files and no tables; remove the option"
        )
    dropped = ErrorReport(f"Dropped from the {subject}", "empty document") if empty == "drop" else None
    items = read_items(
        sources, lambda source: DocumentColumns() if source.format.is_text else columns, problems, dropped
    )
    documents = _handle_duplicates(items, DuplicateIndex(near_duplicates), duplicates, problems, dropped, subject)
    if problems:
        next(documents)  # Why: this checks the remaining rows and raises the error.
    return documents


def read_questions(
    path: Paths,
    on_bad: str = "raise",
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> list[Question]:
    """Read questions from `.jsonl .json .csv .tsv .parquet` files, a folder of them, or a dataset on the Hub.

    A row has the columns `question` or `text`, and `answers` (a list, or SQuAD's `{"text": [...]}`) or `answer` (a
    string). Optional columns are `id` (else `<file>:<line>`, as in `read_documents`), `document_id` or `wiki_id`,
    `relation`, `fact_id`, `options` and `kind`.

    Args:
        path: as in `read_documents`.
        on_bad: "raise" makes an invalid row an error. "drop" skips invalid rows and names them in the log.
        config, split, revision: as in `read_documents`.

    Raises:
        ValueError: with all problems, each with its file and line.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("questions.csv").write_text("question,answer\\nWhen does the ferry leave?,six\\n")
        >>> [(question.id, question.answers) for question in read_questions("questions.csv")]
        [('questions.csv:2', ('six',))]
    """
    if on_bad not in ("raise", "drop"):
        raise ValueError(f'on_bad must be "raise" or "drop", got {show(on_bad)}.')
    problems = ErrorReport(f"The questions at {describe(path)}")
    sources = find_sources(path, TABLE_FORMATS, HubOptions(config, split, revision), problems)
    questions = [item for _, _, item in read_items(sources, lambda _: QuestionColumns(), problems)]
    can_drop = bool(questions) and not problems.has_whole_files()
    if on_bad == "raise" or not can_drop:
        if can_drop:
            problems.fixes.add('To skip the invalid rows, use on_bad="drop".')
        problems.raise_if_any()
    elif problems:
        logger.warning("Dropped invalid rows. %s", problems.listing())
    logger.info("Read %d questions from %s.", len(questions), describe(path))
    return questions


def read_conversations(path: Paths) -> list[Conversation]:
    """Read conversations from the file formats of `read_questions`, or from a dataset on the Hub.

    A row has the column `messages` in TRL's format. Optional columns are `tools` (a list, or JSON) and `id` (else
    `<file>:<line>`).

    Raises:
        ValueError: with all problems, each with its file and line.
    """
    problems = ErrorReport(f"The conversations at {describe(path)}")
    sources = find_sources(path, TABLE_FORMATS, HubOptions(), problems)
    conversations = [item for _, _, item in read_items(sources, lambda _: ConversationColumns(), problems)]
    problems.raise_if_any()
    logger.info("Read %d conversations from %s.", len(conversations), describe(path))
    return conversations


def _check_options(columns: DocumentColumns, empty: str, duplicates: str, near_duplicates: float | None) -> None:
    problems = [
        f"{name}_column must be the name of a column, got {show(value)}"
        for name, value in vars(columns).items()
        if value is not None and not isinstance(value, str)
    ]
    if empty not in ("raise", "drop"):
        problems.append(f'empty must be "raise" or "drop", got {show(empty)}')
    if duplicates not in ("keep", "drop", "raise"):
        problems.append(f'duplicates must be "keep", "drop" or "raise", got {show(duplicates)}')
    if near_duplicates is not None:
        problems.extend(threshold_problems(near_duplicates))
    if problems:
        raise ValueError(f"{'; '.join(problems)}.")


def _handle_duplicates(
    items: Iterable[tuple[Source, int, Document]],
    index: DuplicateIndex,
    duplicates: str,
    problems: ErrorReport,
    dropped: ErrorReport | None,
    subject: str,
) -> Iterator[Document]:
    """Yield the documents until the first problem, apply `duplicates`, and log or raise the reports at the end."""
    action = "Dropped from" if duplicates == "drop" else "Kept in"
    report = problems if duplicates == "raise" else ErrorReport(f"{action} the {subject}", "duplicate")
    count = 0
    try:
        for source, number, document in items:
            if duplicate := index.add(document):
                report.add(source.place, duplicate, number, source.format.unit)
                if duplicates == "raise":
                    problems.fixes.add('To keep duplicates, use duplicates="keep"; to remove them, duplicates="drop".')
            if not problems and not (duplicate and duplicates == "drop"):
                count += 1
                yield document
        problems.raise_if_any()
        if dropped and not count:
            raise ValueError(f"No {subject} are left.\n{dropped.listing(max_entries=20, max_numbers=3)}")
        logger.info("Read %d %s.", count, subject)
    finally:  # Why: the caller may stop early.
        if not problems and dropped:
            logger.warning("%s", dropped.listing())
        if not problems and report:
            # Why: the log names every dropped document, but only the first of those that stay.
            logger.warning("%s", report.listing(max_entries=20 if duplicates == "keep" else None))
