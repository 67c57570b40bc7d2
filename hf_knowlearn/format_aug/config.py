"""The options of `FormatAugmentedDataset`, and the checks of these options."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import datasets

from hf_knowlearn import views
from hf_knowlearn.documents import Document
from hf_knowlearn.documents.language import RULE, is_language_code
from hf_knowlearn.format_aug.document_store import READING
from hf_knowlearn.format_aug.settings import ViewSettings

FAMILIES = tuple(views.FAMILIES)
# Option -> the families that have this option.
ONLY_OF = {
    "groups": ("formats", "order", "mixed"),
    "hold_out": ("formats", "order", "mixed"),
    "ratio": ("masked",),
    "weights": ("mixed",),
}
DEFAULT_VIEWS = 4


@dataclass
class FormatAugConfig(datasets.BuilderConfig):
    """The documents of the dataset and their views.

    Args:
        source: a file, a folder, the name of a dataset on the Hub, or a list of these; or a list of `Document`s; or a
            mapping from names of splits to any of these.
        source_config, source_split, source_revision: `config`, `split` and `revision` of `read_documents`. If
            `source_split` is None, all splits of a dataset on the Hub are used, each under its own name.
        text_column, id_column, title_column, empty, duplicates: see `read_documents`.
        num_views: number of views of each document; with `epochs`, the number in each epoch. None: 4, or 1 with
            `epochs`.
        seed: determines the sequence of views of every document.
        groups: groups of formats to sample from. None: all.
        hold_out: group of formats that is never sampled. An evaluation can use this group as unseen formats.
        weights: weight of each family in `mixed`. The sum of the weights does not matter.
        ratio: smallest and largest share of a document's words that `masked` masks, each in (0, 1].
        language: language code of all documents. None: the language that a `Document`, a row or a file gives;
            otherwise the detected language.
        include_raw: add the raw document before its views.
        max_chars: a longer document is split into parts of at most this many characters.
        exhausted: for a document with fewer views than `num_views`: "raise" an error, or "repeat" its views from the
            first one.
        epochs: number of passes over the documents of a stream. Each pass uses the next views of every document.
    """

    source: Any = None
    source_config: str | None = None
    source_split: str | None = None
    source_revision: str | None = None
    text_column: str | None = None
    id_column: str | None = None
    title_column: str | None = None
    empty: str | None = None
    duplicates: str | None = None
    num_views: int | None = None
    seed: int = 0
    groups: Sequence[str] | None = None
    hold_out: str | None = None
    weights: Mapping[str, float] | None = None
    ratio: tuple[float, float] | None = None
    language: str | None = None
    include_raw: bool = False
    max_chars: int | None = None
    exhausted: str = "raise"
    epochs: int | None = None

    @property
    def views(self) -> int:
        """Number of views of a document; with `epochs`, the number in each epoch."""
        return self.num_views or (1 if self.epochs else DEFAULT_VIEWS)

    @property
    def view_settings(self) -> ViewSettings:
        """The settings of the views, for `format_aug.rows`."""
        return ViewSettings(
            self.name, self.views, self.seed, self.groups, self.hold_out, weights=self.weights, ratio=self.ratio
        )

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """Return the name of the cache folder: the name of the configuration and every option that changes the
        rows."""
        # Why: the source and its reading options are not in the name, because the builder's hash identifies the
        # documents by their content. The same documents in another folder use the same cache, and changed documents
        # use a new one.
        shaping = {name: value for name, value in config_kwargs.items() if name != "source" and name not in READING}
        return super().create_config_id({**shaping, "num_views": self.views}, custom_features=custom_features)


_INHERITED = {field.name for field in fields(datasets.BuilderConfig)}
OPTIONS = tuple(field.name for field in fields(FormatAugConfig) if field.name not in _INHERITED)


def problems(name: str | None, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield all problems of the name and the options of a configuration."""
    if name not in FAMILIES:
        yield f"unknown configuration {name!r}; choose from {', '.join(FAMILIES)}"
    for option in sorted(set(options) - set(OPTIONS)):
        yield f"unknown option {option!r}; the options are {', '.join(OPTIONS)}"
    given = {option: value for option, value in options.items() if value is not None}
    for option, value in {"source": None, **given}.items():
        is_valid, rule = _RULES.get(option, (None, ""))
        if is_valid and not is_valid(value):
            yield f"{option} must be {rule}, got {value!r}"
    for option, families in ONLY_OF.items():
        if option in given and name in FAMILIES and name not in families:
            yield f"{option} is an option of {', '.join(families)}, not of {name}; remove it"


def _is_source(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(map(_is_source, value.values()))
    if isinstance(value, list | tuple):
        return all(_is_path(one) for one in value) or all(isinstance(one, Document) for one in value)
    return _is_path(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _are_groups(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(group in views.GROUPS for group in value)


def _is_ratio(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
    return is_pair and 0 < value[0] <= value[1] <= 1


def _are_weights(value: Any) -> bool:
    is_known = isinstance(value, Mapping) and set(value) <= set(FAMILIES) - {"mixed"}
    return is_known and all(_is_number(weight) and weight >= 0 for weight in value.values()) and any(value.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


# Option -> (whether a value is valid, the rule in words)
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "source": (
        _is_source,
        "a path, a name on the Hub, a list of these or of Documents, or a mapping from splits to them",
    ),
    **dict.fromkeys(
        ("source_config", "source_split", "source_revision", "text_column", "id_column", "title_column"),
        (_is_word, "a non-empty string"),
    ),
    "language": (is_language_code, RULE),
    **dict.fromkeys(
        ("num_views", "epochs", "max_chars"),
        (lambda value: type(value) is int and value >= 1, "an integer of at least 1"),
    ),
    "seed": (lambda value: type(value) is int, "an integer"),
    "groups": (_are_groups, f"a list of groups of formats ({', '.join(views.GROUPS)})"),
    "hold_out": (lambda value: value in views.GROUPS, f"a group of formats ({', '.join(views.GROUPS)})"),
    "ratio": (_is_ratio, "the smallest and the largest share, both above 0 and at most 1"),
    "weights": (_are_weights, "a mapping from families (formats, order, masked) to numbers of at least 0, not all 0"),
    "include_raw": (lambda value: isinstance(value, bool), "True or False"),
    "exhausted": (lambda value: value in ("raise", "repeat"), "'raise' or 'repeat'"),
}
