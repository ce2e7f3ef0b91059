"""Where the things that are no Python lie: beside the package in a checkout, inside it in a wheel.

`pip install -e .` leaves web_template/ and spaces/ at the top of the checkout; a wheel carries them as
builder/_web_template and builder/_spaces (see hatch_build.py). Nothing else may care which of the two it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from builder.errors import SiteError

PACKAGE = Path(__file__).resolve().parent


def web_template() -> Path:
    """Folder of the pages, their templates and the browser runtime."""
    return _beside_or_inside("web_template")


def spaces() -> Path:
    """Folder of the Space templates."""
    return _beside_or_inside("spaces")


def browser_runtime() -> Path:
    """Folder of the fetched browser runtime.

    Raises:
        SiteError: the package was not built, so there is none.
    """
    folder = web_template() / "runtime"
    if not (folder / "runtime.json").is_file():
        raise SiteError(
            f"the browser runtime is missing: there is no {folder / 'runtime.json'}",
            hint="install the package (`pip install -e .` in a checkout): that fetches it",
        )
    return folder


def cache_folder() -> Path:
    """Where what can be made again may lie: the user's cache folder of this platform."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "webgpu-demo"


def data_folder() -> Path:
    """Where what cannot be made again the same may lie: the user's data folder of this platform."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "webgpu-demo"


def _beside_or_inside(name: str) -> Path:
    beside = PACKAGE.parent / name
    inside = PACKAGE / f"_{name}"
    return inside if inside.is_dir() else beside
