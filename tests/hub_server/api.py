"""The endpoints of the Hub: each is a function of the Hub and a request."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml

from hub_server.messages import HubError, Request, Response, json_response
from hub_server.repos import LFS_SUFFIXES, Blob, Commit, Hub, Repo

WEB = {"model": "", "dataset": "datasets/", "space": "spaces/"}
LFS_FROM_BYTES = 10_000_000
DAY = "2026-01-01T00:00:00.000Z"

Endpoint = Callable[..., Response]
ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []
PARTS = {"kind": "model|dataset|space", "web": "(?:datasets/|spaces/)?", "id": "[^/]+/[^/]+", "path": ".*"}


def route(method: str, template: str) -> Callable[[Endpoint], Endpoint]:
    """Register a function for a path; it gets the parts in braces. `{web}` is the kind in web addresses."""
    pattern = re.sub(r"{(\w+)}", lambda name: f"(?P<{name[1]}>{PARTS.get(name[1], '[^/]+')})", template)

    def add(handle: Endpoint) -> Endpoint:
        ROUTES.append((method, re.compile(pattern), handle))
        return handle

    return add


@route("GET", "/api/agent-harnesses")
def agent_harnesses(hub: Hub, request: Request) -> Response:
    return json_response({"standardEnvVars": [], "harnesses": {}})


@route("GET", "/api/whoami-v2")
def whoami(hub: Hub, request: Request) -> Response:
    if not (user := request.user):
        raise HubError(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in user.orgs.items()]
    auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": user.role}}
    return json_response({"type": "user", "name": user.name, "fullname": user.name, "orgs": orgs, "auth": auth})


@route("POST", "/api/validate-yaml")
def validate_yaml(hub: Hub, request: Request) -> Response:
    """Whether the metadata is YAML. The values are not checked, unlike on the Hub."""
    text = request.json()["content"]
    try:
        metadata(text.encode())
    except yaml.YAMLError as error:
        return json_response({"errors": [{"message": str(error)}], "warnings": []}, 400)
    missing = [] if text.startswith("---") else [{"message": "empty or missing yaml metadata in repo card"}]
    return json_response({"errors": [], "warnings": missing})


def metadata(card: bytes) -> Any:
    found = re.match(rb"---\r?\n(.*?)^---\s*$", card, re.DOTALL | re.MULTILINE)
    return yaml.safe_load(found[1]) if found else None


@route("POST", "/api/repos/create")
def create(hub: Hub, request: Request) -> Response:
    body, user = request.json(), request.user
    if not user:
        raise HubError(401, "Invalid username or password.")
    owner, kind = body.get("organization") or user.name, body.get("type", "model")
    if not user.may_write(owner):
        raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
    repo_id = f"{owner}/{body['name']}"
    url = f"{hub.endpoint}/{WEB[kind]}{repo_id}"
    if (kind, repo_id) in hub.repos:
        return json_response({"error": f"You already created this {kind} repo: {repo_id}", "url": url}, 409)
    hub.add_repo(repo_id, type=kind, private=body.get("visibility") == "private" or bool(body.get("private")))
    return json_response({"url": url, "name": repo_id})


@route("DELETE", "/api/repos/delete")
def delete(hub: Hub, request: Request) -> Response:
    body = request.json()
    owner = body.get("organization") or (request.user.name if request.user else "")
    repo = hub.writable(request, body.get("type", "model"), f"{owner}/{body['name']}")
    del hub.repos[repo.kind, repo.id]
    return json_response({})


@route("PUT", "/api/{kind}s/{id}/settings")
def settings(hub: Hub, request: Request, kind: str, id: str) -> Response:
    repo, body = hub.writable(request, kind, id), request.json()
    repo.private = body["visibility"] == "private" if "visibility" in body else repo.private
    repo.gated = bool(body.get("gated", repo.gated))
    return json_response({})


@route("GET", "/api/{kind}s/{id}(?:/revision/{rev})?")
def info(hub: Hub, request: Request, kind: str, id: str, rev: str) -> Response:
    repo = hub.readable(request, kind, id)
    commit = repo.at(rev or "main")
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
    if request.query.get("blobs"):
        for sibling in siblings:
            about = commit.files[sibling["rfilename"]].info("")
            sibling |= {"size": about["size"], "blobId": about["oid"]}
            if lfs := about.get("lfs"):
                sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
    card = metadata(commit.files["README.md"].content) if "README.md" in commit.files else None
    about = {
        "id": id,
        "author": repo.owner,
        "sha": commit.sha,
        "createdAt": DAY,
        "lastModified": DAY,
        "siblings": siblings,
    }
    state = {"private": repo.private, "gated": "manual" if repo.gated else False, "disabled": False}
    return json_response(about | state | {"cardData": card, "tags": (card or {}).get("tags") or []})


@route("GET", "/api/{kind}s/{id}/auth-check")
def auth_check(hub: Hub, request: Request, kind: str, id: str) -> Response:
    (hub.writable if request.query.get("write") else hub.readable)(request, kind, id)
    hub.readable(request, kind, id, content=True)
    return json_response({})


@route("GET", "/api/{kind}s/{id}/refs")
def refs(hub: Hub, request: Request, kind: str, id: str) -> Response:
    repo = hub.readable(request, kind, id)

    def listed(named: Mapping[str, Commit], prefix: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": prefix + name, "targetCommit": commit.sha} for name, commit in named.items()]

    branches, tags = listed(repo.branches, "refs/heads/"), listed(repo.tags, "refs/tags/")
    return json_response({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


@route("POST", "/api/{kind}s/{id}/branch/{name}")
@route("POST", "/api/{kind}s/{id}/tag/{rev}")
def add_ref(hub: Hub, request: Request, kind: str, id: str, rev: str = "", name: str = "") -> Response:
    repo, body = hub.writable(request, kind, id), request.json()
    where, name = (repo.branches, name) if name else (repo.tags, body["tag"])
    if name in where:
        raise HubError(409, f"Reference {name} already exists")
    where[name] = repo.at(rev or body.get("startingPoint", "main"))
    return json_response({})


@route("DELETE", "/api/{kind}s/{id}/{sort}/{name}")
def delete_ref(hub: Hub, request: Request, kind: str, id: str, sort: str, name: str) -> Response:
    repo = hub.writable(request, kind, id)
    if {"tag": repo.tags, "branch": repo.branches}.get(sort, {}).pop(name, None) is None:
        raise HubError(404, f"Reference {name} not found", "RevisionNotFound")
    return json_response({})


@route("GET", "/api/{kind}s/{id}/commits/{rev}")
def history(hub: Hub, request: Request, kind: str, id: str, rev: str) -> Response:
    commits = hub.readable(request, kind, id).at(rev).history()
    return json_response([{"id": c.sha, "title": c.title, "message": "", "authors": [], "date": DAY} for c in commits])


def entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """The information about every file and folder, by path."""
    found = {path: blob.info(path) for path, blob in commit.files.items()}
    for path in commit.files:
        while "/" in path:
            path = path.rsplit("/", 1)[0]
            found[path] = {
                "type": "directory",
                "path": path,
                "oid": hashlib.sha1(path.encode()).hexdigest(),
                "size": 0,
            }
    return dict(sorted(found.items()))


@route("GET", "/api/{kind}s/{id}/tree/{rev}(?:/{path})?")
def tree(hub: Hub, request: Request, kind: str, id: str, rev: str, path: str = "") -> Response:
    folder = path and path + "/"
    found = entries(hub.readable(request, kind, id).at(rev))
    if folder and path not in found:
        raise HubError(404, f"{path} does not exist on {rev}", "EntryNotFound")
    deep = request.query.get("recursive", "").lower() in ("true", "1")
    inside = [found[p] for p in found if p.startswith(folder) and (deep or "/" not in p[len(folder) :])]
    start = int(request.query.get("cursor", 0))
    end = start + hub.page_size
    link = f'<{hub.endpoint}{request.path}?recursive={deep}&cursor={end}>; rel="next"' if end < len(inside) else ""
    return json_response(inside[start:end], Link=link)


@route("POST", "/api/{kind}s/{id}/paths-info/{rev}")
def paths_info(hub: Hub, request: Request, kind: str, id: str, rev: str) -> Response:
    found = entries(hub.readable(request, kind, id).at(rev))
    return json_response([found[path] for path in parse_qs(request.body.decode()).get("paths", []) if path in found])


@route("GET", "/{web}{id}/resolve/{rev}/{path}")
def resolve(hub: Hub, request: Request, web: str, id: str, rev: str, path: str) -> Response:
    repo = hub.readable(request, web.rstrip("s/") or "model", id, content=True)
    commit = repo.at(rev)
    named = {"X-Repo-Commit": commit.sha}
    if not (blob := commit.files.get(path)):
        raise HubError(404, "Entry not found", "EntryNotFound", **named)
    if not blob.lfs:
        return ranged(request, blob.content, {**named, "ETag": f'"{blob.oid}"'})
    linked = {"X-Linked-ETag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
    return Response(302, headers={**named, **linked, "Location": f"{hub.storage}/lfs/{repo.kind}/{id}/{blob.etag}"})


def ranged(request: Request, content: bytes, headers: Mapping[str, str]) -> Response:
    """All of `content`, or its range in the `Range` header."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    if not (span := re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))):
        return Response(200, content, headers)
    first, last = span.groups()
    start = int(first) if first else max(len(content) - int(last), 0)
    end = min(int(last) + 1 if first and last else len(content), len(content))
    if start >= end:
        return Response(416, headers={**headers, "Content-Range": f"bytes */{len(content)}"})
    return Response(206, content[start:end], {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})


@route("POST", "/api/{kind}s/{id}/preupload/{rev}")
def preupload(hub: Hub, request: Request, kind: str, id: str, rev: str) -> Response:
    known = hub.writable(request, kind, id).at(rev).files

    def described(file: dict[str, Any]) -> dict[str, Any]:
        binary = b"\0" in base64.b64decode(file["sample"])
        lfs = file["path"].endswith(LFS_SUFFIXES) or binary or file["size"] > LFS_FROM_BYTES
        blob = known.get(file["path"])
        mode = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        return mode | ({"oid": blob.etag} if blob else {})

    return json_response({"files": [described(file) for file in request.json()["files"]]})


@route("POST", "/{web}{id}.git/info/lfs/objects/batch")
def lfs_batch(hub: Hub, request: Request, web: str, id: str) -> Response:
    repo = hub.writable(request, web.rstrip("s/") or "model", id)

    def actions(oid: str) -> dict[str, Any]:
        upload = {"href": f"{hub.storage}/lfs/{repo.kind}/{id}/{oid}"}
        verify = {"href": f"{hub.endpoint}/api/{repo.kind}s/{id}/lfs-verify"}
        return {} if oid in repo.objects else {"actions": {"upload": upload, "verify": verify}}

    objects = [{"oid": o["oid"], "size": o["size"]} | actions(o["oid"]) for o in request.json()["objects"]]
    return json_response({"transfer": "basic", "objects": objects})


@route("GET", "/lfs/{kind}/{id}/{oid}")
@route("PUT", "/lfs/{kind}/{id}/{oid}")
def storage(hub: Hub, request: Request, kind: str, id: str, oid: str) -> Response:
    if request.user:
        raise HubError(400, "The address is signed and takes no token")
    repo = hub.repos[kind, id]
    if request.method != "PUT":
        return ranged(request, repo.objects[oid], {"ETag": f'"{oid}"'})
    if hashlib.sha256(request.body).hexdigest() != oid:
        raise HubError(400, "The content is not what its SHA-256 says")
    repo.objects[oid] = request.body
    return Response()


@route("POST", "/api/{kind}s/{id}/lfs-verify")
def lfs_verify(hub: Hub, request: Request, kind: str, id: str) -> Response:
    repo, body = hub.writable(request, kind, id), request.json()
    if len(repo.objects.get(body["oid"], b"")) != body["size"]:
        raise HubError(404, f"There is no object {body['oid']} of {body['size']} bytes")
    return json_response({})


@route("POST", "/api/{kind}s/{id}/commit/{rev}")
def commit(hub: Hub, request: Request, kind: str, id: str, rev: str) -> Response:
    """Apply all lines or none: the files change in a copy, which becomes the branch at the end."""
    repo = hub.writable(request, kind, id)
    if rev not in repo.branches:
        raise HubError(404, f"Invalid rev id: {rev}", "RevisionNotFound")
    head = repo.branches[rev]
    try:
        (first, *lines) = map(json.loads, request.body.splitlines())
    except ValueError:
        raise HubError(400, "The body is not a header and lines of JSON") from None
    if first["value"].get("parentCommit", head.sha) != head.sha:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = dict(head.files)
    for line in lines:
        change(repo, files, line["key"], line["value"])
    made = repo.branches[rev] = Commit(first["value"]["summary"], files, head)
    url = f"{hub.endpoint}/{WEB[kind]}{id}/commit/{made.sha}"
    return json_response({"success": True, "commitUrl": url, "commitOid": made.sha, "hookOutput": ""})


def change(repo: Repo, files: dict[str, Blob], key: str, value: Mapping[str, Any]) -> None:
    path = value["path"]
    if key == "file":
        files[path] = Blob(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        if value["oid"] not in repo.objects:
            raise HubError(400, f"The LFS pointer {path} points to a file that was not uploaded")
        files[path] = Blob(repo.objects[value["oid"]], lfs=True)
    else:
        gone = [p for p in files if p == path or (key == "deletedFolder" and p.startswith(path.rstrip("/") + "/"))]
        if not gone:
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for old in gone:
            del files[old]


def handle(hub: Hub, request: Request) -> Response:
    """The response of the first matching endpoint. A wrong token is an error everywhere."""
    method = "GET" if request.method == "HEAD" else request.method
    try:
        if "authorization" in request.headers and not request.user:
            raise HubError(401, "Invalid credentials in Authorization header")
        for of_method, pattern, function in ROUTES:
            if of_method == method and (match := pattern.fullmatch(request.path)):
                return function(
                    hub, request, **{name: unquote(part or "") for name, part in match.groupdict().items()}
                )
        raise HubError(404, "Repository not found", "RepoNotFound")
    except HubError as error:
        return error.response
