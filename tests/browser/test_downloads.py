"""Downloads arrive: through cuts, damage, full or refused storage; what has come once does not come again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright

from tests.browser.conftest import OpenPage, wait_until
from tests.browser.faulty import Fault, Host, Sent, running_host

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LARGE = "ort-wasm-simd-threaded.wasm"
PIECE_BYTES = 2**20
LOADED = 'html[data-model="loaded"]'
ERROR = 'html[data-state="error"]'


@pytest.fixture
def host(probe_site: Path) -> Iterator[Host]:
    with running_host(probe_site) as running:
        yield running


def start(open_page: OpenPage, host: Host, parameters: str = "device=wasm&autostart=1") -> Page:
    page: Page = open_page(f"{host.address}?{parameters}", device="wasm").page
    return page


def beginning(sent: Sent) -> int:
    assert sent.range is not None
    return int(sent.range.removeprefix("bytes=").removesuffix("-"))


def size_of(host: Host, name: str) -> int:
    return next(host.root.rglob(name)).stat().st_size


def until_half(page: Page, half: int) -> None:
    """Wait until half of the large file and all others are here."""
    bar = "document.querySelector('[data-role=progress]')"
    wait_until(page, f"{bar}.max > 1 && {bar}.value >= {bar}.max - {half + PIECE_BYTES}")


@pytest.mark.parametrize("part", [0.3, 0.8])
def test_download_that_breaks_off_goes_on_where_it_was(part: float, host: Host, open_page: OpenPage) -> None:
    host.faults[LARGE] = Fault(cut=part, pause_s=0.05)
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=60_000)
    first, second = host.asked(LARGE)
    assert first.range is None
    # A browser throws away what it has not handed out yet when a connection breaks.
    assert first.sent_bytes / 2 <= beginning(second) <= first.sent_bytes
    assert beginning(second) + second.sent_bytes == size_of(host, LARGE)


def test_reload_in_the_middle_of_a_download_goes_on_where_it_was(host: Host, open_page: OpenPage) -> None:
    host.faults[LARGE] = Fault(stall=0.5)
    page = start(open_page, host)
    half = size_of(host, LARGE) // 2
    until_half(page, half)
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    assert half - 2 * PIECE_BYTES <= beginning(host.asked(LARGE)[-1]) <= half


@pytest.mark.soak
def test_connection_that_stands_still_is_given_up_and_made_anew(host: Host, open_page: OpenPage) -> None:
    host.faults[LARGE] = Fault(stall=0.5)
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=90_000)  # half a minute without a byte
    assert [entry.range for entry in host.asked(LARGE)] == [None, f"bytes={size_of(host, LARGE) // 2}-"]


def test_progress_tells_bytes_speed_and_time_left(host: Host, open_page: OpenPage) -> None:
    host.faults[LARGE] = Fault(pause_s=0.1)
    page = start(open_page, host)
    words = r"/^\d+\.\d of 15\.\d MB · \d+\.\d MB.s · \d+ s left$/"
    wait_until(page, f"{words}.test(document.querySelector('[data-part=progress-text]').textContent)")
    wait_until(page, "/^(25|50) % of the model is here/.test(document.querySelector('[data-role=status]').textContent)")


def test_graph_becomes_a_session_while_another_file_is_still_coming(host: Host, open_page: OpenPage) -> None:
    host.faults["tokenizer.json"] = Fault(stall=0.5)
    page = start(open_page, host)
    deadline = time.monotonic() + 60
    while not any(worker.evaluate("globalThis.here") == ["model"] for worker in page.workers):
        assert time.monotonic() < deadline, "the session waits for the tokenizer"
        page.wait_for_timeout(100)
    assert page.get_attribute("html", "data-state") == "loading"
    host.stalled.set()
    page.wait_for_selector(LOADED, timeout=60_000)


def test_second_visit_downloads_nothing(host: Host, open_page: OpenPage) -> None:
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=60_000)
    host.log.clear()
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    assert not [entry for entry in host.log if entry.path.endswith((".onnx", ".wasm", "tokenizer.json"))]
    # Now the disk is full, and what another page has noted cannot be read: the model is still here.
    garbage = "new Response('no list')"
    page.evaluate(f"caches.open('webgpu-demo-files').then((c) => c.put('/webgpu-demo/pages/other', {garbage}))")
    session = page.context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": host.address.rstrip("/"), "quotaSize": 1000})
    host.log.clear()
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    assert not [entry for entry in host.log if entry.path.endswith((".onnx", ".wasm", "tokenizer.json"))]
    page.click("[data-role=delete-stored]")
    wait_until(page, "/Deleted/.test(document.querySelector('[data-role=status]').textContent)")
    assert not page.is_visible("[data-role=delete-stored]"), "its own files go all the same"


def test_lost_connection_is_waited_for(host: Host, open_page: OpenPage) -> None:
    host.faults[LARGE] = Fault(stall=0.5)
    page = start(open_page, host)
    wait_until(page, "document.querySelector('[data-role=progress]').value > 5e6")
    page.context.set_offline(True)
    host.stalled.set()
    wait_until(page, "/waiting for it/.test(document.querySelector('[data-role=status]').textContent)")
    page.wait_for_timeout(2000)
    assert page.get_attribute("html", "data-state") == "loading"
    page.context.set_offline(False)
    page.wait_for_selector(LOADED, timeout=60_000)


def test_model_of_another_origin_is_fetched_from_its_own_folder(
    host: Host, build_probe: Callable[..., Path], open_page: OpenPage
) -> None:
    site = build_probe(model_url=f"{host.address}models/scenes-clip/")
    assert not list(site.rglob("*.onnx"))
    host.faults["tokenizer.json"] = Fault(cut=0.5)
    with running_host(site) as own:
        page = start(open_page, own)
        page.wait_for_selector(LOADED, timeout=60_000)
    assert [entry.path for entry in host.log if entry.path.endswith(".onnx")]
    assert len(host.asked("tokenizer.json")) == 2
    assert not own.asked(".onnx")


def test_damaged_file_is_fetched_again(host: Host, open_page: OpenPage) -> None:
    host.faults["tokenizer.json"] = Fault(damage=True)
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=60_000)
    assert [entry.range for entry in host.asked("tokenizer.json")] == [None, None]


def test_file_that_stays_damaged_is_named(host: Host, open_page: OpenPage) -> None:
    host.faults["tokenizer.json"] = Fault(damage=True, times=99)
    page = start(open_page, host)
    page.wait_for_selector(ERROR, timeout=60_000)
    assert "tokenizer.json arrived damaged, twice" in page.inner_text("[data-role=error]")
    assert len(host.asked("tokenizer.json")) == 2
    host.faults.clear()
    page.click("[data-part=retry]")
    page.wait_for_selector(LOADED, timeout=60_000)


def test_host_that_knows_no_ranges_sends_the_file_again(host: Host, open_page: OpenPage) -> None:
    host.refuses_ranges = True
    host.faults[LARGE] = Fault(cut=0.5)
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=60_000)
    assert [entry.sent_bytes for entry in host.asked(LARGE)][-1] == size_of(host, LARGE)


def test_busy_host_is_asked_again(host: Host, open_page: OpenPage) -> None:
    host.faults["tokenizer.json"] = Fault(status=503, times=2)
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=60_000)


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Fault(status=404, times=9), "the server answered 404"), (Fault(page=True, times=9), "a web page in its place")],
    ids=["missing", "front-page"],
)
def test_answer_that_is_no_file_is_an_error_and_is_not_kept(
    fault: Fault, words: str, host: Host, open_page: OpenPage
) -> None:
    host.faults["text_model_quantized.onnx"] = fault
    host.faults["text_model_q4.onnx"] = fault
    page = start(open_page, host)
    page.wait_for_selector(ERROR, timeout=60_000)
    text = page.inner_text("[data-role=error]")
    assert words in text
    assert "text_model" in text
    host.faults.clear()
    page.click("[data-part=retry]")
    page.wait_for_selector(LOADED, timeout=60_000)


def test_browser_without_cache_storage_keeps_files_in_a_folder(host: Host, open_page: OpenPage) -> None:
    refuse = "CacheStorage.prototype.open = async () => { throw new DOMException('no', 'SecurityError'); };"
    host.faults[LARGE] = Fault(stall=0.5)
    address = f"{host.address}?device=wasm&autostart=1&refuse=CacheStorage"
    page: Page = open_page(address, device="wasm", before=refuse, service_workers="block").page
    half = size_of(host, LARGE) // 2
    until_half(page, half)
    page.wait_for_timeout(1000)  # the last piece is being written
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    assert half - 2 * PIECE_BYTES <= beginning(host.asked(LARGE)[-1]) <= half, "it did not go on where it was"
    host.log.clear()
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    assert not [entry for entry in host.log if entry.path.endswith((".onnx", ".wasm", "tokenizer.json"))]
    page.wait_for_selector("[data-role=delete-stored]", state="visible")
    assert float(page.inner_text("[data-role=stored]").split(" MB")[0]) > size_of(host, LARGE) / 1e6
    page.click("[data-role=delete-stored]")
    wait_until(page, "/Deleted/.test(document.querySelector('[data-role=status]').textContent)")
    left = """(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('webgpu-demo-files');
      return Array.fromAsync(folder.keys());
    })()"""
    assert page.evaluate(left) == []


def test_stored_bytes_are_told_and_deleted(host: Host, open_page: OpenPage) -> None:
    page = start(open_page, host)
    page.wait_for_selector(LOADED, timeout=60_000)
    page.wait_for_selector("[data-role=delete-stored]", state="visible")
    stored = float(page.inner_text("[data-role=stored]").split(" MB")[0])
    assert stored > size_of(host, LARGE) / 1e6
    page.click("[data-role=delete-stored]")
    wait_until(page, "/Deleted/.test(document.querySelector('[data-role=status]').textContent)")
    assert page.evaluate("document.activeElement.tagName") != "BODY", "the button is gone, and the focus with it"
    files = "caches.open('webgpu-demo-files').then((cache) => cache.keys()).then((keys) => keys.length)"
    assert page.evaluate(files) == 0
    assert page.evaluate("probe.notes").count("deleted") == 1
    assert not page.is_visible("[data-role=delete-stored]")
    host.log.clear()
    page.reload()
    page.wait_for_selector(LOADED, timeout=60_000)
    assert host.asked(LARGE)


def test_offer_names_only_what_is_still_to_be_downloaded(host: Host, open_page: OpenPage) -> None:
    page = start(open_page, host, "device=wasm")
    button = "document.querySelector('[data-role=start]').textContent"
    wait_until(page, f"/^Download 15\\.\\d MB and start$/.test({button})")
    page.click("[data-role=start]")
    page.wait_for_selector(LOADED, timeout=60_000)
    script = "caches.match(new URL('runtime/transformers.min.js', document.baseURI)).then(Boolean)"
    wait_until(page, f"({script})")
    page.reload()
    wait_until(page, f"{button} === 'Start'")
    page.select_option("[data-role=language]", "zh")
    wait_until(page, f"{button} === '开始'")
    page.evaluate("""async () => {
      const cache = await caches.open('webgpu-demo-files');
      const end = ({ url }) => Number(/\\/files\\/\\w+\\/\\d+-(\\d+)$/.exec(url)?.[1] ?? 0);
      await cache.delete((await cache.keys()).reduce((a, b) => (end(b) > end(a) ? b : a)));
    }""")
    page.select_option("[data-role=language]", "en")
    wait_until(page, f"/^Download [01]\\.\\d MB and start$/.test({button})")
    page.click("[data-role=delete-stored]")
    wait_until(page, f"parseFloat({button}.slice(9)) > {size_of(host, LARGE) / 1e6}")


def test_full_storage_is_told_before_and_survived(host: Host, open_page: OpenPage) -> None:
    # Chromium tells every page of the same 10 GB, so what it says is set here, and what it does by its own switch.
    little = "navigator.storage.estimate = async () => ({ quota: 4e6, usage: 0 });"
    page: Page = open_page(f"{host.address}?device=wasm", device="wasm", before=little).page
    session = page.context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": host.address.rstrip("/"), "quotaSize": 4_000_000})
    wait_until(
        page, "/This browser leaves this page 4.0 MB/.test(document.querySelector('[data-role=stored]').textContent)"
    )
    page.click("[data-role=start]")
    page.wait_for_selector(LOADED, timeout=60_000)
    vector = page.evaluate("probe.session.request('embed', { text: 'a cup' }).then(({ vector }) => vector.length)")
    assert vector > 0
    page.wait_for_selector("[data-role=delete-stored]", state="visible")
    assert float(page.inner_text("[data-role=stored]").split(" MB")[0]) < 4


def test_refused_storage_is_told_and_survived(tools: Playwright, chromium: str, host: Host, tmp_path: Path) -> None:
    """Site data is blocked as a visitor blocks it, in the settings of the browser."""
    (tmp_path / "Default").mkdir()
    settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
    arguments = ["--headless=new", "--no-sandbox", "--disable-quic"]
    context = tools.chromium.launch_persistent_context(
        tmp_path, executable_path=chromium, headless=False, args=arguments
    )
    try:
        page = context.pages[0]
        page.goto(f"{host.address}?device=wasm&autostart=1")
        page.wait_for_selector(LOADED, timeout=60_000)
        assert page.evaluate("caches.keys().then(() => 'open', (error) => error.name)") == "SecurityError"
        assert "Nothing can be stored here" in page.inner_text("[data-role=stored]")
        assert not page.is_visible("[data-role=delete-stored]")
    finally:
        context.close()
