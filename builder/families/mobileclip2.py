"""MobileCLIP and MobileCLIP2: FastViT or ViT image tower, transformer text tower; ``clip`` in transformers.js.

Takes open_clip's layout (_openclip.py), as timm and Apple publish the models. Source: Faghri et al., MobileCLIP2 (TMLR
2025).
"""

from __future__ import annotations

from pathlib import Path

from builder.families._contract import Family, Parts
from builder.families._dual import DualExporterConfig, dual_graphs
from builder.families._openclip import load_open_clip


class MobileClipExporterConfig(DualExporterConfig):
    GRAPHS = dual_graphs()


def _load(checkpoint: Path) -> Parts:
    return load_open_clip(checkpoint, MobileClipExporterConfig)


FAMILY = Family(
    name="mobileclip2",
    checkpoints=("timm/MobileCLIP2-*-OpenCLIP", "apple/MobileCLIP-*-OpenCLIP"),
    model_types={"open_clip": ("mobileclip",)},
    task="zero-shot-image-classification",
    exporter_config=MobileClipExporterConfig,
    load=_load,
)
