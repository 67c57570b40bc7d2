"""The licence of a source, and whether anyone may read it.

Why: the Hub is queried without the user's token, so that a dataset only the user can read does not count as public.
"""

from typing import Any, NamedTuple

from hf_knowlearn.hub.errors import UNREACHABLE
from hf_knowlearn.hub.redaction import WORLD, hub_id

OURS = "apache-2.0"  # licence of the synthetic world and of the folders in this package


class Terms(NamedTuple):
    """The licence of a source (None if unknown), and whether anyone may read the source."""

    license: str | None
    is_public: bool


def terms_of(source: str) -> Terms:
    """The terms of documents or questions, as an option names them. Nothing is known of a path."""
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
