"""The Hub on loopback refuses what the Hub refuses, and keeps what it is given: asked by the real client, over Xet."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests.hub.accounts import Account
from tests.hub.server import PAGE_FILES, Hub
from tests.hub.written import RefusedError

TOKEN = "hf_" + "NobodyMaySeeThisToken" * 2
SPACE = "ada/page"
CARD = "---\ntitle: Page\nsdk: static\n---\n"


@pytest.fixture
def api(hub: Hub, tmp_path: Path) -> HfApi:
    hub.accounts[TOKEN] = Account(name="ada", orgs=("lab",))
    hub.cas = tmp_path / "cas"
    hub.cas.mkdir()
    return HfApi(endpoint=hub.address, token=TOKEN)


def add(path: str, content: bytes) -> CommitOperationAdd:
    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)


def commit(api: HfApi, *operations: object, parent: str | None = None) -> str:
    done = api.create_commit(
        SPACE,
        list(operations),  # type: ignore[arg-type]
        commit_message="test",
        repo_type="space",
        parent_commit=parent,
    )
    return str(done.oid)


def status_of(caught: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return caught.value.response.status_code


def test_what_is_written_is_read_back_large_and_small(api: HfApi, hub: Hub, tmp_path: Path) -> None:
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    files = {"README.md": CARD.encode(), "a.onnx": b"\0\1" * 200_000, "b/c.txt": b"text"}
    first = commit(api, *(add(path, content) for path, content in files.items()))
    assert not [seen for seen in hub.requests if seen.method == "PUT"], "this went as LFS and not over Xet"
    for path, content in files.items():
        found = api.hf_hub_download(SPACE, path, repo_type="space", local_dir=tmp_path / "got")
        assert Path(found).read_bytes() == content
    assert commit(api, *(add(path, content) for path, content in files.items())) == first, "nothing had changed"
    second = commit(api, CommitOperationDelete(path_in_repo="a.onnx"), parent=first)
    restored = CommitOperationCopy(src_path_in_repo="a.onnx", path_in_repo="a.onnx", src_revision=first)
    commit(api, restored, parent=second)
    head = hub.written["space", SPACE]
    assert head.head.files.keys() == head.find(first)[1].keys()  # type: ignore[index]


def test_stale_parent_is_refused_with_412(api: HfApi) -> None:
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    first = commit(api, add("a.txt", b"1"))
    commit(api, add("a.txt", b"2"))
    with pytest.raises(HfHubHTTPError) as caught:
        commit(api, add("a.txt", b"3"), parent=first)
    assert status_of(caught) == 412


def test_accounts_may_do_what_their_plan_and_token_allow(api: HfApi, hub: Hub) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("ada/app", repo_type="space", space_sdk="gradio")
    assert status_of(caught) == 402
    api.create_repo("ada/app", repo_type="space", space_sdk="gradio", space_hardware="zero-a10g")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("eve/page", repo_type="space", space_sdk="static")
    assert status_of(caught) == 403
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(endpoint=hub.address, token="hf_wrong").whoami()
    assert status_of(caught) == 401
    assert api.whoami()["name"] == "ada"
    api.delete_repo("ada/app", repo_type="space")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("ada/app", repo_type="space")


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("---\nsdk: static\nshort_description: " + "x" * 61 + "\n---\n", "short_description"),
        ("---\nsdk: static\ncolorFrom: mauve\n---\n", "colorFrom"),
        ("---\nsdk: static\ncustom_headers:\n  content-security-policy: x\n---\n", "custom_headers"),
        ("---\nsdk: [\n---\n", "YAML"),
        ("no front matter", "Missing configuration"),
    ],
)
def test_card_that_the_hub_would_not_take_is_refused(api: HfApi, card: str, words: str) -> None:
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    with pytest.raises(ValueError, match=words):
        commit(api, add("README.md", card.encode()))


def test_stage_moves_on_and_needs_a_page(api: HfApi) -> None:
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    assert api.get_space_runtime(SPACE).stage == "NO_APP_FILE"
    commit(api, add("index.html", b"<p>"))
    assert [api.get_space_runtime(SPACE).stage for _ in range(3)] == ["BUILDING", "RUNNING", "RUNNING"]


def test_card_is_refused_with_the_commit_too_where_nobody_has_asked_before(api: HfApi, hub: Hub) -> None:
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    with pytest.raises(RefusedError, match="colorFrom"):
        hub.write("space", SPACE, {"README.md": b"---\nsdk: static\ncolorFrom: mauve\n---\n"})


def test_tree_of_many_files_comes_in_pages(api: HfApi, hub: Hub) -> None:
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    names = {f"{number:03}.txt" for number in range(2 * PAGE_FILES + 1)}
    commit(api, *(add(name, name.encode()) for name in sorted(names)))
    hub.requests.clear()
    assert names < {entry.path for entry in api.list_repo_tree(SPACE, repo_type="space", recursive=True)}
    assert len([seen for seen in hub.requests if "/tree/" in seen.path]) == 3
