"""bench search: the nearest 50 of 100,000 photos in a real browser, beside a plain loop and what pages usually do.

The index is one of 512 dimensions with names, sizes, dates, places and hashes, written by Python and opened in Chromium
as a visitor's file. Its vectors are made up, but shaped like those of image encoders: in clusters, all of them in one
cone, with two components that are many times as large as the others. All three ways search in turns in one page, on one
core; the loop runs over the vectors of the index as float32, so that the same ones must be found. Ours is all that the
page does between the vector of a query and the ranking that it shows, with the filters and the cut-off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from builder.album import Facts, Photo, write_index
from builder.album.vectors import encode
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.browsers import find_chromium
from builder.errors import BenchError
from builder.paths import browser_runtime, web_template
from builder.sentences import read_sentences

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

PHOTOS, DIMENSIONS, QUERIES, LIMIT, ROUNDS = 100_000, 512, 100, 50, 5
NAMED = 10_000
"""Photos of an index that is only made for its size."""
CLUSTERS = 2_000
LOOP, PEERS = "float32 loop", "cos_sim and sort"
CASE = f"top {LIMIT} of {PHOTOS:,} × {DIMENSIONS}"
ORIGIN = "http://localhost/"
NAMES: Mapping[str, Callable[[int], str]] = {
    "IMG_0001": lambda row: f"IMG_{row % 10_000:04}.JPG",
    "IMG_20240503_162011123": lambda row: (
        f"IMG_2024{row // 9000 + 1:02}03_{row * 7 % 240_000:06}{row * 617 % 1000:03}.jpg"
    ),
    "UUID": lambda row: f"{UUID(bytes=_digest(row)[:16])}.jpeg",
    "40 hex digits": lambda row: f"{_digest(row).hex()}.jpg",
}
"""Patterns of file names: cameras count, phones write the time, messengers and exports draw lots."""
PAGE = """<!doctype html><meta charset="utf-8"><title>search</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'">
<input id="index" type="file"><input id="vectors" type="file"><script type="module" src="search.js"></script>"""
SCRIPT = "search.js"


def _digest(row: int) -> bytes:
    return hashlib.sha1(str(row).encode(), usedforsecurity=False).digest()


def _run(setting: Setting) -> Outcome:
    setting.work.mkdir(parents=True, exist_ok=True)
    index, vectors = setting.work / "search.index", setting.work / "search.f32"
    setting.report(f"making an index of {PHOTOS:,} photos")
    make_index(index, vectors, PHOTOS)
    try:
        setting.report("searching it in Chromium")
        found = _measure_in_browser(index, vectors)
        setting.report("making indexes of other names")
        return _outcome(found, {names: _bytes_per_photo(setting.work, names) for names in NAMES})
    finally:
        vectors.unlink()  # 200 MB


def _bytes_per_photo(work: Path, names: str) -> float:
    index, vectors = work / "names.index", work / "names.f32"
    make_index(index, vectors, NAMED, names=names)
    vectors.unlink()
    return index.stat().st_size / NAMED


def _outcome(found: Mapping[str, Any], sizes: Mapping[str, float]) -> Outcome:
    times, medians = found["times"], found["medians"]
    how = "SIMD instructions of WebAssembly" if found["simd"] else "plain JavaScript"
    measures = [
        Measure(case=CASE, contestant=OURS, unit="ms", values=tuple(times["ours"]), note=f"int8, {how}"),
        Measure(case=CASE, contestant=LOOP, unit="ms", values=tuple(times["loop"]), note="one Float32Array"),
        Measure(case=CASE, contestant=PEERS, unit="ms", values=tuple(times["peers"]), note="transformers.js"),
        Measure(case="the same with filters", contestant=OURS, unit="ms", values=tuple(times["filtered"])),
        Measure(case="the same, a hundredth removed", contestant=OURS, unit="ms", values=tuple(times["removed"])),
        Measure(case="the same, half of them match", contestant=OURS, unit="ms", values=tuple(times["half"])),
        Measure(case="measuring the cut-off", contestant=OURS, unit="ms", values=(found["measuring"],)),
        Measure(case=f"opening {PHOTOS:,} photos", contestant=OURS, unit="ms", values=tuple(found["opened"])),
        *(
            Measure(
                case="index, bytes per photo", contestant=OURS, unit="bytes", values=(size,), note=f"names as {names}"
            )
            for names, size in sizes.items()
        ),
        Measure(case="index, bytes per photo", contestant=LOOP, unit="bytes", values=(4.0 * DIMENSIONS,)),
    ]
    goals = (
        Goal(text=CASE, limit=16, value=medians["ours"], unit="ms"),
        Goal(text="as fast as the loop, times", limit=3, value=medians["loop"] / medians["ours"], at_most=False),
        Goal(text="with filters", limit=16, value=medians["filtered"], unit="ms"),
        Goal(text="with removed photos", limit=16, value=medians["removed"], unit="ms"),
        Goal(text="queries with the loop's top 50", limit=0.99, value=found["equal"], at_most=False),
        Goal(text="opening the index", limit=300, value=float(np.median(found["opened"])), unit="ms"),
        Goal(text="index per photo, without thumbnails", limit=560, value=max(sizes.values()), unit="bytes"),
    )
    notes = (
        f"Of the top {LIMIT} of the vectors before they were rounded to 8 bits, {found['kept']:.1%} are found.",
        f"One search is {medians['loop'] / medians['ours']:.1f} times as fast as the loop and "
        f"{medians['peers'] / medians['ours']:.0f} times as fast as cos_sim for each photo and a sort.",
    )
    return Outcome(measures=tuple(measures), goals=goals, notes=notes)


def make_index(index: Path, vectors: Path, count: int, *, names: str = "IMG_0001") -> None:
    """Write an index of ``count`` photos, and their vectors as they were before, followed by the queries: float32."""
    rng = np.random.default_rng(6)
    cone = rng.standard_normal(DIMENSIONS)
    centres = rng.standard_normal((CLUSTERS, DIMENSIONS))
    large = np.ones(DIMENSIONS)
    large[[92, 133]] = 12  # as of OpenAI's CLIP ViT-B/32
    clusters = rng.integers(0, CLUSTERS, count)
    rows = (cone + centres[clusters] + rng.standard_normal((count, DIMENSIONS))) * large
    queries = centres[:QUERIES] + 0.5 * rng.standard_normal((QUERIES, DIMENSIONS))
    both = np.concatenate((rows, queries)).astype(np.float32)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    vectors.write_bytes(both.tobytes())
    codes, scales = encode(both[:count])
    photos = [
        Photo(
            name=f"{2010 + row * 15 // count}/{row // 250 % 40 + 1:02} holiday/{NAMES[names](row)}",
            size_bytes=int(rng.integers(10**6, 10**7)),
            modified_s=1_262_304_000 + row * 4_000,
            date_ms=1000.0 * (1_262_304_000 + row * 4_000),
            codes=codes[row],
            scale=float(scales[row]),
            place=(47.0 + row / count, 8.0 + row / count),
            fingerprint=int(rng.integers(1, 2**63)),
        )
        for row in range(count)
    ]
    facts = Facts(space="00" * 32, model="made up", dimensions=DIMENSIONS)
    write_index(index, facts, photos)


def _measure_in_browser(index: Path, vectors: Path) -> dict[str, Any]:
    """Measure in a headless Chromium.

    Raises:
        BenchError: there is no browser to be driven.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise BenchError("search needs playwright", hint="pip install 'webgpu-demo-builder[test]'") from error

    executable = find_chromium()  # without one, playwright's own is taken
    try:
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            found = measure_on(browser.new_page(), index, vectors, queries=QUERIES, rounds=ROUNDS)
            browser.close()
            return found
    except Error as error:
        raise BenchError(f"the browser could not be used: {error.message}", hint="install Chromium") from error


def measure_on(page: Page, index: Path, vectors: Path, *, queries: int, rounds: int) -> dict[str, Any]:
    """Run _search_page.js on two files in a blank page of a browser; its answer."""

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if not path:
            route.fulfill(body=PAGE, content_type="text/html")
        elif path == SCRIPT:
            route.fulfill(path=Path(__file__).with_name("_search_page.js"), content_type="text/javascript")
        elif path.startswith("runtime/"):
            route.fulfill(path=browser_runtime() / path.removeprefix("runtime/"), content_type="text/javascript")
        else:
            route.fulfill(path=web_template() / path, content_type="text/javascript")

    page.set_default_timeout(600_000)
    page.route("**/*", answer)
    page.goto(ORIGIN)
    page.wait_for_selector("html[data-state=ready]", state="attached")
    page.set_input_files("#index", index)
    page.set_input_files("#vectors", vectors)
    sentences = len(read_sentences(web_template() / "pages/photo-search/sentences.json").neutral)
    job = {"queries": queries, "limit": LIMIT, "rounds": rounds, "sentences": sentences}
    found: dict[str, Any] = page.evaluate("(job) => measure(job)", job)
    return found


BENCH = Bench(name="search", summary="the nearest photos of a large album, in the browser", run=_run)
