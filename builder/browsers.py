"""The browsers of this machine, where each system keeps them: for the doctor, and for whoever drives a Chromium."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

CHROMIUMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "brave-browser",
)
FIREFOXES = ("firefox", "firefox-esr")
MAC = {
    "Google Chrome": "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium": "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge": "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "Firefox": "Firefox.app/Contents/MacOS/firefox",
}
WINDOWS = {
    "Google Chrome": "Google/Chrome/Application/chrome.exe",
    "Microsoft Edge": "Microsoft/Edge/Application/msedge.exe",
    "Firefox": "Mozilla Firefox/firefox.exe",
}
PLAYWRIGHT = "Playwright's Chromium"
PLAYWRIGHT_STORES = {"darwin": "~/Library/Caches/ms-playwright", "win32": "~/AppData/Local/ms-playwright"}
PLAYWRIGHT_PROGRAMS = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
    "chromium-*/chrome-win*/chrome.exe",
)


def find_chromium() -> str | None:
    """The executable of a Chromium that the system has: of PATH, or among macOS's applications."""
    for name in CHROMIUMS:
        if found := shutil.which(name):
            return found
    for name, path in _applications():
        if name != "Firefox":
            return str(path)
    return None


def installed_browsers() -> Iterator[tuple[str, Path]]:
    """Name and executable of every Chromium and Firefox, Playwright's own among them; one program may have two."""
    if sys.platform == "win32":
        folders = [os.environ.get(name) for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
        places = [(name, Path(folder) / path) for folder in folders if folder for name, path in WINDOWS.items()]
        yield from (place for place in places if place[1].is_file())
    for name in (*CHROMIUMS, *FIREFOXES):
        if found := shutil.which(name):
            yield name, Path(found)
    yield from _applications()
    yield from ((PLAYWRIGHT, path) for path in _playwright_chromiums())


def _applications() -> Iterator[tuple[str, Path]]:
    """Those of macOS."""
    for root in (Path("/Applications"), Path.home() / "Applications"):
        yield from ((name, root / path) for name, path in MAC.items() if (root / path).is_file())


def _playwright_chromiums() -> list[Path]:
    """Those that `playwright install` has fetched, the newest first: https://playwright.dev/python/docs/browsers."""
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    store = Path(named or PLAYWRIGHT_STORES.get(sys.platform, "~/.cache/ms-playwright")).expanduser()
    return sorted((path for pattern in PLAYWRIGHT_PROGRAMS for path in store.glob(pattern)), reverse=True)
