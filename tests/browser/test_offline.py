"""A page that was opened once opens without a network, can be installed, and never mixes versions of itself."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.camera_page import until_captioned
from tests.browser.conftest import OpenPage, wait_until
from tests.browser.faulty import running_host

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LOADED = 'html[data-model="loaded"]'
SITE_CACHE = "caches.keys().then((names) => names.filter((name) => name.startsWith('webgpu-demo-site')))"
KEPT = f"""
(async () => {{
  const [name] = await {SITE_CACHE};
  const kept = name ? await (await caches.open(name)).keys() : [];
  return kept.map(({{ url }}) => new URL(url).pathname.slice(1));
}})()
"""


def visit(page: Page, address: str) -> None:
    """Open the page, load the model, and wait until the service worker has all that it keeps."""
    page.goto(f"{address}?device=wasm&autostart=1")
    page.wait_for_selector(LOADED, timeout=60_000)
    done = (
        f"{KEPT}.then((paths) => paths.includes('runtime/transformers.min.js') && paths.includes('sample/album.json'))"
    )
    wait_until(page, done)


def test_page_opens_and_runs_with_the_network_cut(probe_site: Path, open_page: OpenPage) -> None:
    with running_host(probe_site) as host:
        page: Page = open_page(host.address, device="wasm").page
        visit(page, host.address)
        address = host.address
    # The server is gone, and the browser believes itself offline.
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    vector = page.evaluate("probe.session.request('embed', { text: 'a cup' }).then(({ vector }) => vector.length)")
    assert vector > 0
    album = page.evaluate(
        "fetch('sample/album.json').then((response) => response.json()).then(({ photos }) => photos.length)"
    )
    assert album > 0
    ask = "fetch('sample/album.json', { headers: { Range: 'bytes=2-9' } })"
    part = f"{ask}.then((answer) => answer.arrayBuffer().then((bytes) => [answer.status, bytes.byteLength]))"
    assert page.evaluate(part) == [206, 8], "videos are asked for by ranges"


def test_captions_run_with_the_network_cut(demo_work: Path, open_page: OpenPage) -> None:
    with running_host(demo_work / "site" / "camera-caption") as host:
        address = f"{host.address}?device=wasm&source=sample&autostart=1"
        watch = open_page(address, device="wasm")
        page = watch.page
        until_captioned(watch)
        for name in ("runtime/transformers.min.js", "sample/scenes.webm"):
            wait_until(page, f"{KEPT}.then((paths) => paths.includes({name!r}))")
    page.context.set_offline(True)
    page.reload()
    until_captioned(watch)
    page.click("[data-role=freeze]")
    page.wait_for_selector("html[data-frozen]")
    page.click("[data-role=quick] button")
    page.wait_for_selector("[data-role=conversation]:not([data-busy]) li", timeout=60_000)
    with page.expect_download():
        page.evaluate("document.querySelector('[data-save=vtt]').click()")


def test_newer_version_takes_over_whole(build_probe: Callable[..., Path], tmp_path: Path, open_page: OpenPage) -> None:
    site = build_probe(tmp_path / "site", title="First")
    with running_host(site) as host:
        page: Page = open_page(host.address, device="wasm").page
        visit(page, host.address)
        before = page.evaluate(SITE_CACHE)
        build_probe(tmp_path / "site", title="Second")
        page.goto(f"{host.address}?device=wasm")
        page.wait_for_selector("h1:has-text('Second')", timeout=30_000)
        page.wait_for_selector('html[data-state="paused"]')
        wait_until(page, f"{SITE_CACHE}.then((names) => names.length === 1)")
        assert page.evaluate(SITE_CACHE) != before, "the old version's cache is still the one in use"
        host.log.clear()
        page.click("[data-role=start]")
        page.wait_for_selector(LOADED, timeout=60_000)
        assert not [entry for entry in host.log if entry.path.endswith((".onnx", ".wasm"))], (
            "an unchanged file came again"
        )


@pytest.mark.soak
def test_half_changed_site_is_not_taken(build_probe: Callable[..., Path], tmp_path: Path, open_page: OpenPage) -> None:
    """A host in the middle of an upload: the list of files is new, one of them still old."""
    site = build_probe(tmp_path / "site", title="First")
    with running_host(site) as host:
        page: Page = open_page(host.address, device="wasm").page
        visit(page, host.address)
        style = (site / "app" / "shared" / "style.css").read_bytes()
        build_probe(tmp_path / "site", title="Second")
        (site / "app" / "shared" / "style.css").write_bytes(style + b"/* of another version */")
        page.goto(f"{host.address}?device=wasm")
        page.wait_for_selector('html[data-state="paused"]', timeout=30_000)
        assert page.inner_text("h1") == "First"
        (site / "app" / "shared" / "style.css").write_bytes(style)
        page.reload()
        page.wait_for_selector("h1:has-text('Second')", timeout=30_000)


def test_site_that_has_moved_away_does_not_live_on(
    build_probe: Callable[..., Path], tmp_path: Path, open_page: OpenPage
) -> None:
    site = build_probe(tmp_path / "site")
    with running_host(site) as host:
        page: Page = open_page(host.address, device="wasm").page
        visit(page, host.address)
        shutil.rmtree(site)
        site.mkdir()
        (site / "index.html").write_text("<!doctype html><title>other</title><h1>Something else</h1>")
        page.goto(host.address)
        page.wait_for_selector("h1:has-text('Something else')", timeout=30_000)
        assert page.evaluate(SITE_CACHE) == []


def test_what_is_no_file_of_the_site_is_not_kept(probe_site: Path, open_page: OpenPage) -> None:
    with running_host(probe_site) as host:
        page: Page = open_page(host.address, device="wasm").page
        visit(page, host.address)
        page.reload()
        page.wait_for_selector(LOADED, timeout=60_000)
        for path in ("app/missing.js", "sample/missing.jpg", "models/scenes-clip/missing.onnx"):
            assert page.evaluate(f"fetch('{path}').then((response) => response.status)") == 404
        kept = page.evaluate(KEPT)
        assert "index.html" in kept
        assert not [path for path in kept if "missing" in path or path.endswith((".onnx", ".wasm"))]


def test_page_can_be_installed(probe_site: Path, open_page: OpenPage) -> None:
    with running_host(probe_site) as host:
        page: Page = open_page(host.address, device="wasm").page
        session = page.context.new_cdp_session(page)
        manifest = session.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert manifest["url"].endswith("app.webmanifest")
        errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
        # Playwright's contexts are incognito windows, in which nothing can be installed.
        assert [error["errorId"] for error in errors] in ([], ["in-incognito"])
