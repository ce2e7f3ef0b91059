"""Changes to a checkpoint's files, for tests of what a family makes of them."""

from __future__ import annotations

import json
from pathlib import Path

from builder.families import Parts, find_family


def edit(path: Path, **changes: object) -> None:
    """Lay ``changes`` over a JSON file; None takes a key away."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({k: v for k, v in {**raw, **changes}.items() if v is not None}), encoding="utf-8")


def load(folder: Path) -> Parts:
    return find_family(folder).load(folder)
