"""webgpu-demo export: a checkpoint becomes a web model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, Quiet, show_tiers
from builder.console import Console, gigabytes, megabytes
from builder.errors import did_you_mean
from builder.manifest import SUFFIXES, read_manifest


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A folder with safetensors, or a Hub id such as owner/name.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the web model goes.")] = None,
    family: Annotated[str | None, typer.Option(help="The kind of model, where it is not recognised.")] = None,
    dtype: Annotated[
        str,
        typer.Option(help="fp32, or a smaller one to add and verify; auto adds all and picks for each tier."),
    ] = "fp32",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
    component: Annotated[
        list[str] | None, typer.Option(help="Write only this one, as text_model; may be given more than once.")
    ] = None,
    chunk_mb: Annotated[
        int | None,
        typer.Option(
            min=1, help="Keep weights beyond this many MB in files of that size; 268 by default.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Export a model too large for a browser tab.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a checkpoint to a web model."""
    console = Console(as_json=as_json, quiet=quiet)
    smaller = _smaller_dtypes(dtype)
    result = builder.export(
        checkpoint,
        out=out,
        family=family,
        revision=revision,
        components=component or None,
        chunk_bytes=None if chunk_mb is None else chunk_mb * 10**6,
        force=force,
        report=console.progress,
    )
    manifest = read_manifest(result.path)
    if smaller:
        builder.quantize(result.path, dtypes=smaller, report=console.progress)
        manifest = builder.verify(result.path, report=console.progress)
    rows = [
        (component, name, megabytes(variant.total_bytes))
        for component, variants in manifest.components.items()
        for name, variant in variants.items()
    ]
    console.table(["component", "dtype", "size"], rows)
    if smaller:
        show_tiers(console, manifest)
    console.text(
        f"{result.family} model in {result.path}: {result.seconds:.0f} s, {gigabytes(result.peak_bytes)} of memory"
    )
    console.data({**asdict(result), "sizes": manifest.sizes(), "tiers": manifest.tiers})


def _smaller_dtypes(dtype: str) -> list[str]:
    """What to add to the fp32 graphs for ``--dtype``; refused here, before an export of minutes."""
    known = [name for name in SUFFIXES if name != "fp32"]
    if dtype == "auto":
        return known
    if dtype != "fp32" and dtype not in known:
        raise builder.BuilderError(f"there is no dtype {dtype!r}", hint=did_you_mean(dtype, ["auto", *SUFFIXES]))
    return [] if dtype == "fp32" else [dtype]
