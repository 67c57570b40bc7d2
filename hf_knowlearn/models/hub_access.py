"""Checks that the Hub can be reached before a model is loaded from it."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)

TIMEOUT = 5  # seconds
CONFIGS = ("config.json", "adapter_config.json")


def check_hub(name: str, label: str) -> None:
    """Check that a model can be loaded from the Hub or from the cache. A folder is not checked.

    If the Hub cannot be reached and the model is in the cache, this process uses only the cache from now on. Why:
    otherwise transformers tries to reach the Hub for every file and waits half a minute each time.

    Args:
        name: A folder, or the name of a model on the Hub.
        label: The name of the model in error messages.

    Raises:
        ValueError: The Hub cannot be reached, and the model is not in the cache.
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
        return  # Why: the Hub has answered, so transformers gives a better message when it loads the model.
    except (HTTPError, OSError) as error:
        if not any(isinstance(try_to_load_from_cache(name, file), str) for file in CONFIGS):
            raise ValueError(
                f"{label}: there is no such folder here, and the Hub ({constants.ENDPOINT}) cannot be reached"
                f" ({error}). Check the network, or give the path of a folder with a model."
            ) from error
        constants.HF_HUB_OFFLINE = True
        logger.warning("The Hub (%s) cannot be reached (%s). Only its cache is used.", constants.ENDPOINT, error)
