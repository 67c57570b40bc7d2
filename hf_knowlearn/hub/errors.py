"""Errors: what the Hub answers when it refuses, as what the user can do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is that of its HTTP library
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

UNREACHABLE = (HTTPError, OSError)  # what asking the Hub can end in
HUBS = (HTTPError, OSError, JSONDecodeError)  # what may be the cause of an error that says less
OFFLINE = (
    "HF_HUB_OFFLINE is set, so the Hub isn't asked. Unset it, or look at what would be published with --dry_run"
    " --output_dir DIR."
)
GATED = "it is gated. Ask for access on its page on the Hub, and log in with `hf auth login`, or set HF_TOKEN."
AGAIN = "Run the same command again: it ends as if nothing had happened."
WITHOUT_TOKEN = "the Hub doesn't know who you are. Log in with `hf auth login`, or set HF_TOKEN."
OTHERWISE = f"the Hub failed. {AGAIN}"
WHY = {
    400: "the Hub finds fault with what was sent.",
    401: f"{WITHOUT_TOKEN} The token there is may have run out.",
    403: "your token may not write there. Take one with the right to write to that namespace, or another --namespace.",
    404: "there is no such namespace or repository, or your token may not see it. Check --namespace and the token.",
    409: "the name is taken, or another publish is going on. Wait, or choose another --name.",
    412: f"somebody else changed the repository meanwhile. {AGAIN}",
    429: f"the Hub asks for patience: too many requests. Wait a few minutes. {AGAIN}",
}


@contextmanager
def clear_errors(what: str) -> Iterator[None]:
    """Within the block, what the Hub refuses becomes a `ValueError` that says what to do about it.

    Args:
        what: the repository that is asked for, and what for if that isn't plain.
    """
    try:
        yield
    except (HTTPError, OSError, RuntimeError, JSONDecodeError) as error:
        raise ValueError(f"{what}: {_why(error)}") from error


def _why(error: BaseException) -> str:
    """What went wrong, and what to do; the client wraps some of its errors in others."""
    said = " ".join(str(error).split())
    match error:
        case OfflineModeIsEnabled():
            return OFFLINE
        case LocalTokenNotFoundError():
            return WITHOUT_TOKEN
        case GatedRepoError():
            return GATED
        case HfHubHTTPError():
            answered = " ".join((error.server_message or said).split())
            status = error.response.status_code
            return f"{WHY.get(status, OTHERWISE)} The Hub said: {status} {answered}"
        case JSONDecodeError():  # an error page where figures were expected
            return OTHERWISE
    if (cause := error.__cause__ or error.__context__) is not None and isinstance(cause, HUBS):
        return _why(cause)
    unreachable = isinstance(error, HTTPError | ConnectionError | TimeoutError)
    return f"the Hub could not be reached ({said}). {AGAIN}" if unreachable else said
