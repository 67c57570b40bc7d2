"""Errors: what the Hub answers when it refuses, as what the user can do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is that of its HTTP library
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

UNREACHABLE = (HTTPError, OSError)  # what asking the Hub can end in
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
def clear_errors(repo_id: str) -> Iterator[None]:
    """Within the block, what the Hub refuses becomes a `ValueError` that says what to do about it."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ValueError(
            f"{repo_id}: HF_HUB_OFFLINE is set, so nothing can be published. Unset it, or look at what would be"
            " published with --dry_run --output_dir DIR."
        ) from error
    except LocalTokenNotFoundError as error:
        raise ValueError(f"{repo_id}: {WITHOUT_TOKEN}") from error
    except HfHubHTTPError as error:
        raise ValueError(_refused(repo_id, error)) from error
    except RuntimeError as error:  # what a file that could not be uploaded is wrapped in
        if isinstance(error.__cause__, HfHubHTTPError):
            raise ValueError(_refused(repo_id, error.__cause__)) from error
        raise ValueError(f"{repo_id}: {error} {AGAIN}") from error
    except UNREACHABLE as error:
        raise ValueError(
            f"{repo_id}: the Hub could not be reached ({' '.join(str(error).split())}). {AGAIN}"
        ) from error


def _refused(repo_id: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    said = " ".join((error.server_message or str(error)).split())
    return f"{repo_id}: {WHY.get(status, OTHERWISE)} The Hub said: {status} {said}"
