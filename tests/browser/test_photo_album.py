"""Real photographs on their way into the album: formats, orientation, dates, broken files, changes, look-alikes."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from builder.preview import running_server
from tests.browser.conftest import OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_album import (
    ENDINGS,
    Photographs,
    packaged_photographs,
    write_huge,
    write_photographs,
    write_variants,
)
from tests.browser.photo_page import count, open_photos, shown, take, until_idle

pytestmark = [pytest.mark.browser, pytest.mark.slow]
KEPT_FOR_OFFLINE = """caches.keys()
  .then((names) => names.find((name) => name.startsWith('webgpu-demo-site /photo-search/')))
  .then((name) => (name ? caches.open(name).then((cache) => cache.keys()) : []))
  .then((kept) => kept.map(({ url }) => url.split('/').at(-1)))
  .then((kept) => ['photos.js', 'prepare.js', 'exif-reader.js', 'client-zip.js', 'transformers.min.js',
    'ort-wasm-simd-threaded.mjs'].every((name) => kept.includes(name)))"""
OPEN_LARGE = "document.querySelector('[data-role=viewer] img').naturalWidth"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    return write_photographs(tmp_path_factory.mktemp("album") / "Holiday")


def open_large(watch: Watch, name: str) -> tuple[str, int, int]:
    """Open a photo of the album; return what is said of it, and its size."""
    page = watch.page
    page.click(f'[data-role=album] [data-name="{name}"] button')
    page.wait_for_selector("[data-role=viewer] img[data-shows=original]", timeout=30_000)
    watch.wait_until("document.querySelector('[data-role=viewer] img').complete", seconds=30)
    facts = page.inner_text("[data-role=viewer] [data-part=facts]")
    size = page.evaluate(f"[{OPEN_LARGE}, document.querySelector('[data-role=viewer] img').naturalHeight]")
    page.keyboard.press("Escape")
    return facts, size[0], size[1]


def test_photographs_of_every_format_are_read_upright_dated_and_shown(
    demo_address: str, open_page: OpenPage, photographs: Photographs, tmp_path: Path
) -> None:
    assert {name.rsplit(".", 1)[1] for name in photographs.good} == set(ENDINGS)
    watch = open_photos(open_page, demo_address)
    page = watch.page
    with screenshot_on_failure(watch, "photo-formats"):
        take(watch, photographs.folder, status=f"{len(photographs.good)} photos")
        assert "2 files are no photos" in watch.status()
        unread = str(page.text_content("[data-role=unreadable]"))
        assert "Holiday/broken.jpg: this browser cannot read it" in unread
        assert "Holiday/empty.JPG: the file is empty" in unread
        names = shown(watch, "album")
        assert sorted(names) == sorted(name.rsplit("/", 1)[1] for name in photographs.good)
        heic = next(name for name in names if name.endswith(".HEIC"))
        facts, width, _ = open_large(watch, heic)
        assert "3 May 2019" in facts
        assert "48.8584° N, 2.2945° E" in facts
        with Image.open(next(path for path in packaged_photographs() if path.stem == heic[:-5])) as source:
            assert width == source.width
        turned = next(name for name in photographs.turned if name.endswith("Jpeg"))
        _, width, height = open_large(watch, turned)
        with Image.open(next(path for path in packaged_photographs() if path.stem == turned[:-5])) as source:
            assert (width, height) == source.size, "turned upright"
        tile = f'[data-role=album] [data-name="{turned}"] img'
        ratio = page.eval_on_selector(tile, "image => image.naturalWidth / image.naturalHeight")
        assert ratio == pytest.approx(width / height, rel=0.02), "its thumbnail, too"
        write_huge(tmp_path / "huge.jpg")
        take(watch, [tmp_path / "huge.jpg"], status=f"{len(photographs.good) + 1} photos")
        page.locator("summary").filter(has_text="Filters").click()
        page.fill("[data-role=from]", "2019-05-03")
        page.locator("[data-role=from]").dispatch_event("change")
        page.fill("[data-role=to]", "2019-05-04")
        page.locator("[data-role=to]").dispatch_event("change")
        page.wait_for_selector("[data-role=count]:has-text(' of ')")
        dated = shown(watch, "album")
        assert dated
        assert not [name for name in dated if name.lower().endswith((".gif", ".png"))], (
            "these carry no date of their own"
        )
        page.click("[data-role=clear-filters]")
        page.select_option("[data-role=folder]", "Holiday/part 1")
        inside = [name for name in photographs.good if name.startswith("part 1/")]
        page.wait_for_selector(f"[data-role=count]:has-text('{len(inside)} of {len(photographs.good) + 1} photos')")
    watch.assert_clean()


def test_a_folder_that_changed_gives_only_its_changes(demo_address: str, open_page: OpenPage, tmp_path: Path) -> None:
    folder = tmp_path / "Walk"
    write_variants(folder, 24)
    watch = open_photos(open_page, demo_address)
    with screenshot_on_failure(watch, "photo-changes"):
        take(watch, folder, status="24 photos")
        files = sorted(folder.rglob("*.*"))
        files[0].unlink()
        with Image.open(files[1]) as image:
            image.rotate(180).save(files[1])
        os.utime(files[1], (1_700_000_000,) * 2)
        shutil.copyfile(packaged_photographs()[0], folder / "new.PNG")
        take(watch, folder, status="22 already here")
        assert "22 already here" in watch.status()
        assert "2 gone since" in watch.status()
        other = tmp_path / "elsewhere" / "Walk"
        shutil.copytree(photographs_of(tmp_path), other)
        take(watch, other, status="27 photos")
        take(watch, folder, status="24 already here")
        assert count(watch).startswith("27 photos"), "a folder of the same name is another folder"
    watch.assert_clean()


def photographs_of(tmp_path: Path) -> Path:
    folder = tmp_path / "three"
    folder.mkdir()
    for source in packaged_photographs()[:3]:
        shutil.copyfile(source, folder / source.name)
    return folder


def test_without_a_network_photos_are_taken_in_look_alikes_folded_and_a_selection_saved(
    demo_work: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    sources = packaged_photographs()
    files = []
    for source in sources[:4]:
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        image.save(tmp_path / f"{source.stem}.JPG", quality=95)
        image.resize((image.width // 2, image.height // 2)).save(tmp_path / f"{source.stem}-small.webp", quality=70)
        files += [tmp_path / f"{source.stem}.JPG", tmp_path / f"{source.stem}-small.webp"]
    with running_server(demo_work / "site") as address:
        watch = open_photos(open_page, address)
        watch.wait_until(KEPT_FOR_OFFLINE, seconds=60)
    page = watch.page
    page.context.set_offline(True)
    page.reload()
    with screenshot_on_failure(watch, "photo-twins"):
        until_idle(watch, "No photos yet")
        take(watch, files, status="8 photos")
        assert count(watch) == "8 photos · 4 look-alikes folded"
        assert len(shown(watch, "album")) == 4
        page.locator("summary").filter(has_text="Filters").click()
        page.uncheck("[data-role=fold]")
        page.wait_for_selector("[data-role=album] li >> nth=7")
        names = shown(watch, "album")
        page.focus("[data-role=album] li:first-child button")
        page.keyboard.press("x")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("x")
        assert page.inner_text("[data-role=selection] [data-part=text]") == "2 selected"
        with page.expect_download() as listed:
            page.click("[data-role=selection] [data-part=list]")
        assert Path(listed.value.path()).read_text(encoding="utf-8").split("\n") == [*names[:2], ""]
        with page.expect_download() as zipped:
            page.click("[data-role=selection] [data-part=zip]")
        with zipfile.ZipFile(zipped.value.path()) as archive:
            assert archive.namelist() == names[:2]
            assert archive.read(names[0]) == (tmp_path / names[0]).read_bytes()
        page.click("[data-role=selection] [data-part=remove]")
        page.wait_for_selector("[data-role=count]:has-text('6 photos')")
    watch.assert_clean()
