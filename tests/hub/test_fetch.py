"""Checkpoints from the Hub, through the real huggingface_hub over HTTP: what arrives, and what is said otherwise."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from builder.hub.fetch import safetensors_twin
from tests.hub.conftest import TOKEN, Fetch, small_checkpoint, write_safetensors
from tests.hub.server import Fault, Hub

REPO = "somebody/small-vlm"
ARRIVING = {"config.json", "README.md", "LICENSE", "merges.txt", "model.safetensors"}
WEIGHTS = "model.safetensors"


@pytest.fixture
def checkpoint(hub: Hub, tmp_path: Path) -> Path:
    folder = small_checkpoint(tmp_path / "repository")
    hub.add(REPO, folder)
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_checkpoint_folder_is_returned_without_asking_the_hub(hub: Hub, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    assert fetch("here").path == Path("here")
    assert hub.requests == []


def test_checkpoint_from_the_hub_arrives_without_pickles_and_code(
    hub: Hub, fetch: Fetch, checkpoint: Path, tmp_path: Path
) -> None:
    got = fetch(REPO)
    assert got.path is not None, got.error
    assert got.path.is_relative_to(tmp_path / "hf" / "hub")
    assert names(got.path) == ARRIVING
    assert all((got.path / name).read_bytes() == (checkpoint / name).read_bytes() for name in ARRIVING)
    assert set(hub.fetched()) == ARRIVING
    assert got.lines[0].startswith(f"downloading {REPO} (0.3 MB)")
    assert got.lines[-1] == f"{REPO}: 0.3 of 0.3 MB"


def test_checkpoint_fetched_before_is_not_downloaded_again(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    first = fetch(REPO)
    hub.requests.clear()
    assert fetch(REPO).path == first.path
    assert hub.fetched() == []


@pytest.mark.parametrize("inline", [True, False])
def test_revision_is_the_one_that_arrives(
    hub: Hub, fetch: Fetch, checkpoint: Path, tmp_path: Path, inline: bool
) -> None:
    other = small_checkpoint(tmp_path / "other", seed=1)
    hub.add(REPO, other, branch="tuned")
    got = fetch(f"{REPO}@tuned") if inline else fetch(REPO, revision="tuned")
    assert got.path is not None, got.error
    assert (got.path / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    assert (got.path / WEIGHTS).read_bytes() != (checkpoint / WEIGHTS).read_bytes()


def test_two_revisions_that_differ_are_refused(fetch: Fetch, checkpoint: Path) -> None:
    got = fetch(f"{REPO}@a", revision="b")
    assert got.kind == "CheckpointError"
    assert "'a'" in got.error
    assert "'b'" in got.error


def test_open_clip_layout_beside_another_comes_alone(hub: Hub, fetch: Fetch, checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "open_clip_config.json").write_text("{}")
    shutil.copy(checkpoint / WEIGHTS, checkpoint / "open_clip_model.safetensors")
    got = fetch(REPO)
    assert got.path is not None, got.error
    assert names(got.path) == (ARRIVING - {WEIGHTS}) | {"open_clip_config.json", "open_clip_model.safetensors"}


def test_model_safetensors_come_where_no_open_clip_weights_lie(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    (checkpoint / "open_clip_config.json").write_text("{}")
    got = fetch(REPO)
    assert got.path is not None, got.error
    assert (got.path / WEIGHTS).is_file()


@pytest.mark.parametrize("name", ["not/a/hub/id", "./nothing", "/no/such/folder", "", "a b", "name.git"])
def test_name_of_no_folder_and_no_repository_asks_nobody(hub: Hub, fetch: Fetch, name: str) -> None:
    got = fetch(name)
    assert got.kind == "CheckpointError"
    assert got.error == f"there is no folder {name!r}, and {name!r} is no Hub id"
    assert "owner/name" in got.hint
    assert hub.requests == []


def test_address_of_a_page_is_answered_with_its_id(fetch: Fetch) -> None:
    got = fetch("https://hub.example/apple/FastVLM-0.5B/tree/main")
    assert got.hint == "give apple/FastVLM-0.5B@main"


def test_file_in_place_of_a_folder_names_the_folder(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_text("")
    got = fetch(str(tmp_path / WEIGHTS))
    assert "is a file" in got.error
    assert str(tmp_path) in got.hint


@pytest.mark.parametrize(
    ("repo", "twin"),
    [
        ("apple/MobileCLIP2-S0", "timm/MobileCLIP2-S0-OpenCLIP"),
        ("apple/MobileCLIP2-L-14", "timm/MobileCLIP2-L-14-OpenCLIP"),
        ("apple/mobileclip_b_lt", "apple/MobileCLIP-B-LT-OpenCLIP"),
        ("apple/MobileCLIP-S1", "apple/MobileCLIP-S1-OpenCLIP"),
        ("apple/mobileclip_s0", None),
        ("somebody/MobileCLIP2-S0", None),
    ],
)
def test_safetensors_twin_is_named_where_one_exists(repo: str, twin: str | None) -> None:
    assert safetensors_twin(repo) == twin


def test_repository_of_pickles_is_refused_with_its_twin(hub: Hub, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles" / "mobileclip2_s0.pt").write_bytes(b"\x80\x04K\x01.")
    hub.add("apple/MobileCLIP2-S0", tmp_path / "pickles")
    hub.add("somebody/pickles", tmp_path / "pickles")
    got = fetch("apple/MobileCLIP2-S0")
    assert "mobileclip2_s0.pt" in got.error
    assert "never loaded" in got.error
    assert got.hint == "take timm/MobileCLIP2-S0-OpenCLIP"
    other = fetch("somebody/pickles")
    assert "never loaded" in other.hint
    assert hub.fetched() == []


def test_unknown_revision_names_the_nearest_branch(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.add(REPO, checkpoint, branch="finetuned")
    got = fetch(f"{REPO}@finetunde")
    assert got.error == f"{REPO} has no branch, tag or commit 'finetunde'"
    assert "'finetuned'" in got.hint
    assert got.kind == "CheckpointError"


@pytest.mark.parametrize("token", [None, TOKEN])
def test_unknown_repository_may_be_private(hub: Hub, fetch: Fetch, token: str | None) -> None:
    hub.readers[TOKEN] = frozenset()
    got = fetch("somebody/nothing", token=token)
    assert "no model of that name" in got.error
    assert ("hf auth whoami" if token else "hf auth login") in got.hint


def test_private_repository_opens_to_its_token(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.add(REPO, checkpoint, private=True)
    hub.readers[TOKEN] = frozenset({REPO})
    assert fetch(REPO).path is None
    got = fetch(REPO, token=TOKEN)
    assert got.path is not None, got.error
    assert names(got.path) == ARRIVING


def test_gated_repository_without_a_token_names_page_and_login(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.add(REPO, checkpoint, gated=True)
    got = fetch(REPO)
    assert got.error == f"{REPO} is gated, and no token is set"
    assert got.hint == f"accept the terms on {hub.address}/{REPO}, then run `hf auth login`"


def test_gated_repository_with_a_token_without_access_names_page(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.add(REPO, checkpoint, gated=True)
    hub.readers[TOKEN] = frozenset()
    got = fetch(REPO, token=TOKEN)
    assert "may not read it" in got.error
    assert f"accept the terms on {hub.address}/{REPO}" in got.hint
    assert "hf auth login" not in got.hint


def test_gated_repository_opens_to_an_accepted_account(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.add(REPO, checkpoint, gated=True)
    hub.readers[TOKEN] = frozenset({REPO})
    assert fetch(REPO, token=TOKEN).path is not None


def test_invalid_token_is_told_from_a_missing_repository(fetch: Fetch, checkpoint: Path) -> None:
    got = fetch(REPO, token=TOKEN)
    assert "refuses this machine's token" in got.error
    assert "hf auth login" in got.hint


def test_token_that_no_header_can_carry_is_not_sent_nor_shown(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    got = fetch(REPO, token=f"{TOKEN[:10]} {TOKEN[10:]}")
    assert "cannot be sent" in got.error
    assert TOKEN[10:] not in got.written
    assert hub.requests == []


def test_no_network_is_said_with_the_endpoint(fetch: Fetch, checkpoint: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        got = fetch(REPO, HF_ENDPOINT=closed)
    assert got.error == f"{closed} cannot be reached, and the cache holds no complete copy of {REPO}"
    assert "local folder" in got.hint


def test_no_network_takes_a_complete_copy_from_the_cache(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    first = fetch(REPO)
    got = fetch(REPO, HF_ENDPOINT="http://127.0.0.1:1")
    assert got.path == first.path
    assert "from the cache" in got.lines[0]


def test_no_network_refuses_an_incomplete_copy(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    first = fetch(REPO)
    assert first.path is not None
    (first.path / WEIGHTS).unlink()
    got = fetch(REPO, HF_ENDPOINT="http://127.0.0.1:1")
    assert "cannot be reached" in got.error


def test_offline_mode_takes_a_complete_copy_and_names_the_variable_without_one(
    hub: Hub, fetch: Fetch, checkpoint: Path
) -> None:
    got = fetch(REPO, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in got.error
    assert "unset" in got.hint
    first = fetch(REPO)
    hub.requests.clear()
    assert fetch(REPO, HF_HUB_OFFLINE="1").path == first.path
    assert hub.requests == []


def test_hub_that_does_not_answer_is_given_up(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.break_next(Fault(pattern="GET /api/models", hang_s=20))
    got = fetch(REPO, HF_HUB_ETAG_TIMEOUT="1")
    assert "did not answer in time" in got.error


def test_failing_hub_is_told_from_a_missing_network(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.break_next(Fault(pattern="GET /api/models", status=503))
    got = fetch(REPO)
    assert got.error == f"the Hub failed with status 503 on {REPO}"
    assert "HfHubHTTPError" in got.written, "a traceback must show what stands behind"
    assert "again" in got.hint


@pytest.mark.parametrize(("status", "word"), [(429, "too many requests"), (403, "forbids")])
def test_refusal_of_the_hub_is_said(hub: Hub, fetch: Fetch, checkpoint: Path, status: int, word: str) -> None:
    hub.break_next(Fault(pattern="GET /api/models", status=status, message=f"token {TOKEN} is limited"))
    got = fetch(REPO)
    assert word in got.error
    assert (status == 403) == ("token [token] is limited" in got.error)


def test_download_cut_off_once_goes_on_where_it_stopped(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    large = np.arange(3_000_000)  # huggingface_hub writes in pieces of 10 MB, and goes on behind the last
    write_safetensors(checkpoint / WEIGHTS, {"weight": large})
    hub.break_next(Fault(pattern=f"GET /cdn/.*{WEIGHTS}", cut_at=15_000_000, times=1))
    got = fetch(REPO)
    assert got.path is not None, got.error
    assert (got.path / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    ranges = [seen.range for seen in hub.requests if seen.path.startswith("/cdn/")]
    assert ranges == [None, "bytes=10485760-"]


def test_download_cut_off_for_good_keeps_what_is_complete_for_the_next_run(
    hub: Hub, fetch: Fetch, checkpoint: Path
) -> None:
    hub.break_next(Fault(pattern=f"GET /cdn/.*{WEIGHTS}", cut_at=100_000))
    got = fetch(REPO)
    assert got.error == f"the download of {REPO} was cut off"
    assert "again" in got.hint
    hub.faults.clear()
    hub.requests.clear()
    again = fetch(REPO)
    assert again.path is not None, again.error
    assert hub.fetched() == [WEIGHTS]


def test_damaged_download_is_found_by_its_checksum(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    from builder.errors import CheckpointError
    from builder.hub import check_weights

    hub.break_next(Fault(pattern=f"GET /cdn/.*{WEIGHTS}", corrupt=True))
    got = fetch(REPO)
    assert got.path is not None, got.error
    with pytest.raises(CheckpointError, match="the checksum says so") as caught:
        check_weights(got.path)
    assert WEIGHTS in caught.value.message
    blob = (got.path / WEIGHTS).resolve()
    assert str(blob) in caught.value.hint
    hub.faults.clear()
    blob.unlink()  # what the hint says
    assert fetch(REPO).path == got.path
    check_weights(got.path)


def test_weights_in_xet_storage_come_from_there(hub: Hub, fetch: Fetch, checkpoint: Path, tmp_path: Path) -> None:
    hub.store_in_xet(checkpoint, tmp_path / "cas")
    got = fetch(REPO)
    assert got.path is not None, got.error
    assert (got.path / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    assert set(hub.fetched()) == ARRIVING - {WEIGHTS}
    assert got.lines[-1] == f"{REPO}: 0.3 of 0.3 MB"


def test_xet_storage_that_fails_is_explained(hub: Hub, fetch: Fetch, checkpoint: Path, tmp_path: Path) -> None:
    hub.store_in_xet(checkpoint, tmp_path / "cas")
    shutil.rmtree(tmp_path / "cas")
    got = fetch(REPO)
    assert got.error.startswith(f"the download of {REPO} failed: ")
    assert "again" in got.hint


def test_checkpoint_larger_than_the_disk_is_refused_before_it_is_fetched(
    hub: Hub, fetch: Fetch, checkpoint: Path
) -> None:
    (checkpoint / "huge.json").write_text("{}")
    hub.sizes["huge.json"] = 10**15
    got = fetch(REPO)
    assert "needs 1,000,000,000.3 MB" in got.error
    assert "free" in got.error
    assert hub.fetched() == []


def test_path_that_leads_out_of_the_repository_is_refused(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    hub.renamed["merges.txt"] = "../merges.txt"
    got = fetch(REPO)
    assert "'../merges.txt'" in got.error
    assert hub.fetched() == []


def test_weights_in_other_dtypes_are_not_fetched(hub: Hub, fetch: Fetch, checkpoint: Path) -> None:
    for name in ("model.fp16.safetensors", "model-00001-of-00002.safetensors"):
        shutil.copy(checkpoint / WEIGHTS, checkpoint / name)
    got = fetch(REPO)
    assert got.path is not None, got.error
    assert names(got.path) == ARRIVING
