"""The search page in a real browser: the sample album is searched by caption, and real photographs run through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from builder.embedded.samples import ALBUM_SIZE, album_scenes
from tests.browser.conftest import ARTIFACTS, PHONE, OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_album import packaged_photographs
from tests.browser.photo_page import shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]
QUERIES = 10


def search(watch: Watch, text: str) -> list[str]:
    """Names of the results, best first, once they are those of this query."""
    page = watch.page
    page.fill("[data-role=query]", text)
    page.wait_for_selector(f"[data-role=status]:has-text('“{text}”')", timeout=60_000)
    return list(page.eval_on_selector_all("[data-role=results] [data-photo]", "all => all.map(e => e.dataset.name)"))


@pytest.mark.parametrize("device", ["webgpu", "wasm"])
def test_captions_find_their_pictures_in_the_sample_album(device: str, demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}photo-search/?device={device}&source=sample&autostart=1", device=device)
    page = watch.page
    with screenshot_on_failure(watch, f"photo-search-{device}-desktop"):
        page.wait_for_selector(f"[data-role=count]:has-text('{ALBUM_SIZE} photos')", timeout=300_000)
        page.wait_for_selector('html[data-state="done"]', timeout=300_000)
        wanted = list(album_scenes().items())[:: ALBUM_SIZE // QUERIES][:QUERIES]
        found = {scene.caption: search(watch, scene.caption)[0] == name for name, scene in wanted}
        assert sum(found.values()) >= 8, found
        scores = page.eval_on_selector_all("[data-role=results] [data-photo]", "all => all.map(e => +e.dataset.score)")
        assert scores == sorted(scores, reverse=True)
    watch.assert_device(device)
    states = watch.states()
    assert states[:4] == ["checking", "loading", "ready", "running"]
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    page.screenshot(path=str(ARTIFACTS / f"photo-search-{device}-phone.png"))
    watch.violations += page.evaluate("window.violations")
    watch.assert_clean()


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """At least 20 real photographs in several formats and sizes, some grey, some turned by their EXIF orientation."""
    folder = tmp_path_factory.mktemp("photographs")
    pictures = {path.stem: path for path in packaged_photographs()}
    endings = ("jpg", "png", "webp", "JPG", "gif", "jpeg")
    files = []
    for number, (name, source) in enumerate(sorted(pictures.items())):
        image = Image.open(source)
        image.load()
        if number % 5 == 0:
            image = image.resize((image.width * 3, image.height * 3))
        ending = endings[number % len(endings)]
        if ending.lower() in ("jpg", "jpeg") and image.mode != "L":
            image = image.convert("RGB")
        path = folder / f"{name}.{ending}"
        exif = Image.Exif()
        exif[0x0112] = 6 if number % 4 == 3 else 1
        image.save(path, exif=exif) if ending.lower() in ("jpg", "jpeg", "webp") else image.save(path)
        files.append(path)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    files.append(folder / "broken.jpg")
    return files


@pytest.mark.parametrize("device", ["webgpu", "wasm"])
def test_real_photographs_of_many_formats_are_indexed_and_searched(
    device: str, demo_address: str, open_page: OpenPage, photographs: list[Path]
) -> None:
    good = len(photographs) - 1
    assert good >= 20, [path.name for path in photographs]
    watch = open_page(f"{demo_address}photo-search/?device={device}&autostart=1", device=device)
    page = watch.page
    with screenshot_on_failure(watch, f"photo-search-{device}-photographs"):
        page.wait_for_selector('html[data-state="ready"]', timeout=180_000)
        page.set_input_files("[data-role=pick]", [str(path) for path in photographs])
        page.wait_for_selector('html[data-state="done"]', timeout=300_000)
        assert str(good) in page.inner_text("[data-role=count]")
        assert "broken.jpg" in str(page.text_content("[data-role=unreadable]"))
        search(watch, "a black cat")  # the embedded model knows no cats: what is nearest is shown on demand
        page.click("[data-role=show-near]")
        results = shown(watch)
        assert set(results) <= {path.name for path in photographs}
        assert results
        assert "broken.jpg" not in results
    watch.assert_device(device)
    watch.violations += page.evaluate("window.violations")
    watch.assert_clean()
