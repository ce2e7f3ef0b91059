"""webgpu-demo quantize: smaller variants of a web model, chosen by measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, ModelDir, Quiet
from builder.console import Console, megabytes


def quantize(
    model_dir: ModelDir,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="fp16, q8, q4, q4f16, or uint8 for decoders, more than once if need be; by default what tiers want."
        ),
    ] = None,
    quality: Annotated[
        str, typer.Option(help="high, balanced or small: how far from fp32 a dtype may be.")
    ] = "balanced",
    min_cosine: Annotated[float | None, typer.Option(help="Lowest cosine to fp32, in place of the quality's.")] = None,
    max_error: Annotated[float | None, typer.Option(help="Greatest error relative to fp32, likewise.")] = None,
    images: Annotated[Path | None, typer.Option(help="Pictures to measure on; drawn scenes by default.")] = None,
    every: Annotated[
        bool | None,
        typer.Option(
            "--every/--first",
            help="Measure every dtype, method and block, which takes long; or stop at the first that is good enough. "
            "By default all that is worth it of small graphs, and the first of large ones.",
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(help="Only candidates of this method: rtn, k_quant or hqq.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add dtypes to a web model, from its fp32 graphs: the smallest ones that keep the quality."""
    from builder.tiers import own_budget

    console = Console(as_json=as_json, quiet=quiet)
    result = builder.quantize(
        model_dir,
        dtypes=dtype or None,
        quality=own_budget(quality, cosine=min_cosine, relative=max_error),
        images=images,
        every=every,
        method=method,
        report=console.progress,
    )
    rows = [
        (component, name, megabytes(size), f"{size / sizes['fp32']:.0%}")
        for component, sizes in result.sizes.items()
        for name, size in sizes.items()
    ]
    console.table(["component", "dtype", "size", "of fp32"], rows)
    for what, why in result.skipped.items():
        console.text(f"{what} was not made: {why}")
    console.data(result)
