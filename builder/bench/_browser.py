"""A headless Chromium for benches, without WebGPU's software adapter: what runs there says nothing about speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.browsers import find_chromium
from builder.errors import BenchError

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def open_chromium(arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """Start it; it ends with the block.

    Raises:
        BenchError: there is no Playwright or no Chromium, or the browser breaks down inside the block.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise BenchError("this bench needs a browser to drive", hint="pip install playwright") from error
    try:
        with sync_playwright() as tools:
            browser = tools.chromium.launch(
                executable_path=find_chromium(),  # without one, playwright's own is taken
                headless=False,
                args=["--headless=new", "--no-sandbox", *arguments],
            )
            yield browser
            browser.close()
    except Error as error:
        raise BenchError(
            f"the browser could not be used: {error.message}", hint="playwright install chromium"
        ) from error


def processor_seconds() -> dict[int, float]:
    """Seconds of processor time that each process below this one has taken: process id → user and system together."""
    import psutil

    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[process.pid] = times.user + times.system
    return found
