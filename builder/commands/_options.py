"""Options that several commands take, and lines that several print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.console import Console, megabytes
from builder.embedded import NAMES, model_dir
from builder.manifest import Manifest

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing about progress.")]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A web model folder, with its manifest.json.")]
AnyModel = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        parser=lambda given: model_dir(given) if given in NAMES else Path(given),
        help=f"A web model folder, or the name of an embedded model: {', '.join(NAMES)}.",
    ),
]
"""For commands that write nothing into the model."""
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The port to serve on; the first free one from 8000 by default.")
]
NoOpen = Annotated[bool, typer.Option("--no-open", help="Open no browser.")]


def show_tiers(console: Console, manifest: Manifest) -> None:
    """One line for each device tier: its dtypes and its download."""
    for tier, dtypes in manifest.tiers.items():
        parts = ", ".join(f"{component} {dtype}" for component, dtype in dtypes.items())
        console.text(f"{tier}: {parts} ({megabytes(manifest.tier_bytes(tier))})")


def show_address(console: Console, address: str) -> None:
    """Say where a server listens, and how to stop it."""
    console.text(address)
    console.data({"address": address})
    console.progress("stop with Ctrl-C")


def agreed(question: str, *, yes: bool, default: bool) -> bool:
    """Ask at a terminal, beside the answer of ``--json``; nothing is asked with ``--yes`` or without a terminal."""
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return typer.confirm(question, default=default, err=True)
