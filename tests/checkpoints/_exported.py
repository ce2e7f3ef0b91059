"""A case that went through the export, once for all tests that look at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.export import export
from tests.checkpoints import CASES, Captioner, DualEncoder

CHUNK_BYTES = 100_000
"""Small enough that tiny graphs keep their weights in several files, as large ones do."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """``path`` is the web model of ``checkpoint``, ``reference`` its PyTorch side."""

    checkpoint: Path
    path: Path
    reference: Captioner | DualEncoder


def export_case(name: str, scratch: Path) -> Exported:
    """Make the checkpoint of a case in an empty folder and export it."""
    checkpoint = scratch / "checkpoint"
    checkpoint.mkdir()
    reference = CASES[name].make(checkpoint)
    path = export(str(checkpoint), out=scratch / f"{name}-web", chunk_bytes=CHUNK_BYTES).path
    assert list(path.glob("onnx/*.onnx_data_1")), "no graph is large enough for several files of weights"
    return Exported(checkpoint=checkpoint, path=path, reference=reference)
