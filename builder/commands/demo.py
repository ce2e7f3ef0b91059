"""webgpu-demo demo: the whole way on the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, NoOpen, Port, Quiet, show_address
from builder.console import Console


def demo(
    port: Port = None,
    no_open: NoOpen = False,
    work: Annotated[Path | None, typer.Option(help="Where to make it; the user's cache folder by default.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build both pages on the embedded models and serve them until Ctrl-C."""
    console = Console(as_json=as_json, quiet=quiet)
    builder.demo(
        port=port,
        open_browser=not no_open,
        work=work,
        report=console.progress,
        on_ready=lambda a: show_address(console, a),
    )
    console.progress("stopped")
