"""Tests of failed uploads: after a failure at any request, a second upload gives the same repository."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from hub_server.repos import Blob, Commit

from hf_knowlearn.hub.publish import publish

AGAIN = "Run the same command again"
CARD = b"---\nlicense: mit\ntags: [hf_knowlearn]\n---\n# Ferry\n"
WEIGHTS = bytes(range(256)) * 1000
FILES = {"README.md": CARD, "model.safetensors": WEIGHTS, "data/a b.txt": b"cars", "config.json": b"{}"}
OLDER = {"README.md": CARD + b"Old.\n", "model.safetensors": WEIGHTS[::-1], "gone/x.txt": b"x", "config.json": b"{}"}
# A fault of the request with this number.
FAULTS: dict[str, Callable[[HubServer, int], None]] = {
    "an error of the Hub": lambda hub, after: hub.fail(500, after=after, retry_after=0),
    "an error of its gateway": lambda hub, after: hub.fail(502, after=after, retry_after=0),
    "too many requests": lambda hub, after: hub.fail(429, after=after, retry_after=0),
    "cut before all was sent": lambda hub, after: hub.cut(after=after, received=10),
    "done, and the response lost": lambda hub, after: hub.cut(after=after),
    "done, and the response cut": lambda hub, after: hub.cut(after=after, sent=5),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A staged folder, with an LFS file and a file in a folder."""
    for name, content in FILES.items():
        path = tmp_path / "staged" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "staged"


def push(folder: Path, repo: str = "ada/ferry", kind: str = "model", private: bool = True) -> None:
    publish(folder, repo, kind, private, "Publish")


def prepare(hub: HubServer, kind: str, older: bool) -> None:
    """The Hub before the upload: without the repository, or with an older version of it."""
    hub.reset()
    hub.add_user("ada", token="hf_ada", orgs={"mill": "write", "closed": "read"})
    if older:
        hub.add_repo("ada/ferry", OLDER, type=kind, private=True)


def result_of(hub: HubServer, kind: str) -> tuple[str, bool]:
    """The hash of the last commit, which covers all files and commits; and whether the repository is private."""
    repo = hub.repos[kind, "ada/ferry"]
    return repo.at("main").sha, repo.private


def upload(hub: HubServer, folder: Path, kind: str, older: bool) -> tuple[tuple[str, bool], list[str]]:
    """The result of an upload without failures, and its requests."""
    prepare(hub, kind, older)
    push(folder, kind=kind)
    published = hub.files("ada/ferry", type=kind)
    assert {name: published[name] for name in published if name != ".gitattributes"} == FILES
    assert hub.commits("ada/ferry", type=kind)[0] == "Publish"
    assert len(hub.commits("ada/ferry", type=kind)) == 2 + older
    return result_of(hub, kind), [f"{entry.method} {entry.path}" for entry in hub.log]


def upload_with_fault(hub: HubServer, folder: Path, kind: str, older: bool, number: int, fault: str) -> str:
    """Upload with a fault at the request with this number, and again after an error. Returns the error's message."""
    prepare(hub, kind, older)
    FAULTS[fault](hub, number)
    message = ""
    try:
        push(folder, kind=kind)
    except ValueError as error:
        message = str(error)
        push(folder, kind=kind)
    assert not any(fault.times for fault in hub.faults), "no request met the fault"
    return message


def test_after_a_failure_at_any_request_the_result_is_the_same(hub: HubServer, folder: Path) -> None:
    """Each request fails in one way. The slow test covers all ways."""
    expected, requests = upload(hub, folder, "model", older=True)
    assert len(requests) >= 8
    assert any("/lfs/" in request for request in requests)
    for number, (request, fault) in enumerate(zip(requests, cycle(FAULTS), strict=False)):
        message = upload_with_fault(hub, folder, "model", True, number, fault)
        assert result_of(hub, "model") == expected, (request, fault, message)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_that_is_not_retried_names_the_fix(hub: HubServer, folder: Path, fault: str) -> None:
    """The client does not retry these four requests."""
    _, requests = upload(hub, folder, "model", older=False)
    for part in ("/repos/create", "/validate-yaml", "/api/models/ada/ferry$", "/commit/"):
        (number,) = [n for n, request in enumerate(requests) if (request + "$").endswith(part) or part in request]
        message = upload_with_fault(hub, folder, "model", False, number, fault)
        assert message.startswith("ada/ferry: "), (part, message)
        assert AGAIN in message, (part, message)


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_after_every_fault_at_every_request_the_result_is_the_same(
    hub: HubServer, folder: Path, kind: str, older: bool
) -> None:
    expected, requests = upload(hub, folder, kind, older)
    for number, request in enumerate(requests):
        for fault in FAULTS:
            message = upload_with_fault(hub, folder, kind, older, number, fault)
            assert result_of(hub, kind) == expected, (request, fault, message)
            assert not message or ("ada/ferry: " in message and AGAIN in message), (request, fault, message)


PUSH = """
import sys
from pathlib import Path
from hf_knowlearn.hub.publish import publish
print(publish(Path(sys.argv[1]), "ada/ferry", sys.argv[2], True, "Publish"))
"""


def start(folder: Path, kind: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "ignore", "-c", PUSH, str(folder), kind]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_and_upload(hub: HubServer, folder: Path, kind: str, **where: Any) -> None:
    """Kill an upload in another process at a request; then upload from this process."""
    processes: list[subprocess.Popen[str]] = []
    hub.cut(do=lambda: processes[0].kill(), **where)
    processes.append(start(folder, kind))
    _, errors = processes[0].communicate(timeout=300)
    assert processes[0].returncode == -signal.SIGKILL, errors
    push(folder, kind=kind)


@pytest.mark.parametrize(
    ("path", "received"), [("/create", None), ("/preupload/", 0), ("/lfs/", 10), ("/commit/", 10), ("/commit/", None)]
)
def test_after_a_killed_upload_the_result_is_the_same(
    hub: HubServer, folder: Path, path: str, received: int | None
) -> None:
    """The upload is killed before or after five of the requests. The slow test covers all requests."""
    expected, _ = upload(hub, folder, "dataset", older=True)
    prepare(hub, "dataset", older=True)
    kill_and_upload(hub, folder, "dataset", path=path, received=received)
    assert result_of(hub, "dataset") == expected


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_after_a_kill_at_any_request_the_result_is_the_same(
    hub: HubServer, folder: Path, kind: str, older: bool
) -> None:
    expected, requests = upload(hub, folder, kind, older)
    for number, request in enumerate(requests):
        for received in (0, None):
            prepare(hub, kind, older)
            kill_and_upload(hub, folder, kind, after=number, received=received)
            assert result_of(hub, kind) == expected, (request, received)


def test_unchanged_files_are_not_uploaded_again(hub: HubServer, folder: Path) -> None:
    prepare(hub, "model", older=False)
    push(folder)
    hub.log.clear()
    push(folder)
    assert hub.commits("ada/ferry") == ["Publish", "initial commit"]
    assert not [entry for entry in hub.log if entry.method == "PUT" or "/commit/" in entry.path]


def test_a_concurrent_commit_is_not_overwritten(hub: HubServer, folder: Path) -> None:
    def meanwhile() -> None:
        repo = hub.repos["model", "ada/ferry"]
        repo.branches["main"] = Commit("Meanwhile", {"README.md": Blob(CARD + b"Mine.")}, repo.at("main"))

    prepare(hub, "model", older=True)
    hub.fail(503, path="/preupload/", retry_after=0, do=meanwhile)
    with pytest.raises(ValueError, match="the repository was changed during the upload"):
        push(folder)
    assert hub.files("ada/ferry")["README.md"] == CARD + b"Mine."


def test_errors_of_access_name_the_reason(hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def error_of(token: str, repo: str = "ada/ferry") -> str:
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(ValueError, match=f"^{repo}: ") as raised:
            push(folder, repo, private=False)
        assert token not in str(raised.value)
        return str(raised.value)

    prepare(hub, "model", older=False)
    hub.add_user("ada", token="hf_reader", role="read")
    hub.add_user("bob", token="hf_bob")
    assert "If you are logged in, the token may have expired" in error_of("hf_wrong")
    assert "your token has no write access to this namespace" in error_of("hf_reader")
    assert "your token has no write access to this namespace" in error_of("hf_bob")
    assert 'under the namespace "closed"' in error_of("hf_ada", "closed/ferry")
    # Made by knowlearn, but owned by another user.
    repo = hub.add_repo("bob/ferry", {"README.md": CARD, "his.txt": b"his"})
    assert "your token has no write access to this namespace" in error_of("hf_ada", "bob/ferry")
    assert len(list(repo.at("main").history())) == 2
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="Log in with `hf auth login`, or set HF_TOKEN"):
        push(folder)


def test_a_repository_with_foreign_files_is_not_changed(hub: HubServer, folder: Path) -> None:
    hub.add_repo("ada/ferry", {"README.md": b"---\nlicense: mit\n---\n", "thesis.txt": b"years of work"}, private=True)
    with pytest.raises(ValueError, match=r"knowlearn did not write it(.|\n)*such as thesis\.txt"):
        push(folder)
    assert hub.files("ada/ferry")["thesis.txt"] == b"years of work"
    push(folder, kind="dataset")  # the same name is free for another kind, as on the Hub
    assert hub.files("ada/ferry", type="dataset")["config.json"] == b"{}"


def test_a_private_upload_does_not_change_a_public_repository(hub: HubServer, folder: Path) -> None:
    hub.add_repo("ada/ferry", OLDER)
    with pytest.raises(ValueError, match="exists and is public, but this upload is private"):
        push(folder)
    assert hub.files("ada/ferry")["README.md"] == OLDER["README.md"]
    push(folder, private=False)
    assert hub.files("ada/ferry")["README.md"] == CARD


def test_offline_mode_is_an_error_and_an_unusable_cache_is_not(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    prepare(hub, "model", older=False)
    offline = start(folder, "model", HF_HUB_OFFLINE="1")
    _, errors = offline.communicate(timeout=300)
    assert errors.splitlines()[-1].startswith("ValueError: ada/ferry: HF_HUB_OFFLINE is set")
    assert not hub.repos
    (tmp_path / "file").write_text("a file, so that no user can write into it, not even root")
    readonly = start(folder, "model", HF_HOME=str(tmp_path / "file" / "home"))
    written, errors = readonly.communicate(timeout=300)
    assert written.startswith(f"{hub.endpoint}/ada/ferry/commit/"), errors


def test_a_gated_base_model_is_an_error_that_names_it(hub: HubServer, tmp_path: Path) -> None:
    """Merging an adapter into its base model reads from the Hub."""
    from hf_knowlearn.teach.publishing import PublishOptions
    from hf_knowlearn.teach.publishing import publish as publish_run

    hub.add_repo("bob/gated", {"config.json": b"{}"}, gated=True)
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("report.json"), run)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "bob/gated", "r": 2}
    (run / "model" / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"bob/gated.*(gated|access)"):
        publish_run(PublishOptions("adapter", str(run), "ada", license="mit", merged=True))
    assert [repo for _, repo in hub.repos] == ["bob/gated"]
