"""Uploads a staging folder in one commit. After the commit, the repository contains exactly the files of the folder.

Why not `HfApi.upload_folder`: this method makes several commits if xet is installed (huggingface_hub 2.4,
`_upload_pipeline`). An interrupted upload would then leave an incomplete repository.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_knowlearn.hub.errors import clear_errors

TAG = "hf_knowlearn"  # on the card of each repository that this package wrote
GIT_ATTRIBUTES = ".gitattributes"  # the Hub writes this file, so it is not deleted
# Files that the Hub writes into a new repository. Some of them are the default page of a Space.
INITIAL_FILES = {GIT_ATTRIBUTES, "README.md", "index.html", "style.css"}


def publish(folder: Path, repo_id: str, repo_type: str, private: bool, message: str, token: str | None = None) -> str:
    """Upload the files of `folder` in one commit, and delete all other files of the repository.

    The repository is created if it does not exist. If its files already equal those of `folder`, there is no commit.

    Args:
        message: the message of the commit.
        repo_type: "model", "dataset" or "space".
        private: whether the repository is private.
        token: an access token for the Hub. None: the token of the user's login.

    Returns:
        The URL of the commit.

    Raises:
        ValueError: the Hub returned an error or cannot be reached, the existing repository was not written by
            knowlearn, or the existing repository is public although `private` is true.
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
                f"{repo_id} exists and is public, but this upload is private. Add --public if everyone may read it. Or"
                " make the repository private in its settings on the Hub, or choose another --name."
            )
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        deleted = [name for name in present if name not in files and name != GIT_ATTRIBUTES]
        # Why parent_commit: the commit fails if the repository changed after `repo_info`.
        commit = api.create_commit(
            repo_id,
            [*map(CommitOperationDelete, deleted), *(CommitOperationAdd(name, path) for name, path in files.items())],
            commit_message=message,
            repo_type=repo_type,
            parent_commit=info.sha,
        )
        return str(commit.commit_url)


def _check_ownership(repo_id: str, present: Sequence[str], tags: Sequence[str]) -> None:
    # Why: publishing deletes all other files, so it must not write to a repository of another program.
    foreign = sorted(set(present) - INITIAL_FILES)
    if TAG not in tags and foreign:
        raise ValueError(
            f"{repo_id} exists, and knowlearn did not write it: its card does not have the tag {TAG}. Publishing would"
            f" delete its files, such as {', '.join(foreign[:5])}. Choose another --name, or delete the repository"
            " first."
        )
