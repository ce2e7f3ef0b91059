"""The caption page in a real browser: a fake camera shows known scenes, and the page says what they are."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from builder.embedded.samples import video_scenes
from tests.browser.conftest import ARTIFACTS, PHONE, RECORD_LOCKS, OpenPage, screenshot_on_failure
from tests.browser.video import scene_pixels, write_camera

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SECONDS_PER_SCENE = {"webgpu": 12, "wasm": 4}
"""Long enough for some captions: the software adapter takes seconds for one."""
ENOUGH = 6
"""So many of the ten scenes must get their caption; how good the model is, tests/embedded measures."""
MOST_BYTES = 60_000
RECORD_ASKED = """
const persist = navigator.storage.persist.bind(navigator.storage);
navigator.storage.persist = () => {
  window.persistAsked = true;
  return persist();
};
"""
RECORD_CAPTIONS = """
window.seenCaptions = [];
window.lastChange = 0;
new MutationObserver((changes) => {
  const shown = document.querySelector('[data-role=caption]');
  window.lastChange = performance.now();
  if (shown?.dataset.done !== 'true' || !changes.some(({ attributeName }) => attributeName === 'data-done')) return;
  window.seenCaptions.push({ text: shown.dataset.caption, second: performance.now() / 1000 });
}).observe(document.querySelector('[data-role=caption]'), { attributes: true, childList: true, characterData: true });
"""


def longest_run(seen: list[dict[str, object]]) -> dict[str, float]:
    """Caption → the longest time in seconds that it was said again and again without another between."""
    runs: dict[str, float] = {}
    start = 0
    for at, entry in enumerate(seen):
        if entry["text"] != seen[start]["text"]:
            start = at
        text = str(entry["text"])
        runs[text] = max(runs.get(text, 0.0), float(str(entry["second"])) - float(str(seen[start]["second"])))
    return runs


@pytest.mark.parametrize("device", ["webgpu", "wasm"])
def test_known_scenes_before_the_camera_get_their_captions(
    device: str, demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    expected = [scene.caption for scene in video_scenes()]
    seconds = SECONDS_PER_SCENE[device]
    scenes = [scene_pixels(index) for index in range(len(expected))]
    camera = write_camera(tmp_path / "scenes.y4m", scenes, seconds_each=seconds)
    watch = open_page(
        f"{demo_address}camera-caption/?device={device}&source=camera&autostart=1", device=device, camera=camera
    )
    page = watch.page
    with screenshot_on_failure(watch, f"camera-caption-{device}-desktop"):
        page.evaluate(RECORD_CAPTIONS)
        page.wait_for_selector('html[data-state="running"]', timeout=180_000)
        # Two rounds of the video at most: a slow device may miss a scene once.
        round_s = seconds * len(expected) + 10
        started = time.monotonic()
        said: list[dict[str, object]] = []
        while time.monotonic() < started + 2 * round_s:
            page.wait_for_timeout(2000)
            said = page.evaluate("window.seenCaptions")
            found = {str(entry["text"]) for entry in said} & set(expected)
            if len(found) >= ENOUGH:
                break
        found = {str(entry["text"]) for entry in said} & set(expected)
        assert len(found) >= ENOUGH, {"missed": sorted(set(expected) - found), "said": [e["text"] for e in said]}
        right = [entry for entry in said if entry["text"] in expected]
        assert len(right) >= 0.7 * len(said), [entry["text"] for entry in said]
        # A scene stays for some seconds: what is said of it must not go on into the next ones.
        too_long = {text: run for text, run in longest_run(said).items() if run > 2 * seconds}
        assert not too_long, too_long
    states = watch.states()
    assert states[:4] == ["checking", "loading", "ready", "running"]
    watch.assert_device(device)
    runs_on = page.text_content("[data-part=runs-on]") or ""
    assert runs_on.startswith("WebGPU · " if device == "webgpu" else "WASM · "), runs_on
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    page.screenshot(path=str(ARTIFACTS / f"camera-caption-{device}-phone.png"))
    watch.violations += page.evaluate("window.violations")
    watch.assert_clean()


def test_question_is_answered_and_pause_stops_the_captions(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    page = watch.page
    with screenshot_on_failure(watch, "camera-caption-question"):
        page.wait_for_selector('html[data-state="running"]', timeout=120_000)
        page.evaluate(RECORD_CAPTIONS)
        page.fill("[data-role=question]", "Is there a car?")
        page.press("[data-role=question]", "Enter")
        caption = "document.querySelector('[data-role=caption]').dataset.caption"
        watch.wait_until(f"['yes', 'no'].includes({caption})", seconds=60)
        page.click("[data-role=pause]")
        page.wait_for_selector('html[data-state="paused"]')
        page.wait_for_timeout(1000)
        quiet_since = page.evaluate("window.lastChange")
        page.wait_for_timeout(3000)
        assert page.evaluate("window.lastChange") == quiet_since, "captions go on after pause"
        page.click("[data-role=pause]")
        page.wait_for_selector('html[data-state="running"]')
    watch.assert_clean()


def test_visitor_is_told_the_size_and_nothing_is_downloaded_before_the_start(
    demo_address: str, demo_work: Path, open_page: OpenPage
) -> None:
    watch = open_page(
        f"{demo_address}camera-caption/?device=wasm",
        device="wasm",
        before=RECORD_LOCKS + RECORD_ASKED,
        service_workers="block",
    )
    watch.page.wait_for_selector("[data-role=start]", state="visible")
    watch.page.wait_for_timeout(1000)
    assert "MB" in watch.page.inner_text("[data-role=start]")
    assert not [url for url in watch.requested if url.endswith((".onnx", ".wasm"))]
    watch.page.screenshot(path=str(ARTIFACTS / "camera-caption-welcome.png"))
    watch.page.click("[data-role=start]")
    watch.page.wait_for_selector('html[data-state="running"]', timeout=120_000)
    assert [url for url in watch.requested if url.endswith(".onnx")]
    names = [url.removeprefix(f"{demo_address}camera-caption/").partition("?")[0] for url in watch.requested]
    before_runtime = names[: next(at for at, name in enumerate(names) if name.startswith("runtime/"))]
    own = {name: demo_work / "site" / "camera-caption" / name for name in before_runtime if name.startswith("app/")}
    sizes = {name: len(gzip.compress(path.read_bytes(), 6)) for name, path in own.items()}
    assert "app/pages/camera-caption/worker.js" in sizes
    assert sum(sizes.values()) <= MOST_BYTES, sorted(sizes.items(), key=lambda entry: -entry[1])
    watch.wait_until("window.locks.length > 0 && window.locks.some(({ released }) => !released)", seconds=10)
    assert watch.page.evaluate("window.persistAsked"), "the browser was not asked to keep the model"
    watch.page.click("[data-role=pause]")
    watch.wait_until("window.locks.every(({ released }) => released)", seconds=10)
    watch.assert_clean()


def test_machine_without_an_adapter_says_why_it_runs_on_wasm(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?source=sample&autostart=1", device="wasm")
    watch.page.wait_for_selector('html[data-state="running"]', timeout=120_000)
    watch.assert_device("wasm")
    assert "graphics processor" in watch.page.inner_text("[data-role=device]"), "no reason is given"
    watch.assert_clean()


def test_missing_model_file_is_an_error_with_a_way_out(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample", device="wasm")
    page = watch.page
    page.wait_for_selector("[data-role=start]", state="visible")
    page.route("**/*.onnx", lambda route: route.fulfill(status=404))
    page.click("[data-role=start]")
    page.wait_for_selector('html[data-state="error"]', timeout=60_000)
    with screenshot_on_failure(watch, "camera-caption-error"):
        assert page.locator("[role=alert]:visible").count() == 1
        assert len(page.inner_text("[data-role=error]").split()) > 8, "what happened and what to do"
        page.unroute("**/*.onnx")
        page.click("[data-role=error] button")
        page.wait_for_selector('html[data-state="running"]', timeout=120_000)
    assert not watch.errors
    assert not watch.foreign


def test_cancel_stops_the_load_and_the_page_can_start_again(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample", device="wasm")
    page = watch.page
    page.wait_for_selector("[data-role=start]", state="visible")
    page.route("**/*.onnx", lambda route: None)  # never answered: the load hangs until it is cancelled
    page.click("[data-role=start]")
    page.wait_for_selector('html[data-state="loading"]')
    page.wait_for_timeout(1000)
    page.click("[data-role=cancel]")
    page.wait_for_selector('html[data-state="paused"]', timeout=10_000)
    page.unroute("**/*.onnx")
    page.click("[data-role=start]")
    page.wait_for_selector('html[data-state="running"]', timeout=120_000)
    watch.assert_clean()


def test_video_that_is_not_there_is_said_and_the_sample_still_works(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=missing.webm&autostart=1", device="wasm")
    page = watch.page
    page.wait_for_selector("[data-role=error]", state="visible", timeout=120_000)
    page.click("[data-role=source] label:has-text('Sample')")
    page.wait_for_selector('html[data-state="running"]', timeout=60_000)
    assert not watch.errors


def test_camera_that_is_refused_is_explained(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1", device="wasm")
    watch.page.wait_for_selector("[data-role=error]", state="visible", timeout=120_000)
    assert "camera" in watch.page.inner_text("[data-role=error]").lower()
    assert not watch.errors


def test_unknown_query_values_are_ignored_with_a_message(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=abacus&dtype=q3", device="wasm")
    watch.page.wait_for_selector("[data-role=start]", state="visible")
    assert "abacus" in watch.status()
    assert "q3" in watch.status()
    watch.assert_clean()
