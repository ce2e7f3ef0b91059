"""An hour of captioning: the tab's memory stays flat, and captions keep coming."""

from __future__ import annotations

import os
import statistics
import time

import psutil
import pytest

from tests.browser.camera_page import CAPTION, RECORD, until_captioned
from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.soak]
CAPTIONS = int(os.environ.get("SOAK_CAPTIONS", "1800"))
"""What an hour brings: the sample shows another scene every four seconds, with a short caption while it changes and a
longer one when it rests. Here they follow each other without a rest, twelve minutes where the device keeps up."""
SAMPLES = 40
GROWTH = 1.10
STALLED_S = 120


def renderer_bytes() -> int:
    """Memory of the browser's pages, workers included."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                total += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total


def test_memory_stays_flat_over_an_hour_of_captions(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(
        f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1&gate=0", device="wasm", before=RECORD
    )
    until_captioned(watch)
    page = watch.page
    inspector = page.context.new_cdp_session(page)
    sizes: list[int] = []
    done, since = 0, time.monotonic()
    while done < CAPTIONS:
        page.wait_for_timeout(2000)
        now = page.evaluate("window.captions.length")
        assert now > done or time.monotonic() - since < STALLED_S, f"no caption after {done}; {watch.status()}"
        if now > done:
            done, since = now, time.monotonic()
        if done * SAMPLES >= len(sizes) * CAPTIONS:
            inspector.send("HeapProfiler.collectGarbage")  # what waits for the collector comes and goes
            sizes.append(renderer_bytes())
    fifth = len(sizes) // 5
    early, late = statistics.median(sizes[fifth : 2 * fifth]), statistics.median(sizes[-fifth:])
    print(f"{done} captions; {early / 1e6:.0f} MB early, {late / 1e6:.0f} MB late, {max(sizes) / 1e6:.0f} MB at most")
    assert late <= GROWTH * early, [size // 1_000_000 for size in sizes]
    assert page.evaluate(f"!!{CAPTION}")
    watch.assert_clean()
