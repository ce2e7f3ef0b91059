"""What publish put on the Hub, in a real browser: the page from its Space, the model from the model repository.

The Hub is the one on loopback: the page, the Hub and its storage for large files are three origins, as they are there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.embedded.samples import album_scenes, video_scenes
from builder.fallback import running_app
from tests.browser.camera_page import until_captioned
from tests.browser.conftest import OpenPage, Watch, screenshot_on_failure
from tests.browser.video import scene_pixels, write_camera
from tests.conftest import REPOSITORY
from tests.hub.accounts import Account
from tests.hub.server import Hub, running_hub

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TOKEN = "hf_" + "NobodyMaySeeThisToken" * 2
NO_WASM = "--js-flags=--jitless"
PNG = b"\x89PNG\r\n"


@dataclass(frozen=True, kw_only=True)
class Published:
    """Two Spaces and their models on one Hub; ``answers`` is what the commands said, by page.

    ``server`` is the address of the caption page's fallback, which runs the same files.
    """

    hub: Hub
    server: str
    answers: dict[str, dict[str, Any]]

    def commit(self, model: str) -> str:
        return self.hub.written["model", f"ada/{model}-ONNX"].head.oid


@pytest.fixture(scope="module")
def published(quantized_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Publish both pages by the command line; the first one is looked at and its picture taken, as users get it."""
    work = tmp_path_factory.mktemp("published")
    with running_hub() as hub, running_app(quantized_models["scenes-vlm"], port=0) as (server, _):
        hub.accounts[TOKEN] = Account(name="ada")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        ours = {"HF_ENDPOINT": hub.address, "HF_HOME": str(work / "hf"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        environment = {**kept, **ours, "PYTHONPATH": str(REPOSITORY), "NO_PROXY": "127.0.0.1,localhost"}
        answers = {}
        for page, model, fallback, look in (
            ("camera-caption", "scenes-vlm", server, "--look"),
            ("photo-search", "scenes-clip", "none", "--no-look"),
        ):
            options = ["--model", str(quantized_models[model]), "--space", page, "--fallback", fallback, look]
            command = [sys.executable, "-m", "builder", "publish", page, *options, "--json"]
            done = subprocess.run(
                command, cwd=work, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
            assert done.returncode == 0, done.stderr
            assert TOKEN not in done.stdout + done.stderr
            answers[page] = json.loads(done.stdout)
        yield Published(hub=hub, server=server, answers=answers)


def assert_model_comes_from(published: Published, watch: Watch, model: str) -> None:
    """Every graph was asked for at the commit that the page is pinned to, and sent from another origin again."""
    root = f"{published.hub.address}/ada/{model}-ONNX/resolve/{published.commit(model)}/"
    graphs = [url for url in watch.requested if url.endswith(".onnx")]
    assert [url for url in graphs if url.startswith(root)]
    assert all(url.startswith((root, f"{published.hub.cdn}/cdn/")) for url in graphs), graphs
    assert {url for url in watch.foreign if not url.startswith(published.hub.cdn)} == set()
    watch.foreign.clear()
    watch.violations += watch.page.evaluate("window.violations")
    watch.assert_clean()


def test_publishing_looked_at_the_page_in_a_browser_and_took_its_picture(published: Published) -> None:
    checks = {check["name"]: check["ok"] for check in published.answers["camera-caption"]["checks"]}
    assert checks == dict.fromkeys(("stage", "checksums", "model", "files", "browser"), True)
    space = published.hub.written["space", "ada/camera-caption"].head.files
    assert space["thumbnail.png"].content.read_bytes().startswith(PNG)
    assert "thumbnail.png" in space["README.md"].content.read_text(encoding="utf-8")


def test_published_page_captions_with_the_model_of_its_repository(published: Published, open_page: OpenPage) -> None:
    address = published.hub.host("ada/camera-caption")
    watch = open_page(f"{address}/?device=wasm&source=sample&autostart=1", device="wasm")
    with screenshot_on_failure(watch, "published-camera-caption"):
        watch.page.wait_for_selector('html[data-state="running"]', timeout=180_000)
        expected = json.dumps([scene.caption for scene in video_scenes()])
        caption = "document.querySelector('[data-role=caption]').dataset.caption"
        watch.wait_until(f"{expected}.includes({caption})", seconds=180)
    assert_model_comes_from(published, watch, "scenes-vlm")


def test_published_page_without_webgpu_and_webassembly_is_answered_by_its_server_as_it_answers_itself(
    published: Published, open_page: OpenPage, tmp_path: Path
) -> None:
    """Both look at one scene through the same camera; the graphs are the same files."""
    address = published.hub.host("ada/camera-caption")
    for number in (0, 2):
        camera = write_camera(tmp_path / f"{number}.y4m", [scene_pixels(number)], seconds_each=1)
        own = open_page(f"{address}/?device=wasm&source=camera&autostart=1", device="wasm", camera=camera)
        said = until_captioned(own)
        assert said
        assert not [url for url in own.requested if url.startswith(published.server)], "asked although nobody agreed"
        own.page.close()

        watch = open_page(f"{address}/?source=camera", device="wasm", camera=camera, flags=[NO_WASM])
        with screenshot_on_failure(watch, "published-fallback"):
            watch.page.wait_for_selector("[data-role=consent-server]", timeout=60_000)
            assert "forbids WebAssembly" in watch.page.inner_text("[data-part=reason]")
            assert not [url for url in watch.requested if url.startswith(published.server)]
            watch.page.click("[data-role=consent-server]")
            assert until_captioned(watch) == said
        assert not [url for url in watch.requested if url.endswith(".onnx")]
        watch.page.close()


def test_published_search_finds_pictures_by_their_captions(published: Published, open_page: OpenPage) -> None:
    address = published.hub.host("ada/photo-search")
    watch = open_page(f"{address}/?device=wasm&source=sample&autostart=1", device="wasm")
    page = watch.page
    with screenshot_on_failure(watch, "published-photo-search"):
        page.wait_for_selector('html[data-state="done"]', timeout=300_000)
        scenes = list(album_scenes().items())[:5]
        found = 0
        for name, scene in scenes:
            page.fill("[data-role=query]", scene.caption)
            page.wait_for_selector(f"[data-role=status]:has-text('“{scene.caption}”')", timeout=60_000)
            first = page.get_attribute("[data-role=results] [data-photo]", "data-name")
            found += first == name
        assert found >= 3
    assert_model_comes_from(published, watch, "scenes-clip")
