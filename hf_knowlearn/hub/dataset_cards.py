"""Cards of datasets: views, and questions. The folders `format_aug` and `knowledge_recall` contain their own cards."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hf_knowlearn import __version__
from hf_knowlearn.hub.escaping import code, in_line
from hf_knowlearn.hub.metadata import dataset_metadata
from hf_knowlearn.hub.templates import render, spread

# Placeholders on the card of exported views, which publishing replaces.
UNNAMED = "PATH_OR_NAME"
UNLICENSED = "That of the documents, whose full text this is. `knowlearn publish views` needs it."


def licensed(license: str) -> str:
    """The text that replaces `UNLICENSED` when the licence is known."""
    return f"{code(license)}, as stated by its publisher: that of the documents, whose full text this is."


def views_card(
    source: str,
    families: Sequence[str],
    languages: Sequence[str],
    options: Mapping[str, Any],
    figures: Sequence[Sequence[str]],
) -> str:
    """The card of exported views: content, origin and how to load them.

    Args:
        source: name of the documents.
        options: of the export, by name.
        figures: a table with its header.
    """
    configs: list[dict[str, Any]] = [
        {"config_name": family, "data_files": [{"split": "train", "path": f"data/{family}/train-*.parquet"}]}
        for family in families
    ]
    configs[0] = {"config_name": families[0], "default": True, **configs[0]}
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
    """The card of a dataset of questions; see `stage_questions` for the arguments."""
    name = repo_id.rpartition("/")[2]
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    return render(
        "questions.md.jinja",
        metadata=dataset_metadata(
            pretty_name=name,
            license=license,
            task_categories=["question-answering"],
            tags=["hf_knowlearn", "knowledge", "closed-book-qa"],
            configs=[{"config_name": "default", "data_files": files}],
        ),
        name=name,
        repo_id=repo_id,
        splits=splits,
        examples=spread(next(iter(splits.values()))),
        sources=sources,
        license=license,
    )
