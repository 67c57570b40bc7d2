"""Checks whether the Hub can be reached, before a model is loaded from it."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)

TIMEOUT = 5  # seconds
CONFIGS = ("config.json", "adapter_config.json")


def check_hub(name: str, label: str) -> None:
    """Check that a model can be loaded from the Hub or its cache. A folder needs no check.

    If the Hub cannot be reached and the model is in the cache, the libraries use only the cache from now on. Why: for
    every file, they try to reach the Hub six times, with pauses of half a minute in all.

    Args:
        name: a folder, or the name of a model on the Hub.
        label: the name of the model in error messages.

    Raises:
        ValueError: the Hub cannot be reached, and the model is not in the cache.
    """
    if Path(name).exists():
        return
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]  # of its HTTP library

    if constants.HF_HUB_OFFLINE:
        return
    try:
        HfApi().model_info(name, timeout=TIMEOUT)
    except HfHubHTTPError:
        return  # Why: the Hub answered, and the message of the library that loads the model is better.
    except (HTTPError, OSError) as error:
        if not any(isinstance(try_to_load_from_cache(name, file), str) for file in CONFIGS):
            raise ValueError(
                f"{label}: there is no such folder here, and the Hub ({constants.ENDPOINT}) cannot be reached"
                f" ({error}). Check the network, or give the folder of a model."
            ) from error
        constants.HF_HUB_OFFLINE = True
        logger.warning("The Hub (%s) cannot be reached (%s). Only its cache is used.", constants.ENDPOINT, error)
