"""`knowlearn views`: shows the views of a document, or counts or exports the views of all documents."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.reading_options import (
    add_document_options,
    add_question_options,
    document_options,
    question_options,
)
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.views import FAMILIES, GROUPS
from hf_knowlearn.views.coverage import CoverageReport, MakePartViews, PartViews, measure_coverage
from hf_knowlearn.views.parts import LONGEST_PART, SHORTEST_PART
from hf_knowlearn.views.sampling import select_groups

# Options that determine the views. The card of an export lists them.
VIEW_OPTIONS = ("num_views", "seed", "format_groups", "hold_out", "max_length", "tokenizer")


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "show a document in several views, or count (--stats) or export (--export) the views of all documents"
    more = "Colours follow the terminal; NO_COLOR=1 and FORCE_COLOR=1 override it."
    parser = subparsers.add_parser("views", help=text, description=f"{text.capitalize()}. {more}")
    add = parser.add_argument
    add("documents", metavar="PATH", help="a file or folder of documents, or world:SPLIT")
    add_document_options(parser)
    families, groups = ", ".join(FAMILIES), ", ".join(GROUPS)
    add("--views", nargs="+", choices=tuple(FAMILIES), default=["formats"], metavar="FAMILY", help=families)
    add("--num_views", type=int, default=6, help="views of each document (%(default)s)")
    add("--format_groups", nargs="+", choices=GROUPS, metavar="GROUP", help=f"groups of formats: {groups} (all)")
    add("--hold_out", choices=GROUPS, metavar="GROUP", help="a group of formats that is never used")
    add("--seed", type=int, default=0, help="seed of the views (%(default)s)")
    add("--max_length", type=int, metavar="TOKENS", help="split documents until their views fit (no splitting)")
    add("--tokenizer", default="tiny_base", metavar="NAME_OR_PATH", help="tokenizer that counts tokens (%(default)s)")
    add("--document", metavar="ID", help="show this document (the first), or count only this one")
    add("--stats", action="store_true", help="count views, tokens and layout of each family")
    add("--questions", metavar="FILE", help="as --stats, and list the questions that no view answers")
    add_question_options(parser)
    add("--export", metavar="DIR", help="as --stats, and write the views as a dataset: Parquet files and a card")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print the views of one document, or the counts of the views of all documents.

    Raises:
        ValueError: options, documents or questions are invalid. The message lists all problems, and nothing is printed
            or written. Also raised if an export finds documents without enough views.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters that the terminal's encoding lacks
    try:
        inputs = _read_inputs(arguments)
        counts_all = arguments.stats or arguments.questions or arguments.export
        for block in _counts(inputs) if counts_all else _document_views(inputs):
            show(block)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of `knowlearn views ... | head` has finished
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@dataclass(frozen=True)
class _Inputs:
    """The options of the command, and the documents and questions that they name."""

    arguments: argparse.Namespace
    documents: list[Document]
    questions: list[Question]
    lengths: TokenLengths
    families: dict[str, MakePartViews]


def _read_inputs(arguments: argparse.Namespace) -> _Inputs:
    from hf_knowlearn.teach.sources import load_questions

    problems = list(_option_problems(arguments))

    def attempt(reader: Callable[[Any], Any], source: Any) -> Any:
        try:
            return reader(source)
        except ValueError as error:
            problems.append(str(error))

    documents = attempt(_read_documents, arguments)
    questions = attempt(partial(load_questions, **question_options(arguments)), arguments.questions)
    lengths = attempt(token_lengths, arguments.tokenizer)
    raise_problems(problems)
    wanted = [q for q in questions if arguments.document is None or q.document_id in (None, arguments.document)]
    families = {family: _part_views(arguments, family, lengths) for family in dict.fromkeys(arguments.views)}
    return _Inputs(arguments, documents, wanted, lengths, families)


def _part_views(arguments: argparse.Namespace, family: str, lengths: TokenLengths) -> MakePartViews:
    """Return a function that makes the views of a document, as `knowlearn teach` makes them."""
    from hf_knowlearn.format_aug.rows import document_views
    from hf_knowlearn.format_aug.settings import ViewSettings

    part_tokens = None if arguments.max_length is None else LONGEST_PART
    options = {"groups": arguments.format_groups, "hold_out": arguments.hold_out, "part_tokens": part_tokens}
    settings = ViewSettings(family, arguments.num_views, arguments.seed, **options)
    return lambda document: document_views(document, settings, lengths, arguments.max_length)


def _option_problems(arguments: argparse.Namespace) -> Iterator[str]:
    try:
        groups = select_groups(arguments.num_views, arguments.format_groups, arguments.hold_out)
        if not groups and {"formats", "mixed"} & {*arguments.views}:
            yield "--format_groups and --hold_out leave no format: allow another group."
    except ValueError as error:
        yield str(error)
    if arguments.max_length is not None and arguments.max_length < SHORTEST_PART:
        yield f"max_length={arguments.max_length}: give {SHORTEST_PART} or more."
    if arguments.export is not None:
        yield from atomic_files.new_folder_problems(Path(arguments.export), "export")


def _read_documents(arguments: argparse.Namespace) -> list[Document]:
    from hf_knowlearn.teach.sources import load_documents

    documents, wanted = load_documents(arguments.documents, **document_options(arguments)), arguments.document
    if wanted is None:
        return documents
    if found := [document for document in documents if document.id == wanted]:
        return found
    ids = [document.id for document in documents]
    near = ", ".join(map(repr, get_close_matches(wanted, ids, 3) or ids[:3]))
    raise ValueError(
        f"--document {wanted!r}: no document has this id. Some ids of the {number_of(len(ids), 'document')}: {near}."
    )


def token_lengths(tokenizer: str) -> TokenLengths:
    """Return a function that counts the tokens of texts, including the special tokens of a row.

    Raises:
        ValueError: the tokenizer cannot be loaded.
    """
    if tokenizer == "tiny_base":
        from tokenizers import Tokenizer

        from hf_knowlearn.paths import TINY_BASE

        # Why: the same counts as `AutoTokenizer`, without the seconds that its import takes.
        tiny = Tokenizer.from_file(str(TINY_BASE / "tokenizer.json"))
        return lambda texts: [len(encoding) + 1 for encoding in tiny.encode_batch_fast(texts)]
    from hf_knowlearn.models.loading import ModelSettings, load_tokenizer

    try:
        loaded = load_tokenizer(ModelSettings(tokenizer))
    except ValueError as error:
        raise ValueError(f"--tokenizer {tokenizer}: {error}") from error
    return lambda texts: [len(ids) + 1 for ids in loaded(texts, verbose=False)["input_ids"]]


def _document_views(inputs: _Inputs) -> Iterator[str]:
    """Yield a description of the first document, and a text for each of its views."""
    from hf_knowlearn.commands.views_output import describe_document, render_view

    document = inputs.documents[0]
    part_views = [views for make_views in inputs.families.values() for views in make_views(document)]
    yield describe_document(document, len(inputs.documents), inputs.arguments.tokenizer)
    for views in part_views:
        for view, tokens in zip(views, inputs.lengths([view.prompt + view.text for view in views]), strict=True):
            yield render_view(view, tokens)


def _counts(inputs: _Inputs) -> Iterator[str]:
    """Export the views of all documents if the user requested it, and yield the tables of counts."""
    from tqdm.auto import tqdm

    from hf_knowlearn.commands.views_output import describe_report, failed_documents

    export = inputs.arguments.export
    documents = tqdm(inputs.documents, "Views", unit="doc", disable=None)
    report = measure_coverage(documents, inputs.families, inputs.lengths, inputs.questions)
    if export is not None:
        if failed := "\n".join(failed_documents(report)):
            raise ValueError(f"--export {export}: some documents have too few views.\n{failed}")
        _export(inputs, report)
    yield from describe_report(report, inputs.arguments.tokenizer)
    if export is not None:
        yield f"\nWrote {export}. Load it: load_dataset({export!r}, {inputs.arguments.views[0]!r})"


def _export(inputs: _Inputs, report: CoverageReport) -> None:
    """Write a folder for `knowlearn publish views`: a Parquet file for each family, and a card."""
    from hf_knowlearn.commands.views_output import statistics_rows
    from hf_knowlearn.hub.dataset_cards import views_card
    from hf_knowlearn.teach.provenance import fingerprint

    arguments = inputs.arguments
    options = {name: getattr(arguments, name) for name in VIEW_OPTIONS if getattr(arguments, name) is not None}
    if Path(arguments.tokenizer).exists():
        options["tokenizer"] = Path(arguments.tokenizer).name  # the path may be private
    options["sha256"] = fingerprint(inputs.documents)
    languages = sorted({document.language for document in inputs.documents})
    source, families = Path(arguments.documents).name, list(inputs.families)
    with atomic_files.atomic_write(Path(arguments.export)) as draft:
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
            for view in (view for views in part_views for view in views):
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
