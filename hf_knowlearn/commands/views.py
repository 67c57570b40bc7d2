"""`knowlearn views`: shows the views of a document, or counts or exports the views of all documents."""

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn import atomic_files
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.format_aug.settings import RAW
from hf_knowlearn.views import FAMILIES, View
from hf_knowlearn.views.coverage import CoverageReport, MakePartViews, PartViews, measure_coverage

if TYPE_CHECKING:
    from hf_knowlearn.commands.row_tokenizers import RowTokenizer

TINY = "tiny_base"  # the model of this package
# Options that determine the views. The card of an export lists them.
VIEW_OPTIONS = ("num_views", "seed", "format_groups", "hold_out", "max_length", "document_template", "language")


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "show the rows on which `knowlearn teach` trains, or count (--stats) or export (--export) the views"
    more = (
        "All options of `knowlearn teach` are accepted, with the same defaults, such as --num_views, --max_length and"
        " --config: see `knowlearn teach --help all`."
    )
    parser = subparsers.add_parser("views", help=text, description=f"{text.capitalize()}. {more}")
    parser.set_defaults(options_of_teach=())
    add = parser.add_argument
    add("documents", nargs="?", metavar="PATH", help="a file or folder of documents, or world:SPLIT")
    families = f"{', '.join((RAW, *FAMILIES))}, or weights as in `knowlearn teach`"
    add("--views", nargs="+", default=[None], metavar="FAMILY", help=f"{families} (mixed)")
    add("--model", metavar="NAME_OR_PATH", help=f"model whose tokenizer is used ({TINY})")
    add("--document", metavar="ID", help="show this document (the first), or count only this one")
    add("--stats", action="store_true", help="count the views and tokens of each family and of each kind of document")
    add("--questions", metavar="FILE", help="as --stats, and list unanswered questions and misplaced answers")
    add("--export", metavar="DIR", help="as --stats, and write the views as a dataset: Parquet files and a card")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print the views of one document, or the counts of the views of all documents.

    Raises:
        ValueError: options, documents or questions are invalid. The message lists all problems, and nothing is printed
            or written. Also raised if an export finds documents without enough views.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters that the terminal's encoding lacks
    logging.raiseExceptions = False  # Why: a closed pipe must not print a traceback for each log message
    try:
        inputs = read_inputs(arguments)
        counts_all = arguments.stats or arguments.questions or arguments.export
        for block in _counts(inputs) if counts_all else _document_views(inputs):
            show(block)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of `knowlearn views ... | head` has finished
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@dataclass(frozen=True)
class Inputs:
    """The options of the command and of the run, and the data that they name.

    Args:
        options: the options of `knowlearn teach`, with their defaults.
        families: for each name of a family, a function that makes the views of a document as `knowlearn teach` does.
    """

    arguments: argparse.Namespace
    options: dict[str, Any]
    documents: list[Document]
    questions: list[Question]
    tokenizer: "RowTokenizer"
    families: dict[str, MakePartViews]


@dataclass(frozen=True)
class ShownRow:
    """A training row: a view, the number of its tokens, and the number of these tokens that carry loss."""

    view: View
    tokens: int
    with_loss: int


def read_inputs(arguments: argparse.Namespace) -> Inputs:
    """Read everything that the options name.

    Raises:
        ValueError: options, documents or questions are invalid. The message lists all problems.
    """
    from hf_knowlearn.commands.row_tokenizers import row_tokenizer
    from hf_knowlearn.format_aug.rows import check_documents
    from hf_knowlearn.teach.sources import load_questions

    problems = []

    def attempt(reader: Callable[..., Any], *sources: Any) -> Any:
        try:
            return reader(*sources)
        except ValueError as error:
            problems.append(str(error))

    if arguments.export is not None:
        problems += atomic_files.new_folder_problems(Path(arguments.export), "export")
    options = [attempt(_options, arguments, family) for family in dict.fromkeys(arguments.views)]
    if None in options:
        raise_problems(dict.fromkeys(line for problem in problems for line in problem.splitlines()))
    first = options[0]
    documents = attempt(_read_documents, first, arguments.document)
    columns = {name: first[name] for name in ("question_column", "answer_column") if first.get(name)}
    questions = attempt(partial(load_questions, **columns), arguments.questions)
    tokenizer = attempt(row_tokenizer, first)
    if documents and tokenizer:
        attempt(check_documents, documents, tokenizer.tokenizer)
    raise_problems(problems)
    wanted = [q for q in questions if arguments.document is None or q.document_id in (None, arguments.document)]
    families = dict(_part_views(each, tokenizer) for each in options)
    return Inputs(arguments, first, documents, wanted, tokenizer, families)


def _options(arguments: argparse.Namespace, family: str | None) -> dict[str, Any]:
    """Return the options of a run that trains on the documents in one family of views.

    If the run has stages, these are the options of the first stage that trains on the documents.

    Args:
        family: the family of views. None: the family that the recipe names.
    """
    from hf_knowlearn.config.help import effective_defaults
    from hf_knowlearn.config.recipes import read_options

    if arguments.documents and any(word.partition("=")[0] == "--documents" for word in arguments.options_of_teach):
        raise ValueError(f"{arguments.documents} and --documents both name documents. Give only one of them.")
    given = {"documents": arguments.documents, "model_name_or_path": arguments.model, "views": family}
    given = {name: value for name, value in given.items() if value is not None}
    options = read_options(arguments.options_of_teach, {**given, "output_dir": "-"}, {"model_name_or_path": TINY})
    stages = options.get("stages", [{}])
    first = next((stage for stage in stages if "documents" in (stage.get("train_on") or ["documents"])), stages[0])
    options = {**effective_defaults(), **options, **first, **given}
    if not options.get("documents"):
        raise ValueError("`knowlearn views` shows documents, and the recipe names none. Write `knowlearn views PATH`.")
    return options


def _part_views(options: dict[str, Any], tokenizer: "RowTokenizer") -> tuple[str, MakePartViews]:
    """Return the name of the family, and a function that makes the views of a document as `knowlearn teach` does."""
    from hf_knowlearn.config.settings import view_settings
    from hf_knowlearn.config.teach_arguments import TeachArguments
    from hf_knowlearn.format_aug.rows import document_views
    from hf_knowlearn.prompts.limits import smallest_limit

    teach = TeachArguments(
        **{each.name: options[each.name] for each in fields(TeachArguments) if each.name in options}
    )
    settings = view_settings(teach, options["seed"])
    limit = smallest_limit(options["max_length"], tokenizer.context)
    return settings.family, lambda document: document_views(
        document, settings, tokenizer.lengths, limit, tokenizer.tokenizer
    )


def _read_documents(options: dict[str, Any], wanted: str | None) -> list[Document]:
    """Read the documents as `knowlearn teach` does, or only the one with the id `wanted`."""
    from hf_knowlearn.teach.sources import has_tables, load_documents

    source = options["documents"]
    names = ("text_column", "empty", "language") if has_tables(source) else ("empty", "language")
    documents = load_documents(source, **{name: options[name] for name in names if options.get(name) is not None})
    if wanted is None:
        return documents
    if found := [document for document in documents if document.id == wanted]:
        return found
    ids = [document.id for document in documents]
    near = ", ".join(map(repr, get_close_matches(wanted, ids, 3) or ids[:3]))
    raise ValueError(
        f"--document {wanted!r}: no document has this id. Some ids of the {number_of(len(ids), 'document')}: {near}."
    )


def _document_views(inputs: Inputs) -> Iterator[str]:
    """Yield a description of the first document, and a text for each of its rows."""
    from hf_knowlearn.commands.views_output import describe_document, render_row

    document = inputs.documents[0]
    rows = list(shown_rows(inputs, document))  # Why: an error in the last row must come before the first output
    yield describe_document(document, len(inputs.documents), inputs.options["model_name_or_path"])
    for row in rows:
        yield render_row(row.view, row.tokens, row.with_loss, inputs.tokenizer.end)


def shown_rows(inputs: Inputs, document: Document) -> Iterator[ShownRow]:
    """Yield the rows of a document, family by family: every view of every part of the document."""
    for make_views in inputs.families.values():
        for _, views in make_views(document):
            for view in views:
                yield ShownRow(view, *inputs.tokenizer.count_tokens(view.prompt, view.text))


def _counts(inputs: Inputs) -> Iterator[str]:
    """Export the views of all documents if the user requested it, and yield the tables of counts."""
    from tqdm.auto import tqdm

    from hf_knowlearn.commands.views_output import describe_report, failed_documents

    export = inputs.arguments.export
    documents = tqdm(inputs.documents, "Views", unit="doc", disable=None)
    report = measure_coverage(documents, inputs.families, inputs.tokenizer.row_lengths, inputs.questions)
    if export is not None:
        if failed := "\n".join(failed_documents(report)):
            raise ValueError(f"--export {export}: some documents have too few views.\n{failed}")
        _export(inputs, report)
    yield from describe_report(report, inputs.options["model_name_or_path"])
    if export is not None:
        yield f"\nWrote {export}. Load it: load_dataset({export!r}, {next(iter(inputs.families))!r})"


def _export(inputs: Inputs, report: CoverageReport) -> None:
    """Write a folder for `knowlearn publish views`: a Parquet file for each family, and a card."""
    from hf_knowlearn.commands.views_output import statistics_rows
    from hf_knowlearn.hub.dataset_cards import views_card
    from hf_knowlearn.teach.provenance import fingerprint

    model, source = inputs.options["model_name_or_path"], Path(inputs.options["documents"]).name
    options = {name: inputs.options[name] for name in VIEW_OPTIONS if inputs.options.get(name) is not None}
    is_local = Path(model).exists()  # the path may be private
    options["tokenizer"] = Path(model).name if is_local else model
    options["sha256"] = fingerprint(inputs.documents)
    languages = sorted({document.language for document in inputs.documents})
    families = list(inputs.families)
    with atomic_files.atomic_write(Path(inputs.arguments.export)) as draft:
        for family, make_views in inputs.families.items():
            _write_parquet(draft, family, map(make_views, inputs.documents))
        card = views_card(source, families, languages, options, statistics_rows(report))
        (draft / "README.md").write_text(card, encoding="utf-8")


def _write_parquet(folder: Path, family: str, documents: Iterator[PartViews]) -> None:
    """Write the views of all documents in one family, with the columns of `load_format_aug`."""
    import datasets

    from hf_knowlearn.format_aug.config import FormatAugConfig
    from hf_knowlearn.format_aug.dataset_rows import columns
    from hf_knowlearn.format_aug.rows import view_row

    types = columns(FormatAugConfig(name=family))

    def rows() -> Iterator[dict[str, Any]]:
        for part_views in documents:
            for view in (view for _, views in part_views for view in views):
                row = {**view_row(view), "text": view.text}
                yield {name: row[name] for name in types}

    features = datasets.Features({name: datasets.Value(type) for name, type in types.items()})
    cache = folder / "cache"
    # Why: with a fingerprint, `datasets` does not hash all documents to name its cache.
    made = datasets.Dataset.from_generator(rows, features, cache_dir=str(cache), fingerprint=family)
    path = folder / "data" / family / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    made.to_parquet(path)
    shutil.rmtree(cache)
