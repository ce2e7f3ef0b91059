"""The caption page in a real browser: a fake camera shows known scenes, and the page says what they are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from builder.embedded.samples import video_scenes
from tests.browser.conftest import PHONE, OpenPage, screenshot_on_failure

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RECORD_CAPTIONS = """
window.seenCaptions = [];
new MutationObserver(() => {
  const shown = document.querySelector('[data-role=caption]');
  const text = shown?.dataset.caption;
  if (shown?.dataset.done === 'true' && text && text !== window.seenCaptions.at(-1)) window.seenCaptions.push(text);
}).observe(document, { attributes: true, childList: true, subtree: true });
"""


@pytest.mark.parametrize("device", ["webgpu", "wasm"])
def test_known_scenes_before_the_camera_get_their_captions(
    device: str, demo_address: str, camera_file: Path, open_page: OpenPage
) -> None:
    expected = [scene.caption for scene in video_scenes()]
    watch = open_page(
        f"{demo_address}camera-caption/?device={device}&source=camera&autostart=1", device=device, camera=camera_file
    )
    page = watch.page
    with screenshot_on_failure(watch, f"camera-caption-{device}-desktop"):
        page.evaluate(RECORD_CAPTIONS)
        page.wait_for_selector('html[data-state="running"]', timeout=180_000)
        deadline = time.monotonic() + 300
        found: set[str] = set()
        while len(found) < len(expected) and time.monotonic() < deadline:
            page.wait_for_timeout(1000)
            found = set(page.evaluate("window.seenCaptions")) & set(expected)
            if len(found) >= 8 and time.monotonic() > deadline - 150:
                break
        assert len(found) >= 8, {"missed": sorted(set(expected) - found), "said": page.evaluate("window.seenCaptions")}
        said = page.evaluate("window.seenCaptions")
        right = [caption for caption in said if caption in expected]
        assert len(right) >= 0.5 * len(said), said
    states = watch.states()
    assert states[:4] == ["checking", "loading", "ready", "running"]
    text = page.inner_text("[data-role=device]")
    assert ("WebGPU" in text) == (device == "webgpu"), text
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    page.screenshot(path=str(Path(__file__).parents[2] / "test-artifacts" / f"camera-caption-{device}-phone.png"))
    watch.violations += page.evaluate("window.violations")
    watch.assert_clean()


def test_question_is_answered_and_pause_stops_the_captions(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    page = watch.page
    with screenshot_on_failure(watch, "camera-caption-question"):
        page.wait_for_selector('html[data-state="running"]', timeout=120_000)
        page.fill("[data-role=question]", "Is there a car?")
        page.press("[data-role=question]", "Enter")
        caption = "document.querySelector('[data-role=caption]').dataset.caption"
        watch.wait_until(f"['yes', 'no'].includes({caption})", seconds=60)
        page.click("[data-role=pause]")
        page.wait_for_selector('html[data-state="paused"]')
        page.wait_for_timeout(500)
        entries = page.locator("[data-role=log] > li").count()
        page.wait_for_timeout(3000)
        assert page.locator("[data-role=log] > li").count() == entries
        page.click("[data-role=pause]")
        page.wait_for_selector('html[data-state="running"]')
    watch.assert_clean()


def test_visitor_is_told_the_size_before_anything_is_downloaded(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm", device="wasm")
    asked: list[str] = []
    watch.page.on("request", lambda request: asked.append(request.url))
    watch.page.wait_for_selector("[data-role=start]", state="visible")
    assert "MB" in watch.page.inner_text("[data-role=start]")
    assert not [url for url in asked if url.endswith((".onnx", ".wasm"))]
    watch.page.screenshot(path=str(Path(__file__).parents[2] / "test-artifacts" / "camera-caption-welcome.png"))
    watch.assert_clean()


def test_machine_without_an_adapter_says_why_it_runs_on_wasm(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?source=sample&autostart=1", device="wasm")
    watch.page.wait_for_selector('html[data-state="running"]', timeout=120_000)
    text = watch.page.inner_text("[data-role=device]")
    assert "WebAssembly" in text
    assert "adapter" in text.lower() or "graphics" in text.lower(), f"no reason: {text}"
    watch.assert_clean()
