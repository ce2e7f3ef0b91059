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
    min_cosine: Annotated[float | None, typer.Option(help="Lowest cosine to fp32, in place of the quality's.")] = None,
    max_error: Annotated[float | None, typer.Option(help="Greatest error relative to fp32, likewise.")] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--eval", help="Pictures, with captions or without, to compare the tiers on.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Pictures to measure on; drawn scenes by default.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run every dtype of a web model against fp32; write its manifest.json and report.html."""
    from builder.tiers import DEFAULT_BUDGET, own_budget

    console = Console(as_json=as_json, quiet=quiet)
    given = quality is not None or min_cosine is not None or max_error is not None
    budget = own_budget(quality or DEFAULT_BUDGET.name, cosine=min_cosine, relative=max_error) if given else None
    manifest = builder.verify(model_dir, quality=budget, evaluation=evaluation, images=images, report=console.progress)
    rows = [
        (component, dtype, megabytes(variant.total_bytes), *_errors(variant.error))
        for component, variants in manifest.components.items()
        for dtype, variant in variants.items()
    ]
    console.table(["component", "dtype", "size", "max abs", "relative", "cosine"], rows)
    for component, variants in manifest.components.items():
        for dtype, variant in variants.items():
            if variant.fault is not None:
                console.text(f"{component} {dtype} is left out: {variant.fault}")
    show_tiers(console, manifest)
    console.data(manifest)


def _errors(error: ErrorMeasure | None) -> tuple[str, str, str]:
    if error is None:
        return ("", "", "")
    return (f"{error.max_abs:.2g}", f"{error.relative:.2g}", f"{error.cosine:.6f}")
