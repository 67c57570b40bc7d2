"""Repositories, commits and files, and who may read and write them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hub_server.messages import HubError, Request, User

LFS_SUFFIXES = (".arrow", ".bin", ".gguf", ".parquet", ".png", ".pt", ".safetensors", ".zip")
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
SPACE_FILES = {
    "README.md": b"---\ntitle: New\nsdk: static\n---\n",
    "index.html": b"<p>New</p>\n",
    "style.css": b"p {}\n",
}


@dataclass(frozen=True)
class Blob:
    """A file of a commit. Its `etag` is the SHA-256 for a file in LFS, else the SHA-1 of git."""

    content: bytes
    lfs: bool = False

    @property
    def pointer(self) -> bytes:
        oid = hashlib.sha256(self.content).hexdigest()
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(self.content)}\n".encode()

    @cached_property
    def oid(self) -> str:
        stored = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.content).hexdigest() if self.lfs else self.oid

    def info(self, path: str) -> dict[str, Any]:
        info: dict[str, Any] = {"type": "file", "path": path, "oid": self.oid, "size": len(self.content)}
        if self.lfs:
            info["lfs"] = {"oid": self.etag, "size": len(self.content), "pointerSize": len(self.pointer)}
        return info


@dataclass(frozen=True)
class Commit:
    """A tree and its parent. Equal histories have equal hashes, so that two uploads can be compared."""

    title: str
    files: Mapping[str, Blob]
    parent: "Commit | None" = None

    @cached_property
    def sha(self) -> str:
        tree = [(path, blob.oid) for path, blob in sorted(self.files.items())]
        return hashlib.sha1(repr((self.title, tree, self.parent and self.parent.sha)).encode()).hexdigest()

    def history(self) -> Iterator["Commit"]:
        """This commit, then its parents."""
        commit: Commit | None = self
        while commit:
            yield commit
            commit = commit.parent


@dataclass
class Repo:
    kind: str
    id: str
    private: bool = False
    gated: bool = False
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # uploaded to LFS, committed or not
    readers: set[str] = field(default_factory=set)  # users with access to the gated repository

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag, or at least seven digits of a commit hash."""
        for refs in (self.branches, self.tags):
            if revision in refs:
                return refs[revision]
        for head in (*self.branches.values(), *self.tags.values()):
            for commit in head.history():
                if len(revision) >= 7 and commit.sha.startswith(revision):
                    return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


class Hub:
    """All users and repositories, without a server."""

    endpoint = storage = ""  # the addresses of the server and of its LFS storage
    page_size = 1000  # entries of a tree in one response

    def __init__(self) -> None:
        self.users: dict[str, User] = {}  # by token
        self.repos: dict[tuple[str, str], Repo] = {}  # by kind and id

    def add_user(self, name: str, token: str, role: str = "write", orgs: Mapping[str, str] | None = None) -> None:
        """A user with a "read" or "write" token, in organisations as "read", "write" or "admin"."""
        self.users[token] = User(name, role, orgs or {})

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes] | None = None,
        type: str = "model",
        private: bool = False,
        gated: bool = False,
    ) -> Repo:
        """Add a repository with the initial commit of the Hub, and a commit of `files` if given."""
        given = {".gitattributes": GITATTRIBUTES, **(SPACE_FILES if type == "space" else {})}
        first = {path: Blob(content) for path, content in given.items()}
        repo = Repo(type, repo_id, private, gated, {"main": Commit("initial commit", first)})
        if files:
            blobs = {path: Blob(content, path.endswith(LFS_SUFFIXES)) for path, content in files.items()}
            repo.objects.update({blob.etag: blob.content for blob in blobs.values() if blob.lfs})
            repo.branches["main"] = Commit("Files", {**first, **blobs}, repo.branches["main"])
        self.repos[type, repo_id] = repo
        return repo

    def files(self, repo_id: str, type: str = "model", revision: str = "main") -> dict[str, bytes]:
        return {path: blob.content for path, blob in self.repos[type, repo_id].at(revision).files.items()}

    def commits(self, repo_id: str, type: str = "model", revision: str = "main") -> list[str]:
        """The titles of the commits, newest first."""
        return [commit.title for commit in self.repos[type, repo_id].at(revision).history()]

    def readable(self, request: Request, kind: str, repo_id: str, content: bool = False) -> Repo:
        """The repository, if this user may see it; with `content`, if this user may read its files."""
        repo, user = self.repos.get((kind, repo_id)), request.user
        member = bool(repo and user and user.may_read(repo.owner))
        if not repo or (repo.private and not member):
            raise HubError(404 if user else 401, "Repository not found", "RepoNotFound")
        if content and repo.gated and not (member or (user and user.name in repo.readers)):
            message = f"Access to {kind} {repo_id} is restricted and you are not in the authorized list."
            raise HubError(403 if user else 401, message, "GatedRepo")
        return repo

    def writable(self, request: Request, kind: str, repo_id: str) -> Repo:
        repo = self.readable(request, kind, repo_id)
        if not request.user or not request.user.may_write(repo.owner):
            raise HubError(403 if request.user else 401, "You must use a write token of a member to write here")
        return repo
