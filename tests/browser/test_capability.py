"""What a browser cannot do is said before anything starts, with the choices that are left."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from builder.paths import web_template
from builder.preview import running_server
from builder.site.comments import without_comments
from tests.browser.conftest import OpenPage, Watch, wait_until
from tests.browser.faulty import running_host

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LOADED = 'html[data-model="loaded"]'
OFFERED = 'html[data-state="paused"]'
SERVER = "https://captions.example"
MOST_BYTES = 60_000
LITTLE_BUFFER = """
const ask = GPU.prototype.requestAdapter;
GPU.prototype.requestAdapter = async function (...given) {
  const adapter = await ask.apply(this, given);
  const limits = new Proxy(adapter.limits, { get: (all, name) => (name === 'maxBufferSize' ? 20_000 : all[name]) });
  return new Proxy(adapter, { get: (all, name) => (name === 'limits' ? limits : all[name]) });
};
"""


def offer(open_page: OpenPage, address: str, **options: object) -> Page:
    page: Page = open_page(address, **options).page
    page.wait_for_selector(OFFERED, timeout=30_000)
    return page


def test_no_adapter_is_explained_and_wasm_waits_for_the_visitor(probe_site: Path, open_page: OpenPage) -> None:
    with running_server(probe_site) as address:
        page = offer(open_page, address, device="wasm")
        reason = page.inner_text("[data-part=reason]")
        assert reason.startswith(
            "This page is made for WebGPU, and it cannot be used here: this browser offers no graphics"
        )
        assert re.search(r"Use the processor: download \d+\.\d MB and start", page.inner_text("[data-role=start]"))
        assert "expect an answer in about a second" in page.inner_text("[data-part=start-note]")
        assert not page.is_visible("[data-role=consent-server]"), "there is no server"
        assert page.inner_text("[data-role=sent]") == "0 bytes of pictures and words sent"
        page.click("[data-role=start]")
        page.wait_for_selector(LOADED, timeout=60_000)


def test_wasm_by_wish_needs_no_excuse(probe_site: Path, open_page: OpenPage) -> None:
    with running_server(probe_site) as address:
        page = offer(open_page, f"{address}?device=wasm", device="wasm")
        assert page.inner_text("[data-part=reason]") == ""
        assert page.inner_text("[data-role=start]").startswith("Download ")


def test_buffer_that_is_too_small_is_foreseen(probe_site: Path, open_page: OpenPage) -> None:
    with running_server(probe_site) as address:
        page = offer(open_page, f"{address}?device=webgpu", device="webgpu", before=LITTLE_BUFFER)
        assert re.search(
            r"the model has a table of \d+\.\d MB, and this graphics processor takes at most 0\.0 MB in one piece",
            page.inner_text("[data-part=reason]"),
        )
        assert page.inner_text("[data-role=device]").startswith("Runs on the processor")


def test_little_memory_is_told_before_the_start(probe_site: Path, open_page: OpenPage) -> None:
    little = "Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 0.5 });"
    with running_server(probe_site) as address:
        page = offer(open_page, f"{address}?device=wasm", device="wasm", before=little)
        note = page.inner_text("[data-part=start-note]")
        assert "this device has 0.5 GB: the browser may end the page" in note
        page.goto(f"{address}?device=wasm&autostart=1")
        page.wait_for_selector(OFFERED)
        assert page.is_visible("[data-role=start]"), "what will probably break down waits for the visitor"


def test_apple_devices_are_told_what_they_do_not_tell(probe_site: Path, open_page: OpenPage) -> None:
    phone = """
      delete Navigator.prototype.deviceMemory;
      Object.defineProperty(Navigator.prototype, 'maxTouchPoints', { get: () => 5 });
      Object.defineProperty(Navigator.prototype, 'platform', { get: () => 'iPhone' });
    """
    warn = """async (size_bytes) => {
      const device = await import(new URL('app/shared/device.js', document.baseURI));
      const plan = { device: 'webgpu', model_files: [{ size_bytes }], runtime_files: [] };
      return device.memoryWarning(await device.inspectDevice(false), plan).text ?? '';
    }"""
    with running_server(probe_site) as address:
        page = offer(open_page, f"{address}?device=wasm", device="wasm", before=phone)
        assert page.evaluate(warn, 300e6) == ""
        assert "phones and tablets of Apple" in page.evaluate(warn, 500e6)


def test_server_is_offered_with_the_sentence_that_pictures_are_sent(
    build_probe: Callable[..., Path], open_page: OpenPage
) -> None:
    with running_host(build_probe(server=SERVER)) as host:
        page = offer(open_page, host.address, device="wasm")
        assert page.is_visible("[data-role=consent-server]")
        words = page.inner_text("[data-part=server-words]")
        assert "your pictures and what you type will then be sent to captions.example, and not before" in words
        assert not page.is_visible("[data-part=privacy]"), "“no picture leaves this device” beside a server"
        assert not page.is_visible("[data-role=leave-server]")
        assert page.is_visible("[data-role=start]"), "the processor can be chosen as well"
        page.goto(f"{host.address}?device=server&autostart=1")
        page.wait_for_selector(OFFERED, timeout=30_000)
        assert page.is_visible("[data-role=consent-server]"), "an address is no consent"
        page.wait_for_timeout(1000)
        assert page.get_attribute("html", "data-state") == "paused"


def test_server_that_does_not_answer_leaves_the_way_back(build_probe: Callable[..., Path], open_page: OpenPage) -> None:
    with running_host(build_probe(server="http://127.0.0.1:9/")) as host:
        page = offer(open_page, f"{host.address}?device=server", device="wasm")
        page.click("[data-role=consent-server]")
        page.wait_for_selector('html[data-state="error"]', timeout=60_000)
        runs_on = page.inner_text("[data-role=device]")
        assert runs_on.endswith("your pictures and what you type are sent to 127.0.0.1:9.")
        page.select_option("[data-role=language]", "zh")
        page.wait_for_selector("html[lang=zh-CN]")
        problem = page.inner_text("[data-role=error]")
        assert "127.0.0.1:9" in problem
        assert re.findall(r"[A-Za-z]{3,}", problem) == [], "still English"
        page.select_option("[data-role=language]", "en")
        assert page.inner_text("[data-part=title]") == "No answer from the server"
        page.click("[data-role=leave-server]")
        page.wait_for_selector(OFFERED)
        assert page.evaluate("document.activeElement.dataset.role") == "start", (
            "the button is gone, and the focus with it"
        )
        page.click("[data-role=consent-server]")
        page.wait_for_selector('html[data-state="error"]', timeout=60_000)
        assert re.search(r"Download \d+\.\d MB and start", page.inner_text("[data-part=other]"))
        page.click("[data-part=other]")
        page.wait_for_selector(LOADED, timeout=60_000)
        assert page.inner_text("[data-role=device]").startswith("Runs on the processor")
        assert page.inner_text("[data-role=sent]") == "0 bytes of pictures and words sent"
        assert not page.is_visible("[data-role=leave-server]")


@pytest.mark.soak
def test_server_is_not_offered_where_webgpu_works(build_probe: Callable[..., Path], open_page: OpenPage) -> None:
    with running_host(build_probe(server=SERVER)) as host:
        page = offer(open_page, f"{host.address}?device=webgpu", device="webgpu")
        assert not page.is_visible("[data-role=consent-server]")


def test_language_is_the_browsers_and_can_be_changed(probe_site: Path, open_page: OpenPage) -> None:
    with running_server(probe_site) as address:
        page = offer(open_page, address, device="wasm", locale="zh-CN")
        assert page.get_attribute("html", "lang") == "zh-CN"
        assert page.inner_text("[data-role=status]") == "随时可以开始。"
        assert "此浏览器没有向 WebGPU 提供图形处理器" in page.inner_text("[data-part=reason]")
        shown = page.inner_text("body").replace("English", "")
        left = [word for word in re.findall(r"[A-Za-z]{3,}", shown) if word not in ("WebGPU", "WebAssembly", "Probe")]
        assert not left, f"still English: {left}"
        page.select_option("[data-role=language]", "en")
        assert page.inner_text("[data-role=status]") == "Ready when you are."
        assert page.inner_text("[data-role=start]").startswith("Use the processor")
        page.reload()
        page.wait_for_selector(OFFERED)
        assert page.inner_text("[data-role=status]") == "Ready when you are.", "the choice is not remembered"


def test_frame_of_another_origin_works_and_offers_a_window_of_its_own(
    probe_site: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    with running_host(probe_site) as inner:
        address = inner.address.replace("127.0.0.1", "localhost")
        (tmp_path / "index.html").write_text(
            f'<!doctype html><iframe src="{address}?device=wasm&autostart=1" width="900" height="700"></iframe>'
        )
        with running_host(tmp_path) as outer:
            page: Page = open_page(outer.address, device="wasm").page
            frame = next(frame for frame in page.frames if "localhost" in frame.url)
            frame.wait_for_selector(LOADED, timeout=60_000)
            link = frame.locator("[data-role=open-alone]")
            assert link.is_visible()
            assert link.get_attribute("href") == frame.url
            assert link.get_attribute("target") == "_blank"


def test_page_is_not_framed_then_no_link_is_shown(probe_site: Path, open_page: OpenPage) -> None:
    with running_server(probe_site) as address:
        page = offer(open_page, address, device="wasm")
        assert not page.is_visible("[data-role=open-alone]")
        wait_until(page, "navigator.serviceWorker.getRegistration().then((found) => Boolean(found))")


def test_own_code_keeps_the_main_thread_free_while_loading(probe_site: Path, open_page: OpenPage) -> None:
    note = """
      window.long = [];
      const take = (list) => window.long.push(...list.getEntries().map(({ duration }) => duration));
      new PerformanceObserver(take).observe({ type: 'longtask', buffered: true });
    """
    with running_server(probe_site) as address:
        watch: Watch = open_page(f"{address}?device=wasm", device="wasm", before=note)
        page = watch.page
        page.wait_for_selector(OFFERED, timeout=30_000)
        page.evaluate("window.long.length = 0")
        page.click("[data-role=start]")
        page.wait_for_selector(LOADED, timeout=60_000)
        long = page.evaluate("window.long")
        assert len(long) <= 2, long
        watch.assert_clean()


def modules(entry: Path) -> set[Path]:
    """A module, what it imports at once, and the workers that it names."""
    found: set[Path] = set()
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        code = without_comments(path.read_text(encoding="utf-8"))
        named = re.findall(r"from '(\.[^']+)'|new URL\('(\.[^']+\.js)'", code)
        waiting += [(path.parent / (one or other)).resolve() for one, other in named if "zh.js" not in other]
    return found


@pytest.mark.parametrize("slug", ["camera-caption"])
def test_own_code_of_a_page_is_small(slug: str) -> None:
    """What a browser fetches of this project's, gzipped; a second language and the server's end come when asked for."""
    folder = web_template() / "pages" / slug
    files = {*modules(folder / "main.js"), web_template() / "shared" / "style.css", folder / "page.css"}
    codes = {path.name: without_comments(path.read_text(encoding="utf-8")) for path in files}
    sizes = {name: len(gzip.compress(code.encode(), 9)) for name, code in codes.items()}
    assert "session.js" in sizes
    assert "worker.js" in sizes
    assert sum(sizes.values()) <= MOST_BYTES, sorted(sizes.items(), key=lambda entry: -entry[1])
