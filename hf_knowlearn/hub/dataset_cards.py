"""Renders the cards of two kinds of datasets: views of documents, and questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from hf_knowlearn import __version__
from hf_knowlearn.hub.templates import render, spread

UNNAMED = "PATH_OR_NAME"  # name of the repository on the card of exported views; publishing replaces it


def views_card(
    source: str,
    families: Sequence[str],
    languages: Sequence[str],
    options: Mapping[str, Any],
    figures: Sequence[Sequence[str]],
) -> str:
    """Return the card of exported views. It describes their content, their source and how to load them.

    Args:
        source: name of the documents.
        families: the families of the views, such as `formats`.
        languages: the language codes of the documents.
        options: the options of the export, by name.
        figures: a table of figures about the views. The first row is the header.
    """
    return render(
        "views.md.jinja",
        source=source,
        families=families,
        languages=list(languages),
        figures=figures,
        version=__version__,
        options=options,
        name=UNNAMED,
    )


def questions_card(
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    repo_id: str,
    license: str,
    sources: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the card of a dataset of questions. `stage_questions` describes the arguments."""
    examples = spread(next(iter(splits.values())))
    return render(
        "questions.md.jinja",
        repo_id=repo_id,
        splits=splits,
        examples=examples,
        sources=sources,
        license=license,
    )
