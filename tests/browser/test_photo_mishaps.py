"""What goes wrong with an album, and what is left: two tabs, damaged records, odd names, pictures that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_album import packaged_photographs, write_variants
from tests.browser.photo_page import count, open_photos, shown, take, until_idle

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PHOTOS = 12
DAMAGE = """new Promise((resolve, reject) => {
  const opening = indexedDB.open('webgpu-demo/photos');
  opening.onsuccess = () => {
    const store = opening.result.transaction('chunks', 'readwrite').objectStore('chunks');
    store.getAll().onsuccess = ({ target }) => {
      const [first] = target.result;
      store.put({ ...first, bytes: new Blob(['no index']) });
      store.transaction.oncomplete = () => (opening.result.close(), resolve(first.count));
    };
  };
  opening.onerror = () => reject(opening.error);
})"""


def delete_everything(watch: Watch) -> None:
    watch.page.eval_on_selector("[data-role=manage]", "box => (box.open = true)")
    watch.page.click("[data-role=delete]")
    watch.page.click("[data-role=confirm] [value=delete]")
    watch.page.wait_for_selector("[data-role=status]:has-text('Everything is deleted')", timeout=60_000)


def test_two_tabs_share_an_album_and_what_is_damaged_of_it_is_read_again(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    folder = tmp_path / "Trip"
    write_variants(folder, PHOTOS)
    watch = open_photos(open_page, demo_address)
    first = watch.page
    with screenshot_on_failure(watch, "photo-tabs"):
        other = Watch(page=first.context.new_page())
        other.page.goto(first.url)
        until_idle(other, "No photos yet")
        first.bring_to_front()
        take(watch, folder, status=f"{PHOTOS} photos")
        other.page.bring_to_front()
        take(other, folder, status=f"{PHOTOS} photos")
        other.page.reload()
        until_idle(other, f"{PHOTOS} photos")
        assert count(other).startswith(f"{PHOTOS} photos"), "nothing is there twice"
        other.page.close()
        first.reload()
        until_idle(watch, f"{PHOTOS} photos")
        lost = first.evaluate(DAMAGE)
        first.reload()
        first.wait_for_selector("[data-role=unfinished]:not([hidden])", timeout=120_000)
        assert lost > 0
        assert f"{PHOTOS - lost} photos" in count(watch) or lost == PHOTOS
        take(watch, folder, status=f"{PHOTOS} photos")
        first.reload()
        until_idle(watch, f"{PHOTOS} photos")
        assert first.is_hidden("[data-role=unfinished]")


def test_a_paused_album_that_is_deleted_leaves_a_page_that_reads_photos(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    write_variants(tmp_path / "Trip", 60)
    watch = open_photos(open_page, demo_address)
    page = watch.page
    with screenshot_on_failure(watch, "photo-paused-deleted"):
        page.set_input_files("[data-role=pick-folder]", str(tmp_path / "Trip"))
        watch.wait_until("Number(document.querySelector('[data-role=index-progress]').value) >= 2", seconds=120)
        page.click("[data-role=pause-indexing]")
        until_idle(watch, "Paused")
        delete_everything(watch)
        assert not page.evaluate("document.documentElement.hasAttribute('data-indexing')")
        take(watch, sorted((tmp_path / "Trip").rglob("*.jpg"))[:2], status="2 photos")
        content = next((tmp_path / "Trip").rglob("*.jpg")).read_bytes()
        page.set_input_files("[data-role=pick]", {"name": "bell\a.jpg", "mimeType": "image/jpeg", "buffer": content})
        page.wait_for_selector("[data-role=unreadable]:has-text('characters that cannot be shown')")
        until_idle(watch, "2 photos")
        assert count(watch) == "2 photos"


def test_pictures_of_any_kind_are_searched_with_and_one_that_is_none_is_named(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    sources = packaged_photographs()[:4]
    for source in sources:
        with Image.open(source) as opened:
            opened.convert("RGB").save(tmp_path / f"{source.stem}.jpg")
    with Image.open(sources[1]) as opened:
        opened.convert("RGB").resize((400, 300)).save(tmp_path / "asked.heic")
    with Image.open(sources[2]) as opened:
        opened.convert("RGB").resize((9000, 6000)).save(tmp_path / "wide.png")
    (tmp_path / "none.png").write_bytes(b"no picture")
    watch = open_photos(open_page, demo_address)
    page = watch.page
    with screenshot_on_failure(watch, "photo-examples"):
        take(watch, sorted(tmp_path.glob("*.jpg")), status="4 photos")
        page.set_input_files("[data-role=query-picture]", str(tmp_path / "asked.heic"))
        page.wait_for_selector("[data-role=status]:has-text('like it')", timeout=60_000)
        assert shown(watch)[0] == f"{sources[1].stem}.jpg"
        tile = page.wait_for_selector(".part.example img[src^=blob]")
        assert tile is not None
        assert tile.evaluate("image => image.decode().then(() => image.naturalHeight)") == 300
        page.set_input_files("[data-role=query-picture]", [str(tmp_path / "wide.png"), str(tmp_path / "none.png")])
        page.wait_for_selector("[data-role=status]:has-text('“none.png” cannot be read')", timeout=60_000)
        assert page.eval_on_selector_all(".part.example", "all => all.map(e => e.textContent)") == [
            "like asked.heic×",
            "like wide.png×",
        ]
        small = page.wait_for_selector(".part.example >> nth=1 >> img[src^=blob]")
        assert small is not None
        assert small.evaluate("image => image.decode().then(() => image.naturalHeight)") == 360
    watch.assert_clean()
