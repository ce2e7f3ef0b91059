"""An index in a real browser: fetched by ranges from a site under its policy, and the same vectors as Python's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import Page, Playwright
from sklearn.datasets import load_sample_image

from builder.album import AlbumIndex
from builder.embedded import model_dir
from builder.embedded.painting import render
from builder.embedded.samples import album_scenes
from builder.index import index
from builder.index.pictures import THUMBNAIL_SIDE
from builder.manifest import file_entry, read_manifest
from builder.preview import running_server
from builder.site import build
from builder.tasks import embed, pixel_values
from tests.browser.conftest import OpenPage, screenshot_on_failure
from tests.browser.photo_page import open_photos, search, shown, take, until_idle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LEAST_COSINE, LEAST_SAME = 0.999, 0.95
TIMES_AS_FAST = 3
"""A search of ours beside a loop that only multiplies; found on two busy cores: 12 to 20."""
HOLIDAY = 6
"""EXIF's orientation of a camera held upright."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A site with an index, served, and open in a browser."""

    page: Page
    address: str
    photos: Path
    index: AlbumIndex
    requests: list[tuple[str, str]]


def write_album(folder: Path) -> None:
    """Scenes that the model knows, and real photographs: whole, cropped, turned, in several formats."""
    folder.mkdir()
    for name, scene in album_scenes().items():
        render(scene, 200).save(folder / name, quality=90)
    photos = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), load_sample_image("china.jpg")]
    china = Image.fromarray(photos[3])
    china.resize((4 * china.width, 4 * china.height), Image.Resampling.LANCZOS).save(folder / "large.JPG", quality=92)
    turned = Image.Exif()
    turned[0x0112] = HOLIDAY
    for number, photo in enumerate(map(Image.fromarray, photos)):
        for part, ending in enumerate(("JPG", "png", "webp", "jpeg")):
            left = part * photo.width // 10
            crop = photo.crop((left, left // 2, left + photo.width // 2, left // 2 + photo.height // 2))
            extra = {"exif": turned} if ending == "jpeg" else {}
            crop.save(folder / f"real {number} {part}.{ending}", **extra)


@pytest.fixture(scope="module")
def collection(tools: Playwright, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    work = tmp_path_factory.mktemp("collection")
    write_album(work / "photos")
    index(work / "photos", out=work / "album.index")
    site = build("photo-search", out=work / "site", index=work / "album.index", photos_url="photos").path
    shutil.copytree(work / "photos", site / "photos")
    shutil.copy(Path(__file__).with_name("index_page.js"), site)
    policy = json.loads((site / "manifest.json").read_text())["policy"]
    head = f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">'
    (site / "harness.html").write_text(f'{head}<script type="module" src="index_page.js"></script>', "utf-8")
    record = json.loads((site / "manifest.json").read_text())
    present = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
    listed = {entry["path"] for entry in record["files"]} | {"manifest.json"}
    record["files"] += [asdict(file_entry(site, path)) for path in present if path not in listed]
    (site / "manifest.json").write_text(json.dumps(record))  # what it does not list is not served
    with running_server(site) as address:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        requests = list[tuple[str, str]]()
        page.on("request", lambda r: requests.append((r.url, r.headers.get("range", ""))))
        page.goto(f"{address}harness.html")
        page.wait_for_selector("html[data-state=ready]", state="attached", timeout=120_000)
        page.set_default_timeout(300_000)
        opened = AlbumIndex(work / "album.index")
        yield Collection(page=page, address=address, photos=site / "photos", index=opened, requests=requests)
        browser.close()


def test_index_is_fetched_by_ranges_and_finds_what_python_finds(collection: Collection) -> None:
    manifest = read_manifest(model_dir("scenes-clip"))
    captions = [scene.caption for scene in album_scenes().values()]
    blank = pixel_values(model_dir("scenes-clip"), manifest, [Image.new("RGB", (9, 9))])
    dtypes = {"vision_model": "fp32", "text_model": "fp32"}
    _, texts = embed(model_dir("scenes-clip"), manifest, dtypes, blank, captions)
    address, space = "collection/album.index", collection.index.facts.space
    job = {"address": address, "space": space, "queries": texts.tolist(), "limit": 5}
    collection.requests.clear()
    answer = collection.page.evaluate("(job) => search(job)", job)
    assert answer["names"] == collection.index.names
    assert answer["found"] == [[row for row, _ in collection.index.search(text, 5)] for text in texts]
    assert min(answer["shown"]) == THUMBNAIL_SIDE
    assert answer["progress"][-1]["rows"] == answer["count"] == len(collection.index)
    ranges = [wanted for url, wanted in collection.requests if url.endswith(address)]
    assert all(wanted.startswith("bytes=") for wanted in ranges)
    thumbnails = sum(len(collection.index.thumbnail(row)) for row in range(len(collection.index)))
    fetched = sum(1 + int(last) - int(first) for first, last in (r[6:].split("-") for r in ranges))
    assert fetched < collection.index.size_bytes - thumbnails // 3, "what is not shown is not fetched"


def test_published_collection_is_searched_without_the_tower_for_pictures_until_one_is_asked_with(
    collection: Collection, open_page: OpenPage
) -> None:
    watch = open_page(f"{collection.address}?device=wasm", device="wasm")
    page = watch.page
    with screenshot_on_failure(watch, "photo-collection"):
        page.wait_for_selector("[data-role=start]:visible", timeout=60_000)
        page.context.route("**/album.index", lambda route: route.abort())
        page.click("[data-role=start]")
        page.wait_for_selector("[data-role=error]:has-text('The collection cannot be shown')", timeout=60_000)
        page.context.unroute("**/album.index")
        page.click("[data-role=error] [data-part=retry]")
        until_idle(watch, f"{len(collection.index)} photos", seconds=120)
        for role in ("drop", "manage", "storage-note"):
            assert page.is_hidden(f"[data-role={role}]"), "nobody adds photos to a museum, or takes them away"
        caption = album_scenes()["photo-16.jpg"].caption
        assert search(watch, caption)[0] == "photo-16.jpg"
        fetched = [url for url in watch.requested if url.endswith(".onnx")]
        assert len(fetched) == 1, fetched
        assert "text_model" in fetched[0]
        page.click("[data-role=results] li:first-child button")
        original = f"{collection.address}photos/photo-16.jpg"
        page.wait_for_selector(f'[data-role=viewer] img[src="{original}"]')
        page.keyboard.press("Escape")
        page.fill("[data-role=query]", "")
        page.wait_for_selector("[data-role=album]:not([hidden])")
        page.set_input_files("[data-role=query-picture]", str(collection.photos / "real 1 0.JPG"))
        page.wait_for_selector("[data-role=status]:has-text('like it')", timeout=60_000)
        assert shown(watch)[0] == "real 1 0.JPG"
        assert [url for url in watch.requested if "vision_model" in url]
        watch.wait_until("caches.match(new URL('collection/album.index', document.baseURI)).then(Boolean)", seconds=60)
        page.context.set_offline(True)
        page.reload()
        page.wait_for_selector("[data-role=start]:visible, html[data-model=loaded]", timeout=60_000)
        if page.is_visible("[data-role=start]"):
            page.click("[data-role=start]")
        until_idle(watch, f"{len(collection.index)} photos")
        assert search(watch, caption)[0] == "photo-16.jpg", "a collection that was seen is there without a network"
        page.context.set_offline(False)
        page.fill("[data-role=query]", "")
        page.click("[data-role=delete-stored]")
        page.wait_for_selector("[data-role=status]:has-text('Deleted')")
        assert page.inner_text("[data-role=count]").startswith(f"{len(collection.index)} photos")
    watch.assert_clean()


def test_the_page_that_visitors_get_and_python_make_the_same_vectors_and_rank_alike(
    demo_work: Path, demo_address: str, collection: Collection, open_page: OpenPage, tmp_path: Path
) -> None:
    """The page as it ships, in its own dtypes and with its own decoders, beside an index by the model it carries."""
    site = demo_work / "site" / "photo-search"
    made = AlbumIndex(index(collection.photos, out=tmp_path / "python.index", model=site, thumbnails=False).path)
    watch = open_photos(open_page, demo_address)
    page = watch.page
    with screenshot_on_failure(watch, "photo-same-vectors"):
        take(watch, collection.photos, status=f"{len(made)} photos")
        page.eval_on_selector("[data-role=manage]", "box => (box.open = true)")
        with page.expect_download() as saved:
            page.click("[data-role=export]")
        exported = AlbumIndex(Path(saved.value.path()))
        page.set_input_files("[data-role=pick-index]", str(collection.index.path))
        page.wait_for_selector("[data-role=status]:has-text('made with other weights')", timeout=60_000)
        page.set_input_files("[data-role=pick-index]", str(made.path))
        until_idle(watch, "python.index")
        assert "other weights" not in watch.status()
    assert exported.facts == made.facts
    assert made.facts.rounding.startswith("q4")
    rows = [made.names.index(name.removeprefix("photos/")) for name in exported.names]
    theirs, ours = exported.vectors(), made.vectors()[rows]
    cosines = (theirs * ours).sum(axis=1)
    assert cosines.min() >= LEAST_COSINE, (exported.names[int(cosines.argmin())], cosines.min())
    model, manifest = site / "models" / "scenes-clip", read_manifest(site / "models" / "scenes-clip")
    captions = [scene.caption for scene in album_scenes().values()]
    blank = pixel_values(model, manifest, [Image.new("RGB", (9, 9))])
    _, texts = embed(model, manifest, manifest.tiers["wasm"], blank, captions)
    top = [np.argsort(-(texts @ vectors.T), axis=1, kind="stable")[:, :5] for vectors in (theirs, ours)]
    same = np.mean([set(a) == set(b) for a, b in zip(*top, strict=True)])
    assert same >= LEAST_SAME
    prints = [[index.photo(row).fingerprint for row in range(len(made))] for index in (exported, made)]
    apart = [(a ^ prints[1][row]).bit_count() for a, row in zip(prints[0], rows, strict=True)]
    assert max(apart) <= 2, "decoders may round by a level or two"


def test_index_of_another_model_or_none_at_all_is_refused_in_a_sentence(collection: Collection) -> None:
    def refuse(address: str, space: str) -> dict[str, str]:
        answer: dict[str, str] = collection.page.evaluate("(job) => refuse(job)", {"address": address, "space": space})
        return answer

    space = collection.index.facts.space
    assert refuse("collection/album.index", "0" * 64)["code"] == "model"
    assert refuse("index.html", space)["code"] == "damaged"
    absent = refuse("collection/absent.index", space)
    assert (absent["name"], absent["code"]) == ("IndexError", "network")
    assert "404" in absent["message"]


def test_search_is_several_times_as_fast_as_a_plain_loop(collection: Collection) -> None:
    found = collection.page.evaluate("(job) => race(job)", {"photos": 20_000, "dimensions": 512, "rounds": 8})
    assert found["simd"]
    assert found["loop"] > TIMES_AS_FAST * found["ours"]
