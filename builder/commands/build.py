"""webgpu-demo build: a page and a web model become a folder of static files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, Quiet
from builder.console import Console, megabytes


def build(
    page: Annotated[str, typer.Argument(metavar="PAGE", help="camera-caption, photo-search, or another page.")],
    model: Annotated[
        str | None, typer.Option(help="An embedded model's name, or a web model folder.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The site's folder; site/PAGE by default.")] = None,
    title: Annotated[str | None, typer.Option(help="The page's title.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render a page and a web model into a folder of static files."""
    console = Console(as_json=as_json, quiet=quiet)
    site = builder.build(page, model=model, out=out, title=title, report=console.progress)
    console.text(
        f"{site.page} with {site.model} in {site.path} ({len(site.files)} files, {megabytes(site.size_bytes)})"
    )
    console.data(site)
