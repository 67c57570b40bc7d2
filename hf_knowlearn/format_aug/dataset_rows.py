"""Makes the rows of a document in the published dataset and in `load_format_aug`.

The rows depend on the document, the configuration and the epoch. The module `format_aug.rows` builds the training rows
of `knowlearn teach`.
"""

from collections.abc import Iterator
from dataclasses import replace

from hf_knowlearn.documents import Document, split_document
from hf_knowlearn.documents.language import language_code
from hf_knowlearn.documents.order_rules import can_move
from hf_knowlearn.format_aug.config import FormatAugConfig
from hf_knowlearn.format_aug.rows import Row, make_views, view_row, without_order
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.views import TooFewViewsError, View, raw_view

# Families with the columns `prompt` and `completion`.
# Why: all rows of `mixed` have them, because TRL accepts only one kind of row per dataset.
PROMPTED = ("masked", "mixed")
RAW_INDEX = -1  # `view` of the raw document


def columns(config: FormatAugConfig) -> dict[str, str]:
    """Return the columns of the dataset, with their types."""
    texts = ("prompt", "completion") if config.name in PROMPTED else ("text",)
    types = {**dict.fromkeys((*texts, "document_id"), "string"), "part": "int32", "view": "int32", "format": "string"}
    return {**types, "epoch": "int32"} if config.epochs else types


def dataset_rows(config: FormatAugConfig, document: Document, epoch: int = 0) -> list[Row]:
    """Return the rows of `document` in `epoch`, with the columns of `columns(config)`.

    Raises:
        TooFewViewsError: the document has fewer views than `config` requests.
        ValueError: the document cannot be split into parts of at most `config.max_chars` characters.
    """
    if config.language:
        document = replace(document, language=language_code(config.language))
    names = columns(config)
    rows = []
    for part in _parts(config, document):
        for view in _views(config, part, _settings(config, part, document), epoch):
            row = {**view_row(view), "text": view.text, "epoch": epoch}
            rows.append({name: row[name] for name in names})
    return rows


def _parts(config: FormatAugConfig, document: Document) -> list[Document]:
    if config.max_chars is None:
        return [document]
    # Why: a part with only white space contains nothing to learn.
    return [part for part in split_document(document, len, config.max_chars) if part.text.strip()]


def _settings(config: FormatAugConfig, part: Document, document: Document) -> ViewSettings:
    """Return the settings of the views of a part. If no sentence of the part can move, `formats` replaces `order`."""
    settings = config.view_settings
    if config.max_chars is None or config.name not in ("order", "mixed") or can_move(part, document):
        return settings
    return without_order(settings)


def _views(config: FormatAugConfig, part: Document, settings: ViewSettings, epoch: int) -> Iterator[View]:
    if config.include_raw:
        yield replace(raw_view(part), index=RAW_INDEX)
    number = config.views
    # Why: an epoch takes the next views from the sequence of the document. No view is repeated before all have been
    # used.
    first = epoch * number
    if config.exhausted == "repeat":
        yield from _repeated(part, settings, first, number)
    elif epoch == 0:
        # Why: the views of all epochs are made in the first epoch, so that a document with too few views fails early.
        yield from make_views(part, settings, number * (config.epochs or 1))[:number]
    else:
        yield from make_views(part, settings, number, first)


def _repeated(part: Document, settings: ViewSettings, first: int, number: int) -> list[View]:
    """Return views `first` to `first + number - 1` of a sequence that repeats the views of the part without end."""
    last = first + number
    try:
        # Why from view 0: in a mixture, a later view can exist even if an earlier one does not.
        return make_views(part, settings, last)[first:]
    except TooFewViewsError as error:
        if not error.available:
            raise
        sequence = make_views(part, settings, error.available)
        return [replace(sequence[index % len(sequence)], index=index) for index in range(first, last)]
