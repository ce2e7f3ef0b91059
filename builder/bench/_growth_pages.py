"""What grows in pages, on WASM in Chromium: photos that are searched, photos that are indexed, tokens of a caption."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.bench import index, search
from builder.bench._browser import open_chromium
from builder.bench._camera import camera_flags, write_camera
from builder.bench._contract import Report
from builder.bench._processes import run_ourselves
from builder.bench._server import serve
from builder.bench.caption import QUERY, SCRIPT, wait_for_captions
from builder.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Times = Mapping[int, tuple[float, ...]]
"""Factor → values."""
SEARCHED, PAGE_PHOTOS, TOKENS = 6_250, 6, 4
SEARCHES, ROUNDS, CAPTIONS = 20, 3, 8


def searching(work: Path, factors: tuple[int, ...], report: Report) -> Times:
    """Milliseconds of a search among so many photos."""
    found = {}
    with open_chromium() as browser:
        for factor in factors:
            count = SEARCHED * factor
            report(f"searching {count:,} photos")
            made, vectors = work / "growth.index", work / "growth.f32"
            search.make_index(made, vectors, count)
            page = browser.new_page()
            times = search.measure_on(page, made, vectors, queries=SEARCHES, rounds=1)["times"]["ours"]
            page.close()
            found[factor] = tuple(times)
            made.unlink()
            vectors.unlink()
    return found


def indexing(model: Path, albums: Mapping[int, Path], work: Path, report: Report) -> Times:
    """Seconds that photo-search takes from the first photo of an album to the last."""
    site = work / "sites" / "growth-photo-search"
    run_ourselves("build", "photo-search", "--model", str(model), "-o", str(site), "--quiet", what="build")
    found: dict[int, list[float]] = {factor: [] for factor in albums}
    with open_chromium() as browser:
        for turn in range(ROUNDS):
            for factor, album in albums.items():
                photos = sorted(album.iterdir())[: PAGE_PHOTOS * factor]
                report(f"{len(photos)} photos in the page, run {turn + 1} of {ROUNDS}")
                found[factor].append(len(photos) / index.page_rate(browser, site, photos))
    return {factor: tuple(taken) for factor, taken in found.items()}


def captioning(model: Path, factors: tuple[int, ...], work: Path, report: Report) -> Times:
    """Milliseconds of a caption of so many tokens, from the picture to the last word."""
    camera = work / "growth.y4m"
    write_camera(camera)
    found: dict[int, list[float]] = {factor: [] for factor in factors}
    try:
        sites = {factor: _site(model, TOKENS * factor, work) for factor in factors}
        with open_chromium(camera_flags(camera)) as browser:
            for turn in range(ROUNDS):
                for factor, site in sites.items():
                    report(f"captions of {TOKENS * factor} tokens, run {turn + 1} of {ROUNDS}")
                    found[factor] += _captions(browser, site)
    finally:
        camera.unlink()
    return {factor: tuple(taken) for factor, taken in found.items()}


def _site(model: Path, tokens: int, work: Path) -> Path:
    """The camera page with a model whose captions end after so many tokens."""
    copy, site = work / "growth-model" / model.name, work / "sites" / f"growth-{tokens}-tokens"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model, copy)
    manifest = read_manifest(copy)
    write_manifest(copy, replace(manifest, generation=replace(manifest.generation, max_new_tokens=tokens)))
    run_ourselves("build", "camera-caption", "--model", str(copy), "-o", str(site), "--quiet", what="build")
    shutil.rmtree(copy.parent)
    return site


def _captions(browser: Browser, site: Path) -> Iterator[float]:
    context = browser.new_context(permissions=["camera"])
    try:
        with serve(site) as address:
            page = context.new_page()
            page.add_init_script(path=SCRIPT)
            page.goto(f"{address}?{QUERY}", wait_until="commit")
            marks = wait_for_captions(page, site.name, CAPTIONS + 1)
    finally:
        context.close()
    asked = [mark["at_ms"] for mark in marks if mark["what"] == "asked"]
    done = [mark["at_ms"] for mark in marks if mark["what"] == "done"]
    for begin, end in list(zip(asked, done, strict=False))[1:]:  # the first warms up
        yield end - begin
