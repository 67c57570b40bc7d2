"""Terms: under which licence a source stands, and whether anyone may read it.

The surprising decision: the Hub is asked without the user's token, so that what only the user can see isn't taken for
public.
"""

from typing import Any, NamedTuple

from hf_knowlearn.hub.errors import UNREACHABLE
from hf_knowlearn.hub.redaction import WORLD, hub_id

OURS = "apache-2.0"  # of the made-up world, and of the folders in this package


class Terms(NamedTuple):
    """A licence, if one is named, and whether anyone may read what stands under it."""

    license: str | None
    is_public: bool


def terms_of(source: str) -> Terms:
    """The terms of documents or questions, as an option names them; of a path nothing is known."""
    if source.startswith(WORLD):
        return Terms(OURS, True)
    if (name := hub_id(source)) is None:
        return Terms(None, False)
    from huggingface_hub import HfApi

    try:
        info = HfApi(token=False).dataset_info(name)
    except UNREACHABLE:
        return Terms(None, False)
    card: Any = info.card_data or {}
    license = card.get("license")
    return Terms(license if isinstance(license, str) else None, not (info.private or info.gated))
