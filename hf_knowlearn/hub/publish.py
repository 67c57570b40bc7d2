"""Publishing: a staged folder as one commit, after which the repository holds that folder and nothing else.

Whatever stopped a publish, done again it ends in the same files. `HfApi.upload_folder` can't promise that: with xet
installed it sends a folder in several commits (huggingface_hub 2.4, `_upload_pipeline`). The surprising decision: a
repository whose card isn't ours is never written to, since what the folder lacks is deleted there.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_knowlearn.hub.errors import clear_errors

logger = logging.getLogger(__name__)

MARK = "hf_knowlearn"  # the tag on the cards of repositories that are ours to write to
ITS_OWN = ".gitattributes"  # which the Hub writes, and which stays
# What the Hub puts into a new repository by itself, a Space's first page too.
NEW = {ITS_OWN, "README.md", "index.html", "style.css"}


def publish(folder: Path, repo_id: str, repo_type: str, private: bool, message: str) -> str:
    """Make the repository hold the files of `folder`, in one commit, or in none if it does so already.

    Args:
        repo_type: "model", "dataset" or "space".
        private: who may read it, if it is new.

    Returns:
        The commit's address.

    Raises:
        ValueError: the Hub refused or could not be reached, and what to do about it; or the repository is there, and
            not ours, or not as private as it shall be.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name=MARK)
    with clear_errors(repo_id):
        api.create_repo(
            repo_id, repo_type=repo_type, private=private, exist_ok=True,
            space_sdk="gradio" if repo_type == "space" else None,
        )  # fmt: skip
        info: Any = api.repo_info(repo_id, repo_type=repo_type)
        there = [file.rfilename for file in info.siblings or ()]
        card: Any = info.card_data or {}
        _refuse_foreign(repo_id, there, card.get("tags") or [])
        if private and not info.private:
            raise ValueError(
                f"{repo_id} is there and public, and this shall be private: pass --public if all may read it, make the"
                " repository private in its settings, or choose another --name."
            )
        if info.private and not private:
            logger.info("%s was private before, and stays so: its settings on the Hub change that.", repo_id)
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        gone = [CommitOperationDelete(name) for name in there if name not in files and name != ITS_OWN]
        added = [CommitOperationAdd(name, path) for name, path in files.items()]
        # Nobody else's commit comes between what was seen there and this.
        done = api.create_commit(
            repo_id, [*gone, *added], commit_message=message, repo_type=repo_type, parent_commit=info.sha
        )
        return str(done.commit_url)


def _refuse_foreign(repo_id: str, there: Sequence[str], tags: Sequence[str]) -> None:
    if MARK not in tags and not set(there) <= NEW:
        listed = ", ".join(sorted(set(there) - NEW)[:5])
        raise ValueError(
            f"{repo_id} is there, and knowlearn has not made it (it holds {listed}, and its card lacks the tag"
            f" {MARK}): publishing would delete that. Choose another --name, or delete that repository first."
        )
