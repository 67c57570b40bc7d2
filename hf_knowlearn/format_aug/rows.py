"""What one document becomes: its rows, a function of the document, the configuration and the epoch.

The surprising decision: the views of an epoch are not drawn anew but are the next of the document's one sequence, so
that none comes twice before all have come.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from hf_knowlearn import views
from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.format_aug.config import FormatAugConfig
from hf_knowlearn.views import View

Row = dict[str, Any]

# Views that ask for something: the request is no part of what is learned, so it has a column of its own. Where only
# some of the views ask (mixed), all have both columns, because TRL takes one kind of row; an empty request is none.
PROMPTED = ("masked", "mixed")
ORIGINAL = -1  # the number of the text as written, before that of the first view


def columns(config: FormatAugConfig) -> dict[str, str]:
    """The columns and their types."""
    texts = ("prompt", "completion") if config.name in PROMPTED else ("text",)
    types = {**dict.fromkeys((*texts, "document_id"), "string"), "part": "int32", "view": "int32", "format": "string"}
    return {**types, "epoch": "int32"} if config.epochs else types


def rows(config: FormatAugConfig, document: Document, epoch: int = 0) -> list[Row]:
    """The rows of `document` in `epoch`.

    Raises:
        ValueError: it has fewer views than are asked for, or can't be cut.
    """
    if config.language:
        document = replace(document, language=config.language)
    return [_row(config, view, epoch) for part in _parts(config, document) for view in _views(config, part, epoch)]


def _parts(config: FormatAugConfig, document: Document) -> list[Document]:
    if config.max_chars is None:
        return [document]
    # A run of white space longer than a part is no part: there is nothing in it to learn.
    return [part for part in split_document(document, len, config.max_chars) if part.text.strip()]


def _views(config: FormatAugConfig, part: Document, epoch: int) -> Iterator[View]:
    if config.include_original:
        yield replace(views.raw_view(part), index=ORIGINAL)
    draw = partial(views.FAMILIES[config.name], part, seed=config.seed, **config.family_options)
    first, number = epoch * config.views, config.views
    if config.exhausted == "raise" and epoch == 0:
        # In a stream of epochs all of them are drawn once, so that the first epoch, not the ninth, refuses a document.
        yield from draw(number * (config.epochs or 1), first=0)[:number]
    elif config.exhausted == "raise":
        yield from draw(number, first=first)
    else:
        yield from _repeated(draw, first, number)


def _repeated(draw: Callable[..., list[View]], first: int, number: int) -> list[View]:
    """Views `first` to `first + number - 1`, of a sequence that begins again when it is exhausted."""
    last = first + number
    try:
        return draw(last, first=0)[
            first:
        ]  # from 0, since of a mixture a later view may be had where an earlier is not
    except ValueError:
        sequence = _all(draw, last)
        return [replace(sequence[turn % len(sequence)], index=turn) for turn in range(first, last)]


def _all(draw: Callable[..., list[View]], too_many: int) -> list[View]:
    """The whole sequence, by bisection: its length can't be asked for.

    Raises:
        ValueError: there is no view at all, so whatever is wrong isn't that they are few.
    """
    sequence = draw(1, first=0)
    while too_many - len(sequence) > 1:
        middle = (too_many + len(sequence)) // 2
        try:
            sequence = draw(middle, first=0)
        except ValueError:
            too_many = middle
    return sequence


def _row(config: FormatAugConfig, view: View, epoch: int) -> Row:
    texts = {"prompt": view.prompt, "completion": view.text} if config.name in PROMPTED else {"text": view.text}
    row = {
        **texts,
        "document_id": view.document_id,
        "part": view.part,
        "view": view.index,
        "format": view.format,
    }
    return {**row, "epoch": epoch} if config.epochs else row
