"""What is left of an album after a reload, a crash in the middle, a full disk, and after everything was deleted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Error

from builder.album import AlbumIndex
from builder.embedded.samples import ALBUM_SIZE
from builder.index import index
from tests.browser.conftest import RECORD_STATES, OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_album import write_variants
from tests.browser.photo_page import IDLE, count, open_photos, search, shown, take, until_idle
from tests.browser.test_camera_soak import renderer_bytes

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PHOTOS = 150
MANY = 2000
GROWTH = 1.25
"""How much larger the tab may be after three quarters of the photos than after one: what it shows is part of it."""
KEPT_FILES = """caches.keys()
  .then((names) => Promise.all(names.map(async (name) => (await caches.open(name)).keys())))
  .then((all) => all.flat().map(({ url }) => url).filter((url) => url.includes('/files/')))"""
READ = "Number(document.querySelector('[data-role=index-progress]').value)"


def crash(watch: Watch, *, evict: bool = False) -> Watch:
    """Kill the tab as a phone does, without a word, and open its address in a new one.

    With ``evict`` the system has also thrown the model's files away meanwhile.
    """
    address, context = watch.page.url, watch.page.context
    page = context.new_page()
    page.add_init_script(RECORD_STATES)
    with pytest.raises(Error):  # the answer dies with the tab
        watch.page.goto("chrome://crash")
    watch.page.close()
    watch.page = page
    if evict:
        page.goto(f"{address.partition('?')[0]}manifest.json")
        assert page.evaluate("caches.delete('webgpu-demo-files')")
    page.goto(address)
    page.wait_for_selector("[data-role=start]:visible, html[data-model=loaded]", timeout=60_000)
    if page.is_visible("[data-role=start]"):
        page.click("[data-role=start]")
    return watch


def test_a_tab_that_dies_half_way_goes_on_with_nothing_lost_and_nothing_double(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    folder = tmp_path / "Trip"
    write_variants(folder, PHOTOS)
    watch = open_photos(open_page, demo_address)
    with screenshot_on_failure(watch, "photo-crash"):
        watch.page.set_input_files("[data-role=pick-folder]", str(folder))
        watch.wait_until(f"{READ} >= {PHOTOS // 2}", seconds=240)
        watch.requested.clear()
        crash(watch, evict=True)
        watch.wait_until(f"{IDLE} && !document.querySelector('[data-role=unfinished]').hidden", seconds=120)
        assert [url for url in watch.requested if "vision_model" in url], "what was thrown away comes again"
        assert "Reading “Trip” was interrupted" in watch.page.inner_text("[data-role=unfinished]")
        kept = int(watch.status().split()[0])
        assert PHOTOS // 4 <= kept < PHOTOS, "what was read is here"
        take(watch, folder, status=f"{PHOTOS} photos")
        assert f"{kept} already here" in watch.status()
        assert count(watch).startswith(f"{PHOTOS} photos")
        watch.page.reload()
        until_idle(watch, f"{PHOTOS} photos")
        assert watch.page.is_hidden("[data-role=unfinished]")


def test_the_sample_album_goes_on_by_itself_and_is_searched_after_a_reload(
    demo_address: str, open_page: OpenPage
) -> None:
    watch = open_page(f"{demo_address}photo-search/?device=wasm&autostart=1&source=sample", device="wasm")
    with screenshot_on_failure(watch, "photo-sample-crash"):
        watch.wait_until(f"{READ} >= {ALBUM_SIZE // 2}", seconds=240)
        crash(watch)
        until_idle(watch, f"{ALBUM_SIZE} photos")
        assert search(watch, "a yellow cup") == ["photo-32.jpg"]
        watch.page.click("[data-role=delete-stored]")
        watch.page.fill("[data-role=query]", "")
        watch.page.wait_for_selector("[data-role=count]:empty", state="attached", timeout=60_000)
        databases = "indexedDB.databases().then((all) => all.map(({ name }) => name))"
        watch.page.reload()
        watch.page.wait_for_selector("html[data-model=loaded]", timeout=120_000)
        assert watch.page.evaluate(databases) in ([], ["webgpu-demo/photos"])


def test_a_full_disk_leaves_an_album_that_can_be_searched(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    write_variants(tmp_path / "Trip", 60)
    watch = open_photos(open_page, demo_address)
    page = watch.page
    with screenshot_on_failure(watch, "photo-full"):
        used = page.evaluate("navigator.storage.estimate().then(({ usage }) => usage)")
        session = page.context.new_cdp_session(page)
        origin = page.evaluate("location.origin")
        session.send("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": used + 60_000})
        take(watch, tmp_path / "Trip", status="60 photos")
        page.wait_for_selector("[data-role=storage-note]:not([hidden])")
        assert "no room left" in page.inner_text("[data-role=storage-note]")
        assert len(shown(watch, "album")) > 10
        pictures = "all => all.every(image => image.complete && image.naturalWidth > 0)"
        watch.wait_until(f"({pictures})([...document.querySelectorAll('[data-role=album] img')])", seconds=30)
        session.send("Storage.overrideQuotaForOrigin", {"origin": origin})
        write_variants(tmp_path / "More", 70)
        take(watch, tmp_path / "More", status="130 photos")
        page.wait_for_selector("[data-role=storage-note]", state="hidden")
        page.reload()
        until_idle(watch, "130 photos")


def test_an_index_comes_from_python_goes_back_and_deleting_everything_leaves_nothing(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    write_variants(tmp_path / "Trip", 8)
    made = index(tmp_path / "Trip", out=tmp_path / "python.index")
    watch = open_photos(open_page, demo_address)
    page = watch.page
    with screenshot_on_failure(watch, "photo-deleted"):
        take(watch, [made.path], role="pick-index", status="8 photos came with python.index")
        shown(watch, "album")
        assert page.eval_on_selector("[data-role=album] li img", "image => image.naturalWidth") > 0
        take(watch, tmp_path / "Trip", status="8 already here")
        write_variants(tmp_path / "Trip", 9)
        take(watch, tmp_path / "Trip", status="9 photos")
        page.locator("summary").filter(has_text="This album").click()
        with page.expect_download() as saved:
            page.click("[data-role=export]")
        back = AlbumIndex(Path(saved.value.path()))
        assert sorted(back.names)[:8] == sorted(AlbumIndex(made.path).names)[:8]
        assert (len(back), back.has_thumbnails) == (9, True)
        page.click("[data-role=delete]")
        page.click("[data-role=confirm] [value=delete]")
        page.wait_for_selector("[data-role=status]:has-text('Everything is deleted')", timeout=60_000)
        assert page.inner_text("[data-role=empty]") == "No photos yet."
        assert page.inner_text("[data-role=sent]").startswith("0 bytes")
        left = page.evaluate(KEPT_FILES)
        assert left == []
        page.reload()
        page.wait_for_selector("html[data-model=loaded]", timeout=120_000)
        until_idle(watch, "No photos yet")
    watch.assert_clean()


@pytest.mark.soak
def test_two_thousand_photos_in_nested_folders_are_indexed_in_bounded_memory(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    write_variants(tmp_path / "Years", MANY)
    watch = open_photos(open_page, demo_address)
    page = watch.page
    inspector = page.context.new_cdp_session(page)
    sizes: list[int] = []
    with screenshot_on_failure(watch, "photo-2000"):
        started = time.monotonic()
        page.set_input_files("[data-role=pick-folder]", str(tmp_path / "Years"))
        for quarter in (1, 2, 3):
            watch.wait_until(f"{READ} >= {quarter * MANY // 4}", seconds=600)
            inspector.send("HeapProfiler.collectGarbage")  # what waits for the collector comes and goes
            sizes.append(renderer_bytes())
        until_idle(watch, "2,000 photos", seconds=600)
        rate = MANY / (time.monotonic() - started)
        print(f"{rate:.1f} photos per second; {', '.join(f'{size / 1e6:.0f}' for size in sizes)} MB at each quarter")
        assert sizes[2] <= GROWTH * sizes[0], sizes
        assert page.eval_on_selector_all("[data-role=album] li", "all => all.length") < 200, "a virtual list"
        page.keyboard.press("Tab")
        page.focus("[data-role=album] li button")
        page.keyboard.press("End")
        page.wait_for_selector("[data-role=album] li[aria-posinset]:last-child[data-name]")
        page.reload()
        until_idle(watch, "2,000 photos")
