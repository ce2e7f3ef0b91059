"""webgpu-demo preview: serves a site on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, NoOpen, Port, Quiet, show_address
from builder.console import Console


def preview(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder.")],
    port: Port = None,
    no_open: NoOpen = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a site on this machine until Ctrl-C."""
    console = Console(as_json=as_json, quiet=quiet)
    builder.preview(directory, port=port, open_browser=not no_open, on_ready=lambda a: show_address(console, a))
    console.progress("stopped")
