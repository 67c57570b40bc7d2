"""Turns errors of the Hub into messages that name the fix."""

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

UNREACHABLE = (HTTPError, OSError)  # what a request to the Hub can raise
AGAIN = "Run the same command again: the result is the same as without the failure."
WITHOUT_TOKEN = "you are not logged in to the Hub. Log in with `hf auth login`, or set HF_TOKEN."
OTHERWISE = f"the Hub failed. {AGAIN}"
MESSAGES: dict[type[BaseException], str] = {
    OfflineModeIsEnabled: (
        "HF_HUB_OFFLINE is set, so nothing can be published. Unset this variable. Or write the files to a folder"
        " instead, with --dry_run --output_dir DIR."
    ),
    LocalTokenNotFoundError: WITHOUT_TOKEN,
    GatedRepoError: (
        "the repository is gated. Request access on its page on the Hub, and log in with `hf auth login`, or set"
        " HF_TOKEN."
    ),
    JSONDecodeError: OTHERWISE,  # the Hub returned an error page instead of JSON
}
STATUS = {
    400: "the Hub rejected the request as invalid.",
    401: f"{WITHOUT_TOKEN} If you are logged in, the token may have expired.",
    403: "your token has no write access to this namespace. Use a token with write access, or another --namespace.",
    404: "the namespace or repository does not exist, or your token has no access to it. Check --namespace and the"
    " token.",
    412: f"the repository was changed during the upload. {AGAIN}",
}


@contextmanager
def clear_errors(what: str) -> Iterator[None]:
    """Turn an error of the Hub into a `ValueError` that names the fix.

    Args:
        what: the start of the message: the name of the repository and, if it is not obvious, its purpose.
    """
    try:
        yield
    except (*UNREACHABLE, RuntimeError, JSONDecodeError) as error:
        raise ValueError(f"{what}: {_explanation(error)}") from error


def _explanation(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if message := next((message for kind, message in MESSAGES.items() if isinstance(error, kind)), None):
        return message
    if isinstance(error, HfHubHTTPError):
        message = " ".join((error.server_message or text).split())
        status = error.response.status_code
        return f"{STATUS.get(status, OTHERWISE)} Response of the Hub: {status} {message}"
    # Why the cause: the client wraps some errors in other errors with less information.
    cause = error.__cause__ or error.__context__
    if isinstance(cause, (*UNREACHABLE, JSONDecodeError)):
        return _explanation(cause)
    unreachable = isinstance(error, HTTPError | ConnectionError | TimeoutError)
    return f"the Hub could not be reached ({text}). {AGAIN}" if unreachable else text
