"""Tests of the Hub in memory, through its clients: data is stored unchanged, and each error has its type."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
from hub_server import HubServer
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    get_session,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

CARD = b"---\nlicense: mit\n---\n# Ferry\n"
WEIGHTS = os.urandom(300_000)


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi()


def folder_of(files: dict[str, bytes], at: Path) -> Path:
    for path, content in files.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(content)
    return at


def contents(folder: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def commit(api: HfApi, repo: str = "ada/ferry", parent: str | None = None, **files: bytes) -> str:
    operations = [CommitOperationAdd(name.replace("_", "."), content) for name, content in files.items()]
    return api.create_commit(repo, operations, commit_message="Files", parent_commit=parent).oid


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_an_uploaded_folder_is_downloaded_unchanged(hub: HubServer, api: HfApi, kind: str, tmp_path: Path) -> None:
    files = {"README.md": CARD, "w.safetensors": WEIGHTS, "a b/naïve.txt": b"one", "empty.txt": b""}
    api.create_repo("ada/ferry", repo_type=kind, private=True, space_sdk="gradio" if kind == "space" else None)
    api.upload_folder(repo_id="ada/ferry", repo_type=kind, folder_path=folder_of(files, tmp_path / "in"))
    there = snapshot_download("ada/ferry", repo_type=kind, local_dir=tmp_path / "out")
    assert {**contents(there), ".gitattributes": b""} | files == {**contents(there), ".gitattributes": b""}
    assert hub.files("ada/ferry", type=kind) | files == hub.files("ada/ferry", type=kind)
    assert hub.commits("ada/ferry", type=kind) == ["Upload folder using huggingface_hub", "initial commit"]
    info = api.repo_info("ada/ferry", repo_type=kind, files_metadata=True)
    assert info.private
    assert {s.rfilename: s.size for s in info.siblings if s.lfs} == {"w.safetensors": len(WEIGHTS)}


def test_an_lfs_file_is_uploaded_once_and_downloaded_without_token(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry")
    commit(api, w_bin=WEIGHTS)
    commit(api, w_bin=WEIGHTS, again_bin=WEIGHTS)
    assert [entry.method for entry in hub.log if entry.path.startswith("/lfs/")] == ["PUT"]
    assert Path(hf_hub_download("ada/ferry", "again.bin")).read_bytes() == WEIGHTS
    assert [entry.user for entry in hub.log if entry.path.startswith("/lfs/")] == [None, None]
    # With a token, the storage returns an error, as that of the Hub does.
    address = f"{hub.storage}/lfs/model/ada/ferry/{hub.repos['model', 'ada/ferry'].at('main').files['w.bin'].etag}"
    assert get_session().get(address).content == WEIGHTS
    assert get_session().get(address, headers={"authorization": "Bearer hf_ada"}).status_code == 400


def test_content_with_a_wrong_sha_is_an_error(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry")
    operation = CommitOperationAdd("w.bin", WEIGHTS)
    operation.path_or_fileobj = b"other"
    with pytest.raises(RuntimeError, match=r"uploading 'w\.bin'") as raised:
        api.create_commit("ada/ferry", [operation], commit_message="Files")
    assert isinstance(raised.value.__cause__, BadRequestError)
    assert list(hub.files("ada/ferry")) == [".gitattributes"]


def test_a_commit_replaces_and_deletes_only_its_files(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry", {"a.txt": b"1", "b.txt": b"1", "old/c.txt": b"1", "old/deep/d.txt": b"1"})
    operations = [CommitOperationAdd("a.txt", b"2"), CommitOperationDelete("old/")]
    api.create_commit("ada/ferry", operations, commit_message="Files")
    assert {name: text for name, text in hub.files("ada/ferry").items() if name != ".gitattributes"} == {
        "a.txt": b"2",
        "b.txt": b"1",
    }
    api.delete_file("b.txt", "ada/ferry")
    assert set(hub.files("ada/ferry")) == {".gitattributes", "a.txt"}
    with pytest.raises(RemoteEntryNotFoundError, match=r"doesn't exist: b\.txt"):
        api.delete_file("b.txt", "ada/ferry")


def test_revisions_are_branches_tags_and_commits(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry")
    first = commit(api, a_txt=b"1")
    api.create_tag("ada/ferry", tag="v1")
    api.create_branch("ada/ferry", branch="try/this")
    api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id="ada/ferry", revision="try/this")
    read = {
        revision: hf_hub_download("ada/ferry", "a.txt", revision=revision) for revision in ("v1", first, "try/this")
    }
    assert [Path(path).read_bytes() for path in read.values()] == [b"1", b"1", b"2"]
    refs = api.list_repo_refs("ada/ferry")
    assert ([b.name for b in refs.branches], [t.target_commit for t in refs.tags]) == (["main", "try/this"], [first])
    assert [c.title for c in api.list_repo_commits("ada/ferry")] == ["Files", "initial commit"]
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("ada/ferry", tag="v1")
    api.delete_tag("ada/ferry", tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("ada/ferry", revision="v1")


def test_a_tree_is_listed_in_pages_and_by_folder(hub: HubServer, api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{folder}/{name}.txt" for folder in "ab" for name in range(4)]
    hub.add_repo("ada/ferry", dict.fromkeys(paths, b"x"), type="dataset")
    monkeypatch.setattr(HubServer, "page_size", 3)
    assert [p for p in api.list_repo_files("ada/ferry", repo_type="dataset") if "/" in p] == paths
    tree = list(api.list_repo_tree("ada/ferry", "b", repo_type="dataset"))
    assert [entry.path for entry in tree] == paths[4:]
    assert [e.path for e in api.get_paths_info("ada/ferry", ["a", "b/0.txt", "c"], repo_type="dataset")] == [
        "a",
        "b/0.txt",
    ]


def test_a_commit_on_another_parent_is_an_error(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry")
    first = commit(api, a_txt=b"1")
    commit(api, parent=first, a_txt=b"2")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as raised:
        commit(api, parent=first, a_txt=b"3")
    assert raised.value.response.status_code == 412
    assert hub.files("ada/ferry")["a.txt"] == b"2"


@pytest.mark.parametrize(
    ("token", "repo", "error"),
    [
        ("hf_wrong", "ada/ferry", (401, "Invalid credentials in Authorization header")),
        (False, "ada/ferry", (401, "Repository Not Found")),
        ("hf_reader", "ada/ferry", (403, "write token")),
        ("hf_bob", "ada/ferry", (404, "Repository Not Found")),
        ("hf_bob", "mill/public", (403, "write token")),
        ("hf_carl", "mill/public", (403, "write token")),
        ("hf_ada", "mill/public", None),
        ("hf_ada", "mill/none", (404, "Repository Not Found")),
    ],
)
def test_only_members_with_a_write_token_may_write(
    hub: HubServer, token: str | bool, repo: str, error: tuple[int, str] | None
) -> None:
    hub.add_user("bob", token="hf_bob")
    hub.add_user("ada", token="hf_reader", role="read")
    hub.add_user("carl", token="hf_carl", orgs={"mill": "read"})
    hub.add_repo("ada/ferry", private=True)
    hub.add_repo("mill/public")
    api = HfApi(token=token)
    if error is None:
        commit(api, repo, a_txt=b"1")
        assert hub.files(repo)["a.txt"] == b"1"
    else:
        with pytest.raises(HfHubHTTPError, match=error[1]) as raised:
            commit(api, repo, a_txt=b"1")
        assert raised.value.response.status_code == error[0]
    assert "hf_" not in str(hub.log)


def test_taken_names_and_foreign_namespaces_are_errors(hub: HubServer, api: HfApi) -> None:
    assert api.create_repo("mill/grain").repo_id == "mill/grain"
    assert api.create_repo("mill/grain", exist_ok=True).repo_id == "mill/grain"
    assert api.create_repo("mill/grain", repo_type="dataset").repo_id == "mill/grain"
    with pytest.raises(HfHubHTTPError, match="You already created this model repo: mill/grain"):
        api.create_repo("mill/grain")
    with pytest.raises(HfHubHTTPError, match=r'403 Forbidden: .*under the namespace "bob"'):
        api.create_repo("bob/grain")
    api.delete_repo("mill/grain")
    assert not api.repo_exists("mill/grain")


def test_private_and_gated_files_need_access(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    hub.add_user("bob", token="hf_bob")
    hub.add_repo("ada/ferry", {"a.txt": b"1"}, private=True)
    repo = hub.add_repo("mill/gated", {"a.txt": b"1"}, gated=True)
    assert Path(hf_hub_download("ada/ferry", "a.txt")).read_bytes() == b"1"
    for token in ("hf_bob", False):
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("ada/ferry", "a.txt", token=token, cache_dir=tmp_path)
        with pytest.raises(GatedRepoError, match="not in the authorized list"):
            hf_hub_download("mill/gated", "a.txt", token=token)
        assert HfApi(token=token).model_info("mill/gated").gated == "manual"
    repo.readers.add("bob")
    assert Path(hf_hub_download("mill/gated", "a.txt", token="hf_bob")).read_bytes() == b"1"
    api.update_repo_settings("ada/ferry", private=False)
    assert HfApi(token=False).model_info("ada/ferry").private is False


def test_whoami_returns_organisations_and_the_role_of_the_token(api: HfApi) -> None:
    me = api.whoami()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("ada", ["mill"])
    assert me["auth"]["accessToken"]["role"] == "write"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_wrong")


def test_a_card_without_metadata_is_a_warning(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, README_md=b"# Ferry")
    ModelCard(CARD.decode()).push_to_hub("ada/ferry")
    assert ModelCard.load("ada/ferry").data.license == "mit"


def test_missing_files_revisions_and_repositories_have_their_own_errors(hub: HubServer) -> None:
    hub.add_repo("ada/ferry")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("ada/ferry", "none.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("ada/ferry", "none.txt", revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("gpt2", "config.json")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 500, 503])
def test_a_planned_status_is_returned_once(hub: HubServer, api: HfApi, status: int) -> None:
    hub.fail(status, "The mill is closed", after=1, path="whoami")
    assert api.whoami()["name"] == "ada"
    with pytest.raises(HfHubHTTPError) as raised:
        api.whoami()
    assert raised.value.response.status_code == status
    assert api.whoami()["name"] == "ada"
    assert [entry.status for entry in hub.log] == [200, status, 200]


def test_the_client_waits_after_too_many_requests(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("ada/ferry")
    hub.fail(429, path="preupload", retry_after=0)
    commit(api, a_txt=b"1")
    assert [e.status for e in hub.log if "preupload" in e.path] == [429, 200]


@pytest.mark.parametrize(("bytes_read", "made"), [(0, False), (100, False), (None, True)])
def test_an_interrupted_commit_changes_nothing(hub: HubServer, api: HfApi, bytes_read: int | None, made: bool) -> None:
    hub.add_repo("ada/ferry", {"a.txt": b"1"})
    hub.cut(path="/commit/", received=bytes_read)
    with pytest.raises(httpx2.TransportError):
        commit(api, a_txt=b"2", b_txt=os.urandom(1_000_000).hex().encode())
    assert hub.files("ada/ferry")["a.txt"] == (b"2" if made else b"1")
    assert hub.log[-1].status is None
    commit(api, a_txt=b"2")
    assert hub.files("ada/ferry")["a.txt"] == b"2"


def test_an_interrupted_download_continues_at_its_byte(hub: HubServer) -> None:
    hub.add_repo("ada/ferry", {"w.bin": 40 * WEIGHTS})
    hub.cut(method="GET", path="^/lfs/", sent=11_000_000)  # the client writes ten million bytes at a time
    assert Path(hf_hub_download("ada/ferry", "w.bin")).read_bytes() == 40 * WEIGHTS
    assert [entry.status for entry in hub.log if entry.path.startswith("/lfs/")] == [None, 206]


def test_a_range_of_a_file_can_be_read(hub: HubServer) -> None:
    hub.add_repo("ada/ferry", {"digits.txt": b"0123456789"})

    def part(which: str) -> tuple[int, bytes]:
        answer = get_session().get(f"{hub.endpoint}/ada/ferry/resolve/main/digits.txt", headers={"Range": which})
        return answer.status_code, answer.content

    assert [part(f"bytes={which}") for which in ("2-4", "7-", "-2", "0-99", "10-")] == [
        (206, b"234"), (206, b"789"), (206, b"89"), (206, b"0123456789"), (416, b"")
    ]  # fmt: skip


def parquet(rows: list[dict[str, object]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    stream = BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


LOAD = """
import json, sys
from datasets import load_dataset
rows = load_dataset("ada/rows", "formats", split="train", revision="v1")
stream = load_dataset("ada/rows", "formats", split="train", streaming=True)
import evaluate
score = evaluate.load("ada/share").compute(predictions=[1, 2], references=[1, 3])
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), "ada/adapter")
total = sum(float(p.detach().double().sum()) for name, p in model.named_parameters() if "lora" in name)
print(json.dumps([rows.to_list(), list(stream), score, total]))
"""

METRIC = b"""
import datasets
import evaluate

class Share(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"share": sum(p == r for p, r in zip(predictions, references)) / len(predictions)}
"""


def test_another_process_with_an_empty_cache_loads_a_dataset_a_metric_and_an_adapter(
    hub: HubServer, api: HfApi, base: Path, tmp_path: Path
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    card = b"---\nconfigs:\n- config_name: formats\n  data_files: data/*.parquet\n---\n"
    rows: list[list[dict[str, object]]] = [[{"text": f"{part}-{n}"} for n in range(3)] for part in range(2)]
    shards = {f"data/{part}.parquet": parquet(rows[part]) for part in range(2)}
    hub.add_repo("ada/rows", {"README.md": card, "builder.py": b"1/0", **shards}, type="dataset", private=True)
    api.create_tag("ada/rows", tag="v1", repo_type="dataset")
    hub.add_repo("ada/share", {"share.py": METRIC}, type="space")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(init_lora_weights=False))
    model.push_to_hub("ada/adapter", private=True)
    total = sum(float(p.detach().double().sum()) for name, p in model.named_parameters() if "lora" in name)

    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(base)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded, streamed, score, there = json.loads(done.stdout.splitlines()[-1])
    assert loaded == streamed == rows[0] + rows[1]
    assert score == {"share": 0.5}
    torch.testing.assert_close(there, total)
