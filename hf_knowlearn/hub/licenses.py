"""Finds the licence of a source on the Hub, and whether the source is public.

Why without the user's token: with the token, a private dataset of the user would seem to be public.
"""

from typing import Any

from hf_knowlearn.hub.errors import UNREACHABLE
from hf_knowlearn.hub.redaction import WORLD, hub_id

OURS = "apache-2.0"  # licence of the synthetic world and of the folders in this package


def terms_of(source: str) -> tuple[str | None, bool]:
    """Return the licence of documents or questions, and whether they are public. The licence can be unknown (None).

    Args:
        source: the name of a dataset on the Hub, the name of a synthetic world, or a path. The licence of a path is
            unknown.
    """
    if source.startswith(WORLD):
        return OURS, True
    if (name := hub_id(source)) is None:
        return None, False
    from huggingface_hub import HfApi

    try:
        info = HfApi(token=False).dataset_info(name)
    except UNREACHABLE:
        return None, False
    card: Any = info.card_data or {}
    license = card.get("license")
    return (license if isinstance(license, str) else None), not (info.private or info.gated)


def unlicensed(what: str) -> str:
    """Return the error message for a missing option `--license`.

    Args:
        what: the data whose licence is unknown.
    """
    return (
        f"--license: the licence of {what} is unknown, or there are several licences. Give the licence of the"
        " repository, such as --license cc-by-4.0 or --license other. In a recipe, use hub_license. Publish only what"
        " you may share."
    )
