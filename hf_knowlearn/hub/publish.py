"""Upload of a staged folder as one commit, after which the repository contains exactly that folder.

Why: `HfApi.upload_folder` sends a folder in several commits if xet is installed (huggingface_hub 2.4,
`_upload_pipeline`). An interrupted upload would then leave an incomplete repository.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_knowlearn.hub.errors import clear_errors

TAG = "hf_knowlearn"  # on the cards of repositories that this package wrote
GIT_ATTRIBUTES = ".gitattributes"  # written by the Hub, and not deleted
# Files that the Hub puts into a new repository, including the default page of a Space.
INITIAL_FILES = {GIT_ATTRIBUTES, "README.md", "index.html", "style.css"}


def publish(folder: Path, repo_id: str, repo_type: str, private: bool, message: str, token: str | None = None) -> str:
    """Make the repository contain exactly the files of `folder`, in one commit. Without changes no commit is made.

    Args:
        repo_type: "model", "dataset" or "space".
        private: whether a new repository is private.
        token: an access token of the Hub. None: the token of the login.

    Returns:
        The URL of the commit.

    Raises:
        ValueError: the Hub returned an error or could not be reached; or the repository exists and was not written by
            this package, or is public although `private` is set.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name=TAG, token=token)
    with clear_errors(repo_id):
        api.create_repo(
            repo_id, repo_type=repo_type, private=private, exist_ok=True,
            space_sdk="gradio" if repo_type == "space" else None,
        )  # fmt: skip
        info: Any = api.repo_info(repo_id, repo_type=repo_type)
        present = [file.rfilename for file in info.siblings or ()]
        card: Any = info.card_data or {}
        _check_ownership(repo_id, present, card.get("tags") or [])
        if private and not info.private:
            raise ValueError(
                f"{repo_id} exists and is public, but this upload is private. Pass --public if anyone may read it,"
                " make the repository private in its settings, or choose another --name."
            )
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        deleted = [name for name in present if name not in files and name != GIT_ATTRIBUTES]
        # Why parent_commit: the commit fails if another one was made since `repo_info`.
        commit = api.create_commit(
            repo_id,
            [*map(CommitOperationDelete, deleted), *(CommitOperationAdd(name, path) for name, path in files.items())],
            commit_message=message,
            repo_type=repo_type,
            parent_commit=info.sha,
        )
        return str(commit.commit_url)


def _check_ownership(repo_id: str, present: Sequence[str], tags: Sequence[str]) -> None:
    # Why: files that are not in the folder are deleted, so only repositories of this package may be written to.
    foreign = sorted(set(present) - INITIAL_FILES)
    if TAG not in tags and foreign:
        raise ValueError(
            f"{repo_id} exists and was not made by knowlearn (it contains {', '.join(foreign[:5])}, and its card lacks"
            f" the tag {TAG}). Publishing would delete these files. Choose another --name, or delete that repository"
            " first."
        )
