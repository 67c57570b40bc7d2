"""Checks that the files and models of a run exist, before torch is loaded."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hf_knowlearn.config.parsing import EVALUATION
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.config.teach_arguments import DOCUMENT_OPTIONS, TRAINED_ON
from hf_knowlearn.documents.files import hub_name
from hf_knowlearn.documents.sources import DOCUMENT_FORMATS
from hf_knowlearn.models.hub_access import check_hub
from hf_knowlearn.models.loading import model_path
from hf_knowlearn.models.tokenizers import check_template_path
from hf_knowlearn.teach.sources import WORLD, has_tables

EVALUATED = ("replayed_questions", "retention_questions")


def check_sources(options: Mapping[str, Any]) -> None:
    """Check that the files, folders and the model of a run and of its stages exist.

    Args:
        options: the result of `config.recipes.read_options`.

    Raises:
        ValueError: files, folders or the model do not exist, or `text_column` is set and there are no tables. The
            message lists all problems.
    """
    sources = list(_sources(options))
    problems = _missing(sources)
    column, documents = options.get("text_column"), [source for name, source in sources if name in DOCUMENT_OPTIONS]
    if column is not None and not problems and not any(map(has_tables, documents)):
        problems.append(
            f"--text_column {column}: the documents are text files, but only tables have columns."
            " Remove --text_column."
        )
    try:
        check_template_path(options.get("chat_template_path") or "")
        label = f"--model {options['model_name_or_path']}"
        check_hub(model_path(options["model_name_or_path"], label), label)
    except ValueError as error:
        problems.append(str(error))
    raise_problems(problems)


def check_exist(sources: Iterable[tuple[str, str]]) -> None:
    """Check that files and folders exist.

    Args:
        sources: pairs of an option and the path in its value.

    Raises:
        ValueError: files or folders do not exist. The message lists all of them.
    """
    raise_problems(_missing(sources))


def _missing(sources: Iterable[tuple[str, str]]) -> list[str]:
    suffixes = tuple(DOCUMENT_FORMATS)
    return [
        f"--{option}: {source[:300] or repr('')}: no such file or folder (searched from {os.getcwd()}). Give a"
        f" {', '.join(suffixes)} file, a folder of them, the owner/name of a dataset on the Hub, or {WORLD}SPLIT."
        for option, source in dict.fromkeys(sources)
        if not (source.startswith(WORLD) or hub_name(source, suffixes) or os.path.exists(source))
    ]


def _sources(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in (options, *options.get("stages", ())):
        yield from ((name, each[name]) for name in (*TRAINED_ON, "questions") if each.get(name))
    evaluation = options.get(EVALUATION, {})
    yield from ((f"{EVALUATION}.{name}", evaluation[name]) for name in EVALUATED if evaluation.get(name))
