"""`knowlearn questions`: makes questions from documents by rule."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.reading_options import add_document_options, document_options
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document
from hf_knowlearn.study.study_question import QUESTION_KINDS

if TYPE_CHECKING:
    from hf_knowlearn.study import QuestionSummary

_SHOWN = 10  # ids of documents without a question


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "make questions from documents by rule, without a model"
    more = "Each answer is a span of its document. The summary counts the questions, and the facts without a question."
    parser = subparsers.add_parser("questions", help=text, description=f"{text.capitalize()}. {more}")
    add = parser.add_argument
    add("documents", metavar="PATH", help="a file or folder of documents, or world:SPLIT")
    add("--output", metavar="FILE", type=Path, required=True, help="the file of questions (.jsonl)")
    add("--kinds", nargs="+", default=QUESTION_KINDS, choices=QUESTION_KINDS, help="kinds of questions (all)")
    add("--seed", type=int, default=0, help="chooses facts and wrong options (0)")
    add_document_options(parser)
    add("--language", metavar="CODE", help='language of all documents, such as "de" (detected)')
    add("--json", metavar="FILE", type=Path, help="also write the summary, with all documents without a question")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Write the questions, and print the summary.

    Raises:
        ValueError: an option or a document is invalid, or no question can be made.
    """
    from hf_knowlearn.study import write_questions

    raise_problems(_problems(arguments))
    summary = write_questions(_documents(arguments), arguments.output, arguments.kinds, arguments.seed)
    for line in summary_lines(summary):
        show(line)
    show(f"Written to {arguments.output}. Next: knowlearn teach --questions {arguments.output} ...")
    if arguments.json is not None:
        atomic_files.write_text(arguments.json, json.dumps(summary.as_dict(), indent=2, ensure_ascii=False) + "\n")
    return 0


def _documents(arguments: argparse.Namespace) -> Iterator[Document]:
    """Return the documents. Documents of a path are read one at a time."""
    from hf_knowlearn.documents import iter_documents
    from hf_knowlearn.teach.sources import WORLD, load_documents

    options = document_options(arguments)
    if arguments.language is not None:
        options["language"] = arguments.language
    if arguments.documents.startswith(WORLD):
        return iter(load_documents(arguments.documents, **options))
    return iter_documents(arguments.documents, **options)


def _problems(arguments: argparse.Namespace) -> Iterator[str]:
    output, source = arguments.output.absolute(), Path(arguments.documents).absolute()
    if output.suffix != ".jsonl":
        yield f"--output {arguments.output}: the name of the file must end with .jsonl, such as questions.jsonl."
    elif output.is_dir():
        yield f"--output {arguments.output} is a folder. Give the name of a file in it."
    elif output == source or (source.is_dir() and output.is_relative_to(source)):
        yield (
            f"--output {arguments.output} is one of the documents at {arguments.documents}, or in their folder. The"
            " questions would be read as documents. Choose a file elsewhere."
        )


def summary_lines(summary: "QuestionSummary") -> Iterator[str]:
    """Yield the lines of the summary."""
    total, documents = summary.accepted.total(), number_of(summary.documents, "document")
    rate = 1000 * total / max(summary.characters, 1)
    yield f"{number_of(total, 'question')} from {documents} ({rate:.1f} per 1,000 characters)"
    for kind, count in summary.accepted.most_common():
        yield f"  {kind:<42} {count:>9,}"
    if rejected := +summary.rejected:
        yield f"{number_of(rejected.total(), 'fact')} without a question:"
        for reason, count in rejected.most_common():
            yield f"  {reason:<42} {count:>9,}"
    if without := summary.without:
        more = ", ..." if len(without) > _SHOWN else ""
        yield f"{number_of(len(without), 'document')} without a question: {', '.join(without[:_SHOWN])}{more}"
