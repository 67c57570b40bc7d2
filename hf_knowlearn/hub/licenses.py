"""The licence of a source, and whether the source is public.

Why: the Hub is queried without the user's token. With the token, a private dataset of the user would count as public.
"""

from typing import Any

from hf_knowlearn.hub.errors import UNREACHABLE
from hf_knowlearn.hub.redaction import WORLD, hub_id

OURS = "apache-2.0"  # licence of the synthetic world and of the folders in this package


def terms_of(source: str) -> tuple[str | None, bool]:
    """The licence of documents or questions (None if unknown), and whether they are public.

    Args:
        source: the value of the option that names it. For a path, the licence is unknown.
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
    """The error message for a missing `--license` if the licence of `what` is unknown."""
    return (
        f"--license: the licence of {what} is unknown, or there are several. Give the licence of the repository, such"
        " as --license cc-by-4.0 or --license other (in a recipe, hub_license). Publish only what you may share."
    )
