"""What breaks is brought back: a lost graphics processor, a killed worker, a worker that leaks.

A device lost and a tab killed in the middle of captions: test_camera_recovery.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Worker

from tests.browser.conftest import RECORD_LOCKS, OpenPage, wait_until
from tests.browser.faulty import Host, running_host

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LOADED = 'html[data-model="loaded"]'
ERROR = 'html[data-state="error"]'
EMBED = "probe.session.request('embed', { text: 'a red cup' })"
KEEP_LOSING = """
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...given) {
  const device = await request.apply(this, given);
  setTimeout(() => device.destroy(), 50);
  return device;
};
"""


@pytest.fixture
def host(probe_site: Path) -> Iterator[Host]:
    with running_host(probe_site) as running:
        yield running


def model_worker(page: Page) -> Worker:
    return next(worker for worker in page.workers if "/pages/probe/worker.js" in worker.url)


def start(open_page: OpenPage, host: Host, device: str, more: str = "") -> Page:
    page: Page = open_page(f"{host.address}?device={device}&autostart=1{more}", device=device).page
    page.wait_for_selector(LOADED, timeout=120_000)
    return page


@pytest.mark.soak  # test_camera_recovery.py comes to WASM, too, by another way
def test_device_that_is_lost_again_and_again_gives_way_to_wasm(host: Host, open_page: OpenPage) -> None:
    page: Page = open_page(f"{host.address}?device=webgpu", device="webgpu").page
    page.wait_for_selector("[data-role=start]", state="visible")
    page.on("worker", lambda worker: worker.evaluate(KEEP_LOSING))
    page.click("[data-role=start]")
    page.wait_for_selector("[data-role=start]:has-text('Use the processor')", timeout=120_000)
    page.click("[data-role=start]")
    page.wait_for_selector(LOADED, timeout=120_000)
    assert page.inner_text("[data-role=device]").startswith(
        "Runs on the processor (WebAssembly): WebGPU was tried first"
    )
    assert page.evaluate(f"{EMBED}.then(({{ vector }}) => vector.length)") > 0


def test_killed_worker_is_noticed_while_nothing_runs(host: Host, open_page: OpenPage) -> None:
    page = start(open_page, host, "wasm")
    model_worker(page).evaluate("self.close()")
    page.wait_for_selector(ERROR, timeout=30_000)
    assert "The browser ended the part of the page" in page.inner_text("[data-role=error]")
    page.click("[data-part=retry]")
    page.wait_for_selector(LOADED, timeout=60_000)
    assert page.evaluate("probe.notes.join()") == "ready,lost,ready"


def test_worker_is_recycled_without_the_visitor_seeing_it(host: Host, open_page: OpenPage) -> None:
    page = start(open_page, host, "wasm", "&recycle=3")
    first = model_worker(page)
    states = page.evaluate("window.seenStates.length")
    one = f"seen.push((await {EMBED}).embedded)"
    asked = f"(async () => {{ const seen = []; for (let i = 0; i < 5; i++) {one}; return seen; }})()"
    # Three by the first worker; the second one has put its own sentence back before it answers again.
    assert page.evaluate(asked) == [1, 2, 3, 2, 3]
    assert page.evaluate("probe.notes.join()") == "ready,recycled 1"
    assert page.evaluate("window.seenStates.length") == states
    assert first not in page.workers
    page.evaluate("probe.session.pinned = true")
    assert page.evaluate(asked) == [4, 5, 6, 7, 8], "a pinned worker was replaced"
    page.evaluate("probe.session.pinned = false")
    page.click("[data-role=delete-stored]")
    wait_until(page, "/Deleted/.test(document.querySelector('[data-role=status]').textContent)")
    host.log.clear()
    assert page.evaluate(asked) == [9, 10, 11, 12, 13], "a worker was replaced whose files are deleted"
    assert not [entry for entry in host.log if entry.path.endswith((".onnx", ".wasm"))]


def test_screen_stays_on_while_the_page_works(host: Host, open_page: OpenPage) -> None:
    page = start(open_page, host, "wasm")
    page.evaluate(f"{{ {RECORD_LOCKS} }} void 0;")  # Playwright would call a function
    page.evaluate("probe.keepAwake()")
    wait_until(page, "window.locks.length === 1 && !window.locks[0].released")
    page.evaluate("window.locks[0].release()")  # as the browser does when the page is hidden
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(page, "window.locks.length === 2 && !window.locks[1].released")
    page.evaluate("probe.letSleep()")
    wait_until(page, "window.locks.every(({ released }) => released)")
