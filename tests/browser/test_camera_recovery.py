"""Captions go on by themselves when what runs the model breaks, and the page says what it did."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from builder import build
from builder.preview import running_server
from tests.browser.camera_page import CAMERA_ON, LOADED_MS, RECORD, assert_accessible, until_captioned
from tests.browser.conftest import RECORD_STATES, OpenPage, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SERVER = "http://127.0.0.1:9/"
"""Nobody answers there; it is only offered."""
LOSE_DEVICE = """
import(location.origin + '/runtime/transformers.min.js')
  .then(({ env }) => env.backends.onnx.webgpu.device)
  .then((device) => device.destroy())
"""


@pytest.fixture(scope="module")
def address(quantized_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = tmp_path_factory.mktemp("recovery") / "site"
    build("camera-caption", model=quantized_models["scenes-vlm"], out=site, server=SERVER)
    with running_server(site) as found:
        yield found


def break_worker(page: Page, script: str) -> None:
    """Run a script in the worker that has the model, in the middle of the captions."""
    [worker] = [worker for worker in page.workers if worker.url.endswith("/camera-caption/worker.js")]
    page.evaluate("window.captions.length = 0")
    worker.evaluate(script)


def until_captioned_again(watch: Watch, *, loads: int) -> None:
    watch.wait_until(f"window.seenStates.filter((state) => state === 'loading').length === {loads}", seconds=60)
    watch.page.wait_for_selector('html[data-state="running"]', timeout=LOADED_MS)
    watch.wait_until(f"window.captions.length > 0 && ({CAMERA_ON})", seconds=120)


def test_lost_device_costs_a_moment_then_the_processor_takes_over_then_the_server_is_offered(
    address: str, camera_file: Path, open_page: OpenPage
) -> None:
    watch = open_page(
        f"{address}?device=webgpu&source=camera&autostart=1",
        device="webgpu",
        camera=camera_file,
        before=RECORD,
        bypass_csp=True,
    )
    until_captioned(watch)
    page = watch.page
    break_worker(page, LOSE_DEVICE)
    until_captioned_again(watch, loads=2)
    assert "WebGPU broke off, so it is started again." in watch.status()
    watch.assert_device("webgpu")
    break_worker(page, LOSE_DEVICE)
    page.wait_for_selector("[data-role=start]", state="visible", timeout=60_000)
    assert page.inner_text("[data-part=reason]").startswith("This page is made for WebGPU, and it cannot be used here")
    assert re.search(r"download \d+\.\d MB and start", page.inner_text("[data-role=start]")), "a size is told first"
    assert "another download" in watch.status()
    assert page.is_visible("[data-role=consent-server]")
    assert_accessible(page, "without-webgpu")
    page.click("[data-role=start]")
    until_captioned_again(watch, loads=3)
    watch.assert_device("wasm")
    assert (page.text_content("[data-part=runs-on]") or "").startswith("WASM · ")
    assert "error" not in watch.states()
    break_worker(page, "self.close()")
    page.wait_for_selector('html[data-state="error"]', timeout=60_000)
    assert "The browser ended the part of the page that runs the model" in page.inner_text("[data-part=what]")
    assert "sent to 127.0.0.1:9, and not before" in page.inner_text("[data-part=other-words]")
    assert page.inner_text("[data-part=other]") == "Use the server"
    assert page.get_attribute("[data-role=error]", "role") == "alert"
    assert_accessible(page, "broken")
    assert not page.evaluate(CAMERA_ON), "the camera is on, and nothing looks at it"
    page.click("[data-part=retry]")
    until_captioned_again(watch, loads=4)
    watch.assert_clean()


def test_killed_tab_is_told_of_and_offered_smaller_frames(demo_address: str, open_page: OpenPage) -> None:
    address = f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1"
    watch = open_page(address, device="wasm", bypass_csp=True)
    until_captioned(watch)
    page = watch.page
    browser = page.context.browser
    assert browser is not None
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    with page.expect_event("crash", timeout=20_000):
        for process in processes:
            if process["type"] == "renderer":
                os.kill(process["id"], signal.SIGKILL)
    page.close()
    page = watch.page = browser.contexts[0].new_page()
    page.add_init_script(RECORD_STATES)
    page.goto(address)
    page.wait_for_selector('html[data-state="paused"]', timeout=30_000)
    assert "The last visit ended without a word while WASM · " in page.inner_text("[data-part=reason]")
    assert_accessible(page, "crashed")
    page.click("[data-role=smaller]")
    until_captioned(watch)
    assert page.input_value("[data-setting=size]") == "320"
    page.goto(address)
    until_captioned(watch)  # by itself: nothing crashed this time
    watch.assert_clean()
