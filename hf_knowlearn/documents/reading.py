"""Functions that read documents, questions and conversations from files and from the Hub.

Reading does not stop at the first problem. All rows are checked, and one error lists all problems.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents.conversation import Conversation
from hf_knowlearn.documents.document import Document, Question, show
from hf_knowlearn.documents.error_report import ErrorReport
from hf_knowlearn.documents.items import Make, read_items
from hf_knowlearn.documents.language import language_code, with_languages
from hf_knowlearn.documents.question_columns import QuestionColumns
from hf_knowlearn.documents.sources import DOCUMENT_FORMATS, TABLE_FORMATS, Paths, Source, describe, find_sources
from hf_knowlearn.documents.table_columns import DocumentColumns, conversation_of

logger = logging.getLogger(__name__)


def read_documents(path: Paths, **options: Any) -> list[Document]:
    """Read documents from a file, a folder (with its subfolders), or a dataset on the Hub.

    | format | one document is | title |
    |---|---|---|
    | `.txt .log` | the file | the heading in the first line, or the file name |
    | `.md` | the file after its front matter | `title` of the front matter, the first `# ` heading, or the file name |
    | `.html .htm .xhtml` | the content of the page, as Markdown | the first heading, `<title>`, or the file name |
    | `.pdf .docx .pptx .xlsx .rst .tex .ipynb` | the file, as Markdown | the first heading, or the file name |
    | `.epub .eml` | the book or the message, converted to Markdown | the book's title, or the subject |
    | source code such as `.py`, `.sql` and `.yaml` | the file | the file name with suffix |
    | any other file with text in UTF-8 | the file | as `.txt` |
    | `.jsonl` | a line with one JSON object | column `title` |
    | `.json` | an object of the list, or the only object | column `title` |
    | `.csv .tsv` | a row below the header; an empty field is null | column `title` |
    | `.parquet`, a dataset on the Hub | a row | column `title` |

    Titles from the names of files have no suffix, except for source code.

    Install the libraries that convert files to Markdown with `pip install ".[documents]"` in a checkout. The suffix of
    a file selects the converter. Plugins are not loaded, and nothing is downloaded.

    A folder can contain a file `hf_knowlearn.yaml` that chooses files and sets their language, title and views; see
    docs/documents.md.

    The id of a file is its path below the folder. The id of a row is in the column `id`, `document_id` or `wiki_id`;
    the first of them that is not null counts. Otherwise the id is `<file>:<line>` (`.jsonl`, `.csv`, `.tsv`),
    `<file>:<row>`, or `<split>:<row>` on the Hub. Lines and rows are counted from 1. Integer ids become strings.

    The column `language` sets the language of a row, and the front matter of a file sets it as `lang` or `language`.
    Otherwise py3langid detects the language (https://pypi.org/project/py3langid/). If a text is short or the detection
    is uncertain, the text gets the most frequent language of the documents before it, or "en".

    Unused columns become `metadata`. Texts, ids and titles are normalized to
    Unicode NFC, with `\\n` as line break and no byte order mark.

    Files in a folder are read in the order of their names. Hidden files are ignored. The log lists the
    files that are skipped, and those with an unknown suffix.

    Args:
        path: a file, a folder, the `owner/name` of a dataset on the Hub (also `hf://datasets/owner/name`), or a list
            of these. A path that exists locally is never looked up on the Hub. In a list, ids are paths below the
            folder that all paths share.
        options: the keyword arguments of `iter_documents`, which are:
        text_column, id_column, title_column: columns to use instead of the ones above.
        config, split, revision: config, split and revision of the dataset on the Hub. The split is required if there
            are several.
        empty: what to do with documents whose text is null or only white space. "raise" treats them as errors.
            "drop" skips them and lists them in the log; it is an error if no document is left.
        duplicates: what to do with a document whose text equals that of an earlier document, except for white space
            around it. "keep" keeps it, and "drop" drops it. The log lists duplicates in both cases. A text that occurs
            twice has twice the weight in training.
        language: language code of all documents, such as "de". No language is detected then.

    Raises:
        ValueError: some data cannot be read. The message lists all problems, each with its file and line. Problems
            are: text that is not UTF-8 or contains a NUL or an unpaired surrogate, missing columns, repeated ids,
            malformed rows, and files that are empty or cannot be read or converted.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("ferry.txt").write_text("The ferry leaves at six.")
        >>> _ = Path("mill.md").write_text("# The mill\\n\\nIt grinds rye.")
        >>> [(document.id, document.title) for document in read_documents(".")]
        [('ferry.txt', 'ferry'), ('mill.md', 'The mill')]
    """
    return list(iter_documents(path, **options))


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
    language: str | None = None,
) -> Iterator[Document]:
    """Read documents one at a time, with the arguments of `read_documents`.

    Arguments and paths are checked immediately. After the first problem, the iterator yields no more documents. It
    checks the remaining rows, and then raises a ValueError with all problems. All documents are known to be valid only
    after the iterator has ended.

    The memory holds the current document, and about 300 bytes of each earlier document (its id, its place and a digest
    of its text). A `.json` file is loaded as a whole. A `.parquet` file is loaded one page of each column at a time.

    Raises:
        ValueError: see `read_documents`.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("rows.csv").write_text("id,text\\na,The ferry leaves at six.\\nb,The mill grinds rye.\\n")
        >>> for document in iter_documents("rows.csv"):
        ...     print(document.id, document.text)
        a The ferry leaves at six.
        b The mill grinds rye.
    """
    _check_choices(empty=(empty, ("raise", "drop")), duplicates=(duplicates, ("keep", "drop")))
    language = None if language is None else language_code(language)
    subject = f"The documents at {describe(path)}"
    problems, warnings = ErrorReport(subject), ErrorReport(subject, "warning")
    sources = find_sources(path, DOCUMENT_FORMATS, problems, config, split, revision)
    is_text_only = bool(sources) and all(source.is_text for source in sources)
    if is_text_only and (text_column or id_column or title_column):
        message = "the name of a column is given, but text files have no columns; remove the option"
        problems.add(describe(path), message)
    columns = DocumentColumns(text_column or "text", id_column, title_column)

    def make_for(source: Source) -> Make[Document]:
        make = (DocumentColumns() if source.is_text else columns).document
        return (lambda row, default_id: make({**row, "language": language}, default_id)) if language else make

    items = read_items(sources, make_for, problems, warnings if empty == "drop" else None)
    documents = with_languages(_without_duplicates(items, duplicates == "drop", problems, warnings))
    if problems:
        next(documents)  # Why: this checks the remaining rows and raises the error.
    return documents


def _without_duplicates(
    items: Iterable[tuple[Source, int, Document]], drop: bool, problems: ErrorReport, warnings: ErrorReport
) -> Iterator[Document]:
    """Yield the documents until the first problem. At the end, raise the problems and log the warnings."""
    ids: dict[bytes, str] = {}  # digest of a text -> id of the first document with that text
    count = 0
    for source, number, document in items:
        digest = blake2b(document.text.strip().encode(), digest_size=16).digest()
        first = ids.setdefault(digest, document.id)
        if first != document.id:
            action = "dropped" if drop else "included"
            warnings.add(source.place, f"{document.id!r} has the same text as {first!r} ({action})", number)
        if not problems and not (drop and first != document.id):
            count += 1
            yield document
    problems.raise_if_any()
    if not count:
        warnings.fixes.add("No documents are left.")
        warnings.raise_if_any()
    if warnings:
        logger.warning("%s", warnings.listing(max_entries=None if drop else 20))
    logger.info("%s: read %s.", warnings.subject, number_of(count, "document"))


def read_questions(
    path: Paths,
    on_bad: str = "raise",
    *,
    question_column: str | None = None,
    answer_column: str | None = None,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> list[Question]:
    """Read questions from `.jsonl .json .csv .tsv .parquet` files, a folder of them, or a dataset on the Hub.

    | format | columns of a row |
    |---|---|
    | questions | `question` or `text`; `answers` or `answer` |
    | Alpaca | `instruction`; `input`, which is added to the instruction as a new line; `output` |
    | pairs | `input` and `output`; or `prompt` and `completion` |
    | TRL | `messages` with one turn of the user and one of the assistant; a system turn joins the question |
    | TRL | `prompt` and `completion` as lists of such messages |
    | choices | `question`, `choices` or `options`, and `answer` with the index of the right option, from 0 |
    | SQuAD | its `.json` file, or the columns `question` and `answers` with `{"text": [...]}` |

    The answers are a string, a number or a list of these. Optional columns are `id` (if it is missing, the id is
    `<file>:<line>` or similar, as in `read_documents`), `document_id` or `wiki_id`, `relation`, `fact_id`, `options`
    and `kind`.

    White space around answers is removed. No response can match an answer that is blank, consists only of an article
    ("The"), or has several lines. Such answers are dropped with a warning. A question without any other answer is an
    error. Rows with `is_impossible: true`, as in SQuAD 2.0, are skipped with a notice.

    Args:
        path: as in `read_documents`.
        question_column, answer_column: columns to use instead of the ones above.
        on_bad: "raise" treats an invalid row as an error. "drop" skips invalid rows and lists them in the log.
        config, split, revision: as in `read_documents`.

    Raises:
        ValueError: some rows are invalid. The message lists all problems, each with its file and line.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("questions.csv").write_text("question,answer\\nWhen does the ferry leave?,six\\n")
        >>> [(question.id, question.answers) for question in read_questions("questions.csv")]
        [('questions.csv:2', ('six',))]
    """
    _check_choices(on_bad=(on_bad, ("raise", "drop")))
    problems = ErrorReport(f"The questions at {describe(path)}")
    sources = find_sources(path, TABLE_FORMATS, problems, config, split, revision)
    columns = QuestionColumns(question_column, answer_column)
    questions = [item for _, _, item in read_items(sources, lambda _: columns.question, problems)]
    if on_bad == "raise" or not questions or problems.has_whole_files():
        problems.raise_if_any()
    elif problems:
        logger.warning("Dropped invalid rows. %s", problems.listing())
    if columns.impossible:
        impossible = (
            f"{number_of(columns.impossible, 'question')} that {_are(columns.impossible)} marked as impossible"
        )
        if not questions:
            raise ValueError(
                f"The questions at {describe(path)}: the file has only {impossible}. Add other questions."
            )
        logger.info("Skipped %s to answer (is_impossible) in %s.", impossible, describe(path))
    if columns.dropped:
        logger.warning(
            "Dropped accepted answers of %s from %s that are blank, only an article, or longer than a line: %s.",
            number_of(len(columns.dropped), "question"), describe(path), show(columns.dropped),
        )  # fmt: skip
    logger.info("Read %s from %s.", number_of(len(questions), "question"), describe(path))
    return questions


def read_conversations(path: Paths) -> list[Conversation]:
    """Read conversations from the file formats of `read_questions`, or from a dataset on the Hub.

    A row has the column `messages` in TRL's format. Optional columns are `tools` (a list, or a list as JSON) and `id`
    (if it is missing, the id is as in `read_documents`).

    Raises:
        ValueError: some rows are invalid. The message lists all problems, each with its file and line.
    """
    problems = ErrorReport(f"The conversations at {describe(path)}")
    sources = find_sources(path, TABLE_FORMATS, problems)
    conversations = [item for _, _, item in read_items(sources, lambda _: conversation_of, problems)]
    problems.raise_if_any()
    logger.info("Read %s from %s.", number_of(len(conversations), "conversation"), describe(path))
    return conversations


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _check_choices(**options: tuple[str, Sequence[str]]) -> None:
    """Raise a ValueError that lists the options with a wrong value. Each option is (value, allowed values)."""
    problems = [
        f"{name} must be {' or '.join(map(repr, allowed))}, got {show(value)}"
        for name, (value, allowed) in options.items()
        if value not in allowed
    ]
    if problems:
        raise ValueError(f"{'; '.join(problems)}.")
