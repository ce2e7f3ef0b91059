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
    index: Annotated[
        Path | None, typer.Option(help="photo-search: an index of photos to search, from `webgpu-demo index`.")
    ] = None,
    photos_url: Annotated[
        str | None, typer.Option(help="Where the photos of that index lie: an address, or a path in the site.")
    ] = None,
    model_url: Annotated[
        str | None,
        typer.Option(help="The address of the model's folder where it is published; the site then carries no weights."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="The address of a Gradio app for visitors whose browser cannot run the model."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render a page and a web model into a folder of static files."""
    console = Console(as_json=as_json, quiet=quiet)
    site = builder.build(
        page,
        model=model,
        out=out,
        title=title,
        index=index,
        photos_url=photos_url,
        model_url=model_url,
        server=server,
        report=console.progress,
    )
    console.text(
        f"{site.page} with {site.model} in {site.path} ({len(site.files)} files, {megabytes(site.size_bytes)})"
    )
    console.data(site)
