"""What can be asked of the builder: a family of views, its options, and where the documents are; all checked at once.

The surprising decision: where the documents lie is no part of a configuration's identity, what they say is. So the
same documents in another folder are not told again, and other documents under the same name are.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import datasets

from hf_knowlearn.format_aug.document_store import READING
from hf_knowlearn.views import GROUPS

FAMILIES = ("formats", "order", "masked", "mixed")
EXHAUSTED = ("raise", "repeat")
# Each of these is an option of a family's function and means nothing to the others.
ONLY_OF = {
    "groups": ("formats", "order", "mixed"),
    "hold_out": ("formats", "order", "mixed"),
    "ratio": ("masked",),
    "weights": ("mixed",),
}
DEFAULT_VIEWS = 4


@dataclass
class FormatAugConfig(datasets.BuilderConfig):
    """How which documents are told.

    Args:
        source: what `read_documents` reads: a file, a folder, the name of a dataset on the Hub, or a list of those;
            or a list of `Document`s; or a mapping from names of splits to any of these.
        source_config, source_split, source_revision: `config`, `split` and `revision` of `read_documents`. Without a
            split all splits of a dataset on the Hub are told, and keep their names.
        text_column, id_column, title_column, empty, duplicates, near_duplicates: as in `read_documents`.
        num_views: views of a document; 4 if None, or 1 in each epoch.
        seed: what every document's sequence of views is drawn from.
        groups: the groups of formats to draw from; all if None.
        hold_out: a group never drawn, kept for measuring on formats that training has not shown.
        weights: of the families in a mixture.
        ratio: the least and the most of a document's words that are masked.
        language: the code of the language that all documents are in; if None, each has its own.
        include_original: whether a document is told as written, too, before its views.
        max_chars: characters beyond which a document is cut into parts, each told by itself under its title.
        exhausted: what becomes of a document that has fewer views than are asked for: "raise" refuses it, "repeat"
            begins again with its first view.
        epochs: how many times the stream goes through the documents, each time in their next views.
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
    near_duplicates: float | None = None
    num_views: int | None = None
    seed: int = 0
    groups: Sequence[str] | None = None
    hold_out: str | None = None
    weights: Mapping[str, float] | None = None
    ratio: tuple[float, float] | None = None
    language: str | None = None
    include_original: bool = False
    max_chars: int | None = None
    exhausted: str = "raise"
    epochs: int | None = None

    @property
    def views(self) -> int:
        """Views of a document, in each epoch if there are epochs."""
        return self.num_views or (1 if self.epochs else DEFAULT_VIEWS)

    @property
    def family_options(self) -> dict[str, Any]:
        """The options that are given to the family's function as they are."""
        given = {name: getattr(self, name) for name in ONLY_OF}
        return {name: value for name, value in given.items() if value is not None}

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The name of the folder in the cache: the configuration's name and all options that shape its rows.

        The source and how it is read are left out: the builder's hash stands for the documents.
        """
        shaping = {field.name: (getattr(self, field.name), field.default) for field in _OWN_FIELDS}
        given = {name: value for name, (value, default) in shaping.items() if value != default}
        given = {name: value for name, value in given.items() if name != "source" and name not in READING}
        return super().create_config_id({**given, "num_views": self.views}, custom_features=custom_features)


_INHERITED = {field.name for field in fields(datasets.BuilderConfig)}
_OWN_FIELDS = tuple(field for field in fields(FormatAugConfig) if field.name not in _INHERITED)
OPTIONS = tuple(field.name for field in _OWN_FIELDS)


def problems(name: str | None, options: Mapping[str, Any]) -> Iterator[str]:
    """All that is wrong with a configuration's name and options, a sentence each."""
    if name not in FAMILIES:
        yield f"the configuration {name!r} is none of {', '.join(FAMILIES)}"
    for option in sorted(set(options) - set(OPTIONS)):
        meant = get_close_matches(option, OPTIONS, 1)
        hint = f"did you mean {meant[0]}" if meant else f"the options are {', '.join(OPTIONS)}"
        yield f"there is no option {option!r}; {hint}"
    given = {option: value for option, value in options.items() if value is not None}
    yield from _wrong_source(given.get("source"))
    yield from _wrong_numbers(given)
    yield from _wrong_words(given)
    for option, families in ONLY_OF.items():
        if option in given and name in FAMILIES and name not in families:
            yield f"{option} is an option of {' and '.join(families)}, not of {name}; leave it out"


def _wrong_source(source: object) -> Iterator[str]:
    if source is None:
        yield "no source is given; name a file, a folder or a dataset on the Hub"
    elif isinstance(source, Mapping):
        if not source:
            yield "source names no split; give each split's source by its name, or a source alone"
        for split, part in source.items():
            yield from (f"source[{split!r}]: {what}" for what in _wrong_source(part))
    elif not isinstance(source, str | os.PathLike | Sequence):
        yield f"source must be a path, a name on the Hub, a list or a mapping of splits, got {source!r}"


def _wrong_numbers(given: Mapping[str, Any]) -> Iterator[str]:
    for option in ("num_views", "epochs", "max_chars"):
        if option in given and (type(given[option]) is not int or given[option] < 1):
            yield f"{option} must be a whole number from 1 up, got {given[option]!r}"
    if "seed" in given and type(given["seed"]) is not int:
        yield f"seed must be a whole number, got {given['seed']!r}"
    ratio = given.get("ratio", (0.5, 0.5))
    shares = list(ratio) if _is_list(ratio) else []
    if not (len(shares) == 2 and all(map(_is_number, shares)) and 0 < shares[0] <= shares[1] <= 1):
        yield f"ratio must be the least and the most masked, two shares above 0 and up to 1 in order, got {ratio!r}"
    weights = given.get("weights", {"formats": 1})
    known = isinstance(weights, Mapping) and set(weights) <= set(FAMILIES) - {"mixed"}
    if not (known and all(_is_number(w) and w >= 0 for w in weights.values()) and sum(weights.values()) > 0):
        yield f"weights must give families ({', '.join(FAMILIES[:-1])}) numbers from 0 up, not all 0, got {weights!r}"


def _wrong_words(given: Mapping[str, Any]) -> Iterator[str]:
    if "include_original" in given and not isinstance(given["include_original"], bool):
        yield f"include_original must be True or False, got {given['include_original']!r}"
    if "exhausted" in given and given["exhausted"] not in EXHAUSTED:
        yield f"exhausted must be one of {', '.join(EXHAUSTED)}, got {given['exhausted']!r}"
    for option in ("language", "source_config", "source_split", "source_revision"):
        if option in given and not (isinstance(given[option], str) and given[option].strip()):
            yield f"{option} must be a word, got {given[option]!r}"
    groups = given.get("groups", ())
    if not _is_list(groups):
        yield f"groups must be a list of groups of formats, got {groups!r}"
        groups = ()
    wanted = [*groups, *([given["hold_out"]] if "hold_out" in given else [])]
    if unknown := [group for group in wanted if group not in GROUPS]:
        yield f"unknown groups of formats {unknown}; choose from {', '.join(GROUPS)}"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
