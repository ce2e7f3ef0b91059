"""webgpu-demo verify: every variant of a web model against fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, ModelDir, Quiet, show_tiers
from builder.console import Console, megabytes
from builder.manifest import ErrorMeasure


def verify(
    model_dir: ModelDir,
    quality: Annotated[
        str | None, typer.Option(help="high, balanced or small; by default what quantize was given.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--eval", help="Pictures, with captions or without, to compare the tiers on.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run every dtype of a web model against fp32; write its manifest.json and report.html."""
    console = Console(as_json=as_json, quiet=quiet)
    manifest = builder.verify(model_dir, quality=quality, evaluation=evaluation, report=console.progress)
    rows = [
        (component, dtype, megabytes(variant.total_bytes), *_errors(variant.error))
        for component, variants in manifest.components.items()
        for dtype, variant in variants.items()
    ]
    console.table(["component", "dtype", "size", "max abs", "relative", "cosine"], rows)
    show_tiers(console, manifest)
    console.data(manifest)


def _errors(error: ErrorMeasure | None) -> tuple[str, str, str]:
    if error is None:
        return ("", "", "")
    return (f"{error.max_abs:.2g}", f"{error.relative:.2g}", f"{error.cosine:.6f}")
