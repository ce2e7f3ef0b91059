"""A Chromium of this machine, for whoever drives one: the only kind of browser that can be on every system."""

from __future__ import annotations

import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
APPLICATIONS = ("Google Chrome", "Chromium", "Microsoft Edge")


def find_chromium() -> str | None:
    """The executable: of PATH, or among macOS's applications."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    for name in APPLICATIONS:
        path = Path(f"/Applications/{name}.app/Contents/MacOS/{name}")
        if path.is_file():
            return str(path)
    return None
