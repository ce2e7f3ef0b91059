"""The preview's own pages, and the site in its modes, in a browser."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import builder
from builder.preview import running_server
from tests.browser.conftest import ARTIFACTS, DESKTOP, PHONE, OpenPage, Watch
from tests.preview.conftest import write_site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = builder.build("camera-caption", out=tmp_path_factory.mktemp("views") / "site").path
    with running_server(site, tools=True) as address:
        yield address


def take_pictures(watch: Watch, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        watch.page.emulate_media(color_scheme=scheme)
        for size_name, size in (("desktop", DESKTOP), ("phone", PHONE)):
            watch.page.set_viewport_size(size)
            assert watch.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
            path = ARTIFACTS / f"preview-{name}-{size_name}-{scheme}.png"
            watch.page.screenshot(path=str(path), full_page=True)


def test_the_landing_page_is_all_green_for_a_site_as_it_was_built(open_page: OpenPage, address: str) -> None:
    watch = open_page(f"{address}_preview/", device="webgpu")
    watch.page.locator("[data-role=browser] >> text=Cross-origin isolated").wait_for(timeout=30_000)
    watch.page.locator("[data-role=headers] >> text=content-security-policy").wait_for(timeout=30_000)
    site_checks = watch.page.locator(".checks:not([data-role]) li")
    assert site_checks.count() >= 7
    assert {site_checks.nth(i).get_attribute("data-ok") for i in range(site_checks.count())} == {"true"}
    headers = watch.page.inner_text("[data-role=headers]")
    assert "require-corp" in headers
    assert "not sent" not in headers
    assert watch.page.inner_text("[data-role=summary]") == "Requests that left this machine: 0"
    take_pictures(watch, "landing")
    watch.page.set_viewport_size(DESKTOP)
    watch.page.click("text=Open")
    watch.page.wait_for_selector("html[data-state=paused]", timeout=60_000)
    watch.assert_clean()


def test_without_webgpu_a_browser_that_has_it_shows_what_others_see(open_page: OpenPage, address: str) -> None:
    watch = open_page(f"{address}_preview/as/no-webgpu/?source=sample&autostart=1", device="webgpu")
    watch.wait_until("document.querySelector('[data-role=device]').textContent !== ''", seconds=60)
    watch.assert_device("wasm")
    assert watch.page.evaluate("'gpu' in navigator") is False
    for _ in range(300):
        if workers := [worker for worker in watch.page.workers if "/app/pages/" in worker.url]:
            break
        watch.page.wait_for_timeout(100)
    assert workers[0].evaluate("'gpu' in navigator") is False
    watch.assert_clean()


COUNT_SERVICE_WORKERS = "navigator.serviceWorker.getRegistrations().then((all) => all.length)"


def test_service_workers_are_off_but_for_the_view_as_published(open_page: OpenPage, address: str) -> None:
    watch = open_page(f"{address}_preview/as/space/", device="wasm")
    watch.page.wait_for_selector("html[data-state=paused]", timeout=60_000)
    watch.wait_until(f"{COUNT_SERVICE_WORKERS}", seconds=60)
    watch.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    # One that an earlier preview has left for the whole port is gone after the next visit.
    registered = "navigator.serviceWorker.register('/sw.js?v=other', { scope: '/' }).then(() => true, String)"
    watch.page.evaluate(registered)
    watch.page.goto(address)
    watch.page.wait_for_selector("html[data-state=paused]", timeout=60_000)
    assert "off" in watch.page.evaluate("navigator.serviceWorker.register('/sw.js').catch(String)")
    assert watch.page.evaluate("navigator.serviceWorker.controller") is None


def test_offline_the_page_says_that_the_model_cannot_be_fetched(open_page: OpenPage, address: str) -> None:
    watch = open_page(f"{address}_preview/as/offline/?source=sample&autostart=1", device="wasm")
    watch.page.wait_for_selector("html[data-state=error]", timeout=120_000)
    assert watch.page.evaluate("navigator.onLine") is False
    assert watch.page.is_visible("[data-role=error]")


def test_as_a_space_the_frame_is_refused_what_the_page_itself_has(
    open_page: OpenPage, address: str, camera_file: Path
) -> None:
    watch = open_page(f"{address}_preview/space", device="webgpu", camera=camera_file)
    rows = watch.page.locator("[data-role=compare] tbody tr")
    watch.wait_until("!document.querySelector('[data-role=compare]').textContent.includes('…')", seconds=60)
    table = {rows.nth(i).locator("th").inner_text(): rows.nth(i).locator("td").all_inner_texts() for i in range(10)}
    assert table["Threads (cross-origin isolated)"] == ["no: WebAssembly has one thread", "yes"]
    assert table["Folder picker"] == ["refused in a frame of another site", "allowed"]
    assert table["Camera"] == ["allowed", "allowed"]
    assert table["Secure context"] == ["yes", "yes"]
    for role in ("space", "direct"):
        watch.page.frame_locator(f"[data-role={role}]").locator("[data-role=start]").wait_for(timeout=60_000)
    take_pictures(watch, "space")
    framed = next(frame for frame in watch.page.frames if "/as/space/" in frame.url)
    for origin in (address.rstrip("/"), address.rstrip("/").replace("127.0.0.1", "localhost")):
        watch.page.context.grant_permissions(["camera"], origin=origin)
    asked = "navigator.mediaDevices.getUserMedia({ video: true }).then((s) => s.getTracks()[0].readyState)"
    assert framed.evaluate(f"() => {asked}") == "live"
    assert not watch.violations
    assert not watch.errors
    assert not watch.missing


@contextmanager
def another_machine() -> Iterator[tuple[str, list[str]]]:
    """A server at an address that the preview does not have, and the paths that it was asked for."""
    asked: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.2:{server.server_port}", asked
    server.shutdown()
    server.server_close()


WORKER = "fetch('{elsewhere}/from-worker'); fetch('https://refused.example/').catch(() => {{}});"
SCRIPT = "new Worker(new URL('worker.js', import.meta.url), {{ type: 'module' }}); fetch('{elsewhere}/from-page');"


def test_requests_of_page_and_worker_to_another_machine_are_counted(open_page: OpenPage, tmp_path: Path) -> None:
    with another_machine() as (elsewhere, asked):
        files = {
            "app/pages/p/main.js": SCRIPT.format(elsewhere=elsewhere),
            "app/pages/p/worker.js": WORKER.format(elsewhere=elsewhere),
        }
        site = write_site(tmp_path / "site", connect=(elsewhere,), files=files)
        html = (site / "index.html").read_text()
        html = html.replace("</head>", '<script type="module" src="app/pages/p/main.js"></script></head>')
        write_site(site, connect=(elsewhere,), files={**files, "index.html": html})
        with running_server(site, tools=True) as address:
            watch = open_page(address, device="wasm")
            for _ in range(100):
                counted = watch.page.request.get(f"{address}_preview/count.json").json()
                if len(counted["outside"]) == 2 and counted["refused"]:
                    break
                watch.page.wait_for_timeout(200)
    assert counted["outside"] == {f"{elsewhere}/from-page": 1, f"{elsewhere}/from-worker": 1}
    assert list(counted["refused"]) == ["https://refused.example/"]
    assert sorted(asked) == ["/from-page", "/from-worker"]
