"""The search page on WebGPU (software adapter): scenes are found by their captions, real photographs run through.

On WASM test_photo_queries.py asks for every caption of the sample album, and test_photo_album.py brings photographs of
every format.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.embedded.painting import render
from builder.embedded.samples import album_scenes
from tests.browser.conftest import ARTIFACTS, PHONE, OpenPage, screenshot_on_failure
from tests.browser.photo_album import packaged_photographs
from tests.browser.photo_page import open_photos, search, shown, take

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCENES, QUERIES, PHOTOGRAPHS = 17, 10, 6
"""Together nearly three batches: the adapter takes seconds for each."""


def test_captions_find_their_pictures_and_photographs_are_read_on_webgpu(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    scenes = dict(list(album_scenes().items())[:SCENES])
    for name, scene in scenes.items():
        render(scene, 200).save(tmp_path / name, quality=90)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    files = [*tmp_path.iterdir(), *packaged_photographs()[:PHOTOGRAPHS]]
    watch = open_photos(open_page, demo_address, device="webgpu")
    page = watch.page
    with screenshot_on_failure(watch, "photo-search-webgpu"):
        take(watch, files, status=f"{SCENES + PHOTOGRAPHS} photos")
        assert "broken.jpg" in str(page.text_content("[data-role=unreadable]"))
        wanted = list(scenes.items())[:QUERIES]
        found = {scene.caption: search(watch, scene.caption)[:1] == [name] for name, scene in wanted}
        assert sum(found.values()) >= 8, found
        scores = page.eval_on_selector_all("[data-role=results] [data-photo]", "all => all.map(e => +e.dataset.score)")
        assert scores == sorted(scores, reverse=True)
        search(watch, "a black cat")  # the embedded model knows no cats: what is nearest is shown on demand
        page.click("[data-role=show-near]")
        assert shown(watch)
    watch.assert_device("webgpu")
    assert watch.states()[:4] == ["checking", "loading", "ready", "running"]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.wait_for_timeout(500)
    page.screenshot(path=str(ARTIFACTS / "photo-search-webgpu-phone.png"))
    watch.assert_clean()
