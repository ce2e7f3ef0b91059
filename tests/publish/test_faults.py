"""After every fault: each repository is as it was or as it should be, never a mix, and the next run finishes."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.accounts import Account
from tests.hub.server import Fault
from tests.publish.conftest import MODEL, OWNER, SERVER, SPACE, TOKEN, Publisher

COMMIT = {"model": f"POST /api/models/{MODEL}/commit", "page": f"POST /api/spaces/{SPACE}/commit"}

BUSY = "Cannot create repo: another conflicting operation is in progress"
LIMITS = {"ratelimit": '"api";r=0;t=1', "ratelimit-policy": '"fixed window";"api";q=500;w=300'}

FAULTS: dict[str, tuple[Fault, ...]] = {
    "preuploads and log-in": (
        Fault(pattern="GET /api/whoami-v2", times=1, status=503),
        Fault(pattern="POST .*/preupload/", times=1, status=503),
        Fault(pattern="POST .*/preupload/", skip=1, times=1, status=503),
    ),
    "large files": (
        Fault(pattern="PUT /lfs/", times=1, status=500),
        Fault(pattern="PUT /lfs/", skip=1, times=1, drop=True),
        Fault(pattern="POST .*/verify", times=1, status=503),
    ),
    "commits": (
        Fault(pattern=COMMIT["model"], times=2, status=503),
        Fault(pattern=COMMIT["page"], times=1, drop=True),
    ),
    "answers of commits are lost": (
        Fault(pattern=COMMIT["model"], times=1, drop=True, late=True),
        Fault(pattern=COMMIT["page"], times=1, status=504, late=True),
    ),
    "stale parents and limits": (
        Fault(pattern=COMMIT["model"], times=1, status=429, headers=LIMITS),
        Fault(pattern=COMMIT["page"], times=2, status=412),
    ),
    "answers that are none": (
        Fault(pattern=COMMIT["model"], times=1, status=200, body="{}", late=True),
        Fault(pattern=COMMIT["page"], times=1, status=200, body="<html>", late=True),
        Fault(pattern="GET /api/whoami-v2", times=1, status=200, body="{}"),
        Fault(pattern="POST /api/repos/create", times=1, status=409, body=BUSY),
    ),
    "everything around": (
        Fault(pattern="POST /api/repos/create", times=1, status=502, late=True),
        Fault(pattern="POST /api/validate-yaml", times=1, status=503),
        Fault(pattern="GET /api/models/[^/]*/[^/]*$", times=1, status=503),
        Fault(pattern=f"GET /api/spaces/{SPACE}/tree", times=1, drop=True),
        Fault(pattern=f"GET /api/spaces/{SPACE}/runtime", times=1, status=500),
    ),
}
"""Those that pass: the same run gets over them."""

LASTING: dict[str, tuple[Fault, str]] = {
    "401": (Fault(pattern="POST .*/commit/", status=401), "refuses this machine's token"),
    "403": (Fault(pattern=COMMIT["page"], status=403, message="no rights"), "may not do that"),
    "402": (Fault(pattern="POST /api/repos/create", status=402), "needs a paid plan"),
    "another repository is being made": (
        Fault(pattern="POST /api/repos/create", status=409, body=BUSY),
        "is busy making another repository",
    ),
    "somebody else answers": (
        Fault(pattern="GET /api/whoami-v2", status=200, body="{}"),
        "does not answer as the Hub does",
    ),
    "commits never work": (Fault(pattern=COMMIT["page"], status=500), "failed with status 500"),
    "others always commit first": (Fault(pattern=COMMIT["model"], status=412), "others kept committing"),
    "the build fails": (Fault(pattern="nothing"), "is BUILD_ERROR: the build failed"),
}
"""Those that do not: an error with a hint, and nothing half-done."""


def is_new(tree: dict[str, str]) -> bool:
    """Whether a repository holds nothing but what the Hub makes it with."""
    return set(tree) <= {".gitattributes", "README.md"}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_that_passes_is_got_over_in_one_run(publisher: Publisher, name: str) -> None:
    faults = [replace(fault) for fault in FAULTS[name]]
    publisher.hub.faults += faults
    got = publisher.apply()
    assert got.code == 0, got.said
    assert all(fault.times == 0 for fault in faults), "a fault never happened"
    assert publisher.commits("model", MODEL) == ["initial commit", "Publish the web model"]
    assert publisher.commits("space", SPACE) == ["initial commit", "Publish the page"]


@pytest.mark.parametrize("name", LASTING)
def test_fault_that_lasts_leaves_old_or_new_and_the_next_run_finishes(publisher: Publisher, name: str) -> None:
    fault, words = LASTING[name]
    publisher.hub.break_next(replace(fault))
    if name == "the build fails":
        publisher.hub.first_stages = ["BUILDING", "BUILD_ERROR"]
    got = publisher.apply()
    assert got.code == 1
    assert words in got.answer["error"], got.said
    assert got.answer["hint"]
    left = publisher.trees()
    publisher.hub.faults.clear()
    for written in publisher.hub.written.values():
        written.stages = ["RUNNING"]
    again = publisher.apply()
    assert again.code == 0, again.said
    for place, tree in left.items():
        assert is_new(tree) or tree == publisher.trees()[place], f"{place} was a mix"


def test_update_that_fails_leaves_the_old_page(publisher: Publisher) -> None:
    assert publisher.apply().code == 0
    old = publisher.trees()
    publisher.hub.break_next(Fault(pattern=COMMIT["page"], status=500))
    assert publisher.apply(title="Second").code == 1
    assert publisher.trees() == old
    publisher.hub.faults.clear()
    assert publisher.apply(title="Second").code == 0
    assert publisher.commits("space", SPACE) == ["initial commit", "Publish the page", "Publish the page"]


def test_commit_of_somebody_else_in_between_is_kept(publisher: Publisher) -> None:
    assert publisher.apply().code == 0
    publisher.hub.before_commit = lambda: publisher.hub.write("space", SPACE, {"notes.txt": b"mine"})
    got = publisher.apply(title="Second")
    assert got.code == 0, got.said
    assert any("somebody else has committed" in line for line in got.answer["lines"])
    tree = publisher.tree("space", SPACE)
    assert "notes.txt" in tree
    assert publisher.commits("space", SPACE)[-1] == "Publish the page"


def test_two_publications_at_once_end_in_one_commit_each(publisher: Publisher) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [run.result() for run in [pool.submit(publisher.apply) for _ in range(2)]]
    assert [got.code for got in both] == [0, 0], [got.said for got in both]
    assert both[0].answer["commit"] == both[1].answer["commit"]
    assert publisher.commits("model", MODEL) == ["initial commit", "Publish the web model"]
    assert publisher.commits("space", SPACE) == ["initial commit", "Publish the page"]


STAGES = {
    "making the model repository": "POST /api/repos/create",
    "sending large files": "PUT /lfs/",
    "committing the model": COMMIT["model"],
    "committing the page": COMMIT["page"],
    "waiting for the Space": f"GET /api/spaces/{SPACE}/runtime",
}
ATOMIC = ("committing the model", "committing the page")
"""Where something changes on the Hub; the other stages are soaked."""


@pytest.mark.parametrize(
    "stage", [pytest.param(name, marks=[] if name in ATOMIC else pytest.mark.soak) for name in STAGES]
)
def test_interruption_leaves_old_or_new_and_the_next_run_finishes(publisher: Publisher, stage: str) -> None:
    """The request is under way when Ctrl-C comes; the Hub carries out what it has been asked for."""
    publisher.hub.break_next(Fault(pattern=STAGES[stage], times=1, hang_s=1, late=True, status=500))
    process = publisher.start()
    deadline = time.monotonic() + 90
    while not any(re.search(STAGES[stage], str(seen)) for seen in publisher.hub.requests):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    assert TOKEN not in said
    left = publisher.trees()
    assert publisher.apply().code == 0
    for place, tree in left.items():
        assert is_new(tree) or tree == publisher.trees()[place], f"{place} was a mix"
    assert publisher.commits("space", SPACE) == ["initial commit", "Publish the page"]


def test_hub_that_does_not_answer_is_given_up_and_asked_again(publisher: Publisher) -> None:
    publisher.hub.break_next(Fault(pattern=COMMIT["page"], times=1, hang_s=4, late=True, status=500))
    got = publisher.apply(WEBGPU_DEMO_TIMEOUT_S="1.5")
    assert got.code == 0, got.said
    assert any("did not answer in time" in line for line in got.answer["lines"])
    assert len(publisher.commits("space", SPACE)) == 2


def test_large_files_go_in_parts_where_the_hub_wants_it(publisher: Publisher) -> None:
    """The WebAssembly of the runtime is longer than a part; everything else goes in one piece."""
    publisher.hub.part_bytes = 8_000_000
    got = publisher.apply()
    assert got.code == 0, got.said
    files = publisher.hub.written["space", SPACE].head.files.values()
    parts = {file.sha256: -(-file.size // publisher.hub.part_bytes) for file in files}
    long = {oid: count for oid, count in parts.items() if count > 1}
    assert long
    paths = {seen.path for seen in publisher.hub.requests}
    for oid, count in long.items():
        sent = {path for path in paths if path.startswith(f"/lfs/{oid}")}
        numbered = {f"/lfs/{oid}/{number}" for number in range(1, count + 1)}
        assert sent == {*numbered, f"/lfs/{oid}/complete", f"/lfs/{oid}/verify"}


def test_large_files_go_over_xet_by_default(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "cas").mkdir()
    publisher.hub.cas = tmp_path / "cas"
    publisher.hub.break_next(Fault(pattern="GET /api/models/.*/xet-write-token", times=1, status=503))
    publisher.hub.break_next(Fault(pattern=COMMIT["page"], times=1, drop=True, late=True))
    got = publisher.apply()
    assert got.code == 0, got.said
    assert not [seen for seen in publisher.hub.requests if seen.method == "PUT"]
    before = publisher.trees()
    assert publisher.apply().code == 0
    assert publisher.trees() == before
    assert publisher.commits("space", SPACE) == ["initial commit", "Publish the page"]


def test_fine_grained_token_for_the_owner_is_enough(publisher: Publisher) -> None:
    publisher.hub.accounts[TOKEN] = Account(name=OWNER, orgs=("lab",), writes=frozenset({"lab"}))
    refused = publisher.apply()
    assert "may not do that" in refused.answer["error"]
    assert "fine-grained token needs write access" in refused.answer["hint"]
    publisher.hub.accounts[TOKEN] = Account(name=OWNER, orgs=("lab",), writes=frozenset({OWNER}))
    assert publisher.apply().code == 0


def test_server_on_zerogpu_is_refused_in_words_once_where_the_account_has_none_left(publisher: Publisher) -> None:
    publisher.hub.accounts[TOKEN] = Account(name=OWNER, zero_spaces=0)
    got = publisher.apply(fallback="zero-a10g")
    assert got.code == 0, got.said
    assert "is not allowed to this account" in got.answer["server_note"]
    assert "ZeroGPU is open to accounts" in got.answer["server_note"]
    assert ("space", SERVER) not in publisher.hub.written
    planned = publisher.run("publish", "--no-look", "--dry-run").answer["plans"]
    assert [plan["target"] for plan in planned] == ["model repo", "static Space"], "it was asked for again"
    assert {change["action"] for plan in planned for change in plan["changes"]} == {"keep"}


SERVER_FAULTS = {
    "commit": Fault(pattern=f"POST /api/spaces/{SERVER}/commit", status=403),
    "variables": Fault(pattern=f"GET /api/spaces/{SERVER}/variables", status=403),
    "everything": Fault(pattern=f"/api/spaces/{SERVER}", status=500),
    "another program": Fault(pattern="nothing"),
}


@pytest.mark.parametrize("name", SERVER_FAULTS)
def test_page_is_published_without_a_server_that_cannot_be_had(publisher: Publisher, name: str) -> None:
    if name == "another program":
        publisher.hub.create("space", SERVER, sdk="docker")
    publisher.hub.break_next(replace(SERVER_FAULTS[name]))
    got = publisher.apply(fallback="zero-a10g", WEBGPU_DEMO_RETRY_S="0.02")
    assert got.code == 0, got.said
    assert got.answer["server_note"]
    assert got.answer["server"] is None
    assert is_new(publisher.tree("space", SERVER))
    assert "index.html" in publisher.tree("space", SPACE)


def test_server_is_made_with_its_model_and_updated_without_another(publisher: Publisher) -> None:
    assert publisher.apply(fallback="zero-a10g").code == 0
    server = publisher.hub.written["space", SERVER]
    model = publisher.hub.written["model", MODEL]
    assert server.variables == {"MODEL_REPO": MODEL, "MODEL_REVISION": model.head.oid}
    assert {"app.py", "requirements.txt", "README.md", "manifest.json"} <= set(publisher.tree("space", SERVER))
    assert publisher.apply(fallback="zero-a10g").code == 0
    assert publisher.commits("space", SERVER) == ["initial commit", "Publish the server"]


def test_repository_without_any_commit_gets_its_first(publisher: Publisher) -> None:
    publisher.hub.bare = {MODEL, SPACE}
    publisher.hub.create("model", MODEL)
    got = publisher.apply()
    assert got.code == 0, got.said
    assert "index.html" in publisher.tree("space", SPACE)
