"""A publish that failed or was killed at any of its requests, run again, leaves what one clean publish would."""

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
# What befalls the request after so many.
FAULTS: dict[str, Callable[[HubServer, int], None]] = {
    "an error of the Hub": lambda hub, after: hub.fail(500, after=after, retry_after=0),
    "an error of its gateway": lambda hub, after: hub.fail(502, after=after, retry_after=0),
    "too many requests": lambda hub, after: hub.fail(429, after=after, retry_after=0),
    "cut before it was sent whole": lambda hub, after: hub.cut(after=after, received=10),
    "done, and the answer lost": lambda hub, after: hub.cut(after=after),
    "done, and the answer cut": lambda hub, after: hub.cut(after=after, sent=5),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A staged folder, with a file that LFS keeps and one in a folder."""
    for name, content in FILES.items():
        path = tmp_path / "staged" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "staged"


def push(folder: Path, repo: str = "ada/ferry", kind: str = "model", private: bool = True) -> None:
    publish(folder, repo, kind, private, "Publish")


def prepare(hub: HubServer, kind: str, older: bool) -> None:
    """The Hub before the publish: with nothing of that name, or with what was published before."""
    hub.reset()
    hub.add_user("ada", token="hf_ada", orgs={"mill": "write", "closed": "read"})
    if older:
        hub.add_repo("ada/ferry", OLDER, type=kind, private=True)


def left(hub: HubServer, kind: str) -> tuple[str, bool]:
    """The name of the last commit, which stands for all files of it and of those before; and who may read."""
    repo = hub.repos[kind, "ada/ferry"]
    return repo.at("main").sha, repo.private


def clean(hub: HubServer, folder: Path, kind: str, older: bool) -> tuple[tuple[str, bool], list[str]]:
    """What one clean publish leaves, and the requests that it takes."""
    prepare(hub, kind, older)
    push(folder, kind=kind)
    published = hub.files("ada/ferry", type=kind)
    assert {name: published[name] for name in published if name != ".gitattributes"} == FILES
    assert hub.commits("ada/ferry", type=kind)[0] == "Publish"
    assert len(hub.commits("ada/ferry", type=kind)) == 2 + older
    return left(hub, kind), [f"{entry.method} {entry.path}" for entry in hub.log]


def fails_once(hub: HubServer, folder: Path, kind: str, older: bool, number: int, fault: str) -> str:
    """What the publish says to a fault at its request of that number, if anything; then it is run again."""
    prepare(hub, kind, older)
    FAULTS[fault](hub, number)
    said = ""
    try:
        push(folder, kind=kind)
    except ValueError as error:
        said = str(error)
        push(folder, kind=kind)
    assert not any(fault.times for fault in hub.faults), "no request met the fault"
    return said


def test_each_request_fails_once_and_the_publish_run_again_ends_as_a_clean_one(hub: HubServer, folder: Path) -> None:
    """Each in another way; in the slow run, in all ways."""
    expected, requests = clean(hub, folder, "model", older=True)
    assert len(requests) >= 8
    assert any("/lfs/" in request for request in requests)
    for number, (request, fault) in enumerate(zip(requests, cycle(FAULTS), strict=False)):
        said = fails_once(hub, folder, "model", True, number, fault)
        assert left(hub, "model") == expected, (request, fault, said)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_tried_again_is_said_with_what_to_do(hub: HubServer, folder: Path, fault: str) -> None:
    """These four requests the client gives up at once, each in its own words."""
    _, requests = clean(hub, folder, "model", older=False)
    for part in ("/repos/create", "/validate-yaml", "/api/models/ada/ferry$", "/commit/"):
        (number,) = [n for n, request in enumerate(requests) if (request + "$").endswith(part) or part in request]
        said = fails_once(hub, folder, "model", False, number, fault)
        assert said.startswith("ada/ferry: "), (part, said)
        assert AGAIN in said, (part, said)


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_each_request_meets_every_fault(hub: HubServer, folder: Path, kind: str, older: bool) -> None:
    expected, requests = clean(hub, folder, kind, older)
    for number, request in enumerate(requests):
        for fault in FAULTS:
            said = fails_once(hub, folder, kind, older, number, fault)
            assert left(hub, kind) == expected, (request, fault, said)
            assert not said or ("ada/ferry: " in said and AGAIN in said), (request, fault, said)


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


def killed(hub: HubServer, folder: Path, kind: str, **where: Any) -> None:
    """A publish killed at a request, in another process; then one in this process."""
    processes: list[subprocess.Popen[str]] = []
    hub.cut(do=lambda: processes[0].kill(), **where)
    processes.append(start(folder, kind))
    _, errors = processes[0].communicate(timeout=300)
    assert processes[0].returncode == -signal.SIGKILL, errors
    push(folder, kind=kind)


@pytest.mark.parametrize(
    ("path", "received"), [("/create", None), ("/preupload/", 0), ("/lfs/", 10), ("/commit/", 10), ("/commit/", None)]
)
def test_a_publish_that_was_killed_and_is_run_again_ends_as_a_clean_one(
    hub: HubServer, folder: Path, path: str, received: int | None
) -> None:
    """At five requests, sent in part or done; at all of them in the slow run."""
    expected, _ = clean(hub, folder, "dataset", older=True)
    prepare(hub, "dataset", older=True)
    killed(hub, folder, "dataset", path=path, received=received)
    assert left(hub, "dataset") == expected


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_publish_may_be_killed_at_any_request(hub: HubServer, folder: Path, kind: str, older: bool) -> None:
    expected, requests = clean(hub, folder, kind, older)
    for number, request in enumerate(requests):
        for received in (0, None):
            prepare(hub, kind, older)
            killed(hub, folder, kind, after=number, received=received)
            assert left(hub, kind) == expected, (request, received)


def test_what_is_there_already_is_not_sent_again(hub: HubServer, folder: Path) -> None:
    prepare(hub, "model", older=False)
    push(folder)
    hub.log.clear()
    push(folder)
    assert hub.commits("ada/ferry") == ["Publish", "initial commit"]
    assert not [entry for entry in hub.log if entry.method == "PUT" or "/commit/" in entry.path]


def test_a_commit_of_somebody_else_meanwhile_is_not_undone(hub: HubServer, folder: Path) -> None:
    def meanwhile() -> None:
        repo = hub.repos["model", "ada/ferry"]
        repo.branches["main"] = Commit("Meanwhile", {"README.md": Blob(CARD + b"Mine.")}, repo.at("main"))

    prepare(hub, "model", older=True)
    hub.fail(503, path="/preupload/", retry_after=0, do=meanwhile)
    with pytest.raises(ValueError, match="somebody else changed the repository meanwhile"):
        push(folder)
    assert hub.files("ada/ferry")["README.md"] == CARD + b"Mine."


def test_who_may_not_publish_there_is_told_why(hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(token: str, repo: str = "ada/ferry") -> str:
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(ValueError, match=f"^{repo}: ") as raised:
            push(folder, repo, private=False)
        assert token not in str(raised.value)
        return str(raised.value)

    prepare(hub, "model", older=False)
    hub.add_user("ada", token="hf_reader", role="read")
    hub.add_user("bob", token="hf_bob")
    assert "The token there is may have run out" in refusal("hf_wrong")
    assert "your token may not write there" in refusal("hf_reader")
    assert "your token may not write there" in refusal("hf_bob")
    assert 'under the namespace "closed"' in refusal("hf_ada", "closed/ferry")
    # Made by knowlearn, and another's.
    repo = hub.add_repo("bob/ferry", {"README.md": CARD, "his.txt": b"his"})
    assert "your token may not write there" in refusal("hf_ada", "bob/ferry")
    assert len(list(repo.at("main").history())) == 2
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="Log in with `hf auth login`, or set HF_TOKEN"):
        push(folder)


def test_a_name_that_is_taken_by_other_files_is_left_alone(hub: HubServer, folder: Path) -> None:
    hub.add_repo("ada/ferry", {"README.md": b"---\nlicense: mit\n---\n", "thesis.txt": b"years of work"}, private=True)
    with pytest.raises(ValueError, match=r"knowlearn has not made it \(it holds thesis\.txt"):
        push(folder)
    assert hub.files("ada/ferry")["thesis.txt"] == b"years of work"
    push(folder, kind="dataset")  # of another kind the name is free, as it is on the Hub
    assert hub.files("ada/ferry", type="dataset")["config.json"] == b"{}"


def test_what_shall_be_private_is_not_pushed_to_what_all_may_read(hub: HubServer, folder: Path) -> None:
    hub.add_repo("ada/ferry", OLDER)
    with pytest.raises(ValueError, match="is there and public, and this shall be private"):
        push(folder)
    assert hub.files("ada/ferry")["README.md"] == OLDER["README.md"]
    push(folder, private=False)
    assert hub.files("ada/ferry")["README.md"] == CARD


def test_offline_it_says_so_and_an_unusable_cache_is_not_needed(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    prepare(hub, "model", older=False)
    offline = start(folder, "model", HF_HUB_OFFLINE="1")
    _, errors = offline.communicate(timeout=300)
    assert errors.splitlines()[-1].startswith("ValueError: ada/ferry: HF_HUB_OFFLINE is set")
    assert not hub.repos
    (tmp_path / "file").write_text("no folder, so nobody can write into it, not even root")
    readonly = start(folder, "model", HF_HOME=str(tmp_path / "file" / "home"))
    written, errors = readonly.communicate(timeout=300)
    assert written.startswith(f"{hub.endpoint}/ada/ferry/commit/"), errors


def test_a_gated_base_model_is_named_with_what_to_do(hub: HubServer, tmp_path: Path) -> None:
    """The one publish that reads from the Hub: an adapter is merged into its base."""
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
