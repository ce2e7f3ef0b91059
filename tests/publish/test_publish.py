"""publish, status and unpublish by the command line: what is made, remembered, made twice (nothing), and removed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from builder.embedded import checkpoint_dir
from builder.paths import web_template
from builder.publish.remembered import Publication, remember
from builder.site.page import find_page
from tests.hub.cards import FRONT_MATTER
from tests.hub.server import Fault, Hub
from tests.publish.conftest import MODEL, SERVER, SPACE, TOKEN, Publisher

MADE = {f"model {MODEL}", f"space {SPACE}", f"space {SERVER}"}


def read(hub: Hub, kind: str, repo: str, path: str) -> str:
    return hub.written[kind, repo].head.files[path].content.read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, object]:
    found = FRONT_MATTER.match(text)
    assert found is not None
    return dict(yaml.safe_load(found[1]))


def test_publish_makes_everything_remembers_it_and_makes_nothing_twice(publisher: Publisher) -> None:
    hub = publisher.hub
    planned = publisher.publish("--space", SPACE, "--dry-run")
    assert planned.code == 0, planned.said
    assert not planned.done
    assert hub.written == {}
    assert not (publisher.cwd / ".webgpu-demo.json").exists()
    assert [plan["target"] for plan in planned.answer["plans"]] == ["model repo", "Gradio Space", "static Space"]
    assert "licence is unknown" in planned.answer["plans"][0]["notes"][0]
    assert {change["action"] for plan in planned.answer["plans"] for change in plan["changes"]} == {"add"}

    first = publisher.publish("--space", SPACE)
    assert first.done, first.said
    assert first.answer["address"] == hub.host(SPACE)
    assert first.answer["server"] == hub.host(SERVER)
    assert {check["ok"] for check in first.answer["checks"]} == {True}
    commit = hub.written["model", MODEL].head.oid
    html = read(hub, "space", SPACE, "index.html")
    assert f"{hub.address}/{MODEL}/resolve/{commit}/" in html
    assert hub.host(SERVER) in html
    assert f"connect-src &#39;self&#39; {hub.address} {hub.host(SERVER)} {hub.cdn}" in html
    assert not [path for path in publisher.tree("space", SPACE) if path.endswith(".onnx")]
    assert set(publisher.tree("model", MODEL)) >= {"manifest.json", "onnx/vision_encoder_q4.onnx", "config.json"}
    assert f"'{MODEL}'" in read(hub, "model", MODEL, "README.md")

    card = front_matter(read(hub, "space", SPACE, "README.md"))
    assert (card["sdk"], card["models"], card["app_file"]) == ("static", [MODEL], "index.html")
    assert "app_build_command" not in card
    assert "custom_headers" not in card
    assert "thumbnail" not in card, "none was taken"
    assert card["short_description"] == find_page("camera-caption", web_template()).short
    assert all(not written.variables for written in hub.written.values() if written.sdk == "static")

    noted = json.loads((publisher.cwd / ".webgpu-demo.json").read_text(encoding="utf-8"))["published"]
    assert set(noted[0]["made"]) == MADE
    before = publisher.trees()
    hub.written["space", SERVER].stages = ["SLEEPING"]
    second = publisher.run("publish", "--no-look")
    assert second.done, second.said
    assert not second.answer["changed"]
    assert "is asleep: the first who asks it wakes it up" in second.answer["checks"][-2]["said"]
    assert publisher.trees() == before
    assert all(len(written.commits) == 2 for written in hub.written.values())
    look_and_remove(publisher)


def look_and_remove(publisher: Publisher) -> None:
    """status and unpublish after a publication, in the same folder; looking at what is public takes no token."""
    states = publisher.run("status", token=None).answer
    assert [(state["place"], state["stage"]) for state in states] == [
        (SPACE, "RUNNING"),
        (SERVER, "SLEEPING"),
        (MODEL, None),
    ]
    publisher.hub.write("space", SPACE, {"notes.txt": b"mine"})
    shown = publisher.run("status", as_json=False).said
    assert "changed since" in shown
    assert "as published" in shown
    assert publisher.run("unpublish", "--dry-run").answer["done"] is False
    assert len(publisher.hub.written) == 3
    kept = publisher.run("unpublish", "--keep-model")
    assert kept.answer["kept"] == [f"model {MODEL}"]
    assert set(publisher.hub.written) == {("model", MODEL)}
    assert "nothing was published from here" in publisher.run("unpublish").said


def test_repository_that_was_there_before_is_not_removed(publisher: Publisher) -> None:
    publisher.hub.create("model", MODEL)
    publisher.hub.create("space", SPACE, sdk="static")
    entry = Publication(page="camera-caption", space=SPACE, model_repo=MODEL, made=(f"space {SPACE}",))
    remember(publisher.cwd, entry)
    gone = publisher.run("unpublish", as_json=False)
    assert f"kept model {MODEL}" in gone.said
    assert set(publisher.hub.written) == {("model", MODEL)}


def test_page_goes_on_without_a_server_that_it_may_not_have_and_is_rolled_back_where_it_does_not_come_up(
    publisher: Publisher,
) -> None:
    got = publisher.publish("--space", SPACE, "--fallback", "cpu-basic")
    assert got.done, got.said
    assert "needs a paid plan" in got.answer["server_note"]
    assert got.answer["server"] is None
    assert ("space", SERVER) not in publisher.hub.written
    assert '"server": null' in read(publisher.hub, "space", SPACE, "index.html")

    before = publisher.tree("space", SPACE)
    publisher.hub.written["space", SPACE].stages = ["RUNNING_BUILDING", "BUILD_ERROR"]
    publisher.hub.requests.clear()
    broken = publisher.publish("--space", SPACE, "--fallback", "none", "--title", "Other", "--rollback")
    assert broken.code == 1
    assert "is BUILD_ERROR: the build failed" in broken.said
    assert publisher.tree("space", SPACE) == before
    assert publisher.commits("space", SPACE)[-1] == "Restore the version before"
    assert "the version before is there again" in broken.said
    assert not [seen for seen in publisher.hub.requests if seen.method == "PUT"], "large files were sent again"


def test_page_that_is_late_or_of_which_nothing_can_be_learned_is_a_failure_and_rolled_back(
    publisher: Publisher,
) -> None:
    named = ["--space", SPACE, "--fallback", "none"]
    publisher.hub.first_stages = ["BUILDING"] * 1000
    late = publisher.publish(*named, "--wait", "1")
    assert late.code == 1
    assert f"{SPACE} is still BUILDING after 1 s" in late.said
    before = publisher.tree("space", SPACE)
    publisher.hub.break_next(Fault(pattern=f"GET /api/spaces/{SPACE}/runtime", status=500))
    unknown = publisher.publish(*named, "--title", "Other", "--rollback", WEBGPU_DEMO_RETRY_S="0.02")
    assert unknown.code == 1
    assert "the Hub failed with status 500" in unknown.said
    assert "the version before is there again" in unknown.said
    assert publisher.tree("space", SPACE) == before


def test_what_a_refused_run_did_not_make_is_not_removed(publisher: Publisher) -> None:
    publisher.hub.break_next(Fault(pattern="POST /api/repos/create", status=403))
    assert publisher.publish("--space", SPACE, "--fallback", "none").code == 1
    publisher.hub.faults.clear()
    publisher.hub.create("space", SPACE, sdk="static")
    publisher.hub.write("space", SPACE, {"index.html": b"precious"})
    gone = publisher.run("unpublish")
    assert (gone.answer["repositories"], gone.answer["kept"][0]) == ([], f"space {SPACE}")
    remember(publisher.cwd, Publication(page="camera-caption", space=SPACE, made=(f"space {SPACE}",)))
    assert publisher.run("unpublish").answer["kept"] == [f"space {SPACE}"], "it holds something else by now"
    assert publisher.tree("space", SPACE)["index.html"]
    plan = publisher.publish("--space", "ada/other", "--dry-run", as_json=False, COLUMNS="60").said
    assert "…" not in plan
    assert " MB  runtime/" in plan


def test_private_page_carries_its_model_and_has_no_server(publisher: Publisher) -> None:
    got = publisher.publish("--space", SPACE, "--private", "--threads")
    assert got.done, got.said
    assert set(publisher.hub.written) == {("space", SPACE)}
    assert publisher.hub.written["space", SPACE].private
    assert "models/tiny-vlm/onnx/vision_encoder_q4.onnx" in publisher.tree("space", SPACE)
    card = front_matter(read(publisher.hub, "space", SPACE, "README.md"))
    assert card["custom_headers"]
    assert "models" not in card
    checks = {check["name"]: check["ok"] for check in got.answer["checks"]}
    assert checks == {"stage": True, "checksums": True, "files": True, "browser": None}
    assert publisher.hub.pages, "it was not looked at"
    assert not [seen for seen in publisher.hub.pages if TOKEN in seen], "the token was in an address"
    refused = publisher.publish("--space", SPACE, "--fallback", "zero-a10g")
    assert "a private page can have no fallback" in refused.said
    strange = publisher.run("status", token=None, as_json=False)
    assert strange.code == 0, strange.said
    assert "removed or private" in strange.said
    assert "without a token private ones are not seen" in strange.said


def test_folder_gets_a_site_with_its_model_and_is_remembered_for_the_next_run(publisher: Publisher) -> None:
    got = publisher.publish("--folder", "public", "--title", "Mine", token=None)
    assert got.done, got.said
    folder = publisher.cwd / "public"
    assert (folder / "models" / "tiny-vlm" / "onnx" / "vision_encoder_q4.onnx").is_file()
    assert got.answer["headers"]["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "default-src 'none'" in got.answer["headers"]["Content-Security-Policy"]
    again = publisher.run("publish", token=None)
    assert again.done, again.said
    assert again.answer["changed"] is False, "the next run did not know what was published"
    (state,) = publisher.run("status", token=None).answer
    assert (state["kind"], state["place"], state["exists"]) == ("folder", "public", True)
    assert state["commit"] == state["noted"]
    assert publisher.hub.requests == []
    (folder / "CNAME").write_text("mine", encoding="utf-8")
    assert "files of yours that would be lost: CNAME" in publisher.run("publish", token=None).said


def test_site_that_build_made_is_published_as_its_page(publisher: Publisher, tmp_path: Path) -> None:
    built = publisher.run("build", "camera-caption", "--model", str(publisher.model), "-o", "site", "--title", "Mine")
    assert built.code == 0, built.said
    named = ["publish", "site", "--space", SPACE, "--fallback", "https://answers.example.org", "--no-look"]
    got = publisher.run(*named)
    assert got.done, got.said
    html = read(publisher.hub, "space", SPACE, "index.html")
    assert "https://answers.example.org" in html
    assert "<title>Mine</title>" in html
    again = publisher.run("publish", "--no-look", "--dry-run")
    actions = {change["action"] for plan in again.answer["plans"] for change in plan["changes"]}
    assert actions == {"keep"}, "the next run did not know what was published"
    assert ("space", SERVER) not in publisher.hub.written
    assert "onnx/vision_encoder_q4.onnx" in publisher.tree("model", MODEL)
    shutil.rmtree(tmp_path / "site" / "models")
    assert "is no site of this tool" in publisher.run(*named).said


def test_interrupted_publication_leaves_nothing_half_done_and_goes_on(
    publisher: Publisher, start_cli: Callable[..., subprocess.Popen[str]]
) -> None:
    publisher.hub.break_next(Fault(pattern=f"POST /api/spaces/{SPACE}/preupload/", times=1, hang_s=20))
    named = ["publish", "camera-caption", "--model", str(publisher.model), "--no-look", "--fallback", "none"]
    process = start_cli(*named, "--space", SPACE, env=publisher.environment(TOKEN))
    deadline = time.monotonic() + 90
    while not any("/preupload/" in seen.path and SPACE in seen.path for seen in publisher.hub.requests):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted; nothing was left half-written" in stderr
    assert TOKEN not in stdout + stderr
    assert publisher.commits("space", SPACE) == ["initial commit"]
    model = publisher.tree("model", MODEL)
    again = publisher.run("publish", "--no-look")
    assert again.done, again.said
    assert publisher.tree("model", MODEL) == model
    assert publisher.commits("model", MODEL) == ["initial commit", "Publish the web model"]


@pytest.mark.soak
def test_checkpoint_is_exported_quantized_and_verified_on_the_way_once(publisher: Publisher) -> None:
    checkpoint = shutil.copytree(checkpoint_dir("scenes-clip"), publisher.cwd / "my-clip")
    named = ["publish", "photo-search", "--model", str(checkpoint), "--space", "ada/search", "--fallback", "none"]
    first = publisher.run(*named, "--no-look")
    assert first.done, first.said
    assert "loading my-clip-web as mobileclip2" in first.said
    shipped = publisher.tree("model", "ada/my-clip-web-ONNX")
    manifest = json.loads(read(publisher.hub, "model", "ada/my-clip-web-ONNX", "manifest.json"))
    assert set(manifest["tiers"]) == {"webgpu-f16", "webgpu", "wasm"}
    graphs = {variant["path"] for variants in manifest["components"].values() for variant in variants.values()}
    assert {path for path in shipped if path.endswith(".onnx")} == graphs
    assert not [path for path in shipped if "source" in path]
    second = publisher.run(*named, "--no-look")
    assert second.done
    assert not second.answer["changed"]
    assert "is made of this checkpoint already" in second.said
    (checkpoint / "open_clip_model.safetensors").touch()
    assert "loading my-clip-web as mobileclip2" in publisher.run(*named, "--no-look", "--dry-run").said
