"""The embedded models as their pages ship them: quantized and verified once, kept in the work folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from builder.bench._contract import Report
from builder.bench._pipeline import Made, make_quantized
from builder.embedded import NAMES, model_dir
from builder.manifest import FILE_NAME, file_sha256, read_manifest


def shipped_models(work: Path, report: Report) -> dict[str, Path]:
    """Name → web model with the dtypes of every tier.

    Raises:
        BenchError: a command fails.
    """
    found = {}
    for name in NAMES:
        source = model_dir(name)
        # Under the digest of its manifest: another version of this package may bring another model.
        copy = work / "models" / f"{name}-{file_sha256(source / FILE_NAME)[:8]}"
        if not copy.is_dir():
            shutil.copytree(source, copy)
        found[name] = make_quantized(Made(path=copy, made_by=()), "balanced", report).path
    return found


def shipped_graph(folder: Path, component: str, tier: str) -> Path:
    """The graph of a component that a device tier gets."""
    manifest = read_manifest(folder)
    return folder / manifest.components[component][manifest.tiers[tier][component]].path
