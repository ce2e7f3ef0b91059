"""webgpu-demo fallback: the server for browsers that cannot run the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import AnyModel, Json, Quiet, show_address
from builder.console import Console, megabytes


def fallback(
    model_dir: AnyModel,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The port; by default the first free one from 7860."),
    ] = None,
    dockerfile: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Run nothing; write a folder for `docker build` instead.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the model on a server, with Gradio, for browsers that cannot; on this machine until Ctrl-C."""
    console = Console(as_json=as_json, quiet=quiet)
    if dockerfile is not None:
        from builder.fallback import write_container

        written = write_container(model_dir, dockerfile)
        console.text(f"{written.model} in {written.path} ({megabytes(written.size_bytes)})")
        for command in written.commands:
            console.text(command)
        console.data(written)
        return
    builder.fallback(
        model_dir, port=port, on_ready=lambda address: show_address(console, address), report=console.progress
    )
    console.progress("stopped")
