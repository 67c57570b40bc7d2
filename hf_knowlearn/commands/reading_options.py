"""Declares the options for reading documents and questions that several commands share."""

import argparse
from typing import Any


def add_document_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options for reading documents."""
    parser.add_argument("--text_column", metavar="NAME", help="column with the text of a document (text)")
    parser.add_argument("--empty", choices=("raise", "drop"), help="what to do with empty documents (raise)")


def add_question_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options for reading questions."""
    parser.add_argument("--question_column", metavar="NAME", help="column with the question (question or text)")
    parser.add_argument("--answer_column", metavar="NAME", help="column with the answers (answers or answer)")


def document_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options for reading documents that the user gave, as arguments of `load_documents`."""
    return _given(arguments, "text_column", "empty")


def question_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options for reading questions that the user gave, as arguments of `load_questions`."""
    return _given(arguments, "question_column", "answer_column")


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    values = {name: getattr(arguments, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}
