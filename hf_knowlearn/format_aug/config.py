"""The options of `FormatAugmentedDataset`, with checks that report all problems together."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import datasets

from hf_knowlearn import views
from hf_knowlearn.format_aug.document_store import READING
from hf_knowlearn.format_aug.settings import ViewSettings

FAMILIES = tuple(views.FAMILIES)
EXHAUSTED = ("raise", "repeat")
# Options of some families only.
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
        source_config, source_split, source_revision: `config`, `split` and `revision` of `read_documents`. Without a
            split, every split of a dataset on the Hub is used under its own name.
        text_column, id_column, title_column, empty, duplicates: see `read_documents`.
        num_views: views of each document; with `epochs`, in each epoch. None: 4, or 1 with `epochs`.
        seed: fixes the sequence of views of every document.
        groups: groups of formats to sample from. None: all.
        hold_out: group of formats that is never sampled, for evaluation in formats that training does not contain.
        weights: weight of each family in `mixed`, in any unit.
        ratio: smallest and largest share of a document's words that `masked` masks, each in (0, 1].
        language: code of the language of all documents. None: each document has its own.
        include_raw: add the raw document before its views.
        max_chars: a longer document is split into parts of at most this many characters.
        exhausted: for a document with fewer views than `num_views`: "raise" an error, or "repeat" its views from the
            first one.
        epochs: passes over the documents of a stream, each with the next views of every document.
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
        """Views of a document; with `epochs`, in each epoch."""
        return self.num_views or (1 if self.epochs else DEFAULT_VIEWS)

    @property
    def view_settings(self) -> ViewSettings:
        """The settings with which `format_aug.rows` makes the views."""
        return ViewSettings(
            self.name, self.views, self.seed, self.groups, self.hold_out, weights=self.weights, ratio=self.ratio
        )

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The name of the cache folder: the configuration's name and every option that changes its rows."""
        # Why: the source and its reading options are not in the name. The builder's hash identifies the documents by
        # content: the same documents in another folder use the same cache, and changed documents use another.
        shaping = {field.name: (getattr(self, field.name), field.default) for field in _OWN_FIELDS}
        given = {name: value for name, (value, default) in shaping.items() if value != default}
        given = {name: value for name, value in given.items() if name != "source" and name not in READING}
        return super().create_config_id({**given, "num_views": self.views}, custom_features=custom_features)


_INHERITED = {field.name for field in fields(datasets.BuilderConfig)}
_OWN_FIELDS = tuple(field for field in fields(FormatAugConfig) if field.name not in _INHERITED)
OPTIONS = tuple(field.name for field in _OWN_FIELDS)


def problems(name: str | None, options: Mapping[str, Any]) -> Iterator[str]:
    """Every problem of a configuration's name and options, one sentence each."""
    if name not in FAMILIES:
        yield f"unknown configuration {name!r}; choose from {', '.join(FAMILIES)}"
    for option in sorted(set(options) - set(OPTIONS)):
        meant = get_close_matches(option, OPTIONS, 1)
        hint = f"did you mean {meant[0]}" if meant else f"the options are {', '.join(OPTIONS)}"
        yield f"unknown option {option!r}; {hint}"
    given = {option: value for option, value in options.items() if value is not None}
    yield from _wrong_source(given.get("source"))
    yield from _wrong_numbers(given)
    yield from _wrong_words(given)
    for option, families in ONLY_OF.items():
        if option in given and name in FAMILIES and name not in families:
            yield f"{option} is an option of {', '.join(families)}, not of {name}; remove it"


def _wrong_source(source: object) -> Iterator[str]:
    if source is None:
        yield "source is missing; give a file, a folder or the name of a dataset on the Hub"
    elif isinstance(source, Mapping):
        if not source:
            yield "source is an empty mapping; give the source of each split by its name, or one source"
        for split, part in source.items():
            yield from (f"source[{split!r}]: {what}" for what in _wrong_source(part))
    elif not isinstance(source, str | os.PathLike | Sequence):
        yield f"source must be a path, a name on the Hub, a list or a mapping of splits, got {source!r}"


def _wrong_numbers(given: Mapping[str, Any]) -> Iterator[str]:
    for option in ("num_views", "epochs", "max_chars"):
        if option in given and (type(given[option]) is not int or given[option] < 1):
            yield f"{option} must be an integer of at least 1, got {given[option]!r}"
    if "seed" in given and type(given["seed"]) is not int:
        yield f"seed must be an integer, got {given['seed']!r}"
    ratio = given.get("ratio", (0.5, 0.5))
    shares = list(ratio) if _is_list(ratio) else []
    if not (len(shares) == 2 and all(map(_is_number, shares)) and 0 < shares[0] <= shares[1] <= 1):
        yield f"ratio must be the smallest and the largest share, both above 0 and at most 1, got {ratio!r}"
    weights = given.get("weights", {"formats": 1})
    known = isinstance(weights, Mapping) and set(weights) <= set(FAMILIES) - {"mixed"}
    if not (known and all(_is_number(w) and w >= 0 for w in weights.values()) and sum(weights.values()) > 0):
        families = ", ".join(FAMILIES[:-1])
        yield f"weights must map families ({families}) to numbers of at least 0, not all 0, got {weights!r}"


def _wrong_words(given: Mapping[str, Any]) -> Iterator[str]:
    if "include_raw" in given and not isinstance(given["include_raw"], bool):
        yield f"include_raw must be True or False, got {given['include_raw']!r}"
    if "exhausted" in given and given["exhausted"] not in EXHAUSTED:
        yield f"exhausted must be one of {', '.join(EXHAUSTED)}, got {given['exhausted']!r}"
    for option in ("language", "source_config", "source_split", "source_revision"):
        if option in given and not (isinstance(given[option], str) and given[option].strip()):
            yield f"{option} must be a non-empty string, got {given[option]!r}"
    groups = given.get("groups", ())
    if not _is_list(groups):
        yield f"groups must be a list of groups of formats, got {groups!r}"
        groups = ()
    wanted = [*groups, *([given["hold_out"]] if "hold_out" in given else [])]
    if unknown := [group for group in wanted if group not in views.GROUPS]:
        yield f"unknown groups of formats {unknown}; choose from {', '.join(views.GROUPS)}"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
