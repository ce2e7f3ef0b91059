"""bench search: what it measures in a browser is measured of the real thing, at a size that tests have time for."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from builder.bench.search import make_index, measure_on

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_bench_of_a_small_index_finds_the_same_photos_as_the_loop(
    tools: Playwright, chromium: str, tmp_path: Path
) -> None:
    make_index(tmp_path / "a.index", tmp_path / "a.f32", 3000)
    browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    try:
        found = measure_on(browser.new_page(), tmp_path / "a.index", tmp_path / "a.f32", queries=10, rounds=1)
    finally:
        browser.close()
    assert found["simd"]
    assert found["equal"] == 1
    assert 0.9 < found["kept"] <= 1
    assert found["bytes_per_photo"] <= 560
    lengths = {name: len(taken) for name, taken in found["times"].items()}
    assert lengths == {"ours": 10, "loop": 10, "peers": 1, "filtered": 10, "removed": 10, "half": 10}
    assert found["medians"]["peers"] > found["medians"]["ours"]
