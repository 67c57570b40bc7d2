"""Cards of datasets: views, and questions.

Those of the folders that are published as they lie, `format_aug` and `knowledge_recall`, stand in them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hf_knowlearn import __version__
from hf_knowlearn.hub.escaping import code, in_line
from hf_knowlearn.hub.metadata import dataset_metadata
from hf_knowlearn.hub.templates import render, spread

# What stands on the card of exported views until they are published.
UNNAMED = "PATH_OR_NAME"
UNLICENSED = "That of the documents, whose text this is in full: `knowlearn publish views` asks for it."
USES = {
    "qa_train": "to train on",
    "qa_eval": "to ask before and after: what was learned",
    "retention": "to ask before and after: what was kept",
}
VIEW_COLUMNS = {
    "text": "what is learned, of families that ask for nothing",
    "prompt": "what is asked, and not learned (in `mixed` it is empty where nothing is asked)",
    "completion": "what is learned, of families that ask",
    "document_id": "the document",
    "part": "which part of it, if it was cut; from 0",
    "view": "which of its views, from 0",
    "format": "what was done to it",
}


def licensed(license: str) -> str:
    """What stands in place of `UNLICENSED` when the licence is known."""
    return f"{code(license)}, as its publisher says: that of the documents, whose text this is in full."


def views_card(
    source: str,
    families: Sequence[str],
    languages: Sequence[str],
    options: Mapping[str, Any],
    figures: Sequence[Sequence[str]],
) -> str:
    """The card of exported views: what is in the folder, how it was made, how to load it.

    Args:
        source: what the documents are called.
        options: of the export, by name.
        figures: a table, its header first.
    """
    configs = [
        {
            "config_name": family,
            **({"default": True} if family == families[0] else {}),
            "data_files": [{"split": "train", "path": f"data/{family}/train-*.parquet"}],
        }
        for family in families
    ]
    return render(
        "views.md.jinja",
        metadata=dataset_metadata(
            pretty_name=f"Views of {in_line(source)}",
            language=list(languages),
            task_categories=["text-generation"],
            tags=["hf_knowlearn", "data-augmentation", "arxiv:2503.03705"],
            configs=configs,
        ),
        source=source,
        families=families,
        figures=figures,
        columns={name: Markup(what) for name, what in VIEW_COLUMNS.items()},
        version=__version__,
        options=options,
        name=UNNAMED,
        licence=Markup(UNLICENSED),
    )


def questions_card(
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    repo_id: str,
    license: str,
    sources: Mapping[str, Mapping[str, Any]],
) -> str:
    """The card of a dataset of questions, see `stage_questions`."""
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    return render(
        "questions.md.jinja",
        metadata=dataset_metadata(
            pretty_name=repo_id.rpartition("/")[2],
            license=license,
            task_categories=["question-answering"],
            tags=["hf_knowlearn", "knowledge", "closed-book-qa"],
            configs=[{"config_name": "default", "data_files": files}],
        ),
        repo=repo_id.rpartition("/")[2],
        repo_id=repo_id,
        splits=splits,
        uses=USES,
        examples=spread(next(iter(splits.values()))),
        sources=sources,
        license=license,
    )
